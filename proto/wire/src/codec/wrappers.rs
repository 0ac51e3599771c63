//! Layouts that differ from the usual one of their type.

use super::{DecodeError, Layout, Reader, Writer};

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
        let mut inner = reader.split(len as usize)?;
        let value = inner.get()?;
        reader.join(&inner);
        Ok(Self(value))
    }

    fn encode(&self, writer: &mut Writer) {
        let at = writer.len();
        writer.put(&0u32);
        writer.put(&self.0);
        writer.patch_u32_len(at);
    }
}
