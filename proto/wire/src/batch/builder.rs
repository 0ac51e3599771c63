//! Building a batch out of records.

use bytes::{BufMut, Bytes, BytesMut};

use super::error::BatchError;
use super::header::{
    BatchFlags, BatchHeader, Compression, HEADER_LEN, NO_PRODUCER_ID, NO_SEQUENCE, ServerFields,
};
use super::packed::pack;
use super::record::attr;

/// Bytes of a record before its key at most: length, attributes, offset delta, two times.
const MAX_FIXED: usize = 4 + 1 + 4 + 8 + 8;

/// A record to put into a batch. Times are Unix milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct NewRecord<'a> {
    /// Key; `None` and an empty key are different things.
    pub key: Option<&'a [u8]>,
    /// Value; `None` is a tombstone.
    pub value: Option<&'a [u8]>,
    /// When it happened, by the producer.
    pub timestamp: i64,
    /// When it stops being readable, if ever.
    pub expires_at: Option<i64>,
}

/// Who an idempotent producer is, and the sequence of the batch's first record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProducerFields {
    /// Producer id, or [`NO_PRODUCER_ID`].
    pub id: u64,
    /// Producer epoch.
    pub epoch: u16,
    /// Sequence of the first record, or [`NO_SEQUENCE`].
    pub base_sequence: i32,
}

impl Default for ProducerFields {
    fn default() -> Self {
        Self { id: NO_PRODUCER_ID, epoch: 0, base_sequence: NO_SEQUENCE }
    }
}

/// Encodes records as they come, straight into the batch's final bytes.
#[derive(Debug)]
pub struct BatchBuilder {
    /// The header's room, then the records.
    buf: BytesMut,
    producer: ProducerFields,
    flags: BatchFlags,
    record_count: u32,
    /// Offsets that a compacted batch spans; unused in others.
    span: u32,
    first_timestamp: i64,
    max_timestamp: i64,
}

impl Default for BatchBuilder {
    fn default() -> Self {
        Self::with_capacity(0)
    }
}

impl BatchBuilder {
    /// An empty batch without producer id.
    pub fn new() -> Self {
        Self::default()
    }

    /// As [`BatchBuilder::new`], with room for `payload` bytes of records.
    pub fn with_capacity(payload: usize) -> Self {
        Self::in_buffer(BytesMut::with_capacity(HEADER_LEN + payload))
    }

    /// As [`BatchBuilder::new`], in memory that is at hand; what it holds is forgotten.
    pub fn in_buffer(mut buf: BytesMut) -> Self {
        buf.clear();
        buf.put_bytes(0, HEADER_LEN);
        Self {
            buf,
            producer: ProducerFields::default(),
            flags: BatchFlags::empty(),
            record_count: 0,
            span: 0,
            first_timestamp: 0,
            max_timestamp: 0,
        }
    }

    /// An empty compacted batch ([`BatchFlags::COMPACTED`]) of `span` offsets: fill it with
    /// [`BatchBuilder::push_at`]. It may stay empty, then with `timestamp` (Unix ms) in its header.
    pub fn compacted(span: u32, timestamp: i64) -> Self {
        let flags = BatchFlags::COMPACTED;
        Self { flags, span, first_timestamp: timestamp, max_timestamp: timestamp, ..Self::new() }
    }

    /// Sets how many offsets a compacted batch spans.
    pub fn set_span(&mut self, span: u32) -> &mut Self {
        self.span = span;
        self
    }

    /// Sets the producer's identity and the base sequence of the batch.
    pub fn set_producer(&mut self, producer: ProducerFields) -> &mut Self {
        self.producer = producer;
        self
    }

    /// Adds flags; [`BatchFlags::HAS_TTL`] is set by [`BatchBuilder::push`] itself.
    pub fn add_flags(&mut self, flags: BatchFlags) -> &mut Self {
        self.flags = self.flags.union(flags);
        self
    }

    /// Records so far.
    pub fn record_count(&self) -> u32 {
        self.record_count
    }

