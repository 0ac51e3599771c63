//! Reading and writing the fields of a 0xAF body. Integers are big-endian.
//!
//! | Rust type | On the wire |
//! |---|---|
//! | `u8 u16 i32 u32 i64 u64` | fixed width |
//! | `bool` | one byte: 1 is true, anything else false |
//! | `String` | str16: u16 length, UTF-8 |
//! | [`Str8`] | str8: u8 length, UTF-8 |
//! | `Bytes` | bytes32: u32 length, raw bytes |
//! | `Vec<T>` | list32: u32 count, then the items |
//! | [`List16<T>`] | list16: u16 count, then the items |
//! | [`Framed<T>`] | u32 length in bytes, then `T` |
//! | `Option<T>` | nothing at all, or `T`: for the last field of a body |

use bytes::{BufMut, Bytes, BytesMut};

use crate::frame::{FrameParts, HEADER_LEN, MAX_PAYLOAD, Version};

/// Why a body cannot be decoded. The connection lives on: the frame boundary is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// A field or a length asks for more bytes than there are.
    #[error("buffer too small")]
    Truncated,
    /// A text field is not UTF-8.
    #[error("invalid binary format: text is not UTF-8")]
    InvalidUtf8,
    /// A field has a value outside its range.
    #[error("invalid binary format: bad {0}")]
    BadValue(&'static str),
    /// Bytes follow the last field of a version 2 body.
    #[error("invalid binary format: {0} bytes follow the last field")]
    TrailingBytes(usize),
    /// The op code has no layout.
    #[error("unknown opcode: {0}")]
    UnknownOp(u8),
}

/// Why a value cannot be encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    /// A text, list or byte field is longer than its length field can say.
    #[error("field of {len} does not fit its length field (at most {max})")]
    FieldTooLong {
        /// Bytes or items.
        len: usize,
        /// Bytes or items that fit.
        max: usize,
    },
    /// The payload is above [`MAX_PAYLOAD`].
    #[error("payload is above {MAX_PAYLOAD} bytes")]
    FrameTooLarge,
}

/// A cursor over a body. Texts are copied out; byte fields share the body's memory.
#[derive(Debug, Clone)]
pub struct Reader {
    rest: Bytes,
    items_left: usize,
}

/// Most list items in one body, nested lists included. An empty text takes 2 bytes on the wire and 24 in memory, so
/// without a bound a 32 MiB frame could fill 400 MiB.
pub const MAX_ITEMS: usize = 1 << 20;

impl Reader {
    /// Starts at the first byte of `body`.
    pub fn new(body: Bytes) -> Self {
        Self { rest: body, items_left: MAX_ITEMS }
    }

    /// Bytes not read yet.
    pub fn remaining(&self) -> usize {
        self.rest.len()
    }

    /// Reads a field.
    ///
    /// # Errors
    /// Any [`DecodeError`] of the field's type.
    pub fn get<T: Layout>(&mut self) -> Result<T, DecodeError> {
        T::decode(self)
    }

    /// Takes the next `len` bytes without copying.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`].
    pub fn take(&mut self, len: usize) -> Result<Bytes, DecodeError> {
        if len > self.rest.len() {
            return Err(DecodeError::Truncated);
        }
        Ok(self.rest.split_to(len))
    }

    /// Everything that is left.
    pub fn take_rest(&mut self) -> Bytes {
        std::mem::take(&mut self.rest)
    }

    /// Requires that nothing is left.
    ///
    /// # Errors
    /// [`DecodeError::TrailingBytes`].
    pub fn finish(self) -> Result<(), DecodeError> {
        if self.rest.is_empty() { Ok(()) } else { Err(DecodeError::TrailingBytes(self.rest.len())) }
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let bytes = *self.rest.first_chunk().ok_or(DecodeError::Truncated)?;
        bytes::Buf::advance(&mut self.rest, N);
        Ok(bytes)
    }

    fn text(&mut self, len: usize) -> Result<String, DecodeError> {
        let bytes = self.rest.get(..len).ok_or(DecodeError::Truncated)?;
        let text = std::str::from_utf8(bytes).map_err(|_| DecodeError::InvalidUtf8)?.to_owned();
        bytes::Buf::advance(&mut self.rest, len);
        Ok(text)
    }

