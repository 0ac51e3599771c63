//! What can be wrong with the bytes of a batch.

use super::header::Compression;
use crate::compress::InflateError;

/// Why bytes are not a valid batch, or a record cannot go into one. No variant carries user data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BatchError {
    /// Fewer bytes than the header, or than the header's payload length, asks for.
    #[error("batch is cut short: {have} of {need} bytes")]
    Truncated {
        /// Bytes the batch must have.
        need: usize,
        /// Bytes there are.
        have: usize,
    },
    /// Bytes follow where exactly one batch was expected.
    #[error("{extra} bytes follow the batch")]
    TrailingBytes {
        /// How many.
        extra: usize,
    },
    /// The first four bytes are not `FQB1`.
    #[error("not a record batch: magic {found:#010x}")]
    BadMagic {
        /// The four bytes, read little-endian.
        found: u32,
    },
    /// A format version this build does not know.
    #[error("unknown batch format version {found}")]
    BadVersion {
        /// The version byte.
        found: u8,
    },
    /// A compression code outside 0..=4.
    #[error("unknown compression code {found}")]
    BadCompression {
        /// The compression byte.
        found: u8,
    },
    /// Flag bits without a meaning, or that the sender may not set.
    #[error("batch flags {found:#06x} are not allowed here")]
    BadFlags {
        /// All flag bits of the header.
        found: u16,
    },
    /// A reserved header field is not zero.
    #[error("a reserved header field is not zero")]
    BadReserved,
    /// A batch names a producer and no sequence of its first record.
    #[error("a batch with a producer id begins with sequence 0 or above, this one with {found}")]
    BadSequence {
        /// The base sequence.
        found: i32,
    },
    /// The record count is zero.
    #[error("a batch must hold at least one record")]
    Empty,
    /// The header's checksum does not match.
    #[error("header crc is {stored:#010x}, bytes give {computed:#010x}")]
    HeaderCrc {
        /// The checksum in the header.
        stored: u32,
        /// The checksum of the bytes.
        computed: u32,
    },
    /// The payload's checksum does not match.
    #[error("payload crc is {stored:#010x}, bytes give {computed:#010x}")]
    PayloadCrc {
        /// The checksum in the header.
        stored: u32,
        /// The checksum of the bytes.
        computed: u32,
    },
    /// A record's fields do not fit its length, or its attributes contradict each other.
    #[error("record {index} is malformed")]
    BadRecord {
        /// Index in the batch, from 0.
        index: u32,
    },
    /// A record header's name is not UTF-8.
    #[error("record {index} has a header name that is not UTF-8")]
    BadHeaderName {
        /// Index in the batch, from 0.
        index: u32,
    },
    /// The payload does not hold as many records as the header says.
    #[error("header says {expected} records, payload holds {found}")]
    CountMismatch {
        /// Record count of the header.
        expected: u32,
        /// Records found; where the payload holds more, this is `expected + 1`.
        found: u32,
    },
    /// The header's first or max timestamp is not that of the records.
    #[error("header timestamps do not match the records")]
    TimestampMismatch,
    /// The records of a compressed payload were asked for without decompressing it.
    #[error("payload is compressed ({0:?})")]
    Compressed(Compression),
    /// A compressed payload cannot be inflated within the limits.
    #[error("compressed payload: {0}")]
    Inflate(#[from] InflateError),
    /// A key, value, header or the whole batch is longer than its length field can say.
    #[error("record or batch does not fit its length field")]
    TooLarge,
}
