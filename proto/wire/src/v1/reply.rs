//! Framing of replies, for both sides.

use super::{DecodeError, EncodeError, ErrorReply, Layout, Reader, ReplayReply, Writer, op};
use crate::frame::{Frame, FrameParts, Version};

/// Flag bits of version 1.
pub mod flag {
    /// Set on every request (but the Java audit calls') and on every reply.
    pub const BINARY: u8 = 0x01;
    /// The compression bits of a request.
    pub const COMPRESSION: u8 = 0x0E;
    /// The bit that means gzip.
    pub const GZIP: u8 = 0x02;
}

/// Why a reply is not what was asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReplyError {
    /// The server answered with an error frame.
    #[error("server error: {}", .0.text)]
    Server(ErrorReply),
    /// The reply's op is not that of the request.
    #[error("reply has op {found:#04x}, expected {expected:#04x}")]
    WrongOp {
        /// Op of the reply that was due.
        expected: u8,
        /// Op of the reply that came.
        found: u8,
    },
    /// The body is malformed.
    #[error(transparent)]
    Decode(#[from] DecodeError),
}

/// The reply to a request with op `request_op`.
///
/// # Errors
/// Any [`EncodeError`].
pub fn reply_frame<T: Layout>(request_op: u8, body: &T) -> Result<FrameParts, EncodeError> {
    let mut writer = Writer::default();
    writer.put(body);
    writer.into_frame(Version::V1, op::reply_to(request_op), flag::BINARY, [])
}

impl ReplayReply {
    /// The reply frame.
    ///
    /// # Errors
    /// Any [`EncodeError`].
    pub fn into_frame(self) -> Result<FrameParts, EncodeError> {
        match self {
            Self::ById(body) => reply_frame(op::REPLAY_DLQ, &body),
            Self::ByOffset(body) => reply_frame(op::REPLAY_DLQ, &body),
        }
    }
}

/// Reads the reply to a request with op `request_op`, as a client. Bytes after the last field are ignored.
///
/// # Errors
/// Any [`ReplyError`].
pub fn read_reply<T: Layout>(request_op: u8, frame: &Frame) -> Result<T, ReplyError> {
    if frame.op == op::ERROR {
        return Err(ReplyError::Server(ErrorReply::read(&frame.payload)));
    }
    let expected = op::reply_to(request_op);
    if frame.op != expected {
        return Err(ReplyError::WrongOp { expected, found: frame.op });
    }
    Ok(Reader::new(frame.payload.clone()).get()?)
}
