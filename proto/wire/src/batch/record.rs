//! Reading the records of a batch without copying them.

use bytes::Bytes;

use super::error::BatchError;
use super::header::{BatchFlags, BatchHeader, Compression, HEADER_LEN};

/// Attribute bits of a record.
pub(super) mod attr {
    pub const KEY: u8 = 1;
    pub const HEADERS: u8 = 2;
    pub const NULL_VALUE: u8 = 4;
    pub const EXPIRY: u8 = 8;
    pub const OWN_TIMESTAMP: u8 = 16;
    pub const OFFSET_DELTA: u8 = 32;
    pub const KNOWN: u8 = 0x3f;
}

/// The shortest record: a length, the attributes, nothing else.
pub const MIN_RECORD_LEN: usize = 5;

/// One record inside a batch; borrows the payload.
#[derive(Debug, Clone, Copy)]
pub struct RecordView<'a> {
    /// Offset in the partition.
    pub offset: u64,
    /// Unix ms.
    pub timestamp: i64,
    /// When it stops being readable, Unix ms.
    pub expires_at: Option<i64>,
    /// The key, if it has one.
    pub key: Option<&'a [u8]>,
    /// The value; `None` is a tombstone.
    pub value: Option<&'a [u8]>,
    headers: &'a [u8],
    header_count: u16,
    source: &'a Bytes,
}

impl<'a> RecordView<'a> {
    /// The record's headers, in order.
    pub fn headers(&self) -> HeaderIter<'a> {
        HeaderIter { rest: self.headers, left: self.header_count }
    }

    /// The key as shared bytes of the batch, not a copy.
    pub fn key_bytes(&self) -> Option<Bytes> {
        self.key.map(|key| self.source.slice_ref(key))
    }

    /// The value as shared bytes of the batch, not a copy.
    pub fn value_bytes(&self) -> Option<Bytes> {
        self.value.map(|value| self.source.slice_ref(value))
    }
}

/// The headers of one record: name and value.
#[derive(Debug, Clone)]
pub struct HeaderIter<'a> {
    rest: &'a [u8],
    left: u16,
}

impl<'a> Iterator for HeaderIter<'a> {
    type Item = (&'a str, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        if self.left == 0 {
            return None;
        }
        let (name, value) = take_header(&mut self.rest)?;
        self.left -= 1;
        let name = std::str::from_utf8(name).expect("header names were checked when the record was read");
        Some((name, value))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (usize::from(self.left), Some(usize::from(self.left)))
    }
}

impl ExactSizeIterator for HeaderIter<'_> {}

/// Iterates the records of an uncompressed payload. Allocates nothing; ends after the first error.
///
/// It takes the payload's crc on trust: check it with [`super::verify_payload_crc`] where that is due.
#[derive(Debug, Clone)]
pub struct RecordIter<'a> {
    source: &'a Bytes,
    rest: &'a [u8],
    index: u32,
    deltas: Deltas,
    base_offset: u64,
    first_timestamp: i64,
    done: bool,
}

impl<'a> RecordIter<'a> {
    /// Over a whole batch, header and payload.
    ///
    /// # Errors
    /// The header's errors, [`BatchError::Truncated`], [`BatchError::Compressed`].
    pub fn new(batch: &'a Bytes) -> Result<Self, BatchError> {
        let header = BatchHeader::parse(batch)?;
        if header.compression != Compression::None {
            return Err(BatchError::Compressed(header.compression));
        }
        let need = header.batch_len();
        let payload = batch.get(HEADER_LEN..need).ok_or(BatchError::Truncated { need, have: batch.len() })?;
        Ok(Self::start(&header, batch, payload))
    }

    /// Over an uncompressed payload that was taken out of its batch, e.g. by decompressing it.
    pub fn over_payload(header: &BatchHeader, payload: &'a Bytes) -> Self {
        Self::start(header, payload, payload)
    }

    fn start(header: &BatchHeader, source: &'a Bytes, rest: &'a [u8]) -> Self {
        Self {
            source,
            rest,
            index: 0,
            deltas: Deltas::of(header),
            base_offset: header.server.base_offset,
            first_timestamp: header.first_timestamp,
            done: false,
        }
    }

    fn read(&mut self) -> Result<Option<RecordView<'a>>, BatchError> {
        let index = self.index;
        if self.rest.is_empty() {
            self.deltas.end(index)?;
            return Ok(None);
        }
        self.deltas.check_more(index)?;
        let fields = take_record(&mut self.rest, index)?;
        let delta = self.deltas.next(index, fields.offset_delta)?;
        self.index += 1;
        Ok(Some(RecordView {
            offset: self.base_offset.saturating_add(u64::from(delta)),
            timestamp: fields.timestamp.unwrap_or(self.first_timestamp),
            expires_at: fields.expires_at,
            key: fields.key,
            value: fields.value,
            headers: fields.headers,
            header_count: fields.header_count,
            source: self.source,
        }))
    }
}

impl<'a> Iterator for RecordIter<'a> {
    type Item = Result<RecordView<'a>, BatchError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        let item = self.read().transpose();
        self.done = !matches!(item, Some(Ok(_)));
        item
    }
}

