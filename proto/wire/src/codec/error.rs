//! Why a body cannot be decoded or encoded.

use crate::frame::MAX_PAYLOAD;

/// Why a body cannot be decoded. The connection lives on: the frame boundary is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// A field or a length asks for more bytes than there are.
    #[error("buffer too small")]
    Truncated,
    /// A text field is not UTF-8.
    #[error("invalid binary format: text is not UTF-8")]
    InvalidUtf8,
    /// A field has a value outside its range.
    #[error("invalid binary format: bad {0}")]
    BadValue(&'static str),
    /// Bytes follow the last field of a version 2 body.
    #[error("invalid binary format: {0} bytes follow the last field")]
    TrailingBytes(usize),
    /// The op code has no layout.
    #[error("unknown opcode: {0}")]
    UnknownOp(u8),
}

/// Why a value cannot be encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    /// A text, list or byte field is longer than its length field can say.
    #[error("field of {len} does not fit its length field (at most {max})")]
    FieldTooLong {
        /// Bytes or items.
        len: usize,
        /// Bytes or items that fit.
        max: usize,
    },
    /// The payload is above [`MAX_PAYLOAD`].
    #[error("payload is above {MAX_PAYLOAD} bytes")]
    FrameTooLarge,
}
