//! A produce request as record batches.

use bytes::Bytes;
use flymq_proto::pb;
use flymq_types::{
    Acks, BatchFlags, BatchHeader, Compression, Limits, PartitionId, RecordIter, Timestamp, TopicName,
};
use flymq_wire::batch::{BatchBuilder, HEADER_LEN, NO_SEQUENCE, NewRecord, ProducerFields, records};

use super::{acks, invalid, optional_partition};
use crate::{BrokerError, ErrorCode};

/// A validated produce.
#[derive(Debug)]
pub(crate) struct Produce {
    pub topic: TopicName,
    /// `None`: by key, else round robin.
    pub partition: Option<PartitionId>,
    /// `None`: the server's default.
    pub acks: Option<Acks>,
    /// Milliseconds that records live which do not say themselves when they expire; 0: the topic's setting.
    pub ttl_ms: i64,
    pub plan: ProducePlan,
}

/// What is to be appended.
#[derive(Debug)]
pub(crate) enum ProducePlan {
    /// A batch as its producer built it; it goes to the log untouched.
    Ready(ReadyBatch),
    /// Single records, in the request's order.
    Records(Vec<pb::Record>),
}

/// A producer's batch with what the answer needs to know of it.
#[derive(Debug)]
pub(crate) struct ReadyBatch {
    pub bytes: Bytes,
    pub records: u32,
    /// The key of a batch with a single record, where no partition is named: it decides.
    pub key: Option<Bytes>,
}

impl Produce {
    /// Checks everything that needs no look at the topic. `transactional`: it is inside a transaction.
    pub fn parse(
        request: pb::ProduceRequest,
        transactional: bool,
        limits: &Limits,
    ) -> Result<Self, BrokerError> {
        let topic = TopicName::new(&request.topic).map_err(|why| invalid("topic", why))?;
        let partition = optional_partition(request.partition)?;
        let acks = acks(request.acks)?;
        if request.ttl_ms < 0 {
            return Err(invalid("ttl_ms", "must not be negative"));
        }
        if request.ttl_ms > 0 && !request.batch.is_empty() {
            return Err(invalid("ttl_ms", "a batch carries the expiries of its records itself"));
        }
        let plan = match (request.records.is_empty(), request.batch.is_empty()) {
            (true, true) => return Err(invalid("records", "a produce needs records or a batch")),
            (false, false) => return Err(invalid("batch", "a produce has records or a batch, not both")),
            (true, false) => {
                ProducePlan::Ready(ready(request.batch, partition.is_none(), transactional, limits)?)
            }
            (false, true) => {
                for (index, record) in request.records.iter().enumerate() {
                    check_record(index, record, limits)?;
                }
                ProducePlan::Records(request.records)
            }
        };
        Ok(Self { topic, partition, acks, ttl_ms: request.ttl_ms, plan })
    }
}

/// Checks what the engine does not: features that are not built, and the limit on single records.
fn ready(
    bytes: Bytes,
    needs_key: bool,
    transactional: bool,
    limits: &Limits,
) -> Result<ReadyBatch, BrokerError> {
    if bytes.len() > limits.batch_bytes {
        let message =
            format!("a batch of {} bytes is larger than the limit of {}", bytes.len(), limits.batch_bytes);
        return Err(BrokerError::new(ErrorCode::FrameTooLarge, message)
            .with("bytes", bytes.len())
            .with("limit", limits.batch_bytes));
    }
    let header = BatchHeader::parse(&bytes)?;
    if header.flags.contains(BatchFlags::TRANSACTIONAL) != transactional {
        let why = if transactional {
            "has not the flag TRANSACTIONAL"
        } else {
            "with the flag TRANSACTIONAL goes through ProduceInTransaction"
        };
        return Err(invalid("batch", why));
    }
    // The sequence counts in one partition: a batch that is sent again must not get to another one.
    if header.has_producer_id() && needs_key {
        return Err(invalid("partition", "a batch with a producer id has to name its partition"));
    }
    // What a compressed batch holds is not looked at, so nothing is known of its records: see docs/compression.md.
    if header.compression == Compression::None && header.payload_len as usize > limits.record_bytes {
        for record in RecordIter::new(&bytes)? {
            let record = record?;
            let headers: usize = record.headers().map(|(name, value)| name.len() + value.len()).sum();
            let size = record.key.map_or(0, <[u8]>::len) + record.value.map_or(0, <[u8]>::len) + headers;
            check_size(record.offset as usize, size, limits)?;
        }
    }
    let key = if needs_key && header.record_count == 1 { only_key(&bytes, limits)? } else { None };
    Ok(ReadyBatch { bytes, records: header.record_count, key })
}

/// The key of the first record; a compressed batch is opened for it.
fn only_key(batch: &Bytes, limits: &Limits) -> Result<Option<Bytes>, BrokerError> {
    let records = records(batch, &limits.inflate())?;
    let Some(record) = records.iter().next() else { return Ok(None) };
    // A copy, so that the key does not keep all that was inflated in memory.
    Ok(record?.key.filter(|key| !key.is_empty()).map(Bytes::copy_from_slice))
}

