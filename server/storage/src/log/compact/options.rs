//! What a cleaning is told and what it tells.

use std::time::Duration;

use flymq_types::{Offset, Timestamp};

/// How to clean a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Compaction {
    /// Offsets from here on are not touched: the high watermark.
    pub upto: Offset,
    pub now: Timestamp,
    /// `delete_retention_ms`: so long tombstones stay after the cleaning that first meets them.
    pub delete_retention_ms: u64,
    /// Bytes of keys in memory; a log with more goes through several passes.
    pub keys_bytes: usize,
    /// Nothing is done while fewer bytes than this part of the log (per cent) came since the last cleaning.
    pub min_dirty_percent: u8,
    /// Of each key only the latest record stays. Else only expired records go, from any closed segment, and keys, dirty
    /// part and tombstones are of no account.
    pub by_key: bool,
}

impl Compaction {
    /// 64 MiB of keys, half of the log dirty.
    pub fn new(upto: Offset, now: Timestamp, delete_retention_ms: u64) -> Self {
        Self { upto, now, delete_retention_ms, keys_bytes: 64 << 20, min_dirty_percent: 50, by_key: true }
    }
}

/// What a cleaning did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Compacted {
    /// Passes over the log; 0 where it was clean enough.
    pub passes: u32,
    /// Segments and their bytes, of those that were written again, before and after.
    pub segments_before: usize,
    pub segments_after: usize,
    pub bytes_before: u64,
    pub bytes_after: u64,
    /// Records taken out.
    pub removed: u64,
    /// Of these: because their time was over.
    pub expired: u64,
    /// Segments left as they are because something in them is damaged.
    pub damaged: usize,
    pub took: Duration,
}

impl Compacted {
    /// Sums up several cleanings.
    pub fn add(&mut self, other: &Self) {
        self.passes += other.passes;
        self.segments_before += other.segments_before;
        self.segments_after += other.segments_after;
        self.bytes_before += other.bytes_before;
        self.bytes_after += other.bytes_after;
        self.removed += other.removed;
        self.expired += other.expired;
        self.damaged += other.damaged;
        self.took += other.took;
    }
}
