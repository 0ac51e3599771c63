//! The key table: every setting with its name in the file, its variable, its type and its meaning.
//! `load`, `config show` and docs/configuration.md all come from it.

use flymq_types::Acks;

use crate::choice::{LogLevel, Role, SchemaValidation};
use crate::codec::{
    Address, Bool, Bytes, Codec, File, HexKey, HexKeys, Hidden, Maybe, Millis, Ratio, Seconds, Text, Texts,
    Whole, Word,
};
use crate::feature::Feature;
use crate::node::Node;
use crate::options::Config;

/// One setting.
#[derive(Debug, Clone, Copy)]
pub struct Key {
    /// Name in the file, groups joined by dots.
    pub name: &'static str,
    /// Environment variable.
    pub env: &'static str,
    /// Meaning, one sentence.
    pub doc: &'static str,
    /// The default in words where it depends on the machine.
    pub default_words: Option<&'static str>,
    /// The feature without which the setting has no effect.
    pub feature: Option<Feature>,
    /// Turns `feature` on or off.
    pub is_switch: bool,
    /// Never shown.
    pub secret: bool,
    /// Accepted from the environment only.
    pub env_only: bool,
    /// What a user may write.
    pub expected: fn() -> String,
    /// Stores the value; false where it does not fit `expected`.
    pub set: fn(&mut Config, &Node) -> bool,
    /// The value as a user could write it; `***` for a secret, empty for "not set".
    pub show: fn(&Config) -> String,
}

impl Key {
    const fn default_is(mut self, words: &'static str) -> Self {
        self.default_words = Some(words);
        self
    }

    const fn needs(mut self, feature: Feature) -> Self {
        self.feature = Some(feature);
        self
    }

    /// `needs`, and the value decides whether the feature is asked for at all.
    const fn switches(mut self, feature: Feature) -> Self {
        self.is_switch = true;
        self.needs(feature)
    }

    const fn secret(mut self) -> Self {
        self.secret = true;
        self
    }

    const fn env_only(mut self) -> Self {
        self.env_only = true;
        self
    }

    /// Looks a key up by its dotted name.
    pub fn by_name(name: &str) -> Option<&'static Key> {
        KEYS.iter().find(|key| key.name == name)
    }

    /// Looks a key up by its variable.
    pub fn by_env(variable: &str) -> Option<&'static Key> {
        KEYS.iter().find(|key| key.env == variable)
    }
}

macro_rules! key {
    ($name:literal, $env:literal, $codec:ty, $($field:ident).+, $doc:literal) => {
        Key {
            name: $name,
            env: $env,
            doc: $doc,
            default_words: None,
            feature: None,
            is_switch: false,
            secret: false,
            env_only: false,
            expected: <$codec as Codec>::expected,
            set: |config, node| match <$codec as Codec>::parse(node) {
                Some(value) => {
                    config.$($field).+ = value;
                    true
                }
                None => false,
            },
            show: |config| <$codec as Codec>::show(&config.$($field).+),
        }
    };
}

type AnyBytes = Bytes<0, { u64::MAX }>;
/// A segment holds at least one small batch, and positions in it fit 31 bits.
type SegmentBytes = Bytes<65_536, 2_147_483_647>;
/// Below the frame limit of 32 MiB with room for the batch around the record.
type RecordBytes = Bytes<1, 33_488_896>;
type AuditFileBytes = Bytes<4096, { u64::MAX }>;

/// Variables that FlyMQ's own tools read and the server ignores.
pub const TOOL_VARIABLES: &[(&str, &str)] = &[
    ("FLYMQ_CONFIG", "Configuration file, as `-config FILE`"),
    ("FLYMQ_ADDR", "Brokers that flymq-cli talks to, `host:port`, several with commas"),
    ("FLYMQ_USERNAME", "User name for flymq-cli"),
    ("FLYMQ_PASSWORD", "Password for flymq-cli"),
];

