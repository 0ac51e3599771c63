//! Records as bytes, big-endian, read and written by `com.firefly.flymq.internal.Codec`.
//!
//! Messages read: `u16 topics`, each `u16 length, name`; `u32 count`; each message `u16 topic, i32 partition, u64 offset,
//! i64 timestamp ms, u8 flags (1 key, 2 tombstone, 4 headers)`, `[u32 length, key]`, `u32 length, value`, `[headers]`.
//! Messages to send: `u32 count`, each `u8 flags (those, 8 partition, 16 timestamp)`, `[i32 partition]`, `[i64 timestamp]`,
//! `[u32 length, key]`, `[u32 length, value]` unless a tombstone, `[headers]`.
//! Places: `u32 count`, each `u16 length, topic, i32 partition`.
//! Headers: `u16 count`, each `u16 length, name, u32 length, value`. Stored: `u32 count`, each `i32 partition, u64 offset, i64 ms`.

use std::sync::Arc;

use bytes::{Buf, BufMut as _, Bytes, TryGetError};
use flymq_client::{ClientError, Message, NewMessage, RecordMetadata};

const KEY: u8 = 1;
const TOMBSTONE: u8 = 2;
const HEADERS: u8 = 4;
const PARTITION: u8 = 8;
const TIMESTAMP: u8 = 16;

/// Appends messages that were read.
pub(crate) fn put_messages(out: &mut Vec<u8>, messages: &[Message]) {
    let mut topics: Vec<&Arc<str>> = Vec::new();
    let mut places = Vec::with_capacity(messages.len());
    for message in messages {
        let known = topics.iter().rposition(|topic| **topic == message.topic);
        places.push(known.unwrap_or_else(|| {
            topics.push(&message.topic);
            topics.len() - 1
        }));
    }
    out.reserve(messages.iter().map(weight).sum());
    out.put_u16(short(topics.len()));
    for topic in topics {
        put_short(out, topic.as_bytes());
    }
    out.put_u32(long(messages.len()));
    for (message, place) in messages.iter().zip(places) {
        out.put_u16(short(place));
        put_message(out, message);
    }
}

fn weight(message: &Message) -> usize {
    40 + message.key.as_ref().map_or(0, Bytes::len) + message.value.len()
}

fn put_message(out: &mut Vec<u8>, message: &Message) {
    let bit = |set: bool, bit: u8| if set { bit } else { 0 };
    out.put_i32(message.partition);
    out.put_u64(message.offset);
    out.put_i64(message.timestamp_ms);
    out.put_u8(
        bit(message.key.is_some(), KEY)
            | bit(message.tombstone, TOMBSTONE)
            | bit(!message.headers.is_empty(), HEADERS),
    );
    if let Some(key) = &message.key {
        put_long(out, key);
    }
    put_long(out, &message.value);
    if !message.headers.is_empty() {
        out.put_u16(short(message.headers.len()));
        for (name, value) in &message.headers {
            put_short(out, name.as_bytes());
            put_long(out, value);
        }
    }
}

/// Where messages were stored.
pub(crate) fn stored(records: &[RecordMetadata]) -> Vec<u8> {
    let mut out = Vec::with_capacity(4 + 20 * records.len());
    out.put_u32(long(records.len()));
    for record in records {
        put_stored(&mut out, record);
    }
    out
}

pub(crate) fn put_stored(out: &mut Vec<u8>, record: &RecordMetadata) {
    out.put_i32(record.partition);
    out.put_u64(record.offset);
    out.put_i64(record.timestamp_ms);
}

/// Appends topics with partitions.
pub(crate) fn put_places(out: &mut Vec<u8>, places: &[(String, i32)]) {
    out.put_u32(long(places.len()));
    for (topic, partition) in places {
        put_short(out, topic.as_bytes());
        out.put_i32(*partition);
    }
}

pub(crate) fn put_long(out: &mut Vec<u8>, bytes: &[u8]) {
    out.put_u32(long(bytes.len()));
    out.put_slice(bytes);
}

fn put_short(out: &mut Vec<u8>, bytes: &[u8]) {
    out.put_u16(short(bytes.len()));
    out.put_slice(bytes);
}

fn short(length: usize) -> u16 {
    u16::try_from(length).expect("names and header counts are 16 bits on the wire too")
}

fn long(length: usize) -> u32 {
    u32::try_from(length).expect("a reply is bounded by the frame limit")
}

/// Reads messages to send.
pub(crate) fn new_messages(buffer: Vec<u8>) -> Result<Vec<NewMessage>, ClientError> {
    let mut buffer = Bytes::from(buffer);
    read_all(&mut buffer).map_err(|_| ClientError::protocol("the buffer of messages is cut short"))
}

fn read_all(buffer: &mut Bytes) -> Result<Vec<NewMessage>, TryGetError> {
    let count = buffer.try_get_u32()?;
    (0..count).map(|_| read_one(buffer)).collect()
}

fn read_one(buffer: &mut Bytes) -> Result<NewMessage, TryGetError> {
    let flags = buffer.try_get_u8()?;
    let has = |bit: u8| flags & bit != 0;
    let mut message = NewMessage::default();
    if has(PARTITION) {
        message.partition = Some(buffer.try_get_i32()?);
    }
    if has(TIMESTAMP) {
        message.timestamp_ms = Some(buffer.try_get_i64()?);
    }
    if has(KEY) {
        message.key = Some(take_long(buffer)?).filter(|key| !key.is_empty());
    }
    if !has(TOMBSTONE) {
        message.value = Some(take_long(buffer)?);
    }
    if has(HEADERS) {
        for _ in 0..buffer.try_get_u16()? {
            let length = buffer.try_get_u16()?;
            let name = take(buffer, usize::from(length))?;
            message.headers.push((String::from_utf8_lossy(&name).into_owned(), take_long(buffer)?));
        }
    }
    Ok(message)
}

fn take_long(buffer: &mut Bytes) -> Result<Bytes, TryGetError> {
    let length = buffer.try_get_u32()?;
    take(buffer, usize::try_from(length).unwrap_or(usize::MAX))
}

fn take(buffer: &mut Bytes, length: usize) -> Result<Bytes, TryGetError> {
    if buffer.len() < length {
        return Err(TryGetError { requested: length, available: buffer.len() });
    }
    Ok(buffer.split_to(length))
}
