//! What a topic can be told to do.

use std::sync::Arc;

use flymq_storage::{IndexStrategy, LogConfig};
use flymq_types::{Limits, Offset, TopicName};

use super::{DeadLetterChange, DeadLetterConfig, IndexConfig};
use crate::EngineError;
use crate::schemas::SchemaBinding;

/// What becomes of old records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum CleanupPolicy {
    /// Whole old segments go, by time and size.
    #[default]
    Delete,
    /// The latest record of every key stays.
    Compact,
    /// Both.
    CompactDelete,
}

/// The settings that a topic has of its own; `None` is the server's default, also where that changes later.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TopicConfig {
    /// Replicas of each partition; `None`: min(3, nodes).
    pub replication_factor: Option<u32>,
    /// In-sync replicas that `acks=all` needs; `None`: the majority of the replication factor.
    pub min_insync_replicas: Option<u32>,
    /// Milliseconds after which whole segments go; 0: never.
    pub retention_ms: Option<u64>,
    /// Bytes per partition above which the oldest segments go; 0: no limit.
    pub retention_bytes: Option<u64>,
    /// Roll size of segments, bytes.
    pub segment_bytes: Option<u64>,
    /// Milliseconds that records live unless they say otherwise; 0: for ever.
    pub ttl_ms: Option<u64>,
    pub cleanup_policy: CleanupPolicy,
    /// Milliseconds that tombstones stay in a compacted log after the cleaner first met them.
    pub delete_retention_ms: Option<u64>,
    pub index: Option<IndexConfig>,
    /// Whether a replica that is not in sync may lead where no other one lives: records that were acknowledged are then
    /// lost. Off unless asked for.
    pub unclean_election: bool,
    /// What records have to match; none on most topics.
    pub schema: Option<Arc<SchemaBinding>>,
    /// What becomes of records that fail; none on most topics.
    pub dead_letters: Option<Arc<DeadLetterConfig>>,
}

/// The settings in force: the topic's own, filled up with the server's defaults.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TopicSettings {
    pub replication_factor: u32,
    pub min_insync_replicas: u32,
    /// Milliseconds; 0: no limit.
    pub retention_ms: u64,
    /// Bytes per partition; 0: no limit.
    pub retention_bytes: u64,
    /// Bytes.
    pub segment_bytes: u64,
    /// Milliseconds; 0: for ever.
    pub ttl_ms: u64,
    pub cleanup_policy: CleanupPolicy,
    /// Milliseconds; see [`TopicConfig::delete_retention_ms`].
    pub delete_retention_ms: u64,
    pub index: IndexStrategy,
}

impl TopicSettings {
    /// How each partition's log is kept.
    pub(crate) fn log_config(&self, topic: &TopicName) -> LogConfig {
        let vital = topic.is_internal();
        LogConfig { segment_bytes: self.segment_bytes, vital, index: self.index, ..LogConfig::default() }
    }
}

/// A topic to create.
#[derive(Debug, Clone)]
pub struct NewTopic {
    pub name: TopicName,
    /// `None`: `topics.default_partitions`.
    pub partitions: Option<u32>,
    pub config: TopicConfig,
    /// It is to be filled by [`crate::Engine::restore_records`].
    pub restore: Option<RestoreTopic>,
}

/// What a topic is restored from.
#[derive(Debug, Clone)]
pub struct RestoreTopic {
    /// Names the backup, 1 to 128 bytes.
    pub backup: Arc<str>,
    /// Where each partition begins, by number.
    pub first_offsets: Vec<Offset>,
}

