//! What a topic looks like from outside.

use std::sync::Arc;

use flymq_storage::IndexStats;
use flymq_types::{LeaderEpoch, Offset, PartitionId, Timestamp, TopicId, TopicName};

use super::{TopicConfig, TopicSettings};

/// A topic as it is now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicInfo {
    pub id: TopicId,
    pub name: TopicName,
    /// What was set on the topic.
    pub config: TopicConfig,
    /// What is in force.
    pub settings: TopicSettings,
    pub created: Timestamp,
    /// By number, from 0, without gaps.
    pub partitions: Vec<PartitionInfo>,
    /// The backup that it is being restored from; until it is whole it takes no other records and shows none.
    pub restoring: Option<Arc<str>>,
}

/// A partition as it is now; `low <= high <= log_end`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionInfo {
    pub partition: PartitionId,
    /// First offset that is still there.
    pub low: Offset,
    /// Offset after the last readable record.
    pub high: Offset,
    /// Offset after the last appended record.
    pub log_end: Offset,
    pub segments: u32,
    /// Bytes of all segments.
    pub bytes: u64,
    /// When the log was last synced by an fdatasync, where it was since the start.
    pub last_sync: Option<Timestamp>,
    pub leader_epoch: LeaderEpoch,
    /// Damaged offsets, each as first and end (exclusive).
    pub quarantined: Vec<(Offset, Offset)>,
    /// Why the log could not be opened at start, where it could not.
    pub offline: Option<String>,
    /// Why the log takes no more records, where it does not.
    pub failed: Option<String>,
    /// Append time of the last batch.
    pub last_append: Option<Timestamp>,
    pub index: IndexStats,
    /// Times since the start that an index entry was not what the log has there.
    pub index_misled: u64,
    /// When a scrub last came to the end since the start.
    pub scrub_finished: Option<Timestamp>,
    /// Bytes that scrubs have read since the start.
    pub scrub_bytes: u64,
}

impl TopicInfo {
    /// Records readable now, over all partitions.
    pub fn records(&self) -> u64 {
        self.partitions.iter().map(|p| p.high.get() - p.low.get()).sum()
    }

    /// Bytes on disk, over all partitions.
    pub fn bytes(&self) -> u64 {
        self.partitions.iter().map(|p| p.bytes).sum()
    }
}
