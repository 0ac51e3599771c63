//! Reads little-endian bytes that may be wrong in any way.

use bytes::{Buf, Bytes};

/// Why bytes make no sense to this build.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CodecError {
    #[error("the bytes end too early")]
    Short,
    #[error("{0} bytes too many")]
    Trailing(usize),
    #[error("format version {0} of {1}: use a newer FlyMQ")]
    Version(u8, &'static str),
    #[error("{1} {0} is not known: use a newer FlyMQ")]
    Kind(u8, &'static str),
    #[error("a text is not UTF-8")]
    Text,
}

/// A place in bytes; what it hands out shares them.
#[derive(Debug)]
pub(crate) struct Reader(Bytes);

impl Reader {
    pub(crate) fn new(bytes: Bytes) -> Self {
        Self(bytes)
    }

    pub(crate) fn u8(&mut self) -> Result<u8, CodecError> {
        self.0.try_get_u8().map_err(|_| CodecError::Short)
    }

    pub(crate) fn u32(&mut self) -> Result<u32, CodecError> {
        self.0.try_get_u32_le().map_err(|_| CodecError::Short)
    }

    pub(crate) fn u64(&mut self) -> Result<u64, CodecError> {
        self.0.try_get_u64_le().map_err(|_| CodecError::Short)
    }

    /// 0 or 1 only: the same value has one encoding.
    pub(crate) fn bool(&mut self) -> Result<bool, CodecError> {
        match self.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            other => Err(CodecError::Kind(other, "truth value")),
        }
    }

    /// A `u32` length, then so many bytes.
    pub(crate) fn bytes(&mut self) -> Result<Bytes, CodecError> {
        let len = self.u32()? as usize;
        if len > self.0.len() {
            return Err(CodecError::Short);
        }
        Ok(self.0.split_to(len))
    }

    pub(crate) fn text(&mut self) -> Result<String, CodecError> {
        String::from_utf8(self.bytes()?.to_vec()).map_err(|_| CodecError::Text)
    }

    /// A version byte, which must be the one that this build knows.
    pub(crate) fn version(&mut self, known: u8, what: &'static str) -> Result<(), CodecError> {
        let found = self.u8()?;
        if found == known { Ok(()) } else { Err(CodecError::Version(found, what)) }
    }

    /// All that is left.
    pub(crate) fn rest(&mut self) -> Bytes {
        std::mem::take(&mut self.0)
    }

    pub(crate) fn left(&self) -> usize {
        self.0.len()
    }
}

/// The value, if nothing is left behind it.
pub(crate) fn done<T>(from: &Reader, value: T) -> Result<T, CodecError> {
    if from.left() == 0 { Ok(value) } else { Err(CodecError::Trailing(from.left())) }
}
