//! What can be set on a client, a producer and a consumer, with the documented defaults.

use std::time::Duration;

use flymq_wire::batch::Compression;

use crate::{
    ClientError, Encryptor,
    pb::{Acks, Isolation},
};

/// How the client talks to the broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TransportKind {
    /// The binary port (0xAF version 2, 9092): pipelined, batches as they are.
    #[default]
    Native,
    /// gRPC (9097).
    Grpc,
}

impl TransportKind {
    /// Port of an address that names none.
    pub fn default_port(self) -> u16 {
        match self {
            Self::Native => 9092,
            Self::Grpc => 9097,
        }
    }
}

/// Connection settings.
#[derive(Debug, Clone)]
pub struct ClientConfig {
    /// `host:port` of one or more brokers; the next is tried when one does not answer.
    pub bootstrap_servers: Vec<String>,
    pub transport: TransportKind,
    /// For one attempt at one address.
    pub connect_timeout: Duration,
    /// For one request with all its retries.
    pub request_timeout: Duration,
    /// Repeats after the first attempt.
    pub max_retries: u32,
    /// Wait before the first repeat; doubles each time, with jitter, up to 10 s.
    pub retry_backoff: Duration,
    /// Connections per broker; requests of one producer always share one.
    pub connections: usize,
    /// Name in the server's logs.
    pub client_id: String,
    pub username: Option<String>,
    pub password: Option<String>,
    /// Encrypts the values of all messages that are sent, decrypts those that are read.
    pub encryption: Option<Encryptor>,
}

impl Default for ClientConfig {
    fn default() -> Self {
        Self {
            bootstrap_servers: vec!["localhost:9092".to_owned()],
            transport: TransportKind::Native,
            connect_timeout: Duration::from_secs(10),
            request_timeout: Duration::from_secs(30),
            max_retries: 3,
            retry_backoff: Duration::from_millis(100),
            connections: 1,
            client_id: "flymq-rust".to_owned(),
            username: None,
            password: None,
            encryption: None,
        }
    }
}

impl ClientConfig {
    /// From `"host:port,host:port"`; `grpc://host:port` chooses gRPC.
    ///
    /// # Errors
    /// `InvalidArgument` when no address is in it, or one has no valid port.
    pub fn parse(servers: &str) -> Result<Self, ClientError> {
        let (transport, list) = match servers.split_once("://") {
            Some(("grpc", list)) => (TransportKind::Grpc, list),
            Some(("flymq", list)) => (TransportKind::Native, list),
            Some((scheme, _)) => {
                return Err(ClientError::invalid(format!(
                    "unknown scheme {scheme}:// in {servers:?}: use host:port, flymq://host:port or grpc://host:port"
                )));
            }
            None => (TransportKind::Native, servers),
        };
        let bootstrap_servers = list
            .split(',')
            .map(str::trim)
            .filter(|s| !s.is_empty())
            .map(|addr| with_port(addr, transport))
            .collect::<Result<Vec<_>, _>>()?;
        if bootstrap_servers.is_empty() {
            return Err(ClientError::invalid(
                "no server address given: use host:port, or several with commas",
            ));
        }
        Ok(Self { bootstrap_servers, transport, ..Self::default() })
    }

    /// Sets user name and password.
    #[must_use]
    pub fn credentials(mut self, username: impl Into<String>, password: impl Into<String>) -> Self {
        self.username = Some(username.into());
        self.password = Some(password.into());
        self
    }
}

fn with_port(addr: &str, transport: TransportKind) -> Result<String, ClientError> {
    let bad = || ClientError::invalid(format!("{addr:?} is no address: use host:port or [ipv6]:port"));
    let (host, port) = match addr.rsplit_once(':') {
        Some((host, _)) if host.contains(':') && !host.ends_with(']') => return Err(bad()),
        Some((host, port)) if !host.is_empty() => (host, port.parse::<u16>().map_err(|_| bad())?),
        Some(_) => return Err(bad()),
        None => (addr, transport.default_port()),
    };
    Ok(format!("{host}:{port}"))
}

/// Settings of a batching producer.
#[derive(Debug, Clone)]
pub struct ProducerConfig {
    /// Bytes after which a batch is sent without waiting.
    pub batch_bytes: usize,
    /// Messages after which a batch is sent without waiting.
    pub batch_messages: u32,
    /// How long a batch that is not full may wait for more.
    pub linger: Duration,
    pub acks: Acks,
    /// Repeats of a batch that failed without an effect.
    pub retries: u32,
    pub retry_backoff: Duration,
    /// Batches of one partition that may be on their way at once.
    pub max_in_flight: usize,
    /// Bytes that may wait or be on their way; `send` waits for room above it.
    pub buffer_bytes: usize,
    /// From `send` to the answer, retries included.
    pub delivery_timeout: Duration,
    /// How batches are compressed; one that would not get smaller is sent as it is. Readers need no setting.
    pub compression: Compression,
    /// Level of gzip (0-9, default 6) and zstd (1-22, default 1); others are moved to the nearest.
    pub compression_level: Option<i32>,
    /// Each message is stored once and in order, also where batches are repeated; on unless switched off. With `acks` other than
    /// `All` it has no effect, nor with a server that does not know of it; at most five batches of a partition are on their way then.
    pub enable_idempotence: bool,
}

