//! Offsets of a group: SUBSCRIBE, COMMIT, GET_OFFSET, RESET_OFFSET, GET_LAG.

use crate::codec::{DecodeError, Layout, Reader, Str8, Writer, layout};

/// Where a group shall begin to read, as SUBSCRIBE names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StartPosition {
    /// The lowest offset of the partition.
    Earliest,
    /// The next offset to be written.
    Latest,
    /// What the group committed; if nothing, the lowest offset.
    Committed,
}

layout! {
    /// SUBSCRIBE request: a look-up, no stream.
    pub struct Subscribe {
        /// Topic name.
        pub topic: String,
        /// Group; may be empty.
        pub group: String,
        /// Partition.
        pub partition: i32,
        /// A mode, see [`Subscribe::start`].
        pub mode: Str8,
    }

    /// COMMIT request.
    pub struct Commit {
        /// Topic name.
        pub topic: String,
        /// Group.
        pub group: String,
        /// Partition.
        pub partition: i32,
        /// The next offset to read.
        pub offset: u64,
    }

    /// GET_OFFSET and GET_LAG request.
    pub struct GroupPartition {
        /// Topic name.
        pub topic: String,
        /// Group.
        pub group: String,
        /// Partition.
        pub partition: i32,
    }

    /// SUBSCRIBE and GET_OFFSET reply.
    pub struct OffsetReply {
        /// Where to read, or what was committed.
        pub offset: u64,
    }

    /// GET_LAG reply.
    pub struct LagReply {
        /// Committed offset.
        pub committed: u64,
        /// The same once more.
        pub committed_again: u64,
        /// The next offset to be written.
        pub latest: u64,
        /// Their difference, at least 0.
        pub lag: u64,
    }
}

impl Subscribe {
    /// The mode's meaning: `earliest`, `latest` (also the empty text), `commit` (the CLI says `committed`); `None`
    /// for any other text.
    pub fn start(&self) -> Option<StartPosition> {
        match self.mode.0.as_str() {
            "earliest" => Some(StartPosition::Earliest),
            "latest" | "" => Some(StartPosition::Latest),
            "commit" | "committed" => Some(StartPosition::Committed),
            _ => None,
        }
    }
}

impl LagReply {
    /// From the two offsets that matter.
    pub fn new(committed: u64, latest: u64) -> Self {
        Self { committed, committed_again: committed, latest, lag: latest.saturating_sub(committed) }
    }
}

/// Where RESET_OFFSET moves a group to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResetPosition {
    /// The lowest offset of the partition.
    Earliest,
    /// The next offset to be written.
    Latest,
    /// This offset.
    Offset(u64),
}

/// RESET_OFFSET request.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ResetOffset {
    /// Topic name.
    pub topic: String,
    /// Group.
    pub group: String,
    /// Partition.
    pub partition: i32,
    /// A mode, see [`ResetOffset::target`].
    pub mode: Str8,
    /// Present in mode `offset`; the Java client always sends it.
    pub offset: Option<u64>,
}

/// The mode that carries an offset.
const OFFSET_MODE: &str = "offset";

impl ResetOffset {
    /// The mode's meaning: `earliest`, `latest`, `offset`; `None` for any other text.
    pub fn target(&self) -> Option<ResetPosition> {
        match self.mode.0.as_str() {
            "earliest" => Some(ResetPosition::Earliest),
            "latest" => Some(ResetPosition::Latest),
            OFFSET_MODE => self.offset.map(ResetPosition::Offset),
            _ => None,
        }
    }
}

impl Layout for ResetOffset {
    const MIN_LEN: usize = 9;

    fn decode(reader: &mut Reader) -> Result<Self, DecodeError> {
        let (topic, group, partition) = (reader.get()?, reader.get()?, reader.get()?);
        let mode: Str8 = reader.get()?;
        let has_offset = mode.0 == OFFSET_MODE || reader.remaining() >= u64::MIN_LEN;
        let offset = if has_offset { Some(reader.get()?) } else { None };
        Ok(Self { topic, group, partition, mode, offset })
    }

    fn encode(&self, writer: &mut Writer) {
        writer.put(&self.topic);
        writer.put(&self.group);
        writer.put(&self.partition);
        writer.put(&self.mode);
        writer.put(&self.offset);
    }
}