/// Which offset each record of a batch has, and how many records there may be.
#[derive(Debug, Clone)]
pub(super) struct Deltas {
    /// Offsets of the batch.
    span: u32,
    /// Every record says its delta; none is doubled, and they rise.
    explicit: bool,
    /// The least delta that the next record may have.
    least: u32,
}

impl Deltas {
    pub fn of(header: &BatchHeader) -> Self {
        let explicit = header.flags.contains(BatchFlags::COMPACTED);
        Self { span: header.record_count, explicit, least: 0 }
    }

    /// Whether a record may follow `index` others.
    pub fn check_more(&self, index: u32) -> Result<(), BatchError> {
        let found = self.span.saturating_add(1);
        if index < self.span { Ok(()) } else { Err(BatchError::CountMismatch { expected: self.span, found }) }
    }

    /// The delta of record `index`, which says `own`.
    pub fn next(&mut self, index: u32, own: Option<u32>) -> Result<u32, BatchError> {
        let delta = match (self.explicit, own) {
            (false, None) => index,
            (true, Some(delta)) if (self.least..self.span).contains(&delta) => delta,
            (false, Some(_)) | (true, _) => return Err(BatchError::BadRecord { index }),
        };
        self.least = delta + 1;
        Ok(delta)
    }

    /// Whether a batch may end after `found` records.
    pub fn end(&self, found: u32) -> Result<(), BatchError> {
        let whole = self.explicit || found == self.span;
        if whole { Ok(()) } else { Err(BatchError::CountMismatch { expected: self.span, found }) }
    }
}

/// The fields of one record as they stand in the payload.
#[derive(Debug)]
pub(super) struct RecordFields<'a> {
    pub offset_delta: Option<u32>,
    pub timestamp: Option<i64>,
    pub expires_at: Option<i64>,
    pub key: Option<&'a [u8]>,
    pub headers: &'a [u8],
    pub header_count: u16,
    pub value: Option<&'a [u8]>,
}

/// Takes the record at the front of `rest`.
pub(super) fn take_record<'a>(rest: &mut &'a [u8], index: u32) -> Result<RecordFields<'a>, BatchError> {
    let bad = BatchError::BadRecord { index };
    let len = take_u32(rest).ok_or(bad)?;
    let mut body = take(rest, len as usize).ok_or(bad)?;
    let attrs = take(&mut body, 1).ok_or(bad)?[0];
    if attrs & !attr::KNOWN != 0 {
        return Err(bad);
    }
    let offset_delta = take_if(attrs & attr::OFFSET_DELTA, || take_u32(&mut body)).ok_or(bad)?;
    let timestamp = take_if(attrs & attr::OWN_TIMESTAMP, || take_i64(&mut body)).ok_or(bad)?;
    let expires_at = take_if(attrs & attr::EXPIRY, || take_i64(&mut body)).ok_or(bad)?;
    let key = take_if(attrs & attr::KEY, || take_counted(&mut body)).ok_or(bad)?;
    let (header_count, headers) =
        if attrs & attr::HEADERS != 0 { take_headers(&mut body, index)? } else { (0, &[][..]) };
    let null = attrs & attr::NULL_VALUE != 0;
    if null && !body.is_empty() {
        return Err(bad);
    }
    let value = (!null).then_some(body);
    Ok(RecordFields { offset_delta, timestamp, expires_at, key, headers, header_count, value })
}

fn take_headers<'a>(body: &mut &'a [u8], index: u32) -> Result<(u16, &'a [u8]), BatchError> {
    let bad = BatchError::BadRecord { index };
    let count = take(body, 2).ok_or(bad)?;
    let count = u16::from_le_bytes([count[0], count[1]]);
    let all = *body;
    for _ in 0..count {
        let (name, _) = take_header(body).ok_or(bad)?;
        if std::str::from_utf8(name).is_err() {
            return Err(BatchError::BadHeaderName { index });
        }
    }
    Ok((count, &all[..all.len() - body.len()]))
}

fn take_header<'a>(rest: &mut &'a [u8]) -> Option<(&'a [u8], &'a [u8])> {
    let len = take(rest, 2)?;
    let name = take(rest, usize::from(u16::from_le_bytes([len[0], len[1]])))?;
    Some((name, take_counted(rest)?))
}

/// Runs `read` when `bit` is set. The outer `None` means that the bytes ran out.
fn take_if<T>(bit: u8, read: impl FnOnce() -> Option<T>) -> Option<Option<T>> {
    if bit == 0 { Some(None) } else { read().map(Some) }
}

fn take<'a>(rest: &mut &'a [u8], len: usize) -> Option<&'a [u8]> {
    let (front, back) = rest.split_at_checked(len)?;
    *rest = back;
    Some(front)
}

fn take_counted<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let len = take_u32(rest)?;
    take(rest, len as usize)
}

fn take_u32(rest: &mut &[u8]) -> Option<u32> {
    let (front, back) = rest.split_first_chunk()?;
    *rest = back;
    Some(u32::from_le_bytes(*front))
}

fn take_i64(rest: &mut &[u8]) -> Option<i64> {
    let (front, back) = rest.split_first_chunk()?;
    *rest = back;
    Some(i64::from_le_bytes(*front))
}
