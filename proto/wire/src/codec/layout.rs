//! The trait of everything with a layout, and a macro for structs.

use super::{DecodeError, Reader, Writer};

/// A type with a fixed wire layout.
pub trait Layout: Sized {
    /// The fewest bytes a value takes; bounds what a count may announce.
    const MIN_LEN: usize;

    /// Reads a value.
    ///
    /// # Errors
    /// Any [`DecodeError`] but `TrailingBytes`.
    fn decode(reader: &mut Reader) -> Result<Self, DecodeError>;

    /// Writes the value.
    fn encode(&self, writer: &mut Writer);
}

/// Declares a struct whose wire layout is its fields in their order.
macro_rules! layout {
    ($($(#[$meta:meta])* pub struct $name:ident { $($(#[$field_meta:meta])* pub $field:ident: $type:ty,)+ })+) => {$(
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq, Eq, Default)]
        pub struct $name {
            $($(#[$field_meta])* pub $field: $type,)+
        }

        impl $crate::codec::Layout for $name {
            const MIN_LEN: usize = 0 $(+ <$type as $crate::codec::Layout>::MIN_LEN)+;

            fn decode(reader: &mut $crate::codec::Reader) -> Result<Self, $crate::codec::DecodeError> {
                Ok(Self { $($field: reader.get()?,)+ })
            }

            fn encode(&self, writer: &mut $crate::codec::Writer) {
                $(writer.put(&self.$field);)+
            }
        }
    )+};
}
pub(crate) use layout;