fn check_record(index: usize, record: &pb::Record, limits: &Limits) -> Result<(), BrokerError> {
    let field = |name: &str| format!("records[{index}].{name}");
    if record.expires_at_ms < 0 {
        return Err(invalid(&field("expires_at_ms"), "must not be negative"));
    }
    if record.tombstone && value_of(record).is_some_and(|value| !value.is_empty()) {
        return Err(invalid(&field("tombstone"), "a tombstone has no value"));
    }
    if record.headers.len() > limits.record_headers {
        let why = format!("{} headers, at most {} are allowed", record.headers.len(), limits.record_headers);
        return Err(invalid(&field("headers"), why));
    }
    if record.headers.iter().any(|header| header.name.len() > limits.header_name_bytes) {
        let why = format!("a header name is longer than {} bytes", limits.header_name_bytes);
        return Err(invalid(&field("headers"), why));
    }
    check_size(index, record_size(record), limits)
}

fn check_size(index: usize, size: usize, limits: &Limits) -> Result<(), BrokerError> {
    if size <= limits.record_bytes {
        return Ok(());
    }
    let message = format!("record {index} has {size} bytes, more than the limit of {}", limits.record_bytes);
    Err(BrokerError::new(ErrorCode::RecordTooLarge, message)
        .with("record", index)
        .with("bytes", size)
        .with("limit", limits.record_bytes))
}

/// The key, or the text given in its place; an empty key is none.
pub(crate) fn key_of(record: &pb::Record) -> Option<&[u8]> {
    let key = match (&record.key, &record.key_text) {
        (Some(key), _) => &key[..],
        (None, Some(text)) => text.as_bytes(),
        (None, None) => &[],
    };
    (!key.is_empty()).then_some(key)
}

/// The value, or the text given in its place; `None` for a tombstone without either.
pub(crate) fn value_of(record: &pb::Record) -> Option<&[u8]> {
    let value = match &record.value_text {
        Some(text) if record.value.is_empty() => text.as_bytes(),
        Some(_) | None => &record.value[..],
    };
    (!(record.tombstone && value.is_empty())).then_some(value)
}

fn record_size(record: &pb::Record) -> usize {
    key_of(record).map_or(0, <[u8]>::len) + value_of(record).map_or(0, <[u8]>::len) + header_bytes(record)
}

fn header_bytes(record: &pb::Record) -> usize {
    record.headers.iter().map(|header| header.name.len() + header.value.len()).sum()
}

/// A batch for one partition, and which of the request's records it holds.
#[derive(Debug)]
pub(crate) struct BuiltBatch {
    pub bytes: Bytes,
    /// Indexes into the request's records, in the order of the batch.
    pub indexes: Vec<usize>,
}

/// Builds as few batches as the limit allows out of the records named by `indexes`; a record without time gets `now`,
/// one without expiry `ttl_ms` more unless that is 0. `transaction`: producer id and epoch of the one that they are part of.
pub(crate) fn build(
    records: &[pb::Record],
    indexes: &[usize],
    (now, ttl_ms): (Timestamp, i64),
    transaction: Option<(u64, u16)>,
    limits: &Limits,
) -> Result<Vec<BuiltBatch>, BrokerError> {
    let mut built = Vec::new();
    let begin = |mut builder: BatchBuilder| {
        if let Some((id, epoch)) = transaction {
            let producer = ProducerFields { id, epoch, base_sequence: NO_SEQUENCE };
            builder.set_producer(producer).add_flags(BatchFlags::TRANSACTIONAL);
        }
        builder
    };
    let mut builder = begin(BatchBuilder::with_capacity(capacity(records, indexes, limits)));
    let mut held = Vec::with_capacity(indexes.len());
    for &index in indexes {
        let record = &records[index];
        let timestamp = if record.timestamp_ms == 0 { now.as_millis() } else { record.timestamp_ms };
        let new = NewRecord {
            key: key_of(record),
            value: value_of(record),
            timestamp,
            expires_at: expiry(record, now, ttl_ms),
        };
        let bound = BatchBuilder::size_bound(&new, record.headers.len(), header_bytes(record));
        let full =
            builder.size() + bound > limits.batch_bytes || builder.record_count() >= limits.batch_records;
        if full && !builder.is_empty() {
            let bytes = std::mem::replace(&mut builder, begin(BatchBuilder::new())).build()?;
            built.push(BuiltBatch { bytes, indexes: std::mem::take(&mut held) });
        }
        let headers = record.headers.iter().map(|header| (header.name.as_str(), &header.value[..]));
        builder.push_with_headers(&new, headers)?;
        held.push(index);
    }
    built.push(BuiltBatch { bytes: builder.build()?, indexes: held });
    Ok(built)
}

/// A batch of one record that is to be delivered later: without a time of its own it has none yet.
pub(crate) fn single(record: &pb::Record, limits: &Limits) -> Result<Bytes, BrokerError> {
    check_record(0, record, limits)?;
    let built = build(std::slice::from_ref(record), &[0], (Timestamp(0), 0), None, limits)?;
    let one = built.into_iter().next();
    one.map(|batch| batch.bytes).ok_or_else(|| invalid("record", "is missing"))
}

/// When the record expires, by itself or `ttl_ms` from now; `None` where neither says so.
fn expiry(record: &pb::Record, now: Timestamp, ttl_ms: i64) -> Option<i64> {
    match (record.expires_at_ms, ttl_ms) {
        (0, 0) => None,
        (0, ttl_ms) => Some(now.as_millis().saturating_add(ttl_ms)),
        (end, _) => Some(end),
    }
}

fn capacity(records: &[pb::Record], indexes: &[usize], limits: &Limits) -> usize {
    let payload: usize = indexes.iter().map(|&index| record_size(&records[index]) + 32).sum();
    payload.min(limits.batch_bytes - HEADER_LEN)
}

#[cfg(test)]
mod tests;
