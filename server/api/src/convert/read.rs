//! Fetch requests, and batches as records.

use std::time::Duration;

use bytes::Bytes;
use flymq_engine::{FetchSpec, Fetched};
use flymq_proto::pb;
use flymq_types::{BatchFlags, Compression, Limits, Offset, RecordBatch, RecordView};
use prost::Message as _;

use super::{Opener, invalid, isolation, open::damaged, partition, topic};
use crate::{BrokerError, Door};

const DEFAULT_RECORDS: i32 = 500;
const DEFAULT_BYTES: u32 = 1 << 20;
/// What a reply needs beside its records: frame header, topic name, watermarks.
const REPLY_OVERHEAD: usize = 4 << 10;

/// How a reader wants its records.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shape {
    /// Whole batches as stored, rather than records.
    pub batches: bool,
    /// Each batch in as many pieces as it has in memory, so that none is copied; see [`crate::Broker`].
    pub pieces: bool,
    /// Also as text where the bytes are UTF-8.
    pub text: bool,
    pub max_records: usize,
    /// Bytes of records; one record may exceed it.
    pub max_bytes: usize,
}

impl Shape {
    /// One record.
    pub fn one(text: bool, limits: &Limits) -> Self {
        Self { batches: false, pieces: false, text, max_records: 1, max_bytes: limits.batch_bytes }
    }
}

/// A validated fetch.
#[derive(Debug)]
pub(crate) struct Fetch {
    pub spec: FetchSpec,
    pub shape: Shape,
}

impl Fetch {
    pub fn parse(request: &pb::FetchRequest, door: Door, limits: &Limits) -> Result<Self, BrokerError> {
        let max_records = match request.max_records {
            0 if request.batches => i32::MAX,
            0 => DEFAULT_RECORDS,
            1.. => request.max_records,
            _ => return Err(invalid("max_records", "must not be negative")),
        };
        let asked = if request.max_bytes == 0 { DEFAULT_BYTES } else { request.max_bytes };
        let max_bytes = (asked as usize).min(limits.batch_bytes);
        let wait_ms = request.max_wait_ms.min(limits.fetch_wait_ms);
        Ok(Self {
            spec: FetchSpec {
                topic: topic("topic", &request.topic)?,
                partition: partition(request.partition)?,
                offset: Offset(request.offset),
                max_bytes,
                min_bytes: (request.min_bytes.max(1) as usize).min(max_bytes),
                max_wait: Duration::from_millis(wait_ms.into()),
                isolation: isolation(request.isolation)?,
            },
            shape: Shape {
                batches: request.batches,
                pieces: door.takes_pieces(),
                text: request.text,
                max_records: usize::try_from(max_records).unwrap_or(usize::MAX),
                max_bytes,
            },
        })
    }
}

/// What of a fetch goes into one reply.
#[derive(Debug, Default)]
pub(crate) struct Page {
    pub records: Vec<pb::Record>,
    pub batches: Vec<Bytes>,
    pub next_offset: u64,
}

impl Page {
    /// Cuts `fetched` to the reader's shape. The reply fits a frame, and holds something if `fetched` does.
    ///
    /// # Errors
    /// Those of [`Opener::open`], for the first batch; a later one that fails ends the page before it.
    pub fn cut(
        from: Offset,
        fetched: &Fetched,
        shape: Shape,
        limits: &Limits,
        opener: &Opener,
    ) -> Result<Self, BrokerError> {
        if shape.batches {
            Ok(Self::whole(fetched, shape))
        } else {
            Self::decoded(from, fetched, shape, limits, opener)
        }
    }

    fn whole(fetched: &Fetched, shape: Shape) -> Self {
        let mut page = Self { next_offset: fetched.next_offset.get(), ..Self::default() };
        let mut records = 0;
        for batch in &fetched.batches {
            if records >= shape.max_records {
                return page;
            }
            records += batch.header().record_count as usize;
            page.next_offset = batch.header().next_offset();
            if shape.pieces {
                page.batches.extend(batch.chunks());
            } else {
                page.batches.push(batch.to_bytes());
            }
        }
        // Behind the last batch there may be offsets without records.
        page.next_offset = page.next_offset.max(fetched.next_offset.get());
        page
    }

