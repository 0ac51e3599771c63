//! How the payloads of one segment are stored, and the way back from stored bytes to a batch.

use bytes::BytesMut;
use flymq_types::{BatchHeader, RecordBatch};
use flymq_wire::batch::{BatchFlags, HEADER_LEN, verify_payload_crc};

use super::{SegmentCipher, TAG_BYTES};
use crate::log::Protected;

/// What stands between a segment's stored bytes and its batches.
#[derive(Debug)]
pub(crate) enum Protection {
    Plain,
    Encrypted(Box<SegmentCipher>),
    /// Encrypted, but both copies of the data key are damaged: no batch can be read.
    KeyLost,
}

/// For bytes that belong to no encrypted segment.
pub(crate) static PLAIN: Protection = Protection::Plain;

impl Protection {
    pub fn cipher(&self) -> Option<&SegmentCipher> {
        match self {
            Self::Encrypted(cipher) => Some(cipher),
            Self::Plain | Self::KeyLost => None,
        }
    }

    /// The count that a segment so protected belongs to.
    pub fn count_in<'a>(&self, counts: &'a mut Protected) -> &'a mut usize {
        match self {
            Self::Plain => &mut counts.plain,
            Self::Encrypted(cipher) if cipher.is_current() => &mut counts.current,
            Self::Encrypted(_) => &mut counts.older,
            Self::KeyLost => &mut counts.lost,
        }
    }

    /// Whether the data key is not yet wrapped by the current key, in both of its copies.
    pub fn needs_rewrap(&self) -> bool {
        self.cipher().is_some_and(|cipher| !cipher.is_current())
    }

    /// Whether `batches` more may be appended to a segment so protected, by a directory that encrypts or does not.
    pub fn accepts(&self, encrypting: bool, batches: usize) -> bool {
        match self {
            Self::Plain => !encrypting,
            Self::Encrypted(cipher) => encrypting && cipher.can_seal(batches as u64),
            Self::KeyLost => false,
        }
    }

    /// Bytes by which a batch grows on its way to the disk.
    pub fn overhead(&self) -> usize {
        match self {
            Self::Plain => 0,
            Self::Encrypted(_) | Self::KeyLost => TAG_BYTES,
        }
    }

    /// Whether a batch with this header can stand in the segment at all.
    pub fn fits(&self, header: &BatchHeader) -> bool {
        let encrypted = header.flags.contains(BatchFlags::ENCRYPTED);
        match self {
            Self::Plain => !encrypted,
            Self::Encrypted(_) | Self::KeyLost => encrypted,
        }
    }

    /// The batch in `stored`, decrypted where need be and checked. `None` if it is not as it was written.
    pub fn batch(&self, header: &BatchHeader, stored: BytesMut) -> Option<RecordBatch> {
        if !self.fits(header) {
            return None;
        }
        let bytes = match self {
            Self::Plain => stored.freeze(),
            Self::Encrypted(cipher) => cipher.open_batch(header, stored)?,
            Self::KeyLost => return None,
        };
        RecordBatch::from_log(bytes).ok()
    }

    /// Whether a stored payload is as it was written.
    pub fn verifies(&self, header: &BatchHeader, head: &[u8; HEADER_LEN], payload: &[u8]) -> bool {
        match self {
            Self::Plain => verify_payload_crc(header, payload).is_ok(),
            Self::Encrypted(cipher) => {
                let mut copy = payload.to_vec();
                let plain = cipher.open_payload(header, head, &mut copy);
                plain.is_some_and(|plain| crc32c::crc32c(plain) == header.payload_crc)
            }
            Self::KeyLost => false,
        }
    }
}
