//! Cutting a byte stream into frames.

use bytes::{Bytes, BytesMut};

use super::error::FrameError;
use super::header::{FrameHeader, HEADER_LEN, MAX_PAYLOAD, Version};

/// A whole frame. The payload shares the memory that the socket was read into.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// Version byte.
    pub version: Version,
    /// Op code.
    pub op: u8,
    /// Flag bits of that version.
    pub flags: u8,
    /// What follows the header.
    pub payload: Bytes,
}

/// How many bytes the buffer may grow by on the word of a length field alone, by default.
const DEFAULT_AHEAD: usize = 64 << 10;

/// Incremental decoder: feed the buffer, ask for frames until there is none. Fails for good at the first error.
///
/// A length field is not believed: the buffer grows by at most the bytes that have arrived or `ahead`, whichever is
/// more. So a peer that announces 32 MiB and sends nothing costs 64 KiB, and reading a large frame still takes few
/// reallocations.
#[derive(Debug, Clone)]
pub struct FrameDecoder {
    limit: u32,
    ahead: usize,
    version: Option<Version>,
    failed: Option<FrameError>,
}

impl Default for FrameDecoder {
    fn default() -> Self {
        Self::new(MAX_PAYLOAD)
    }
}

impl FrameDecoder {
    /// Accepts payloads of up to `limit` bytes.
    pub fn new(limit: u32) -> Self {
        Self { limit, ahead: DEFAULT_AHEAD, version: None, failed: None }
    }

    /// Sets how many bytes may be reserved before they arrive.
    #[must_use]
    pub fn with_ahead(mut self, bytes: usize) -> Self {
        self.ahead = bytes;
        self
    }

    /// Accepts only frames of this version, from the first one on.
    #[must_use]
    pub fn with_version(mut self, version: Version) -> Self {
        self.version = Some(version);
        self
    }

    /// Changes the largest accepted payload, e.g. after login.
    pub fn set_limit(&mut self, limit: u32) {
        self.limit = limit;
    }

    /// The version of the connection: that of its first frame.
    pub fn version(&self) -> Option<Version> {
        self.version
    }

    /// Takes the next frame off the front of `buf`; `None` when more bytes are needed, for which there is room then.
    ///
    /// # Errors
    /// Any [`FrameError`]; from then on always the same one.
    pub fn decode(&mut self, buf: &mut BytesMut) -> Result<Option<Frame>, FrameError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        let result = self.try_decode(buf);
        self.failed = result.as_ref().err().copied();
        result
    }

    fn try_decode(&mut self, buf: &mut BytesMut) -> Result<Option<Frame>, FrameError> {
        let Some(header) = FrameHeader::peek(buf, self.limit)? else { return Ok(None) };
        match self.version {
            Some(expected) if expected != header.version => {
                return Err(FrameError::VersionChanged { expected, found: header.version });
            }
            _ => self.version = Some(header.version),
        }
        let need = HEADER_LEN + header.len as usize;
        if buf.len() < need {
            let missing = need - buf.len();
            buf.reserve(missing.min(self.ahead.max(buf.len())));
            return Ok(None);
        }
        let payload = buf.split_to(need).freeze().slice(HEADER_LEN..);
        Ok(Some(Frame { version: header.version, op: header.op, flags: header.flags, payload }))
    }
}