    /// Reads `count` items. The count is not believed: it must be one that the bytes left can hold.
    pub(crate) fn items<T: Layout>(&mut self, count: usize) -> Result<Vec<T>, DecodeError> {
        if count.saturating_mul(T::MIN_LEN.max(1)) > self.remaining() {
            return Err(DecodeError::Truncated);
        }
        self.items_left =
            self.items_left.checked_sub(count).ok_or(DecodeError::BadValue("list: too many items"))?;
        let mut items = Vec::with_capacity(count);
        for _ in 0..count {
            items.push(T::decode(self)?);
        }
        Ok(items)
    }
}

/// Collects a frame's payload; remembers the first field that did not fit and reports it at the end.
#[derive(Debug)]
pub struct Writer {
    /// Room for the frame header, then the payload.
    buf: BytesMut,
    error: Option<EncodeError>,
}

impl Default for Writer {
    fn default() -> Self {
        Self::with_capacity(64)
    }
}

impl Writer {
    /// An empty payload with room for `payload` bytes.
    pub fn with_capacity(payload: usize) -> Self {
        let mut buf = BytesMut::with_capacity(HEADER_LEN + payload);
        buf.put_bytes(0, HEADER_LEN);
        Self { buf, error: None }
    }

    /// Writes a field.
    pub fn put<T: Layout>(&mut self, field: &T) {
        field.encode(self);
    }

    /// Makes room for `payload` bytes more.
    pub fn reserve(&mut self, payload: usize) {
        self.buf.reserve(payload);
    }

    /// Writes raw bytes.
    pub fn put_slice(&mut self, bytes: &[u8]) {
        self.buf.put_slice(bytes);
    }

    /// Writes a str16.
    pub fn put_str16(&mut self, text: &str) {
        let len = self.fit(text.len(), usize::from(u16::MAX));
        self.buf.put_u16(len as u16);
        self.buf.put_slice(text.as_bytes());
    }

    /// Writes a str8.
    pub fn put_str8(&mut self, text: &str) {
        let len = self.fit(text.len(), usize::from(u8::MAX));
        self.buf.put_u8(len as u8);
        self.buf.put_slice(text.as_bytes());
    }

    /// Writes a bytes32.
    pub fn put_bytes32(&mut self, bytes: &[u8]) {
        self.put_u32_len(bytes.len());
        self.buf.put_slice(bytes);
    }

    /// Writes a u32 count or length.
    pub(crate) fn put_u32_len(&mut self, len: usize) {
        let len = self.fit(len, u32::MAX as usize);
        self.buf.put_u32(len as u32);
    }

    /// Writes a u16 count.
    pub(crate) fn put_u16_len(&mut self, len: usize) {
        let len = self.fit(len, usize::from(u16::MAX));
        self.buf.put_u16(len as u16);
    }

    /// Payload bytes so far.
    pub(crate) fn len(&self) -> usize {
        self.buf.len() - HEADER_LEN
    }

    /// Overwrites four payload bytes at `at` with the number of bytes written after them.
    pub(crate) fn patch_u32_len(&mut self, at: usize) {
        let len = self.fit(self.len() - at - 4, u32::MAX as usize) as u32;
        let at = HEADER_LEN + at;
        self.buf[at..at + 4].copy_from_slice(&len.to_be_bytes());
    }

    fn fit(&mut self, len: usize, max: usize) -> usize {
        if len > max {
            self.error.get_or_insert(EncodeError::FieldTooLong { len, max });
        }
        len.min(max)
    }

    /// The payload alone.
    ///
    /// # Errors
    /// Any [`EncodeError`].
    pub fn into_payload(self) -> Result<Bytes, EncodeError> {
        match self.error {
            Some(error) => Err(error),
            None if self.len() > MAX_PAYLOAD as usize => Err(EncodeError::FrameTooLarge),
            None => Ok(self.buf.freeze().slice(HEADER_LEN..)),
        }
    }

    /// The whole frame, with shared pieces after what was written.
    ///
    /// # Errors
    /// Any [`EncodeError`].
    pub fn into_frame(
        self,
        version: Version,
        op: u8,
        flags: u8,
        tail: impl IntoIterator<Item = Bytes>,
    ) -> Result<FrameParts, EncodeError> {
        match self.error {
            Some(error) => Err(error),
            None => FrameParts::seal(version, op, flags, self.buf, tail).ok_or(EncodeError::FrameTooLarge),
        }
    }
}

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

