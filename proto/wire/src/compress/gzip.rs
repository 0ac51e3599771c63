//! gzip: one member.

use std::{io::Read, ops::RangeInclusive};

use flate2::{Compression as Level, bufread::GzDecoder, read::GzEncoder};

use super::InflateError;
use crate::batch::Compression;

pub(super) const LEVELS: RangeInclusive<i32> = 0..=9;
const DEFAULT_LEVEL: u32 = 6;
const INVALID: InflateError = InflateError::Invalid(Compression::Gzip);
/// A header of ten bytes, at least two of deflate, crc and length.
const MIN_LEN: usize = 20;

pub(super) fn compress(level: Option<i32>, plain: &[u8]) -> Vec<u8> {
    let level = level.and_then(|level| u32::try_from(level).ok()).unwrap_or(DEFAULT_LEVEL);
    let mut packed = Vec::with_capacity(plain.len() / 4);
    GzEncoder::new(plain, Level::new(level))
        .read_to_end(&mut packed)
        .expect("reading from memory does not fail");
    packed
}

/// The length in the trailer: exact for less than 4 GiB, which no limit reaches.
pub(super) fn claimed_len(packed: &[u8]) -> Result<u64, InflateError> {
    if packed.len() < MIN_LEN || !packed.starts_with(&[0x1f, 0x8b]) {
        return Err(INVALID);
    }
    let length = packed.last_chunk().ok_or(INVALID)?;
    Ok(u64::from(u32::from_le_bytes(*length)))
}

/// Fills `plain`, no less and no more, and reads the trailer, which is checked.
pub(super) fn inflate(packed: &[u8], plain: &mut [u8]) -> Result<usize, InflateError> {
    let mut decoder = GzDecoder::new(packed);
    decoder.read_exact(plain).map_err(|_| INVALID)?;
    // The end of the member, with its crc and length, is only seen by asking for more.
    match decoder.read(&mut [0]) {
        Ok(0) => {}
        Ok(_) | Err(_) => return Err(INVALID),
    }
    match decoder.into_inner().len() {
        0 => Ok(plain.len()),
        extra => Err(InflateError::TrailingBytes { extra }),
    }
}