/// All settings, in the order they are shown.
#[rustfmt::skip]
pub const KEYS: &[Key] = &[
    key!("bind_addr", "FLYMQ_BIND_ADDR", Address, listen.bind_addr, "Listen address of the native protocol."),
    key!("cluster_addr", "FLYMQ_CLUSTER_ADDR", Address, listen.cluster_addr, "Listen address for other nodes; opened by cluster members only."),
    key!("grpc_addr", "FLYMQ_GRPC_ADDR", Address, listen.grpc_addr, "Listen address of gRPC."),
    key!("ws_addr", "FLYMQ_WS_ADDR", Address, listen.ws_addr, "Listen address of WebSocket.").needs(Feature::WebSocket),
    key!("advertise_addr", "FLYMQ_ADVERTISE_ADDR", Maybe<Text>, listen.advertise_addr, "Address that clients are told to connect to (NAT, containers).").default_is("found out by itself"),
    key!("advertise_cluster", "FLYMQ_ADVERTISE_CLUSTER", Maybe<Text>, listen.advertise_cluster, "Address that other nodes are told to connect to.").default_is("found out by itself").needs(Feature::Cluster),
    key!("node_id", "FLYMQ_NODE_ID", Text, node_id, "Name of this node, unique in its cluster.").default_is("the host name"),
    key!("peers", "FLYMQ_PEERS", Texts, cluster.peers, "Cluster addresses of all nodes, where none is named to join: whoever of them is in a cluster is joined; if none is, the node with the smallest address forms it.").needs(Feature::Cluster),
    key!("data_dir", "FLYMQ_DATA_DIR", File, storage.data_dir, "Directory of everything the broker keeps.").default_is("~/.local/share/flymq"),
    key!("segment_bytes", "FLYMQ_SEGMENT_BYTES", SegmentBytes, storage.segment_bytes, "Size at which a log segment is closed."),
    key!("retention_bytes", "FLYMQ_RETENTION_BYTES", AnyBytes, storage.retention_bytes, "Largest size of a partition; 0 = unlimited.").needs(Feature::Retention),
    key!("retention_ms", "FLYMQ_RETENTION_MS", Millis, storage.retention, "Longest life of a segment; 0 = unlimited.").needs(Feature::Retention),
    key!("min_free_bytes", "FLYMQ_MIN_FREE_BYTES", Maybe<AnyBytes>, storage.min_free_bytes, "Records are refused with `STORAGE_FULL` when less is free on the data disk; reads, commits and deletions go on. 0 = when it is full.").default_is("5 % of the disk, at most 512 MiB"),
    key!("scrub.interval", "FLYMQ_SCRUB_INTERVAL", Seconds, storage.scrub_interval, "Time between two checks of all closed segments for bit rot, the first one five minutes after the start; 0 = none."),
    key!("scrub.bytes_per_second", "FLYMQ_SCRUB_BYTES_PER_SECOND", SegmentBytes, storage.scrub_bytes_per_second, "How fast the check reads."),
    key!("log_level", "FLYMQ_LOG_LEVEL", Word<LogLevel>, log.level, "Least important message that is logged."),
    key!("log_json", "FLYMQ_LOG_JSON", Bool, log.json, "Log one JSON object per line; false (or `-human-readable`) = text."),
    key!("quiet", "FLYMQ_QUIET", Bool, quiet, "No banner, no configuration dump (as `-quiet`)."),
    key!("topics.auto_create", "FLYMQ_TOPICS_AUTO_CREATE", Bool, topics.auto_create, "Producing to an unknown topic creates it."),
    key!("topics.default_partitions", "FLYMQ_TOPICS_DEFAULT_PARTITIONS", Whole<1, 10_000>, topics.default_partitions, "Partitions of a topic that is created without a number."),
    key!("performance.acks", "FLYMQ_ACKS", Word<Acks>, performance.acks, "Acknowledgement for clients that say nothing; `quorum` is another word for `all`."),
    key!("performance.sync_interval_ms", "FLYMQ_SYNC_INTERVAL_MS", Millis, performance.sync_interval, "Longest time until a record acknowledged with `leader` is on disk."),
    key!("limits.max_record_bytes", "FLYMQ_MAX_RECORD_BYTES", RecordBytes, limits.max_record_bytes, "Largest record: key, value and headers together."),
    key!("limits.max_connections", "FLYMQ_MAX_CONNECTIONS", Whole<1, 1_000_000>, limits.max_connections, "Largest number of open client connections."),
    key!("security.allow_insecure", "FLYMQ_ALLOW_INSECURE", Bool, security.allow_insecure, "Listen beyond loopback without authentication."),
    key!("security.tls_enabled", "FLYMQ_TLS_ENABLED", Bool, security.tls_enabled, "TLS on the client and gRPC listeners.").switches(Feature::Tls),
    key!("security.tls_cert_file", "FLYMQ_TLS_CERT_FILE", Maybe<File>, security.tls_cert_file, "Certificate chain of the server, PEM.").needs(Feature::Tls),
    key!("security.tls_key_file", "FLYMQ_TLS_KEY_FILE", Maybe<File>, security.tls_key_file, "Private key of the server, PEM.").needs(Feature::Tls),
    key!("security.tls_client_ca_file", "FLYMQ_TLS_CLIENT_CA_FILE", Maybe<File>, security.tls_client_ca_file, "Authorities whose client certificates are accepted, PEM.").needs(Feature::Tls),
    key!("security.tls_client_required", "FLYMQ_TLS_CLIENT_REQUIRED", Bool, security.tls_client_required, "Clients must show a certificate (mTLS).").switches(Feature::Tls),
    key!("security.encryption_enabled", "FLYMQ_ENCRYPTION_ENABLED", Bool, security.encryption_enabled, "Encrypt data at rest.").switches(Feature::Encryption),
    key!("security.encryption_key", "FLYMQ_ENCRYPTION_KEY", Maybe<HexKey>, security.encryption_key, "AES-256 key; its loss is the loss of the data.").needs(Feature::Encryption).secret().env_only(),
    key!("security.encryption_old_keys", "FLYMQ_ENCRYPTION_OLD_KEYS", HexKeys, security.encryption_old_keys, "Keys that the data was encrypted with before; needed until a rotation is done.").needs(Feature::Encryption).secret().env_only(),
    key!("auth.enabled", "FLYMQ_AUTH_ENABLED", Bool, auth.enabled, "Every client must log in.").switches(Feature::Auth),
    key!("auth.allow_anonymous", "FLYMQ_AUTH_ALLOW_ANONYMOUS", Bool, auth.allow_anonymous, "Clients without login may use public topics.").needs(Feature::Auth),
    key!("auth.default_public", "FLYMQ_AUTH_DEFAULT_PUBLIC", Bool, auth.default_public, "Topics without an access list are open to any logged-in user.").needs(Feature::Auth),
    key!("auth.admin_username", "FLYMQ_AUTH_ADMIN_USERNAME", Text, auth.admin_username, "First administrator.").needs(Feature::Auth),
    key!("auth.admin_password", "FLYMQ_AUTH_ADMIN_PASSWORD", Maybe<Hidden>, auth.admin_password, "Password of the first administrator.").needs(Feature::Auth).secret(),
    key!("schema.enabled", "FLYMQ_SCHEMA_ENABLED", Bool, schema.enabled, "Schemas can be registered and bound to topics.").switches(Feature::Schema),
    key!("schema.validation", "FLYMQ_SCHEMA_VALIDATION", Word<SchemaValidation>, schema.validation, "What happens to a record that does not match its schema.").needs(Feature::Schema),
    key!("dlq.enabled", "FLYMQ_DLQ_ENABLED", Bool, dlq.enabled, "Records that keep failing move to a dead letter topic.").switches(Feature::Dlq),
    key!("dlq.max_retries", "FLYMQ_DLQ_MAX_RETRIES", Whole<0, 1000>, dlq.max_retries, "Redeliveries before a record moves.").needs(Feature::Dlq),
    key!("dlq.retry_delay", "FLYMQ_DLQ_RETRY_DELAY", Millis, dlq.retry_delay, "Wait before the first redelivery; it doubles with each.").needs(Feature::Dlq),
    key!("dlq.topic_suffix", "FLYMQ_DLQ_TOPIC_SUFFIX", Text, dlq.topic_suffix, "Appended to a topic's name for its dead letter topic.").needs(Feature::Dlq),
    key!("ttl.default_ttl", "FLYMQ_TTL_DEFAULT_TTL", Seconds, ttl.default_ttl, "Life of records that say nothing; 0 = they do not expire.").needs(Feature::Ttl),
    key!("ttl.cleanup_interval", "FLYMQ_TTL_CLEANUP_INTERVAL", Seconds, ttl.cleanup_interval, "How often expired records are looked for.").needs(Feature::Ttl),
    key!("delayed.enabled", "FLYMQ_DELAYED_ENABLED", Bool, delayed.enabled, "Records may be produced with a delay.").switches(Feature::Delayed),
    key!("delayed.max_delay", "FLYMQ_DELAYED_MAX_DELAY", Seconds, delayed.max_delay, "Longest delay accepted.").needs(Feature::Delayed),
    key!("transaction.enabled", "FLYMQ_TRANSACTION_ENABLED", Bool, transaction.enabled, "Clients may begin transactions.").switches(Feature::Transactions),
    key!("transaction.timeout", "FLYMQ_TRANSACTION_TIMEOUT", Seconds, transaction.timeout, "An open transaction older than this is aborted.").needs(Feature::Transactions),
    key!("observability.metrics.enabled", "FLYMQ_METRICS_ENABLED", Bool, observability.metrics.enabled, "Serve Prometheus metrics."),
    key!("observability.metrics.addr", "FLYMQ_METRICS_ADDR", Address, observability.metrics.addr, "Listen address of `/metrics`."),
    key!("observability.metrics.public", "FLYMQ_METRICS_PUBLIC", Bool, observability.metrics.public, "No login for `/metrics`, even beyond loopback with authentication on."),
    key!("observability.tracing.enabled", "FLYMQ_TRACING_ENABLED", Bool, observability.tracing.enabled, "Export OpenTelemetry spans.").switches(Feature::Tracing),
    key!("observability.tracing.endpoint", "FLYMQ_TRACING_ENDPOINT", Text, observability.tracing.endpoint, "OTLP collector.").needs(Feature::Tracing),
    key!("observability.tracing.sample_rate", "FLYMQ_TRACING_SAMPLE_RATE", Ratio, observability.tracing.sample_rate, "Share of requests that are traced.").needs(Feature::Tracing),
    key!("observability.health.enabled", "FLYMQ_HEALTH_ENABLED", Bool, observability.health.enabled, "Serve `/health`, `/health/live` and `/health/ready`."),
    key!("observability.health.addr", "FLYMQ_HEALTH_ADDR", Address, observability.health.addr, "Listen address of the health endpoints."),
    key!("observability.health.tls_enabled", "FLYMQ_HEALTH_TLS_ENABLED", Bool, observability.health.tls_enabled, "Serve health over TLS.").switches(Feature::Tls),
    key!("observability.admin.enabled", "FLYMQ_ADMIN_ENABLED", Bool, observability.admin.enabled, "Serve the admin REST interface."),
    key!("observability.admin.addr", "FLYMQ_ADMIN_ADDR", Address, observability.admin.addr, "Listen address of the admin REST interface."),
    key!("observability.admin.tls_enabled", "FLYMQ_ADMIN_TLS_ENABLED", Bool, observability.admin.tls_enabled, "Serve the admin REST interface over TLS.").switches(Feature::Tls),
    key!("observability.admin.allowed_hosts", "FLYMQ_ADMIN_ALLOWED_HOSTS", Texts, observability.admin_access.allowed_hosts, "Host names under which the admin REST interface, `/metrics` and `/health` may be called, besides addresses, `localhost`, names without a dot and the node's own; `*` = all."),
    key!("observability.admin.allowed_origins", "FLYMQ_ADMIN_ALLOWED_ORIGINS", Texts, observability.admin_access.allowed_origins, "Origins of web pages that may call the admin REST interface, besides its own."),
    key!("audit.enabled", "FLYMQ_AUDIT_ENABLED", Bool, audit.enabled, "Write security-relevant events down.").switches(Feature::Audit),
    key!("audit.log_dir", "FLYMQ_AUDIT_LOG_DIR", File, audit.log_dir, "Directory of the audit files.").default_is("<data_dir>/audit").needs(Feature::Audit),
    key!("audit.max_file_size", "FLYMQ_AUDIT_MAX_FILE_SIZE", AuditFileBytes, audit.max_file_size, "Size at which an audit file is rolled.").needs(Feature::Audit),
    key!("audit.retention_days", "FLYMQ_AUDIT_RETENTION_DAYS", Whole<1, 36_500>, audit.retention_days, "Audit files older than this many days are removed.").needs(Feature::Audit),
    key!("cluster.role", "FLYMQ_ROLE", Word<Role>, cluster.role, "What this node is: the first of a cluster, one that joins, or alone.").switches(Feature::Cluster),
    key!("cluster.server", "FLYMQ_SERVER", Maybe<Text>, cluster.server, "Cluster address of any member, needed once to join (agent).").needs(Feature::Cluster),
    key!("cluster.join_token", "FLYMQ_JOIN_TOKEN", Maybe<Hidden>, cluster.join_token, "Token that lets this node join (agent): the first node's `cluster.cluster_token`, or one of `flymq-cli cluster token`.").needs(Feature::Cluster).secret(),
    key!("cluster.cluster_token", "FLYMQ_CLUSTER_TOKEN", Maybe<Hidden>, cluster.cluster_token, "Token of the cluster that the first node makes (bootstrap), with which others join.").default_is("generated, see `cluster/` in the data directory").needs(Feature::Cluster).secret(),
    key!("cluster.rack", "FLYMQ_RACK", Maybe<Text>, cluster.rack, "Where this node stands; replicas of one partition stand in different racks where they can.").needs(Feature::Cluster),
    key!("cluster.tls_enabled", "FLYMQ_CLUSTER_TLS_ENABLED", Bool, cluster.tls_enabled, "Nodes speak TLS with each other, with certificates that they make themselves; the same on all nodes.").needs(Feature::Cluster),
    key!("cluster.mdns_enabled", "FLYMQ_CLUSTER_MDNS_ENABLED", Bool, cluster.mdns_enabled, "Members tell the local network where they are (mDNS, `_flymq._tcp`), and an agent without `cluster.server` looks for them there.").needs(Feature::Cluster),
    key!("cluster.max_feature_version", "FLYMQ_CLUSTER_MAX_FEATURE_VERSION", Whole<0, 1_000>, cluster.max_feature_version, "Latest feature version that this node offers to the others (0: all that it has): with an earlier one on any node the cluster writes nothing that the earlier release could not read, and an upgrade can be taken back.").needs(Feature::Cluster),
];
