//! The 96-byte batch header.

use super::error::BatchError;

/// Bytes of the header; the payload follows.
pub const HEADER_LEN: usize = 96;
/// The first four bytes of every batch.
pub const MAGIC: [u8; 4] = *b"FQB1";
/// The only format version so far.
pub const FORMAT_VERSION: u8 = 1;
/// Producer id of a batch whose producer is not idempotent.
pub const NO_PRODUCER_ID: u64 = u64::MAX;
/// Base sequence of a batch whose producer is not idempotent.
pub const NO_SEQUENCE: i32 = -1;

/// Byte offsets of the header fields.
mod at {
    pub const VERSION: usize = 4;
    pub const COMPRESSION: usize = 5;
    pub const FLAGS: usize = 6;
    pub const PAYLOAD_LEN: usize = 8;
    pub const PAYLOAD_CRC: usize = 12;
    pub const RECORD_COUNT: usize = 16;
    pub const HEADER_CRC: usize = 20;
    pub const BASE_OFFSET: usize = 24;
    pub const LEADER_EPOCH: usize = 32;
    pub const CHAIN: usize = 36;
    pub const FIRST_TIMESTAMP: usize = 40;
    pub const MAX_TIMESTAMP: usize = 48;
    pub const PRODUCER_ID: usize = 56;
    pub const PRODUCER_EPOCH: usize = 64;
    pub const RESERVED_16: usize = 66;
    pub const BASE_SEQUENCE: usize = 68;
    pub const INCARNATION: usize = 72;
    pub const APPEND_TIME: usize = 80;
    pub const WRITE_COUNTER: usize = 88;
}

/// How the payload is compressed. Records are only visible after decompression.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[repr(u8)]
pub enum Compression {
    /// Records stand in the payload as they are.
    #[default]
    None = 0,
    /// One gzip member.
    Gzip = 1,
    /// LZ4.
    Lz4 = 2,
    /// Zstandard.
    Zstd = 3,
    /// Snappy.
    Snappy = 4,
}

impl Compression {
    /// From the header byte; `None` for an unknown code.
    pub fn from_code(code: u8) -> Option<Self> {
        match code {
            0 => Some(Self::None),
            1 => Some(Self::Gzip),
            2 => Some(Self::Lz4),
            3 => Some(Self::Zstd),
            4 => Some(Self::Snappy),
            _ => None,
        }
    }

    /// The header byte.
    pub fn code(self) -> u8 {
        self as u8
    }
}

/// The flag bits of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct BatchFlags(u16);

impl BatchFlags {
    /// The batch belongs to a transaction of its producer id.
    pub const TRANSACTIONAL: Self = Self(1);
    /// The batch is a commit or abort marker, never shown to consumers.
    pub const CONTROL: Self = Self(2);
    /// The payload is encrypted at rest; set and removed by storage only.
    pub const ENCRYPTED: Self = Self(4);
    /// The record values were encrypted by the client; the server cannot read them.
    pub const CLIENT_ENCRYPTED: Self = Self(8);
    /// At least one record has an expiry.
    pub const HAS_TTL: Self = Self(16);
    /// The log's cleaner took records out: every record left says its own offset delta, and the header's record count
    /// is the number of offsets that the batch spans. There may be no record at all. Set by the server only.
    pub const COMPACTED: Self = Self(32);

    const KNOWN: u16 = 0x3f;

    /// No flag set.
    pub const fn empty() -> Self {
        Self(0)
    }

    /// From the header's bits; `None` when an unknown bit is set.
    pub fn from_bits(bits: u16) -> Option<Self> {
        (bits & !Self::KNOWN == 0).then_some(Self(bits))
    }

    /// The header's bits.
    pub const fn bits(self) -> u16 {
        self.0
    }

    /// Whether all bits of `other` are set.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// These flags and those of `other`.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// These flags without those of `other`.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }
}

/// The fields that the leader fills at append.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ServerFields {
    /// Offset of the first record.
    pub base_offset: u64,
    /// Epoch of the leader that appended the batch.
    pub leader_epoch: u32,
    /// Chain value after this batch, see [`chain`].
    pub chain: u32,
    /// Incarnation of the segment file that the batch is written into.
    pub incarnation: u64,
    /// When the leader appended it, Unix ms.
    pub append_time: i64,
}

