//! A record batch that has been checked: what travels from the doors to the log and back.

use bytes::{BufMut, Bytes, BytesMut};
use flymq_wire::batch::{
    BatchError, BatchFlags, BatchHeader, Compression, HEADER_LEN, NO_PRODUCER_ID, NO_SEQUENCE, RecordIter,
    Records, ServerFields, validate_produced, verify, verify_header_crc, verify_payload_crc,
};
use flymq_wire::compress::InflateLimits;

use crate::{LeaderEpoch, Offset, Timestamp};

/// Payloads up to this many bytes are copied next to their stamped header; larger ones are shared as they are.
const CONTIGUOUS_PAYLOAD_BYTES: usize = 4 << 10;

/// A validated batch: a 96-byte header and its payload. Cheap to clone; the payload is never copied where it is
/// larger than 4 KiB.
///
/// The layout is that of [`flymq_wire::batch`]. The two parts may lie apart in memory (a stamped header beside a
/// producer's payload): write them with [`RecordBatch::chunks`], or pay for [`RecordBatch::to_bytes`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordBatch {
    header: BatchHeader,
    head: Bytes,
    payload: Bytes,
    /// Both parts in one piece, where they are.
    whole: Option<Bytes>,
}

impl RecordBatch {
    /// One batch from a producer, nothing after it. Checks lengths, payload crc, and (uncompressed) the framing of
    /// every record. What the producer wrote into the server's fields is ignored.
    ///
    /// # Errors
    /// See [`validate_produced`].
    pub fn from_producer(bytes: Bytes) -> Result<Self, BatchError> {
        let header = validate_produced(&bytes)?;
        Ok(Self::assemble(header, bytes))
    }

    /// One batch that the broker built itself (it may carry control flags). Checks everything, the header crc too.
    ///
    /// # Errors
    /// See [`verify`].
    pub fn from_broker(bytes: Bytes) -> Result<Self, BatchError> {
        let header = verify(&bytes)?;
        Ok(Self::assemble(header, bytes))
    }

    /// One stamped batch out of a log, nothing after it. Checks both crcs; the framing was checked at produce.
    ///
    /// # Errors
    /// Those of [`BatchHeader::parse`], [`verify_header_crc`] and [`verify_payload_crc`].
    pub fn from_log(bytes: Bytes) -> Result<Self, BatchError> {
        let header = BatchHeader::parse(&bytes)?;
        verify_header_crc(&bytes)?;
        if !cfg!(mutant = "crc_not_checked") {
            verify_payload_crc(&header, &bytes[HEADER_LEN..])?;
        }
        Ok(Self::assemble(header, bytes))
    }

    fn assemble(header: BatchHeader, bytes: Bytes) -> Self {
        Self {
            header,
            head: bytes.slice(..HEADER_LEN),
            payload: bytes.slice(HEADER_LEN..),
            whole: Some(bytes),
        }
    }

    /// The batch with the leader's fields in its header; the payload is shared (or copied if at most 4 KiB).
    #[must_use]
    pub fn stamp(&self, server: ServerFields) -> Self {
        let head = self.header.encode_stamped(&server);
        let crc = u32::from_le_bytes([head[20], head[21], head[22], head[23]]);
        let header = BatchHeader { server, header_crc: crc, ..self.header };
        if self.payload.len() <= CONTIGUOUS_PAYLOAD_BYTES {
            let mut whole = BytesMut::with_capacity(HEADER_LEN + self.payload.len());
            whole.put_slice(&head);
            whole.put_slice(&self.payload);
            return Self::assemble(header, whole.freeze());
        }
        Self { header, head: Bytes::copy_from_slice(&head), payload: self.payload.clone(), whole: None }
    }

    /// The batch as one that names no producer and is in no transaction; to be stamped before it is stored.
    #[must_use]
    pub fn without_producer(self) -> Self {
        if !self.header.has_producer_id() {
            return self;
        }
        let (producer_id, producer_epoch, base_sequence) = (NO_PRODUCER_ID, 0, NO_SEQUENCE);
        let flags = self.header.flags.without(BatchFlags::TRANSACTIONAL);
        let header = BatchHeader { producer_id, producer_epoch, base_sequence, flags, ..self.header };
        let mut whole = BytesMut::with_capacity(self.size());
        whole.put_slice(&header.encode_stamped(&header.server));
        whole.put_slice(&self.payload);
        let bytes = whole.freeze();
        let crc = u32::from_le_bytes([bytes[20], bytes[21], bytes[22], bytes[23]]);
        Self::assemble(BatchHeader { header_crc: crc, ..header }, bytes)
    }

    pub fn header(&self) -> &BatchHeader {
        &self.header
    }

    /// The 96 header bytes.
    pub fn head(&self) -> &Bytes {
        &self.head
    }

