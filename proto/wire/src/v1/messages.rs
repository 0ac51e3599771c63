//! Records: PRODUCE, CONSUME, CONSUME_ZERO_COPY, FETCH, FETCH_BINARY.

use bytes::Bytes;

use crate::codec::{DecodeError, Layout, Reader, Writer, layout};

/// Records that FETCH returns when the request's `max` is not positive.
pub const DEFAULT_FETCH_MAX: u32 = 10;

layout! {
    /// PRODUCE request.
    pub struct Produce {
        /// Topic name.
        pub topic: String,
        /// Key; empty means none.
        pub key: Bytes,
        /// Value.
        pub value: Bytes,
        /// Partition; -1 lets the server choose.
        pub partition: i32,
    }

    /// CONSUME and CONSUME_ZERO_COPY request.
    pub struct Consume {
        /// Topic name.
        pub topic: String,
        /// Partition.
        pub partition: i32,
        /// The offset to read.
        pub offset: u64,
    }

    /// CONSUME reply.
    pub struct ConsumeReply {
        /// Key; empty means none.
        pub key: Bytes,
        /// Value.
        pub value: Bytes,
    }

    /// FETCH and FETCH_BINARY request.
    pub struct Fetch {
        /// Topic name.
        pub topic: String,
        /// Partition.
        pub partition: i32,
        /// First offset wanted.
        pub offset: u64,
        /// Most records; see [`Fetch::max_records`].
        pub max: i32,
        /// Content filter; empty or missing means none.
        pub filter: Option<String>,
    }

    /// One record of a FETCH reply.
    pub struct Message {
        /// Its offset.
        pub offset: u64,
        /// Key; empty means none.
        pub key: Bytes,
        /// Value.
        pub value: Bytes,
    }
}

impl Produce {
    /// The key, where an empty one counts as none.
    pub fn key(&self) -> Option<&Bytes> {
        (!self.key.is_empty()).then_some(&self.key)
    }
}

impl Fetch {
    /// Most records to return: [`DEFAULT_FETCH_MAX`] where the request says zero or less.
    pub fn max_records(&self) -> u32 {
        u32::try_from(self.max).ok().filter(|max| *max > 0).unwrap_or(DEFAULT_FETCH_MAX)
    }

    /// The filter, where an empty one counts as none.
    pub fn filter(&self) -> Option<&str> {
        self.filter.as_deref().filter(|filter| !filter.is_empty())
    }
}

impl Message {
    /// Bytes that the record takes in a reply; for keeping the reply within a frame.
    pub fn wire_len(&self) -> usize {
        Self::MIN_LEN + self.key.len() + self.value.len()
    }
}

/// FETCH reply.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FetchReply {
    /// Where to fetch next; the asked offset when there was nothing.
    pub next_offset: u64,
    /// The records.
    pub messages: Vec<Message>,
}

impl FetchReply {
    /// Bytes of a reply without records.
    pub const FIXED_LEN: usize = 12;
}

/// The count stands before `next_offset`, the records after it.
impl Layout for FetchReply {
    const MIN_LEN: usize = Self::FIXED_LEN;

    fn decode(reader: &mut Reader) -> Result<Self, DecodeError> {
        let count = reader.get::<u32>()?;
        Ok(Self { next_offset: reader.get()?, messages: reader.items(count as usize)? })
    }

    fn encode(&self, writer: &mut Writer) {
        writer.put_u32_len(self.messages.len());
        writer.put(&self.next_offset);
        writer.reserve(self.messages.iter().map(Message::wire_len).sum());
        self.messages.iter().for_each(|message| writer.put(message));
    }
}