impl ProducerConfig {
    pub(crate) fn is_idempotent(&self) -> bool {
        self.enable_idempotence && self.acks == Acks::All
    }
}

impl Default for ProducerConfig {
    fn default() -> Self {
        Self {
            batch_bytes: 16_384,
            batch_messages: 1_000,
            linger: Duration::ZERO,
            acks: Acks::All,
            retries: 3,
            retry_backoff: Duration::from_millis(100),
            max_in_flight: 5,
            buffer_bytes: 32 << 20,
            delivery_timeout: Duration::from_secs(120),
            compression: Compression::None,
            compression_level: None,
            enable_idempotence: true,
        }
    }
}

/// Where a partition without a committed offset begins, or goes on where the records to read next are gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OffsetReset {
    Earliest,
    #[default]
    Latest,
}

/// Settings of a consumer.
#[derive(Debug, Clone)]
pub struct ConsumerConfig {
    pub topics: Vec<String>,
    /// Without a group nothing is committed.
    pub group: Option<String>,
    pub offset_reset: OffsetReset,
    pub enable_auto_commit: bool,
    pub auto_commit_interval: Duration,
    /// Most messages that one `poll` returns.
    pub max_poll_records: usize,
    /// Most bytes that one fetch asks for.
    pub fetch_max_bytes: u32,
    /// How long the server may hold a fetch that finds nothing.
    pub fetch_max_wait: Duration,
    /// Whether messages of transactions that are open or were aborted are read.
    pub isolation: Isolation,
    /// Only messages that match; see [`crate::FetchSpec::filter`]. What does not match counts as read once a later match is.
    pub filter: Option<String>,
    /// Shares the partitions with the other members of the group; none: reads all of them, whoever else does.
    pub member: Option<MemberConfig>,
}

/// Settings of a consumer that shares its group's partitions. Its topics may be patterns: a level `+` is any one level, a last
/// level `#` is the topic and all below it.
#[derive(Debug, Clone, Default)]
pub struct MemberConfig {
    /// How long it may be silent before others get its partitions; zero: the server's default (10 s).
    pub session_timeout: Duration,
    /// How long it may go without `poll` when partitions are to move; zero: the server's default (60 s).
    pub rebalance_timeout: Duration,
    /// `cooperative`, `sticky` or `range`; empty: the server's default.
    pub assignor: String,
    /// A member that keeps its partitions over a restart within its session. Two processes may not have the same.
    pub instance_id: Option<String>,
    /// Shown with the group's members.
    pub client_id: String,
}

impl ConsumerConfig {
    /// Reads `topics` as `group`.
    pub fn new<T: Into<String>>(topics: impl IntoIterator<Item = T>, group: Option<&str>) -> Self {
        Self {
            topics: topics.into_iter().map(Into::into).collect(),
            group: group.map(str::to_owned),
            offset_reset: OffsetReset::Latest,
            enable_auto_commit: true,
            auto_commit_interval: Duration::from_millis(5_000),
            max_poll_records: 500,
            fetch_max_bytes: 1 << 20,
            fetch_max_wait: Duration::from_millis(500),
            isolation: Isolation::ReadCommitted,
            filter: None,
            member: None,
        }
    }

    /// Shares the group's partitions with its other members.
    #[must_use]
    pub fn as_member(mut self, member: MemberConfig) -> Self {
        self.member = Some(member);
        self
    }

    /// Only messages that match.
    #[must_use]
    pub fn matching(mut self, filter: impl Into<String>) -> Self {
        self.filter = Some(filter.into());
        self
    }

    /// Sets where partitions without commit begin.
    #[must_use]
    pub fn reset(mut self, reset: OffsetReset) -> Self {
        self.offset_reset = reset;
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn server_lists_are_read() {
        let config = ClientConfig::parse("a:1, b,[::1]:7").expect("valid");
        assert_eq!(config.bootstrap_servers, ["a:1", "b:9092", "[::1]:7"]);
        let grpc = ClientConfig::parse("grpc://a").expect("valid");
        assert_eq!((grpc.transport, &grpc.bootstrap_servers[0][..]), (TransportKind::Grpc, "a:9097"));
    }

    #[test]
    fn bad_lists_say_what_to_write() {
        for bad in ["", " , ", "a:b", "a:70000", ":9092", "http://x", "::1"] {
            let error = ClientConfig::parse(bad).expect_err(bad);
            assert!(error.message.contains("host:port"), "{bad}: {error}");
        }
    }
}
