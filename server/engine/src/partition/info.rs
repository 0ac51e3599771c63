//! A partition as people and metrics see it.

use flymq_storage::{IndexStats, Log};
use flymq_types::{LeaderEpoch, Offset};

use super::{Partition, Store};
use crate::topic::PartitionInfo;

impl Partition {
    fn own_log(&self) -> Option<&Log> {
        match &self.store {
            Store::Open(log) => Some(log),
            Store::Offline(_) | Store::Elsewhere => None,
        }
    }

    /// Whether its log could not be opened at start.
    pub(crate) fn is_offline(&self) -> bool {
        matches!(self.store, Store::Offline(_))
    }

    /// Whether its log takes no more records.
    pub(crate) fn has_failed(&self) -> bool {
        self.own_log().is_some_and(|log| log.failure().is_some())
    }

    /// Whether any of its records are known to be damaged or missing.
    pub(crate) fn is_damaged(&self) -> bool {
        self.own_log().is_some_and(Log::is_damaged)
    }

    /// What is known to be committed, whoever leads.
    pub(crate) fn committed(&self) -> Offset {
        self.replica().map_or_else(|| self.high(), |replica| replica.high_watermark())
    }

    pub(crate) fn info(&self) -> PartitionInfo {
        let mut info = PartitionInfo {
            partition: self.number,
            low: Offset::ZERO,
            high: Offset::ZERO,
            log_end: Offset::ZERO,
            segments: 0,
            bytes: 0,
            last_sync: None,
            leader_epoch: self.leadership().map_or_else(LeaderEpoch::default, |known| known.epoch),
            quarantined: Vec::new(),
            offline: None,
            failed: None,
            last_append: None,
            index: IndexStats::default(),
            index_misled: 0,
            scrub_finished: None,
            scrub_bytes: 0,
        };
        match &self.store {
            Store::Open(log) => {
                let stats = log.stats();
                // In this order, so that low <= high <= log_end also while appends go on.
                (info.low, info.high) = (log.start_offset(), self.committed());
                info.log_end = log.end_offset();
                info.high = info.high.max(info.low);
                info.segments = u32::try_from(stats.segments).unwrap_or(u32::MAX);
                info.bytes = stats.bytes;
                (info.last_sync, info.quarantined) = (stats.last_sync, stats.quarantined);
                (info.last_append, info.failed) = (stats.last_append, stats.failed.map(|e| e.to_string()));
                (info.index, info.index_misled) = (stats.index, stats.index_misled);
                (info.scrub_finished, info.scrub_bytes) = (stats.scrub_finished, stats.scrub_bytes);
            }
            Store::Offline(reason) => info.offline = Some(reason.clone()),
            Store::Elsewhere => {}
        }
        info
    }
}
