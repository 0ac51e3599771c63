//! The correlation id in front of every version 2 body.

use bytes::Bytes;

use crate::codec::{DecodeError, EncodeError, Reader, Writer};
use crate::frame::{Frame, FrameParts, Version};

/// Bytes of the correlation id.
pub const CORRELATION_LEN: usize = 4;

/// Flag bits of version 2.
pub mod flag {
    /// The body is a protobuf `ErrorDetail` instead of the reply.
    pub const ERROR: u8 = 0x01;
    /// A push: more will follow with the same correlation id.
    pub const MORE: u8 = 0x02;
    /// The last frame of a stream.
    pub const END: u8 = 0x04;
    /// On a request for PRODUCE or FETCH: its body is the rpc's protobuf message, and so is the reply's.
    pub const PROTOBUF: u8 = 0x08;
}

/// A version 2 frame with its correlation id taken off.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Op code.
    pub op: u8,
    /// Bits of [`flag`].
    pub flags: u8,
    /// The requester's number, repeated by the reply.
    pub correlation: u32,
    /// What follows it.
    pub body: Bytes,
}

impl Message {
    /// Takes the correlation id off the payload of a version 2 frame.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`]: there is no correlation id to answer to, so close.
    pub fn from_frame(frame: Frame) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(frame.payload);
        let correlation = reader.get()?;
        Ok(Self { op: frame.op, flags: frame.flags, correlation, body: reader.take_rest() })
    }

    /// Encodes the frame; the body is not copied.
    ///
    /// # Errors
    /// [`EncodeError::FrameTooLarge`].
    pub fn into_frame(self) -> Result<FrameParts, EncodeError> {
        start(self.correlation, 0).into_frame(Version::V2, self.op, self.flags, [self.body])
    }

    /// Whether the body is an `ErrorDetail`.
    pub fn is_error(&self) -> bool {
        self.flags & flag::ERROR != 0
    }

    /// Whether the stream goes on after this push.
    pub fn has_more(&self) -> bool {
        self.flags & flag::MORE != 0
    }

    /// Whether this ends the stream.
    pub fn is_end(&self) -> bool {
        self.flags & flag::END != 0
    }
}

/// A writer that begins with the correlation id and has room for `body` bytes more.
pub(super) fn start(correlation: u32, body: usize) -> Writer {
    let mut writer = Writer::with_capacity(CORRELATION_LEN + body);
    writer.put(&correlation);
    writer
}
