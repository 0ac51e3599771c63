//! Settings as Java gives them: JSON documents, unknown fields refused.

use std::time::Duration;

use flymq_client::{
    Acks, ClientConfig, ClientError, Compression, ConsumerConfig, Encryptor, Isolation, MemberConfig,
    OffsetReset, ProducerConfig, QueueConfig, RetryPolicy, StartFrom,
};
use serde::{Deserialize, de::DeserializeOwned};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ClientSettings {
    servers: String,
    client_id: String,
    connect_timeout_ms: u64,
    request_timeout_ms: u64,
    max_retries: u32,
    retry_delay_ms: u64,
    username: Option<String>,
    password: Option<String>,
    encryption_key: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ProducerSettings {
    batch_bytes: usize,
    batch_messages: u32,
    linger_ms: u64,
    acks: i32,
    retries: u32,
    retry_backoff_ms: u64,
    max_in_flight: usize,
    buffer_bytes: usize,
    delivery_timeout_ms: u64,
    compression_type: String,
    compression_level: Option<i32>,
    enable_idempotence: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ConsumerSettings {
    topics: Vec<String>,
    group: Option<String>,
    earliest: bool,
    auto_commit: bool,
    auto_commit_interval_ms: u64,
    max_poll_records: usize,
    fetch_max_bytes: u32,
    fetch_max_wait_ms: u64,
    filter: Option<String>,
    read_uncommitted: bool,
    membership: bool,
    session_timeout_ms: u64,
    rebalance_timeout_ms: u64,
    assignor: String,
    group_instance_id: Option<String>,
    max_retries: Option<u32>,
    retry_delay_ms: Option<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct QueueSettings {
    topic: String,
    group: String,
    lock_ms: u64,
    hold_ms: u64,
    ordered: bool,
    latest: bool,
    max_retries: Option<u32>,
    retry_delay_ms: Option<u64>,
}

fn read<T: DeserializeOwned>(json: &[u8]) -> Result<T, ClientError> {
    serde_json::from_slice(json).map_err(|e| ClientError::invalid(format!("settings: {e}")))
}

pub(crate) fn client(json: &[u8]) -> Result<ClientConfig, ClientError> {
    let given: ClientSettings = read(json)?;
    let encryption = given.encryption_key.as_deref().map(Encryptor::from_hex_key).transpose()?;
    Ok(ClientConfig {
        connect_timeout: Duration::from_millis(given.connect_timeout_ms),
        request_timeout: Duration::from_millis(given.request_timeout_ms),
        max_retries: given.max_retries,
        retry_backoff: Duration::from_millis(given.retry_delay_ms),
        client_id: given.client_id,
        username: given.username,
        password: given.password,
        encryption,
        ..ClientConfig::parse(&given.servers)?
    })
}

pub(crate) fn producer(json: &[u8]) -> Result<ProducerConfig, ClientError> {
    let given: ProducerSettings = read(json)?;
    Ok(ProducerConfig {
        batch_bytes: given.batch_bytes,
        batch_messages: given.batch_messages,
        linger: Duration::from_millis(given.linger_ms),
        acks: acks(given.acks)?,
        retries: given.retries,
        retry_backoff: Duration::from_millis(given.retry_backoff_ms),
        max_in_flight: given.max_in_flight,
        buffer_bytes: given.buffer_bytes,
        delivery_timeout: Duration::from_millis(given.delivery_timeout_ms),
        compression: compression(&given.compression_type)?,
        compression_level: given.compression_level,
        enable_idempotence: given.enable_idempotence,
    })
}

pub(crate) fn queue(json: &[u8]) -> Result<QueueConfig, ClientError> {
    let given: QueueSettings = read(json)?;
    Ok(QueueConfig {
        topic: given.topic,
        group: given.group,
        lock: Duration::from_millis(given.lock_ms),
        hold: Duration::from_millis(given.hold_ms),
        ordered: given.ordered,
        from: if given.latest { StartFrom::Latest } else { StartFrom::Earliest },
        max_retries: given.max_retries,
        retry_delay: given.retry_delay_ms.map(Duration::from_millis),
    })
}

pub(crate) fn listener(json: &[u8]) -> Result<(ConsumerConfig, RetryPolicy), ClientError> {
    let given: ConsumerSettings = read(json)?;
    let retry_delay = given.retry_delay_ms.map(Duration::from_millis);
    let policy = RetryPolicy { max_retries: given.max_retries, retry_delay };
    Ok((consumer_config(given)?, policy))
}

pub(crate) fn consumer(json: &[u8]) -> Result<ConsumerConfig, ClientError> {
    consumer_config(read(json)?)
}

fn consumer_config(given: ConsumerSettings) -> Result<ConsumerConfig, ClientError> {
    let member = (given.membership && given.group.is_some()).then(|| MemberConfig {
        session_timeout: Duration::from_millis(given.session_timeout_ms),
        rebalance_timeout: Duration::from_millis(given.rebalance_timeout_ms),
        assignor: given.assignor,
        instance_id: given.group_instance_id.clone(),
        client_id: "flymq-java".to_owned(),
    });
    if given.group_instance_id.is_some() && member.is_none() {
        return Err(ClientError::invalid("groupInstanceId needs a group, and membership"));
    }
    Ok(ConsumerConfig {
        topics: given.topics,
        group: given.group,
        offset_reset: if given.earliest { OffsetReset::Earliest } else { OffsetReset::Latest },
        enable_auto_commit: given.auto_commit,
        auto_commit_interval: Duration::from_millis(given.auto_commit_interval_ms),
        max_poll_records: given.max_poll_records,
        fetch_max_bytes: given.fetch_max_bytes,
        fetch_max_wait: Duration::from_millis(given.fetch_max_wait_ms),
        isolation: if given.read_uncommitted { Isolation::ReadUncommitted } else { Isolation::ReadCommitted },
        filter: given.filter.filter(|filter| !filter.is_empty()),
        member,
    })
}

fn compression(name: &str) -> Result<Compression, ClientError> {
    name.parse().map_err(|e| ClientError::invalid(format!("compressionType: {e}")))
}

/// The proto's number of an acknowledgement level.
pub(crate) fn acks(number: i32) -> Result<Acks, ClientError> {
    Acks::try_from(number).map_err(|_| ClientError::invalid(format!("{number} is no acks level")))
}
