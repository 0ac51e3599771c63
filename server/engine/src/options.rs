//! What the engine is told at start.

use flymq_storage::IndexStrategy;
use flymq_types::{Acks, Limits, NodeId};

use crate::groups::DeadLetterOptions;
use crate::schemas::ValidationMode;
use crate::topic::{CleanupPolicy, TopicSettings};

/// Settings of the engine. The defaults are those of the product.
#[derive(Debug, Clone)]
pub struct EngineOptions {
    /// The name of this node in its cluster; none on a broker without one.
    pub node: Option<NodeId>,
    /// Whether a produce to an unknown topic creates it (`topics.auto_create`).
    pub auto_create: bool,
    /// Partitions of a topic whose creator says nothing (`topics.default_partitions`).
    pub default_partitions: u32,
    /// What topics get that have no setting of their own.
    pub topic_defaults: TopicSettings,
    /// The acknowledgement of producers that say nothing (`performance.acks`).
    pub default_acks: Acks,
    /// Partitions of `__consumer_offsets` and of `__transactions`, when they are created.
    pub offsets_partitions: u32,
    /// Each of these is shortened whenever it has grown by this many bytes.
    pub offsets_checkpoint_bytes: u64,
    /// Whether clients may have transactions (`transaction.enabled`).
    pub transactions: bool,
    /// How long a transaction of which nothing else is said may be open, ms (`transaction.timeout`).
    pub transaction_timeout_ms: u32,
    /// Whether messages may be scheduled (`delayed.enabled`).
    pub schedules: bool,
    /// Longest delay of a message, ms (`delayed.max_delay`).
    pub max_delay_ms: u64,
    pub dead_letters: DeadLetterOptions,
    /// Whether records are held against schemas at all (`schema.enabled`).
    pub schemas: bool,
    /// What becomes of a record that does not match, where the topic does not say it (`schema.validation`).
    pub schema_validation: ValidationMode,
    pub limits: Limits,
}

impl Default for EngineOptions {
    fn default() -> Self {
        Self {
            node: None,
            auto_create: true,
            default_partitions: 1,
            topic_defaults: TopicSettings {
                replication_factor: 1,
                min_insync_replicas: 1,
                retention_ms: 0,
                retention_bytes: 0,
                segment_bytes: 64 << 20,
                ttl_ms: 0,
                cleanup_policy: CleanupPolicy::Delete,
                delete_retention_ms: 24 * 60 * 60 * 1_000,
                index: IndexStrategy::default(),
            },
            default_acks: Acks::Leader,
            offsets_partitions: 1,
            offsets_checkpoint_bytes: 4 << 20,
            transactions: true,
            transaction_timeout_ms: 60_000,
            schedules: true,
            max_delay_ms: 7 * 24 * 3_600 * 1_000,
            dead_letters: DeadLetterOptions::default(),
            schemas: true,
            schema_validation: ValidationMode::Strict,
            limits: Limits::DEFAULT,
        }
    }
}
