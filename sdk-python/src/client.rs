//! The client.

use std::time::Duration;

use flymq_client::{
    ClientConfig, Compression, ConsumerConfig, FetchSpec, Isolation, MemberConfig, NewMessage, OffsetReset,
    ProducerConfig, QueueConfig, RetryPolicy, StartFrom, TransactionalConfig,
};
use pyo3::{exceptions::PyValueError, prelude::*};

use crate::{
    consumer::Consumer,
    convert::{self, Outgoing, Received, Stored, received},
    error::to_py,
    operation::Operation,
    producer::Producer,
    queue::{Listener, Queue},
    serde::SchemaSerde,
    transaction::TransactionalProducer,
};

/// Name in the server's logs, and beside the members of a group.
const CLIENT_ID: &str = "pyflymq";

/// How a consumer reads, as a dictionary of Python.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
pub struct ConsumerSettings {
    group: Option<String>,
    offset_reset: String,
    auto_commit: bool,
    auto_commit_interval_ms: u64,
    max_poll_records: usize,
    read_uncommitted: bool,
    filter: Option<String>,
    /// Of one that shares its group's partitions: session timeout ms, rebalance timeout ms, assignor, instance id; zero and empty for
    /// the server's defaults.
    member: Option<(u64, u64, String, Option<String>)>,
}

impl ConsumerSettings {
    fn config(self, topics: Vec<String>) -> PyResult<ConsumerConfig> {
        let offset_reset = match &*self.offset_reset {
            "earliest" => OffsetReset::Earliest,
            "latest" => OffsetReset::Latest,
            other => return Err(PyValueError::new_err(format!("unknown offset reset {other:?}"))),
        };
        let isolation =
            if self.read_uncommitted { Isolation::ReadUncommitted } else { Isolation::ReadCommitted };
        Ok(ConsumerConfig {
            offset_reset,
            enable_auto_commit: self.auto_commit,
            auto_commit_interval: Duration::from_millis(self.auto_commit_interval_ms),
            max_poll_records: self.max_poll_records,
            isolation,
            filter: self.filter,
            member: self.member.map(|(session, rebalance, assignor, instance_id)| MemberConfig {
                session_timeout: Duration::from_millis(session),
                rebalance_timeout: Duration::from_millis(rebalance),
                assignor,
                instance_id,
                client_id: CLIENT_ID.to_owned(),
            }),
            ..ConsumerConfig::new(topics, self.group.as_deref())
        })
    }
}

/// A connected client; every method may be called from any thread.
#[pyclass(frozen, module = "pyflymq._core")]
pub struct Client {
    inner: flymq_client::Client,
}

