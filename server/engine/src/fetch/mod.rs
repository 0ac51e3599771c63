//! The read path: whole batches below the high watermark, with a long poll.

mod mend;
mod poll;
mod subscription;
mod visible;

use std::time::Duration;

use flymq_types::{Isolation, Offset, PartitionId, RecordBatch, TopicName};

/// What to read.
#[derive(Debug, Clone)]
pub struct FetchSpec {
    pub topic: TopicName,
    pub partition: PartitionId,
    /// First offset of interest.
    pub offset: Offset,
    /// Most bytes of batches to answer; at least one batch comes whatever its size. Bounded by the frame limit.
    pub max_bytes: usize,
    /// Answer once there are so many bytes, or `max_wait` is over. 0 and 1: as soon as there is anything.
    pub min_bytes: usize,
    /// Zero: answer at once. Bounded by [`flymq_types::Limits::fetch_wait_ms`].
    pub max_wait: Duration,
    pub isolation: Isolation,
}

/// What was read. `low_watermark <= high_watermark <= log_end_offset`.
#[derive(Debug, Clone)]
pub struct Fetched {
    /// Whole batches in order; the first may begin before the asked offset. Empty where nothing came in time.
    pub batches: Vec<RecordBatch>,
    /// The offset to ask for next.
    pub next_offset: Offset,
    /// Whether a committed reader waits for the end of a transaction, before the high watermark.
    pub held: bool,
    /// Offset after the last committed record.
    pub high_watermark: Offset,
    /// First offset that is still there.
    pub low_watermark: Offset,
    /// Offset after the last appended record.
    pub log_end_offset: Offset,
}

pub use subscription::Subscription;

impl Fetched {
    /// Bytes of all batches.
    pub fn bytes(&self) -> usize {
        self.batches.iter().map(RecordBatch::size).sum()
    }
}

/// What to stream.
#[derive(Debug, Clone)]
pub struct SubscribeSpec {
    pub topic: TopicName,
    /// Partition and first offset of interest each; without duplicates.
    pub positions: Vec<(PartitionId, Offset)>,
    pub isolation: Isolation,
}

/// A run of batches of one partition, pulled from a [`Subscription`].
#[derive(Debug, Clone)]
pub struct Pulled {
    pub partition: PartitionId,
    pub fetched: Fetched,
}
