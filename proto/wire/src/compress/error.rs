//! What can be wrong with compressed bytes.

use crate::batch::Compression;

/// Why a compressed payload cannot be used. No variant carries user data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InflateError {
    /// Not of the codec, damaged, cut short, or of another length than it claims.
    #[error("not valid {0} data")]
    Invalid(Compression),
    /// More bytes come out than allowed.
    #[error("more than {limit} bytes after inflating")]
    TooLarge {
        /// Bytes allowed for a payload of this length.
        limit: usize,
    },
    /// Bytes follow the one frame, member or block that a payload is.
    #[error("{extra} bytes follow the compressed data")]
    TrailingBytes {
        /// How many.
        extra: usize,
    },
}
