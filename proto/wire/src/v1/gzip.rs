//! Compressed requests.

use std::io::Read;

use bytes::Bytes;
use flate2::bufread::GzDecoder;

use super::reply::flag;
pub use crate::compress::InflateLimits;
use crate::{
    batch::Compression,
    compress::{self, claimed_len},
};

/// Why a compressed payload cannot be used. The connection lives on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InflateError {
    /// Not gzip, or damaged.
    #[error("gzip: invalid header or data")]
    Invalid,
    /// More bytes come out than allowed.
    #[error("gzip: more than {limit} bytes after inflating")]
    TooLarge {
        /// Bytes allowed for this payload.
        limit: usize,
    },
}

/// The payload of a request, inflated if the frame's flags ask for it. Plain payloads are not copied.
///
/// Only gzip exists: the LZ4 (0x04) and Snappy (0x08) codes come with plain payloads; Zstandard's (0x06) has the gzip
/// bit set and is read as gzip, as it always was.
///
/// # Errors
/// Any [`InflateError`].
pub fn inflate(flags: u8, payload: Bytes, limits: &InflateLimits) -> Result<Bytes, InflateError> {
    if flags & flag::GZIP == 0 {
        return Ok(payload);
    }
    let limit = limits.of(payload.len());
    // The length at the end of the last member: where that alone is too much, nothing has to be inflated to know.
    if let Err(compress::InflateError::TooLarge { limit }) = claimed_len(Compression::Gzip, &payload, limits)
    {
        return Err(InflateError::TooLarge { limit });
    }
    let mut inflated = Vec::new();
    let read = GzDecoder::new(&payload[..]).take(limit as u64 + 1).read_to_end(&mut inflated);
    if inflated.len() > limit {
        return Err(InflateError::TooLarge { limit });
    }
    read.map_err(|_| InflateError::Invalid)?;
    Ok(Bytes::from(inflated))
}

/// Compresses a request's payload: for a client, to be sent with flags [`flag::BINARY`] and [`flag::GZIP`].
pub fn deflate(payload: &[u8]) -> Bytes {
    let mut compressed = Vec::new();
    flate2::read::GzEncoder::new(payload, flate2::Compression::default())
        .read_to_end(&mut compressed)
        .expect("reading from memory does not fail");
    Bytes::from(compressed)
}
