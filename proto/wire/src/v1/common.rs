//! Bodies that several op groups share.

use bytes::Bytes;

use crate::codec::{DecodeError, Layout, Reader, Writer, layout};

/// A body without fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Empty;

impl Layout for Empty {
    const MIN_LEN: usize = 0;

    fn decode(_: &mut Reader) -> Result<Self, DecodeError> {
        Ok(Self)
    }

    fn encode(&self, _: &mut Writer) {}
}

/// A body that is not ours to read: all bytes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Raw(pub Bytes);

impl Layout for Raw {
    const MIN_LEN: usize = 0;

    fn decode(reader: &mut Reader) -> Result<Self, DecodeError> {
        Ok(Self(reader.take_rest()))
    }

    fn encode(&self, writer: &mut Writer) {
        writer.put_slice(&self.0);
    }
}

/// Reply of ops that have nothing to say but that they were done: one byte, 1. Failures travel as error frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Done;

impl Layout for Done {
    const MIN_LEN: usize = 1;

    fn decode(reader: &mut Reader) -> Result<Self, DecodeError> {
        if reader.get::<bool>()? { Ok(Self) } else { Err(DecodeError::BadValue("success byte")) }
    }

    fn encode(&self, writer: &mut Writer) {
        writer.put(&true);
    }
}

layout! {
    /// Reply with a success flag and a text. For the ops that use it, a failure may be `ok` = false instead of an
    /// error frame.
    pub struct SuccessMsg {
        /// Whether it was done.
        pub ok: bool,
        /// What to show, possibly empty.
        pub message: String,
    }

    /// A request that names a topic and nothing else.
    pub struct TopicRef {
        /// Topic name.
        pub topic: String,
    }

    /// Reply of every op that appends a record.
    pub struct RecordMetadata {
        /// Topic name.
        pub topic: String,
        /// Partition; 0 where it is not known yet (delayed, transaction).
        pub partition: i32,
        /// Offset; 0 where it is not known yet.
        pub offset: u64,
        /// Unix ms.
        pub timestamp_ms: i64,
        /// Bytes of the key, -1 for none; an empty key counts as none.
        pub key_size: i32,
        /// Bytes of the value.
        pub value_size: i32,
    }
}