    /// The bytes after the header, compressed where the header says so.
    pub fn payload(&self) -> &Bytes {
        &self.payload
    }

    /// Bytes of header and payload together.
    pub fn size(&self) -> usize {
        HEADER_LEN + self.payload.len()
    }

    /// The batch in one or two pieces, to be written one after the other.
    pub fn chunks(&self) -> impl Iterator<Item = Bytes> {
        let (first, second) = match &self.whole {
            Some(whole) => (whole.clone(), None),
            None => (self.head.clone(), Some(self.payload.clone())),
        };
        std::iter::once(first).chain(second)
    }

    /// The batch in one piece; copies it if it lies in two.
    pub fn to_bytes(&self) -> Bytes {
        self.whole.clone().unwrap_or_else(|| {
            let mut whole = BytesMut::with_capacity(self.size());
            whole.put_slice(&self.head);
            whole.put_slice(&self.payload);
            whole.freeze()
        })
    }

    /// The records, without copying them.
    ///
    /// # Errors
    /// [`BatchError::Compressed`] where the payload has to be decompressed first.
    pub fn records(&self) -> Result<RecordIter<'_>, BatchError> {
        if self.header.compression != Compression::None {
            return Err(BatchError::Compressed(self.header.compression));
        }
        Ok(RecordIter::over_payload(&self.header, &self.payload))
    }

    /// The records, inflated within `limits` where they are compressed. The server only calls this where a feature needs
    /// single records; a batch that a producer compressed is checked here for the first time.
    ///
    /// # Errors
    /// Those of [`Records::open`].
    pub fn open(&self, limits: &InflateLimits) -> Result<Records, BatchError> {
        Records::open(&self.header, &self.payload, limits)
    }

    /// Offset of the first record, once stamped.
    pub fn base_offset(&self) -> Offset {
        Offset(self.header.server.base_offset)
    }

    /// Offset of the last record, once stamped.
    pub fn last_offset(&self) -> Offset {
        Offset(self.header.last_offset())
    }

    /// Offset after the last record, once stamped.
    pub fn next_offset(&self) -> Offset {
        Offset(self.header.next_offset())
    }

    /// Epoch of the leader that appended it, once stamped.
    pub fn leader_epoch(&self) -> LeaderEpoch {
        LeaderEpoch(self.header.server.leader_epoch)
    }

    /// When the leader appended it, once stamped.
    pub fn append_time(&self) -> Timestamp {
        Timestamp(self.header.server.append_time)
    }

    pub fn record_count(&self) -> u32 {
        self.header.record_count
    }
}

#[cfg(test)]
mod tests {
    use flymq_wire::batch::{BatchBuilder, NewRecord};

    use super::*;

    fn batch(value: &[u8]) -> RecordBatch {
        let mut builder = BatchBuilder::new();
        let record = NewRecord { key: Some(b"k"), value: Some(value), timestamp: 5, expires_at: None };
        builder.push(&record).unwrap();
        builder.push(&record).unwrap();
        RecordBatch::from_producer(builder.build().unwrap()).unwrap()
    }

    #[test]
    fn a_stamped_batch_reads_back_from_the_log() {
        for size in [0, CONTIGUOUS_PAYLOAD_BYTES * 2] {
            let fields = ServerFields {
                base_offset: 40,
                leader_epoch: 3,
                chain: 9,
                incarnation: 7,
                append_time: 1_000,
            };
            let stamped = batch(&vec![b'x'; size]).stamp(fields);
            let bytes = stamped.to_bytes();
            assert_eq!(stamped.chunks().flatten().collect::<Vec<_>>(), bytes);
            let back = RecordBatch::from_log(bytes).unwrap();
            assert_eq!(back.header(), stamped.header());
            assert_eq!((back.base_offset(), back.last_offset(), back.next_offset()), {
                (Offset(40), Offset(41), Offset(42))
            });
            assert_eq!(back.append_time(), Timestamp(1_000));
            let offsets: Vec<_> = back.records().unwrap().map(|r| r.unwrap().offset).collect();
            assert_eq!(offsets, [40, 41]);
        }
    }

    #[test]
    fn a_large_payload_is_shared_not_copied() {
        let batch = batch(&vec![0; CONTIGUOUS_PAYLOAD_BYTES]);
        let stamped = batch.stamp(ServerFields::default());
        assert_eq!(stamped.payload().as_ptr(), batch.payload().as_ptr());
    }

    #[test]
    fn damage_is_refused() {
        let good = batch(b"v").stamp(ServerFields::default()).to_bytes();
        for at in 0..good.len() {
            let mut bad = good.to_vec();
            bad[at] ^= 1;
            assert!(RecordBatch::from_log(bad.into()).is_err(), "byte {at}");
        }
        assert!(RecordBatch::from_log(good.slice(..good.len() - 1)).is_err());
    }
}