    fn decoded(
        from: Offset,
        fetched: &Fetched,
        shape: Shape,
        limits: &Limits,
        opener: &Opener,
    ) -> Result<Self, BrokerError> {
        let mut page = Self { next_offset: from.get(), ..Self::default() };
        let room = limits.frame_bytes - REPLY_OVERHEAD;
        let mut bytes = 0;
        for batch in &fetched.batches {
            if batch.header().flags.contains(BatchFlags::CONTROL) {
                page.next_offset = batch.header().next_offset();
                continue;
            }
            if page.records.len() >= shape.max_records || bytes >= shape.max_bytes {
                return Ok(page); // without opening a batch for nothing
            }
            match page.add(from, batch, shape, room, &mut bytes, opener) {
                Ok(true) => {}
                Ok(false) => return Ok(page),
                // What stands before is good; the next read begins with the batch that is not.
                Err(_) if !page.records.is_empty() => return Ok(page),
                Err(error) => return Err(error),
            }
        }
        page.next_offset = page.next_offset.max(fetched.next_offset.get());
        Ok(page)
    }

    /// Adds the records of a batch. False: the page is full.
    fn add(
        &mut self,
        from: Offset,
        batch: &RecordBatch,
        shape: Shape,
        room: usize,
        bytes: &mut usize,
        opener: &Opener,
    ) -> Result<bool, BrokerError> {
        for record in &opener.open(batch)? {
            let record = record.map_err(|why| damaged(batch.header(), why))?;
            if record.offset < from.get() {
                continue;
            }
            let record = to_pb(&record, shape.text, room);
            let size = record.encoded_len();
            let full = self.records.len() >= shape.max_records || *bytes + size > shape.max_bytes;
            if !self.records.is_empty() && full {
                return Ok(false);
            }
            *bytes += size + 8;
            self.next_offset = record.offset + 1;
            self.records.push(record);
        }
        Ok(true)
    }
}

/// Whether cutting a page means to inflate: work for a thread that may block.
pub(crate) fn inflates(fetched: &Fetched, shape: Shape) -> bool {
    !shape.batches && fetched.batches.iter().any(|batch| batch.header().compression != Compression::None)
}

/// A stored record as protobuf. The bytes are shared with the batch. Text is left out where it would not fit `room`.
fn to_pb(record: &RecordView<'_>, text: bool, room: usize) -> pb::Record {
    let as_text = |bytes: Option<&[u8]>| bytes.and_then(|b| std::str::from_utf8(b).ok()).map(str::to_owned);
    let sizes = record.key.map_or(0, <[u8]>::len) + record.value.map_or(0, <[u8]>::len);
    let text = text && sizes.saturating_mul(2) < room;
    let headers = record
        .headers()
        .map(|(name, value)| pb::Header { name: name.to_owned(), value: Bytes::copy_from_slice(value) })
        .collect();
    pb::Record {
        offset: record.offset,
        timestamp_ms: record.timestamp,
        key: record.key_bytes(),
        value: record.value_bytes().unwrap_or_default(),
        headers,
        expires_at_ms: record.expires_at.unwrap_or(0),
        tombstone: record.value.is_none(),
        key_text: as_text(record.key.filter(|_| text)),
        value_text: as_text(record.value.filter(|_| text)),
    }
}

/// Fills in the texts for people, where the bytes are UTF-8.
pub(crate) fn show_text(record: &mut pb::Record) {
    let as_text = |bytes: &[u8]| std::str::from_utf8(bytes).ok().map(str::to_owned);
    record.key_text = record.key.as_deref().and_then(as_text);
    record.value_text = (!record.tombstone).then(|| as_text(&record.value)).flatten();
}
