//! Writing fields.

use bytes::{BufMut, Bytes, BytesMut};

use super::{EncodeError, Layout};
use crate::frame::{FrameParts, HEADER_LEN, MAX_PAYLOAD, Version};

/// Collects a frame's payload; remembers the first field that did not fit and reports it at the end.
#[derive(Debug)]
pub struct Writer {
    /// Room for the frame header, then the payload.
    pub(super) buf: BytesMut,
    error: Option<EncodeError>,
}

impl Default for Writer {
    fn default() -> Self {
        Self::with_capacity(64)
    }
}

impl Writer {
    /// An empty payload with room for `payload` bytes.
    pub fn with_capacity(payload: usize) -> Self {
        let mut buf = BytesMut::with_capacity(HEADER_LEN + payload);
        buf.put_bytes(0, HEADER_LEN);
        Self { buf, error: None }
    }

    /// Writes a field.
    pub fn put<T: Layout>(&mut self, field: &T) {
        field.encode(self);
    }

    /// Makes room for `payload` bytes more.
    pub fn reserve(&mut self, payload: usize) {
        self.buf.reserve(payload);
    }

    /// Writes raw bytes.
    pub fn put_slice(&mut self, bytes: &[u8]) {
        self.buf.put_slice(bytes);
    }

    /// Writes a str16.
    pub fn put_str16(&mut self, text: &str) {
        let len = self.fit(text.len(), usize::from(u16::MAX));
        self.buf.put_u16(len as u16);
        self.buf.put_slice(text.as_bytes());
    }

    /// Writes a str8.
    pub fn put_str8(&mut self, text: &str) {
        let len = self.fit(text.len(), usize::from(u8::MAX));
        self.buf.put_u8(len as u8);
        self.buf.put_slice(text.as_bytes());
    }

    /// Writes a bytes32.
    pub fn put_bytes32(&mut self, bytes: &[u8]) {
        self.put_u32_len(bytes.len());
        self.buf.put_slice(bytes);
    }

    /// Writes a u32 count or length.
    pub(crate) fn put_u32_len(&mut self, len: usize) {
        let len = self.fit(len, u32::MAX as usize);
        self.buf.put_u32(len as u32);
    }

    /// Writes a u16 count.
    pub(crate) fn put_u16_len(&mut self, len: usize) {
        let len = self.fit(len, usize::from(u16::MAX));
        self.buf.put_u16(len as u16);
    }

    /// Payload bytes so far.
    pub(crate) fn len(&self) -> usize {
        self.buf.len() - HEADER_LEN
    }

    /// Overwrites four payload bytes at `at` with the number of bytes written after them.
    pub(crate) fn patch_u32_len(&mut self, at: usize) {
        let len = self.fit(self.len() - at - 4, u32::MAX as usize) as u32;
        let at = HEADER_LEN + at;
        self.buf[at..at + 4].copy_from_slice(&len.to_be_bytes());
    }

    fn fit(&mut self, len: usize, max: usize) -> usize {
        if len > max {
            self.error.get_or_insert(EncodeError::FieldTooLong { len, max });
        }
        len.min(max)
    }

    /// The payload alone.
    ///
    /// # Errors
    /// Any [`EncodeError`].
    pub fn into_payload(self) -> Result<Bytes, EncodeError> {
        match self.error {
            Some(error) => Err(error),
            None if self.len() > MAX_PAYLOAD as usize => Err(EncodeError::FrameTooLarge),
            None => Ok(self.buf.freeze().slice(HEADER_LEN..)),
        }
    }

    /// The whole frame, with shared pieces after what was written.
    ///
    /// # Errors
    /// Any [`EncodeError`].
    pub fn into_frame(
        self,
        version: Version,
        op: u8,
        flags: u8,
        tail: impl IntoIterator<Item = Bytes>,
    ) -> Result<FrameParts, EncodeError> {
        match self.error {
            Some(error) => Err(error),
            None => FrameParts::seal(version, op, flags, self.buf, tail).ok_or(EncodeError::FrameTooLarge),
        }
    }
}