    /// Whether no record was pushed.
    pub fn is_empty(&self) -> bool {
        self.record_count == 0
    }

    /// Bytes that the batch would have if it were built now, header included. Exact.
    pub fn size(&self) -> usize {
        self.buf.len()
    }

    /// At most how many bytes a record adds, given the summed length of its header names and values.
    pub fn size_bound(record: &NewRecord<'_>, header_count: usize, header_bytes: usize) -> usize {
        let key = record.key.map_or(0, |key| 4 + key.len());
        let headers = if header_count == 0 { 0 } else { 2 + header_count * 6 + header_bytes };
        5 + 4 + 16 + key + headers + record.value.map_or(0, <[u8]>::len)
    }

    /// Appends a record without headers.
    ///
    /// # Errors
    /// [`BatchError::TooLarge`]; the batch is then as it was before.
    pub fn push(&mut self, record: &NewRecord<'_>) -> Result<(), BatchError> {
        self.push_with_headers(record, std::iter::empty())
    }

    /// Appends a record with headers, in their order.
    ///
    /// # Errors
    /// [`BatchError::TooLarge`] when a part does not fit its length field: header name 65,535 bytes, header count
    /// 65,535, all else together 4 GiB. The batch is then as it was before.
    pub fn push_with_headers<'h>(
        &mut self,
        record: &NewRecord<'_>,
        headers: impl IntoIterator<Item = (&'h str, &'h [u8])>,
    ) -> Result<(), BatchError> {
        self.push_record(None, record, headers)
    }

    /// Appends a record to a compacted batch; it keeps the offset `delta` behind the batch's first one. Deltas rise.
    ///
    /// # Errors
    /// As [`BatchBuilder::push_with_headers`].
    pub fn push_at<'h>(
        &mut self,
        delta: u32,
        record: &NewRecord<'_>,
        headers: impl IntoIterator<Item = (&'h str, &'h [u8])>,
    ) -> Result<(), BatchError> {
        self.push_record(Some(delta), record, headers)
    }

    fn push_record<'h>(
        &mut self,
        delta: Option<u32>,
        record: &NewRecord<'_>,
        headers: impl IntoIterator<Item = (&'h str, &'h [u8])>,
    ) -> Result<(), BatchError> {
        let start = self.buf.len();
        let result = self.write_record(start, delta, record, headers);
        if result.is_err() {
            self.buf.truncate(start);
            return result;
        }
        if self.record_count == 0 {
            self.first_timestamp = record.timestamp;
            self.max_timestamp = record.timestamp;
        }
        self.max_timestamp = self.max_timestamp.max(record.timestamp);
        if record.expires_at.is_some() {
            self.flags = self.flags.union(BatchFlags::HAS_TTL);
        }
        self.record_count += 1;
        Ok(())
    }

    fn write_record<'h>(
        &mut self,
        start: usize,
        delta: Option<u32>,
        record: &NewRecord<'_>,
        headers: impl IntoIterator<Item = (&'h str, &'h [u8])>,
    ) -> Result<(), BatchError> {
        let own_timestamp = self.record_count > 0 && record.timestamp != self.first_timestamp;
        self.buf.reserve(Self::size_bound(record, 0, 0));
        // Length and attributes are known at the end; one copy for all that has a fixed size.
        let (mut fixed, mut used, mut attrs) = ([0; MAX_FIXED], 5, 0);
        let mut put = |bytes: &[u8]| {
            fixed[used..used + bytes.len()].copy_from_slice(bytes);
            used += bytes.len();
        };
        if let Some(delta) = delta {
            attrs |= attr::OFFSET_DELTA;
            put(&delta.to_le_bytes());
        }
        if own_timestamp {
            attrs |= attr::OWN_TIMESTAMP;
            put(&record.timestamp.to_le_bytes());
        }
        if let Some(expires_at) = record.expires_at {
            attrs |= attr::EXPIRY;
            put(&expires_at.to_le_bytes());
        }
        self.buf.put_slice(&fixed[..used]);
        if let Some(key) = record.key {
            attrs |= attr::KEY;
            put_u32_len(&mut self.buf, key)?;
        }
        if write_headers(&mut self.buf, headers)? {
            attrs |= attr::HEADERS;
        }
        match record.value {
            Some(value) => self.buf.put_slice(value),
            None => attrs |= attr::NULL_VALUE,
        }
        let payload = u32::try_from(self.buf.len() - HEADER_LEN);
        let len = u32::try_from(self.buf.len() - start - 4);
        let (Ok(_), Ok(len)) = (payload, len) else { return Err(BatchError::TooLarge) };
        self.buf[start..start + 4].copy_from_slice(&len.to_le_bytes());
        self.buf[start + 4] = attrs;
        Ok(())
    }

    /// The finished batch: producer fields and payload crc filled, server fields zero, header crc right for that.
    ///
    /// # Errors
    /// [`BatchError::Empty`] when nothing was pushed.
    pub fn build(self) -> Result<Bytes, BatchError> {
        self.build_mut().map(BytesMut::freeze)
    }

    /// As [`BatchBuilder::build`], with the records compressed where that makes the batch smaller, see [`pack`].
    ///
    /// # Errors
    /// Those of [`BatchBuilder::build`].
    pub fn build_compressed(self, codec: Compression, level: Option<i32>) -> Result<Bytes, BatchError> {
        pack(self.build()?, codec, level)
    }

    /// As [`BatchBuilder::build`], still writable: for a server that builds the batch itself and then stamps it.
    ///
    /// # Errors
    /// [`BatchError::Empty`] when nothing was pushed.
    pub fn build_mut(mut self) -> Result<BytesMut, BatchError> {
        let header = self.header()?.encode_stamped(&ServerFields::default());
        self.buf[..HEADER_LEN].copy_from_slice(&header);
        Ok(self.buf)
    }

    fn header(&self) -> Result<BatchHeader, BatchError> {
        let compacted = self.flags.contains(BatchFlags::COMPACTED);
        let record_count = if compacted { self.span } else { self.record_count };
        if record_count == 0 {
            return Err(BatchError::Empty);
        }
        let payload = &self.buf[HEADER_LEN..];
        Ok(BatchHeader {
            compression: Compression::None,
            flags: self.flags,
            payload_len: u32::try_from(payload.len()).map_err(|_| BatchError::TooLarge)?,
            payload_crc: crc32c::crc32c(payload),
            record_count,
            header_crc: 0,
            first_timestamp: self.first_timestamp,
            max_timestamp: self.max_timestamp,
            producer_id: self.producer.id,
            producer_epoch: self.producer.epoch,
            base_sequence: self.producer.base_sequence,
            server: ServerFields::default(),
            write_counter: 0,
        })
    }
}

/// Writes the header section if there is any header; says whether there was.
fn write_headers<'h>(
    buf: &mut BytesMut,
    headers: impl IntoIterator<Item = (&'h str, &'h [u8])>,
) -> Result<bool, BatchError> {
    let at = buf.len();
    let mut count = 0u16;
    for (name, value) in headers {
        if count == 0 {
            buf.put_u16_le(0);
        }
        count = count.checked_add(1).ok_or(BatchError::TooLarge)?;
        buf.put_u16_le(u16::try_from(name.len()).map_err(|_| BatchError::TooLarge)?);
        buf.put_slice(name.as_bytes());
        put_u32_len(buf, value)?;
    }
    if count > 0 {
        buf[at..at + 2].copy_from_slice(&count.to_le_bytes());
    }
    Ok(count > 0)
}

fn put_u32_len(buf: &mut BytesMut, bytes: &[u8]) -> Result<(), BatchError> {
    buf.put_u32_le(u32::try_from(bytes.len()).map_err(|_| BatchError::TooLarge)?);
    buf.put_slice(bytes);
    Ok(())
}