/// A change to a topic; what is `None` stays.
#[derive(Debug, Clone, Default)]
pub struct TopicChange {
    /// May only grow.
    pub partitions: Option<u32>,
    pub min_insync_replicas: Option<u32>,
    pub retention_ms: Option<u64>,
    pub retention_bytes: Option<u64>,
    pub segment_bytes: Option<u64>,
    pub ttl_ms: Option<u64>,
    pub cleanup_policy: Option<CleanupPolicy>,
    pub delete_retention_ms: Option<u64>,
    /// All of it.
    pub index: Option<IndexConfig>,
    /// A binding in place of the one there is; `Some(None)`: none any more.
    pub schema: Option<Option<Arc<SchemaBinding>>>,
    pub dead_letters: DeadLetterChange,
}

/// Smallest and largest roll size of a segment, bytes; at least what the broker's own default may be.
const SEGMENT_BYTES: std::ops::RangeInclusive<u64> = (64 << 10)..=(2 << 30);

impl TopicConfig {
    /// Fills up with `defaults` for a cluster of `nodes`.
    pub fn resolve(&self, defaults: &TopicSettings, nodes: u32) -> TopicSettings {
        let replication_factor = self.replication_factor.unwrap_or_else(|| nodes.clamp(1, 3));
        TopicSettings {
            replication_factor,
            min_insync_replicas: self.min_insync_replicas.unwrap_or(replication_factor / 2 + 1),
            retention_ms: self.retention_ms.unwrap_or(defaults.retention_ms),
            retention_bytes: self.retention_bytes.unwrap_or(defaults.retention_bytes),
            segment_bytes: self.segment_bytes.unwrap_or(defaults.segment_bytes),
            ttl_ms: self.ttl_ms.unwrap_or(defaults.ttl_ms),
            cleanup_policy: self.cleanup_policy,
            delete_retention_ms: self.delete_retention_ms.unwrap_or(defaults.delete_retention_ms),
            index: self.index.as_ref().map_or(defaults.index, |index| index.strategy),
        }
    }

    /// Checks every setting for a cluster of `nodes`.
    pub fn validate(&self, nodes: u32) -> Result<(), EngineError> {
        let factor = self.replication_factor.unwrap_or_else(|| nodes.clamp(1, 3));
        if factor == 0 {
            return Err(invalid("replication_factor", "must be at least 1"));
        }
        if factor > nodes {
            return Err(EngineError::ReplicationFactor { asked: factor, nodes });
        }
        if let Some(min) = self.min_insync_replicas
            && !(1..=factor).contains(&min)
        {
            let reason = format!("must be 1 to the replication factor {factor}, not {min}");
            return Err(EngineError::InvalidArgument { field: "min_insync_replicas", reason });
        }
        if let Some(bytes) = self.segment_bytes
            && !SEGMENT_BYTES.contains(&bytes)
        {
            let (low, high) = (SEGMENT_BYTES.start(), SEGMENT_BYTES.end());
            let reason = format!("must be {low} to {high}, not {bytes}");
            return Err(EngineError::InvalidArgument { field: "segment_bytes", reason });
        }
        if let Some(index) = &self.index {
            index.validate()?;
        }
        if let Some(dead_letters) = &self.dead_letters {
            dead_letters.validate()?;
        }
        for (field, value) in [
            ("retention_ms", self.retention_ms),
            ("ttl_ms", self.ttl_ms),
            ("delete_retention_ms", self.delete_retention_ms),
        ] {
            if value.is_some_and(|ms| i64::try_from(ms).is_err()) {
                return Err(invalid(field, "is larger than any time"));
            }
        }
        Ok(())
    }

    fn dead_letters_with(&self, change: &DeadLetterChange) -> Option<Arc<DeadLetterConfig>> {
        let known = self.dead_letters.as_deref().cloned().unwrap_or_default();
        Some(known.with(change)).filter(|changed| !changed.is_empty()).map(Arc::new)
    }

