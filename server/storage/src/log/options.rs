//! What goes into a log and what it tells about itself.

use flymq_types::{Offset, Timestamp};

use crate::error::StorageError;
use crate::index::{IndexStats, IndexStrategy};
use crate::scan::MAX_BATCH_BYTES;

/// How a log is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogConfig {
    /// A segment is closed before it would hold more batch bytes than this. 4 KiB to 1 GiB; default 67108864.
    pub segment_bytes: u64,
    /// Bytes of the newest batches kept in memory, within the data directory's budget.
    pub tail_cache_bytes: usize,
    /// How segments are indexed; takes effect with the next segment.
    pub index: IndexStrategy,
    /// Appends go on when the disk is nearly full, and use the reserve when it is: for the broker's own records.
    pub vital: bool,
    /// How long and how many idempotent producers are remembered.
    pub producers: ProducerLimits,
}

/// How long a log remembers an idempotent producer. Kept by the append times of its batches, so that all replicas agree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProducerLimits {
    /// One that has not written for so long is forgotten, ms. Default 604800000 (7 days).
    pub expiration_ms: u64,
    /// With more than so many the one that has not written for longest goes. Default 10000.
    pub max_ids: usize,
}

impl ProducerLimits {
    /// The defaults.
    pub const DEFAULT: Self = Self { expiration_ms: 7 * 24 * 60 * 60 * 1_000, max_ids: 10_000 };
}

impl Default for ProducerLimits {
    fn default() -> Self {
        Self::DEFAULT
    }
}

impl Default for LogConfig {
    fn default() -> Self {
        Self {
            segment_bytes: 67_108_864,
            tail_cache_bytes: 4 << 20,
            index: IndexStrategy::default(),
            vital: false,
            producers: ProducerLimits::default(),
        }
    }
}

impl LogConfig {
    /// Positions in a segment are 32 bit in the index, and a batch may begin just below `segment_bytes`.
    pub(crate) fn clamped(self) -> Self {
        const { assert!((1 << 30) + MAX_BATCH_BYTES < u32::MAX as usize) };
        Self { segment_bytes: self.segment_bytes.clamp(4 << 10, 1 << 30), ..self }
    }
}

/// Where a batch went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Appended {
    pub base_offset: Offset,
    pub last_offset: Offset,
    /// The time stamped into the batch: the given one, or the one before where the clock went back.
    pub append_time: Timestamp,
    /// The batch was there already: an idempotent producer had sent it before. These are the offsets that it got then.
    pub duplicate: bool,
}

/// When old segments may go; zero means no limit. Time counts from a segment's last append.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Retention {
    /// `retention_ms`
    pub ms: u64,
    /// `retention_bytes`
    pub bytes: u64,
}

/// What left a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Retired {
    /// Segment files.
    pub segments: usize,
    /// Bytes of their batches and headers.
    pub bytes: u64,
}

/// Size and health of a log at one moment.
#[derive(Debug, Clone)]
pub struct LogStats {
    pub start: Offset,
    pub durable: Offset,
    pub end: Offset,
    /// Segment files.
    pub segments: usize,
    /// Bytes of batches with their segment headers and footers; blocks allocated ahead are not counted.
    pub bytes: u64,
    /// When the log was last made durable.
    pub last_sync: Option<Timestamp>,
    /// Append time of the last batch.
    pub last_append: Option<Timestamp>,
    /// Damaged or missing ranges, end exclusive, in order: found at start, by reads, or by a scrub.
    pub quarantined: Vec<(Offset, Offset)>,
    pub index: IndexStats,
    /// Times since the start that an index entry was not what the log has there, so that a lookup went another way.
    pub index_misled: u64,
    /// When a scrub last came to the end of the closed segments since the start.
    pub scrub_finished: Option<Timestamp>,
    /// Bytes that scrubs have read since the start.
    pub scrub_bytes: u64,
    /// Idempotent producers that the log remembers.
    pub producer_ids: u64,
    /// How many it had to forget before their time since the start, for want of room.
    pub producers_evicted: u64,
    /// Why the log takes no more appends.
    pub failed: Option<StorageError>,
}
