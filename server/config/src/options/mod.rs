//! One Options struct per component. Plain typed data: reading, checking and showing happen beside it.

mod auth;
mod cluster;
mod features;
mod listen;
mod observability;
mod performance;
mod security;
mod storage;
mod topics;

pub use auth::AuthOptions;
pub use cluster::ClusterOptions;
pub use features::{AuditOptions, DelayedOptions, DlqOptions, SchemaOptions, TransactionOptions, TtlOptions};
pub use listen::ListenOptions;
pub use observability::{
    HttpListenerOptions, LogOptions, MetricsOptions, ObservabilityOptions, TracingOptions, WebAccessOptions,
};
pub use performance::{LimitsOptions, PerformanceOptions};
pub use security::SecurityOptions;
pub use storage::StorageOptions;
pub use topics::TopicsOptions;

use crate::host::Host;

/// Everything the server can be told.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// Name of this node, unique in its cluster; the host name unless set.
    pub node_id: String,
    /// Client-facing and peer-facing addresses.
    pub listen: ListenOptions,
    /// Where and how the log is kept.
    pub storage: StorageOptions,
    /// Defaults of topics.
    pub topics: TopicsOptions,
    /// Acknowledgement and sync cadence.
    pub performance: PerformanceOptions,
    /// Bounds on what a client may send.
    pub limits: LimitsOptions,
    /// TLS, encryption at rest, listening without login.
    pub security: SecurityOptions,
    /// Login.
    pub auth: AuthOptions,
    /// Schema registry.
    pub schema: SchemaOptions,
    /// Dead letter queues.
    pub dlq: DlqOptions,
    /// Record expiry.
    pub ttl: TtlOptions,
    /// Delayed delivery.
    pub delayed: DelayedOptions,
    /// Transactions.
    pub transaction: TransactionOptions,
    /// Metrics, health, admin and tracing.
    pub observability: ObservabilityOptions,
    /// Log output.
    pub log: LogOptions,
    /// Audit trail.
    pub audit: AuditOptions,
    /// Membership.
    pub cluster: ClusterOptions,
    /// No banner, no configuration dump.
    pub quiet: bool,
}

impl Config {
    /// The defaults on this host. Without a home directory `storage.data_dir` is empty, which `load` refuses.
    pub fn defaults(host: &Host) -> Self {
        let data_dir = host.default_data_dir().unwrap_or_default();
        Self {
            node_id: host.hostname.clone(),
            listen: ListenOptions::default(),
            audit: AuditOptions::default(),
            storage: StorageOptions::at(data_dir),
            topics: TopicsOptions::default(),
            performance: PerformanceOptions::default(),
            limits: LimitsOptions::default(),
            security: SecurityOptions::default(),
            auth: AuthOptions::default(),
            schema: SchemaOptions::default(),
            dlq: DlqOptions::default(),
            ttl: TtlOptions::default(),
            delayed: DelayedOptions::default(),
            transaction: TransactionOptions::default(),
            observability: ObservabilityOptions::default(),
            log: LogOptions::default(),
            cluster: ClusterOptions::default(),
            quiet: false,
        }
    }

    /// For a broker inside another process (tests, SDK test brokers): every listener on loopback with a port
    /// that the system chooses, quiet, data under `data_dir`.
    pub fn embedded(data_dir: impl Into<std::path::PathBuf>) -> Self {
        let host = Host { hostname: "embedded".to_owned(), ..Host::default() };
        let mut config = Self::defaults(&host);
        config.storage.data_dir = data_dir.into();
        config.audit.log_dir = config.storage.data_dir.join("audit");
        config.listen = ListenOptions::ephemeral();
        config.observability.use_ephemeral_ports();
        config.quiet = true;
        config
    }
}