    /// The settings after `change`.
    #[must_use]
    pub fn with(&self, change: &TopicChange) -> Self {
        Self {
            replication_factor: self.replication_factor,
            min_insync_replicas: change.min_insync_replicas.or(self.min_insync_replicas),
            retention_ms: change.retention_ms.or(self.retention_ms),
            retention_bytes: change.retention_bytes.or(self.retention_bytes),
            segment_bytes: change.segment_bytes.or(self.segment_bytes),
            ttl_ms: change.ttl_ms.or(self.ttl_ms),
            cleanup_policy: change.cleanup_policy.unwrap_or(self.cleanup_policy),
            delete_retention_ms: change.delete_retention_ms.or(self.delete_retention_ms),
            index: change.index.clone().or_else(|| self.index.clone()),
            unclean_election: self.unclean_election,
            schema: change.schema.clone().unwrap_or_else(|| self.schema.clone()),
            dead_letters: self.dead_letters_with(&change.dead_letters),
        }
    }
}

/// Checks the number of partitions against the limit.
pub(crate) fn validate_partitions(partitions: u32, limits: &Limits) -> Result<(), EngineError> {
    if (1..=limits.topic_partitions).contains(&partitions) {
        return Ok(());
    }
    let reason = format!("must be 1 to {}, not {partitions}", limits.topic_partitions);
    Err(EngineError::InvalidArgument { field: "partitions", reason })
}

fn invalid(field: &'static str, reason: &str) -> EngineError {
    EngineError::InvalidArgument { field, reason: reason.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEFAULTS: TopicSettings = TopicSettings {
        replication_factor: 1,
        min_insync_replicas: 1,
        retention_ms: 9,
        retention_bytes: 8,
        segment_bytes: 64 << 20,
        ttl_ms: 0,
        cleanup_policy: CleanupPolicy::Delete,
        delete_retention_ms: 7,
        index: IndexStrategy::DenseOffset,
    };

    #[test]
    fn replicas_default_to_what_the_cluster_can_hold() {
        let config = TopicConfig::default();
        for (nodes, factor, min) in [(1, 1, 1), (2, 2, 2), (3, 3, 2), (7, 3, 2)] {
            let settings = config.resolve(&DEFAULTS, nodes);
            assert_eq!((settings.replication_factor, settings.min_insync_replicas), (factor, min));
        }
    }

    #[test]
    fn impossible_settings_are_refused() {
        let ok = TopicConfig::default();
        assert!(ok.validate(1).is_ok());
        let three = TopicConfig { replication_factor: Some(3), ..TopicConfig::default() };
        assert!(matches!(three.validate(1), Err(EngineError::ReplicationFactor { asked: 3, nodes: 1 })));
        assert!(three.validate(3).is_ok());
        for bad in [
            TopicConfig { replication_factor: Some(0), ..ok.clone() },
            TopicConfig { min_insync_replicas: Some(2), ..ok.clone() },
            TopicConfig { min_insync_replicas: Some(0), ..ok.clone() },
            TopicConfig { segment_bytes: Some(1), ..ok.clone() },
            TopicConfig { retention_ms: Some(u64::MAX), ..ok.clone() },
            TopicConfig { ttl_ms: Some(u64::MAX), ..ok },
        ] {
            assert!(matches!(bad.validate(1), Err(EngineError::InvalidArgument { .. })), "{bad:?}");
        }
    }

    #[test]
    fn partitions_have_bounds() {
        let limits = Limits::default();
        assert!(validate_partitions(1, &limits).is_ok());
        assert!(validate_partitions(0, &limits).is_err());
        assert!(validate_partitions(limits.topic_partitions + 1, &limits).is_err());
    }

    #[test]
    fn a_change_touches_only_what_it_names() {
        let config = TopicConfig { retention_ms: Some(5), ttl_ms: Some(6), ..TopicConfig::default() };
        let changed = config.with(&TopicChange { ttl_ms: Some(0), ..TopicChange::default() });
        assert_eq!((changed.retention_ms, changed.ttl_ms), (Some(5), Some(0)));
        assert_eq!(changed.resolve(&DEFAULTS, 1).retention_bytes, 8);
    }
}