macro_rules! int_layout {
    ($($int:ident $put:ident),*) => {$(
        impl Layout for $int {
            const MIN_LEN: usize = size_of::<$int>();

            fn decode(reader: &mut Reader) -> Result<Self, DecodeError> {
                reader.array().map($int::from_be_bytes)
            }

            fn encode(&self, writer: &mut Writer) {
                writer.buf.$put(*self);
            }
        }
    )*};
}

int_layout!(u8 put_u8, u16 put_u16, i32 put_i32, u32 put_u32, i64 put_i64, u64 put_u64);

impl Layout for bool {
    const MIN_LEN: usize = 1;

    fn decode(reader: &mut Reader) -> Result<Self, DecodeError> {
        reader.get::<u8>().map(|byte| byte == 1)
    }

    fn encode(&self, writer: &mut Writer) {
        writer.put(&u8::from(*self));
    }
}

impl Layout for String {
    const MIN_LEN: usize = 2;

    fn decode(reader: &mut Reader) -> Result<Self, DecodeError> {
        let len = reader.get::<u16>()?;
        reader.text(usize::from(len))
    }

    fn encode(&self, writer: &mut Writer) {
        writer.put_str16(self);
    }
}

impl Layout for Bytes {
    const MIN_LEN: usize = 4;

    fn decode(reader: &mut Reader) -> Result<Self, DecodeError> {
        let len = reader.get::<u32>()?;
        reader.take(len as usize)
    }

    fn encode(&self, writer: &mut Writer) {
        writer.put_bytes32(self);
    }
}

impl<T: Layout> Layout for Vec<T> {
    const MIN_LEN: usize = 4;

    fn decode(reader: &mut Reader) -> Result<Self, DecodeError> {
        let count = reader.get::<u32>()?;
        reader.items(count as usize)
    }

    fn encode(&self, writer: &mut Writer) {
        writer.put_u32_len(self.len());
        self.iter().for_each(|item| writer.put(item));
    }
}

impl<T: Layout> Layout for Option<T> {
    const MIN_LEN: usize = 0;

    fn decode(reader: &mut Reader) -> Result<Self, DecodeError> {
        if reader.remaining() == 0 { Ok(None) } else { reader.get().map(Some) }
    }

    fn encode(&self, writer: &mut Writer) {
        if let Some(value) = self {
            writer.put(value);
        }
    }
}

/// Text with a one-byte length.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Str8(pub String);

impl From<&str> for Str8 {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl Layout for Str8 {
    const MIN_LEN: usize = 1;

    fn decode(reader: &mut Reader) -> Result<Self, DecodeError> {
        let len = reader.get::<u8>()?;
        reader.text(usize::from(len)).map(Self)
    }

    fn encode(&self, writer: &mut Writer) {
        writer.put_str8(&self.0);
    }
}

/// A list with a two-byte count.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct List16<T>(pub Vec<T>);

impl<T: Layout> Layout for List16<T> {
    const MIN_LEN: usize = 2;

    fn decode(reader: &mut Reader) -> Result<Self, DecodeError> {
        let count = reader.get::<u16>()?;
        reader.items(usize::from(count)).map(Self)
    }

    fn encode(&self, writer: &mut Writer) {
        writer.put_u16_len(self.0.len());
        self.0.iter().for_each(|item| writer.put(item));
    }
}

/// A value inside a bytes32 of its own.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Framed<T>(pub T);

impl<T: Layout> Layout for Framed<T> {
    const MIN_LEN: usize = 4 + T::MIN_LEN;

    fn decode(reader: &mut Reader) -> Result<Self, DecodeError> {
        let len = reader.get::<u32>()?;
        let mut inner = Reader { rest: reader.take(len as usize)?, items_left: reader.items_left };
        let value = inner.get()?;
        reader.items_left = inner.items_left;
        Ok(Self(value))
    }

    fn encode(&self, writer: &mut Writer) {
        let at = writer.len();
        writer.put(&0u32);
        writer.put(&self.0);
        writer.patch_u32_len(at);
    }
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
