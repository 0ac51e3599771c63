//! The 8-byte frame header.

use super::error::FrameError;

/// Bytes of the header; the payload follows.
pub const HEADER_LEN: usize = 8;
/// First byte of every frame.
pub const MAGIC: u8 = 0xAF;
/// First byte of the retired protocol; it gets an error that says so.
pub const LEGACY_MAGIC: u8 = 0xFB;
/// Largest payload of any frame: 32 MiB, that length included.
pub const MAX_PAYLOAD: u32 = 32 << 20;
/// Largest payload before login, on a server where login is needed: 64 KiB.
pub const LIMIT_BEFORE_LOGIN: u32 = 64 << 10;

/// Version of the frame, which decides what op, flags and payload mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Version {
    /// The wire of the clients in the field, see [`crate::v1`].
    V1 = 1,
    /// The wire of our client core, see [`crate::v2`].
    V2 = 2,
}

impl Version {
    /// From the header byte.
    ///
    /// # Errors
    /// [`FrameError::BadVersion`].
    pub fn from_byte(byte: u8) -> Result<Self, FrameError> {
        match byte {
            1 => Ok(Self::V1),
            2 => Ok(Self::V2),
            found => Err(FrameError::BadVersion { found }),
        }
    }
}

/// A decoded frame header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameHeader {
    /// Version byte.
    pub version: Version,
    /// Op code.
    pub op: u8,
    /// Flag bits of that version.
    pub flags: u8,
    /// Payload bytes that follow.
    pub len: u32,
}

impl FrameHeader {
    /// The header's bytes.
    pub fn encode(&self) -> [u8; HEADER_LEN] {
        let [a, b, c, d] = self.len.to_be_bytes();
        [MAGIC, self.version as u8, self.op, self.flags, a, b, c, d]
    }

    /// Reads the header at the front of `bytes`. `None` when there is nothing wrong yet but bytes are missing: a
    /// wrong magic is reported from one byte on, a wrong version from two.
    ///
    /// # Errors
    /// Any [`FrameError`] but `VersionChanged`; `limit` is the largest payload accepted.
    pub fn peek(bytes: &[u8], limit: u32) -> Result<Option<Self>, FrameError> {
        match bytes.first() {
            None => return Ok(None),
            Some(&MAGIC) => {}
            Some(&LEGACY_MAGIC) => return Err(FrameError::LegacyMagic),
            Some(&found) => return Err(FrameError::BadMagic { found }),
        }
        let Some(&version) = bytes.get(1) else { return Ok(None) };
        let version = Version::from_byte(version)?;
        let Some(&[_, _, op, flags, a, b, c, d]) = bytes.first_chunk::<HEADER_LEN>() else { return Ok(None) };
        let len = u32::from_be_bytes([a, b, c, d]);
        if len > limit {
            return Err(FrameError::TooLarge { len, limit });
        }
        Ok(Some(Self { version, op, flags, len }))
    }
}
