//! Zstandard: one frame.

use std::ops::RangeInclusive;

use zstd::{
    bulk::{Compressor, Decompressor},
    zstd_safe::{find_frame_compressed_size, get_frame_content_size},
};

use super::InflateError;
use crate::batch::Compression;

pub(super) const LEVELS: RangeInclusive<i32> = 1..=22;
/// The fastest of the standard levels: on JSON lines it already wins most of what higher ones do.
const DEFAULT_LEVEL: i32 = 1;
const MAGIC: [u8; 4] = 0xFD2F_B528_u32.to_le_bytes();
const INVALID: InflateError = InflateError::Invalid(Compression::Zstd);

pub(super) fn compress(level: Option<i32>, plain: &[u8]) -> Vec<u8> {
    let level = level.unwrap_or(DEFAULT_LEVEL);
    let packed = Compressor::new(level).and_then(|mut compressor| compressor.compress(plain));
    packed.expect("compressing memory into a buffer of the bound's size fails only without memory")
}

/// `None`: written by a compressor that did not know the length.
pub(super) fn claimed_len(packed: &[u8]) -> Result<Option<u64>, InflateError> {
    if !packed.starts_with(&MAGIC) {
        return Err(INVALID);
    }
    get_frame_content_size(packed).map_err(|_| INVALID)
}

/// In one go into a buffer of the final size, so that the frame's window costs nothing, however large it says it is.
pub(super) fn inflate(packed: &[u8], plain: &mut [u8]) -> Result<usize, InflateError> {
    let frame = find_frame_compressed_size(packed).map_err(|_| INVALID)?;
    if frame < packed.len() {
        return Err(InflateError::TrailingBytes { extra: packed.len() - frame });
    }
    let inflated = Decompressor::new().and_then(|mut codec| codec.decompress_to_buffer(packed, plain));
    inflated.map_err(
        |error| if is_full(&error) { InflateError::TooLarge { limit: plain.len() } } else { INVALID },
    )
}

/// Whether the output did not fit. The crate passes on only the library's text.
fn is_full(error: &std::io::Error) -> bool {
    error.to_string().contains("too small")
}