/// A decoded header. Times are Unix milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchHeader {
    /// How the payload is compressed.
    pub compression: Compression,
    /// Flag bits.
    pub flags: BatchFlags,
    /// Bytes after the header.
    pub payload_len: u32,
    /// crc32c of the payload bytes as they stand (compressed, where compressed).
    pub payload_crc: u32,
    /// Offsets that the batch spans, at least 1: the records in the payload, of which a compacted batch has fewer.
    pub record_count: u32,
    /// crc32c over the header with this field zero.
    pub header_crc: u32,
    /// Timestamp of the first record.
    pub first_timestamp: i64,
    /// Largest timestamp of the records.
    pub max_timestamp: i64,
    /// Id of an idempotent producer, or [`NO_PRODUCER_ID`].
    pub producer_id: u64,
    /// Epoch of an idempotent producer.
    pub producer_epoch: u16,
    /// Sequence of the first record, or [`NO_SEQUENCE`].
    pub base_sequence: i32,
    /// What the leader filled in; zero in a batch that comes from a producer.
    pub server: ServerFields,
    /// Nonce of a payload that is encrypted at rest: a number that its segment's key never saw before. Zero elsewhere.
    pub write_counter: u64,
}

impl BatchHeader {
    /// Decodes the first [`HEADER_LEN`] bytes. Checks everything but the two checksums.
    ///
    /// # Errors
    /// [`BatchError::Truncated`], `BadMagic`, `BadVersion`, `BadCompression`, `BadFlags`, `BadReserved`, `Empty`.
    pub fn parse(bytes: &[u8]) -> Result<Self, BatchError> {
        let h = header_bytes(bytes)?;
        let magic = u32::from_le_bytes(field(h, 0));
        if magic != u32::from_le_bytes(MAGIC) {
            return Err(BatchError::BadMagic { found: magic });
        }
        if h[at::VERSION] != FORMAT_VERSION {
            return Err(BatchError::BadVersion { found: h[at::VERSION] });
        }
        let compression = Compression::from_code(h[at::COMPRESSION])
            .ok_or(BatchError::BadCompression { found: h[at::COMPRESSION] })?;
        let bits = u16::from_le_bytes(field(h, at::FLAGS));
        let flags = BatchFlags::from_bits(bits).ok_or(BatchError::BadFlags { found: bits })?;
        let write_counter = u64::from_le_bytes(field(h, at::WRITE_COUNTER));
        let counts_writes = flags.contains(BatchFlags::ENCRYPTED);
        if u16::from_le_bytes(field(h, at::RESERVED_16)) != 0 || (write_counter != 0 && !counts_writes) {
            return Err(BatchError::BadReserved);
        }
        let record_count = u32::from_le_bytes(field(h, at::RECORD_COUNT));
        if record_count == 0 {
            return Err(BatchError::Empty);
        }
        Ok(Self {
            compression,
            flags,
            payload_len: u32::from_le_bytes(field(h, at::PAYLOAD_LEN)),
            payload_crc: u32::from_le_bytes(field(h, at::PAYLOAD_CRC)),
            record_count,
            header_crc: u32::from_le_bytes(field(h, at::HEADER_CRC)),
            first_timestamp: i64::from_le_bytes(field(h, at::FIRST_TIMESTAMP)),
            max_timestamp: i64::from_le_bytes(field(h, at::MAX_TIMESTAMP)),
            producer_id: u64::from_le_bytes(field(h, at::PRODUCER_ID)),
            producer_epoch: u16::from_le_bytes(field(h, at::PRODUCER_EPOCH)),
            base_sequence: i32::from_le_bytes(field(h, at::BASE_SEQUENCE)),
            server: read_server_fields(h),
            write_counter,
        })
    }

    /// Encodes the header exactly as it stands, `header_crc` included.
    pub fn encode(&self) -> [u8; HEADER_LEN] {
        let mut h = [0; HEADER_LEN];
        h[..4].copy_from_slice(&MAGIC);
        h[at::VERSION] = FORMAT_VERSION;
        h[at::COMPRESSION] = self.compression.code();
        put(&mut h, at::FLAGS, self.flags.bits().to_le_bytes());
        put(&mut h, at::PAYLOAD_LEN, self.payload_len.to_le_bytes());
        put(&mut h, at::PAYLOAD_CRC, self.payload_crc.to_le_bytes());
        put(&mut h, at::RECORD_COUNT, self.record_count.to_le_bytes());
        put(&mut h, at::HEADER_CRC, self.header_crc.to_le_bytes());
        put(&mut h, at::FIRST_TIMESTAMP, self.first_timestamp.to_le_bytes());
        put(&mut h, at::MAX_TIMESTAMP, self.max_timestamp.to_le_bytes());
        put(&mut h, at::PRODUCER_ID, self.producer_id.to_le_bytes());
        put(&mut h, at::PRODUCER_EPOCH, self.producer_epoch.to_le_bytes());
        put(&mut h, at::BASE_SEQUENCE, self.base_sequence.to_le_bytes());
        write_server_fields(&mut h, &self.server);
        put(&mut h, at::WRITE_COUNTER, self.write_counter.to_le_bytes());
        h
    }

