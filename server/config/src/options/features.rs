use std::path::PathBuf;
use std::time::Duration;

use crate::choice::SchemaValidation;

/// Schema registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SchemaOptions {
    /// Schemas can be registered and bound to topics.
    pub enabled: bool,
    /// What happens to records that do not match.
    pub validation: SchemaValidation,
}

impl Default for SchemaOptions {
    fn default() -> Self {
        Self { enabled: true, validation: SchemaValidation::Strict }
    }
}

/// Dead letter queues.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DlqOptions {
    /// Records that keep failing move to `<topic><topic_suffix>`.
    pub enabled: bool,
    /// Redeliveries before the move.
    pub max_retries: u32,
    /// Wait before the first redelivery; doubles with each.
    pub retry_delay: Duration,
    /// Appended to the topic's name.
    pub topic_suffix: String,
}

impl Default for DlqOptions {
    fn default() -> Self {
        Self {
            enabled: true,
            max_retries: 3,
            retry_delay: Duration::from_millis(1000),
            topic_suffix: ".dlq".to_owned(),
        }
    }
}

/// Record expiry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TtlOptions {
    /// Life of records that say nothing; zero = they do not expire.
    pub default_ttl: Duration,
    /// How often expired records are looked for.
    pub cleanup_interval: Duration,
}

impl Default for TtlOptions {
    fn default() -> Self {
        Self { default_ttl: Duration::ZERO, cleanup_interval: Duration::from_secs(60) }
    }
}

/// Delayed delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DelayedOptions {
    /// Records may be produced with a delay.
    pub enabled: bool,
    /// Longest delay accepted.
    pub max_delay: Duration,
}

impl Default for DelayedOptions {
    fn default() -> Self {
        Self { enabled: true, max_delay: Duration::from_secs(604_800) }
    }
}

/// Transactions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransactionOptions {
    /// Clients may begin transactions.
    pub enabled: bool,
    /// An open transaction older than this is aborted.
    pub timeout: Duration,
}

impl Default for TransactionOptions {
    fn default() -> Self {
        Self { enabled: true, timeout: Duration::from_secs(60) }
    }
}

/// Audit trail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditOptions {
    /// Security-relevant events are written down.
    pub enabled: bool,
    /// Where; `<data_dir>/audit` unless set.
    pub log_dir: PathBuf,
    /// A file is rolled at this size, bytes.
    pub max_file_size: u64,
    /// Files older than this many days are removed.
    pub retention_days: u32,
}

impl Default for AuditOptions {
    fn default() -> Self {
        Self { enabled: true, log_dir: PathBuf::new(), max_file_size: 104_857_600, retention_days: 90 }
    }
}