#[pymethods]
impl Client {
    /// An operation that gives a connected client.
    #[staticmethod]
    #[pyo3(signature = (servers, *, connect_timeout_ms, request_timeout_ms, max_retries, retry_delay_ms,
                        username = None, password = None, encryption_key = None))]
    #[expect(clippy::too_many_arguments, reason = "all but one are keywords in Python")]
    fn connect(
        py: Python<'_>,
        servers: &str,
        connect_timeout_ms: u64,
        request_timeout_ms: u64,
        max_retries: u32,
        retry_delay_ms: u64,
        username: Option<String>,
        password: Option<String>,
        encryption_key: Option<&str>,
    ) -> PyResult<Operation> {
        let encryption = encryption_key.map(flymq_client::Encryptor::from_hex_key).transpose();
        let config = ClientConfig::parse(servers).and_then(|parsed| {
            Ok(ClientConfig {
                connect_timeout: Duration::from_millis(connect_timeout_ms),
                request_timeout: Duration::from_millis(request_timeout_ms),
                max_retries,
                retry_backoff: Duration::from_millis(retry_delay_ms),
                client_id: CLIENT_ID.to_owned(),
                username,
                password,
                encryption: encryption?,
                ..parsed
            })
        });
        let config = config.map_err(|e| to_py(py, &e))?;
        Ok(Operation::new(async move {
            let inner = flymq_client::Client::with_config(config).await?;
            Ok(Self { inner })
        }))
    }

    /// Any unary rpc by name, JSON in and out.
    fn call_json(&self, rpc: String, request: String) -> Operation {
        let client = self.inner.clone();
        Operation::new(async move { client.call_json(&rpc, &request).await })
    }

    /// Stores one message; gives `(topic, partition, offset, timestamp_ms)`.
    fn produce(&self, py: Python<'_>, topic: String, message: Outgoing, acks: &str) -> PyResult<Operation> {
        let acks = convert::acks(acks).map_err(|e| to_py(py, &e))?;
        let (client, message) = (self.inner.clone(), convert::message(message));
        Ok(Operation::new(async move { client.produce_one(&topic, message, acks).await.map(Stored) }))
    }

    /// Stores messages in their order; gives a list as [`Client::produce`].
    fn produce_batch(
        &self,
        py: Python<'_>,
        topic: String,
        messages: Vec<Outgoing>,
        acks: &str,
    ) -> PyResult<Operation> {
        let acks = convert::acks(acks).map_err(|e| to_py(py, &e))?;
        let messages: Vec<NewMessage> = messages.into_iter().map(convert::message).collect();
        let client = self.inner.clone();
        Ok(Operation::new(async move {
            let stored = client.produce_batch(&topic, messages, acks).await?;
            Ok(stored.into_iter().map(Stored).collect::<Vec<_>>())
        }))
    }

    /// The message at an offset.
    fn consume(&self, topic: String, partition: i32, offset: u64) -> Operation {
        let client = self.inner.clone();
        Operation::new(async move { client.consume(&topic, partition, offset).await.map(Received) })
    }

    /// `(messages, next_offset, high_watermark, low_watermark)` from an offset on.
    #[expect(clippy::too_many_arguments, reason = "the parts of a fetch; Python's own method names them")]
    fn fetch(
        &self,
        topic: &str,
        partition: i32,
        offset: u64,
        max_messages: usize,
        max_bytes: u32,
        max_wait_ms: u64,
        filter: Option<&str>,
    ) -> Operation {
        let client = self.inner.clone();
        let spec = FetchSpec {
            max_messages,
            max_bytes,
            max_wait: Duration::from_millis(max_wait_ms),
            filter: filter.map(Into::into),
            ..FetchSpec::new(topic, partition, offset)
        };
        Operation::new(async move {
            let found = client.fetch(&spec).await?;
            Ok((received(found.messages), found.next_offset, found.high_watermark, found.low_watermark))
        })
    }

    /// A batching producer on this client's connections.
    #[pyo3(signature = (*, batch_bytes, batch_messages, linger_ms, acks, retries, retry_backoff_ms, compression, compression_level,
                        enable_idempotence))]
    #[expect(clippy::too_many_arguments, reason = "all are keywords in Python")]
    fn producer(
        &self,
        py: Python<'_>,
        batch_bytes: usize,
        batch_messages: u32,
        linger_ms: u64,
        acks: &str,
        retries: u32,
        retry_backoff_ms: u64,
        compression: &str,
        compression_level: Option<i32>,
        enable_idempotence: bool,
    ) -> PyResult<Producer> {
        let compression: Compression =
            compression.parse().map_err(|e| PyValueError::new_err(format!("compression_type: {e}")))?;
        let config = ProducerConfig {
            batch_bytes,
            batch_messages,
            linger: Duration::from_millis(linger_ms),
            acks: convert::acks(acks).map_err(|e| to_py(py, &e))?,
            retries,
            retry_backoff: Duration::from_millis(retry_backoff_ms),
            compression,
            compression_level,
            enable_idempotence,
            ..ProducerConfig::default()
        };
        Ok(Producer::new(self.inner.producer(config)))
    }

    /// A consumer on this client's connections; it reads from its first poll on.
    fn consumer(
        &self,
        py: Python<'_>,
        topics: Vec<String>,
        settings: ConsumerSettings,
    ) -> PyResult<Consumer> {
        let consumer = self.inner.consumer(settings.config(topics)?);
        consumer.map(Consumer::new).map_err(|e| to_py(py, &e))
    }

    /// What stands under a handler; `None`: as the broker is set.
    fn listener(
        &self,
        py: Python<'_>,
        topics: Vec<String>,
        settings: ConsumerSettings,
        max_retries: Option<u32>,
        retry_delay_ms: Option<u64>,
    ) -> PyResult<Listener> {
        let policy = RetryPolicy { max_retries, retry_delay: retry_delay_ms.map(Duration::from_millis) };
        let listener = self.inner.listener(settings.config(topics)?, policy);
        listener.map(Listener::new).map_err(|e| to_py(py, &e))
    }

    /// A reader in queue mode.
    #[pyo3(signature = (topic, group, *, lock_ms, hold_ms, ordered, latest, max_retries, retry_delay_ms))]
    #[expect(clippy::too_many_arguments, reason = "most are keywords in Python")]
    fn queue(
        &self,
        py: Python<'_>,
        topic: String,
        group: String,
        lock_ms: u64,
        hold_ms: u64,
        ordered: bool,
        latest: bool,
        max_retries: Option<u32>,
        retry_delay_ms: Option<u64>,
    ) -> PyResult<Queue> {
        let config = QueueConfig {
            lock: Duration::from_millis(lock_ms),
            hold: Duration::from_millis(hold_ms),
            ordered,
            from: if latest { StartFrom::Latest } else { StartFrom::Earliest },
            max_retries,
            retry_delay: retry_delay_ms.map(Duration::from_millis),
            ..QueueConfig::new(topic, group)
        };
        self.inner.queue(config).map(Queue::new).map_err(|e| to_py(py, &e))
    }

    /// An operation that gives a transactional producer; it fences whoever uses the id.
    fn transactional_producer(&self, transactional_id: String, timeout_ms: Option<u64>) -> Operation {
        let client = self.inner.clone();
        let config = TransactionalConfig {
            transaction_timeout: timeout_ms.map(Duration::from_millis),
            ..TransactionalConfig::new(transactional_id)
        };
        Operation::new(
            async move { client.transactional_producer(config).await.map(TransactionalProducer::new) },
        )
    }

    /// A serde over the schema registry, `avro` or `protobuf`; without a subject by `<topic>-value`.
    fn schema_serde(&self, py: Python<'_>, name: &str, subject: Option<&str>) -> PyResult<SchemaSerde> {
        let serde =
            flymq_client::serde::SchemaSerde::by_name(&self.inner, name).map_err(|e| to_py(py, &e))?;
        Ok(SchemaSerde::new(match subject {
            Some(subject) => serde.subject(subject),
            None => serde,
        }))
    }

    /// Drops the connections; later calls fail.
    fn close(&self) {
        self.inner.close();
    }
}
