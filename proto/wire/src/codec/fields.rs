//! The layouts of the basic types.

use bytes::Bytes;

use super::{DecodeError, Layout, Reader, Writer};

macro_rules! int_layout {
    ($($int:ident),*) => {$(
        impl Layout for $int {
            const MIN_LEN: usize = size_of::<$int>();

            fn decode(reader: &mut Reader) -> Result<Self, DecodeError> {
                reader.array().map($int::from_be_bytes)
            }

            fn encode(&self, writer: &mut Writer) {
                writer.put_slice(&self.to_be_bytes());
            }
        }
    )*};
}

int_layout!(u8, u16, i32, u32, i64, u64);

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
