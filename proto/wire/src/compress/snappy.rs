//! Snappy: one raw block, which begins with its length.

use snap::raw::{Decoder, Encoder, decompress_len};

use super::InflateError;
use crate::batch::Compression;

const INVALID: InflateError = InflateError::Invalid(Compression::Snappy);

/// More than 4 GiB, which Snappy cannot do, are returned as they are; no batch is that large.
pub(super) fn compress(plain: &[u8]) -> Vec<u8> {
    Encoder::new().compress_vec(plain).unwrap_or_else(|_| plain.to_vec())
}

pub(super) fn claimed_len(packed: &[u8]) -> Result<u64, InflateError> {
    if packed.is_empty() {
        return Err(INVALID);
    }
    decompress_len(packed).map(|length| length as u64).map_err(|_| INVALID)
}

/// The block fills exactly the length it claims, which was checked; bytes after it, and too few, are damage to Snappy.
pub(super) fn inflate(packed: &[u8], plain: &mut [u8]) -> Result<usize, InflateError> {
    Decoder::new().decompress(packed, plain).map_err(|_| INVALID)
}
