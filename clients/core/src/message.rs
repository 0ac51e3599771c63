//! Messages as a program sees them.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use flymq_wire::batch::RecordView;

use crate::pb;

/// A message to send.
#[derive(Debug, Clone, Default)]
pub struct NewMessage {
    /// Messages with the same key go to the same partition, in order.
    pub key: Option<Bytes>,
    /// `None` is a tombstone: it deletes its key when the topic is compacted.
    pub value: Option<Bytes>,
    pub headers: Vec<(String, Bytes)>,
    /// Unix ms; `None`: now.
    pub timestamp_ms: Option<i64>,
    /// `None`: by key, else round robin.
    pub partition: Option<i32>,
}

impl NewMessage {
    /// A message without key.
    pub fn value(value: impl Into<Bytes>) -> Self {
        Self { value: Some(value.into()), ..Self::default() }
    }

    /// A message with key; an empty key counts as none.
    pub fn keyed(key: impl Into<Bytes>, value: impl Into<Bytes>) -> Self {
        let key = key.into();
        Self { key: (!key.is_empty()).then_some(key), ..Self::value(value) }
    }

    /// Sends it to one partition.
    #[must_use]
    pub fn to_partition(mut self, partition: i32) -> Self {
        self.partition = Some(partition);
        self
    }

    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<Bytes>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    pub(crate) fn into_record(self) -> pb::Record {
        pb::Record {
            tombstone: self.value.is_none(),
            key: self.key,
            value: self.value.unwrap_or_default(),
            headers: self.headers.into_iter().map(|(name, value)| pb::Header { name, value }).collect(),
            timestamp_ms: self.timestamp_ms.unwrap_or(0),
            ..pb::Record::default()
        }
    }
}

/// Where a message was stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordMetadata {
    pub topic: Arc<str>,
    pub partition: i32,
    pub offset: u64,
    /// Unix ms of the append.
    pub timestamp_ms: i64,
}

/// A message that was read. Key and value share the memory of the batch they came in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    pub topic: Arc<str>,
    pub partition: i32,
    pub offset: u64,
    /// Unix ms.
    pub timestamp_ms: i64,
    pub key: Option<Bytes>,
    /// Empty for a tombstone.
    pub value: Bytes,
    pub tombstone: bool,
    pub headers: Vec<(String, Bytes)>,
}

impl Message {
    pub(crate) fn from_view(topic: &Arc<str>, partition: i32, view: &RecordView<'_>) -> Self {
        let headers = view.headers().map(|(n, v)| (n.to_owned(), Bytes::copy_from_slice(v))).collect();
        Self {
            topic: Arc::clone(topic),
            partition,
            offset: view.offset,
            timestamp_ms: view.timestamp,
            key: view.key_bytes(),
            tombstone: view.value.is_none(),
            value: view.value_bytes().unwrap_or_default(),
            headers,
        }
    }

    pub(crate) fn from_record(topic: &Arc<str>, partition: i32, record: pb::Record) -> Self {
        Self {
            topic: Arc::clone(topic),
            partition,
            offset: record.offset,
            timestamp_ms: record.timestamp_ms,
            key: record.key,
            value: record.value,
            tombstone: record.tombstone,
            headers: record.headers.into_iter().map(|h| (h.name, h.value)).collect(),
        }
    }
}

/// What to fetch.
#[derive(Debug, Clone)]
pub struct FetchSpec {
    pub topic: Arc<str>,
    pub partition: i32,
    pub offset: u64,
    pub max_messages: usize,
    pub max_bytes: u32,
    pub min_bytes: u32,
    /// How long the server may wait for `min_bytes`.
    pub max_wait: Duration,
    pub isolation: pb::Isolation,
    /// Only messages that match, as the server sees them: `cel:` and an expression, or a `$.path`, text or regular expression.
    /// A fetch may then bring none and still move on.
    pub filter: Option<Arc<str>>,
}

impl FetchSpec {
    /// Up to 500 messages from `offset`, at once.
    pub fn new(topic: impl Into<Arc<str>>, partition: i32, offset: u64) -> Self {
        Self {
            topic: topic.into(),
            partition,
            offset,
            max_messages: 500,
            max_bytes: 1 << 20,
            min_bytes: 1,
            max_wait: Duration::ZERO,
            isolation: pb::Isolation::ReadCommitted,
            filter: None,
        }
    }

    /// As protobuf, for whole batches.
    pub(crate) fn to_request(&self) -> pb::FetchRequest {
        pb::FetchRequest {
            topic: self.topic.to_string(),
            partition: self.partition,
            offset: self.offset,
            max_bytes: self.max_bytes,
            min_bytes: self.min_bytes,
            max_wait_ms: u32::try_from(self.max_wait.as_millis()).unwrap_or(u32::MAX),
            isolation: self.isolation.into(),
            batches: true,
            filter: self.filter.as_deref().unwrap_or_default().to_owned(),
            ..pb::FetchRequest::default()
        }
    }
}

/// What a fetch found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetched {
    pub messages: Vec<Message>,
    /// The offset to ask for next.
    pub next_offset: u64,
    /// Offset after the last readable message.
    pub high_watermark: u64,
    /// First offset that is still there.
    pub low_watermark: u64,
}

/// Whole batches as the broker stores them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FetchedBatches {
    /// Back to back (the format of docs/native-protocol.md); the first may begin before the asked offset.
    pub batches: Bytes,
    /// The offset to ask for next.
    pub next_offset: u64,
    /// Offset after the last readable message.
    pub high_watermark: u64,
    /// First offset that is still there.
    pub low_watermark: u64,
}