    /// Encodes the header with `server` in place of its server fields and a fresh header crc: for a writer that
    /// keeps the payload as shared [`bytes::Bytes`] and writes the header separately.
    pub fn encode_stamped(&self, server: &ServerFields) -> [u8; HEADER_LEN] {
        let mut h = Self { server: *server, ..*self }.encode();
        seal(&mut h);
        h
    }

    /// Bytes of the whole batch, header included.
    pub fn batch_len(&self) -> usize {
        HEADER_LEN + self.payload_len as usize
    }

    /// Offset of the last record. Saturates for a header that no log could hold.
    pub fn last_offset(&self) -> u64 {
        self.server.base_offset.saturating_add(u64::from(self.record_count.saturating_sub(1)))
    }

    /// Offset after the last record. Saturates for a header that no log could hold.
    pub fn next_offset(&self) -> u64 {
        self.server.base_offset.saturating_add(u64::from(self.record_count))
    }

    /// Whether the producer is idempotent (has an id).
    pub fn has_producer_id(&self) -> bool {
        self.producer_id != NO_PRODUCER_ID
    }
}

/// Writes the server fields into a batch's header in place and renews the header crc.
///
/// `batch` begins with the header; what follows is not touched.
///
/// # Errors
/// [`BatchError::Truncated`] when `batch` is shorter than a header.
pub fn stamp_header(batch: &mut [u8], fields: &ServerFields) -> Result<(), BatchError> {
    let have = batch.len();
    let h = batch.first_chunk_mut().ok_or(BatchError::Truncated { need: HEADER_LEN, have })?;
    write_server_fields(h, fields);
    seal(h);
    Ok(())
}

/// The chain value after a batch: crc32c of the previous value and the payload's crc, both as little-endian bytes.
/// A log begins with 0; a batch lost, doubled or swapped in the middle changes every value after it.
pub fn chain(previous: u32, payload_crc: u32) -> u32 {
    let mut bytes = [0; 8];
    bytes[..4].copy_from_slice(&previous.to_le_bytes());
    bytes[4..].copy_from_slice(&payload_crc.to_le_bytes());
    crc32c::crc32c(&bytes)
}

/// crc32c over the header with the crc field taken as zero.
pub(super) fn header_crc(h: &[u8; HEADER_LEN]) -> u32 {
    let crc = crc32c::crc32c(&h[..at::HEADER_CRC]);
    let crc = crc32c::crc32c_append(crc, &[0; 4]);
    crc32c::crc32c_append(crc, &h[at::HEADER_CRC + 4..])
}

/// Writes the header crc into an otherwise finished header.
pub(super) fn seal(h: &mut [u8; HEADER_LEN]) {
    let crc = header_crc(h);
    put(h, at::HEADER_CRC, crc.to_le_bytes());
}

/// The first [`HEADER_LEN`] bytes as an array.
pub(super) fn header_bytes(bytes: &[u8]) -> Result<&[u8; HEADER_LEN], BatchError> {
    bytes.first_chunk().ok_or(BatchError::Truncated { need: HEADER_LEN, have: bytes.len() })
}

fn read_server_fields(h: &[u8; HEADER_LEN]) -> ServerFields {
    ServerFields {
        base_offset: u64::from_le_bytes(field(h, at::BASE_OFFSET)),
        leader_epoch: u32::from_le_bytes(field(h, at::LEADER_EPOCH)),
        chain: u32::from_le_bytes(field(h, at::CHAIN)),
        incarnation: u64::from_le_bytes(field(h, at::INCARNATION)),
        append_time: i64::from_le_bytes(field(h, at::APPEND_TIME)),
    }
}

fn write_server_fields(h: &mut [u8; HEADER_LEN], fields: &ServerFields) {
    put(h, at::BASE_OFFSET, fields.base_offset.to_le_bytes());
    put(h, at::LEADER_EPOCH, fields.leader_epoch.to_le_bytes());
    put(h, at::CHAIN, fields.chain.to_le_bytes());
    put(h, at::INCARNATION, fields.incarnation.to_le_bytes());
    put(h, at::APPEND_TIME, fields.append_time.to_le_bytes());
}

fn field<const N: usize>(h: &[u8; HEADER_LEN], at: usize) -> [u8; N] {
    let mut out = [0; N];
    out.copy_from_slice(&h[at..at + N]);
    out
}

fn put<const N: usize>(h: &mut [u8; HEADER_LEN], at: usize, value: [u8; N]) {
    h[at..at + N].copy_from_slice(&value);
}
