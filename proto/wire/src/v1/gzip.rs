//! Compressed requests.

use std::io::Read;

use bytes::Bytes;

use super::reply::flag;
pub use crate::compress::InflateLimits;
use crate::{batch::Compression, compress};

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
    // It allocates what the member says that it holds, once and within the limit, and stops there.
    compress::inflate(Compression::Gzip, &payload, limits).map_err(|error| match error {
        compress::InflateError::TooLarge { limit } => InflateError::TooLarge { limit },
        compress::InflateError::Invalid(_) | compress::InflateError::TrailingBytes { .. } => {
            InflateError::Invalid
        }
    })
}

/// Compresses a request's payload: for a client, to be sent with flags [`flag::BINARY`] and [`flag::GZIP`].
pub fn deflate(payload: &[u8]) -> Bytes {
    let mut compressed = Vec::new();
    flate2::read::GzEncoder::new(payload, flate2::Compression::default())
        .read_to_end(&mut compressed)
        .expect("reading from memory does not fail");
    Bytes::from(compressed)
}
