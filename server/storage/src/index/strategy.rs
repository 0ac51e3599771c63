//! Which batches of a segment get an entry. More entries make lookups shorter and the index larger; the answers are
//! the same, since every entry is checked against the log and the rest of the way is scanned.

use std::fmt::Debug;
use std::sync::Arc;

use super::entry::IndexEntry;

/// How a topic's logs are indexed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum IndexStrategy {
    /// One entry for about every so many bytes of log.
    SparseOffset { interval_bytes: u32 },
    /// One entry for every batch: a lookup reads no header but the right one.
    DenseOffset,
    /// As sparse, and one entry wherever a newer timestamp than any before begins: a seek by time goes straight to its
    /// batch.
    Time { interval_bytes: u32 },
}

/// Bytes of log for each entry, unless a topic says otherwise.
pub(crate) const DEFAULT_INTERVAL_BYTES: u32 = 4096;

impl Default for IndexStrategy {
    fn default() -> Self {
        Self::SparseOffset { interval_bytes: DEFAULT_INTERVAL_BYTES }
    }
}

impl IndexStrategy {
    /// `sparse`, `dense` or `time`.
    pub fn name(self) -> &'static str {
        match self {
            Self::SparseOffset { .. } => "sparse",
            Self::DenseOffset => "dense",
            Self::Time { .. } => "time",
        }
    }

    pub(crate) fn placement(self) -> Arc<dyn Placement> {
        match self {
            Self::SparseOffset { interval_bytes } => Arc::new(SparseOffset { interval_bytes }),
            Self::DenseOffset => Arc::new(DenseOffset),
            Self::Time { interval_bytes } => Arc::new(Time { interval_bytes }),
        }
    }
}

/// The one thing in which the strategies differ.
pub(crate) trait Placement: Send + Sync + Debug {
    /// Whether the batch of `next` gets an entry, the last one before it being `last`. Asked for batches in order of
    /// position, each behind the last entry.
    fn wants(&self, last: &IndexEntry, next: &IndexEntry) -> bool;
}

#[derive(Debug)]
struct SparseOffset {
    interval_bytes: u32,
}

impl Placement for SparseOffset {
    fn wants(&self, last: &IndexEntry, next: &IndexEntry) -> bool {
        next.position - last.position >= self.interval_bytes
    }
}

#[derive(Debug)]
struct DenseOffset;

impl Placement for DenseOffset {
    fn wants(&self, _last: &IndexEntry, _next: &IndexEntry) -> bool {
        true
    }
}

#[derive(Debug)]
struct Time {
    interval_bytes: u32,
}

impl Placement for Time {
    fn wants(&self, last: &IndexEntry, next: &IndexEntry) -> bool {
        let later = next.max_timestamp_before > last.max_timestamp_before;
        later || next.position - last.position >= self.interval_bytes
    }
}
