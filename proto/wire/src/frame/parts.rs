//! An encoded frame whose large parts are shared, not copied.

use std::collections::VecDeque;
use std::io::IoSlice;

use bytes::{Buf, BufMut, Bytes, BytesMut};

use super::header::{FrameHeader, HEADER_LEN, MAX_PAYLOAD, Version};

/// A frame ready for the socket: one small piece with the header and the body's fixed fields, then the pieces that
/// are shared with whoever holds them (batches of the log, values).
///
/// It is a [`Buf`] that offers its pieces to vectored writes, so `AsyncWriteExt::write_all_buf` or `write_buf` of
/// tokio sends it with `writev` and without copying.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FrameParts {
    parts: VecDeque<Bytes>,
    remaining: usize,
}

impl FrameParts {
    /// A frame out of the body's own bytes, for which `head` begins with [`HEADER_LEN`] bytes of room, and shared
    /// pieces that follow it.
    ///
    /// `None` when the payload would be above [`MAX_PAYLOAD`].
    pub(crate) fn seal(
        version: Version,
        op: u8,
        flags: u8,
        mut head: BytesMut,
        tail: impl IntoIterator<Item = Bytes>,
    ) -> Option<Self> {
        debug_assert!(head.len() >= HEADER_LEN, "the caller leaves room for the frame header");
        let tail = tail.into_iter();
        let mut parts = VecDeque::with_capacity(1 + tail.size_hint().0);
        parts.push_back(Bytes::new());
        parts.extend(tail.filter(|part| !part.is_empty()));
        let remaining = head.len() + parts.iter().map(Bytes::len).sum::<usize>();
        let len = u32::try_from(remaining - HEADER_LEN).ok().filter(|len| *len <= MAX_PAYLOAD)?;
        head[..HEADER_LEN].copy_from_slice(&FrameHeader { version, op, flags, len }.encode());
        parts[0] = head.freeze();
        Some(Self { parts, remaining })
    }

    /// A frame around a finished payload, which is not copied.
    ///
    /// `None` when the payload is above [`MAX_PAYLOAD`].
    pub fn new(version: Version, op: u8, flags: u8, payload: Bytes) -> Option<Self> {
        let mut head = BytesMut::with_capacity(HEADER_LEN);
        head.put_bytes(0, HEADER_LEN);
        Self::seal(version, op, flags, head, [payload])
    }

    /// The pieces that are left, in order.
    pub fn parts(&self) -> impl Iterator<Item = &Bytes> {
        self.parts.iter()
    }

    /// All bytes that are left as one piece; copies if there is more than one.
    pub fn into_bytes(mut self) -> Bytes {
        self.copy_to_bytes(self.remaining)
    }
}

impl Buf for FrameParts {
    fn remaining(&self) -> usize {
        self.remaining
    }

    fn chunk(&self) -> &[u8] {
        self.parts.front().map_or(&[], |part| &part[..])
    }

    fn chunks_vectored<'a>(&'a self, dst: &mut [IoSlice<'a>]) -> usize {
        let mut count = 0;
        for (slot, part) in dst.iter_mut().zip(&self.parts) {
            *slot = IoSlice::new(part);
            count += 1;
        }
        count
    }

    fn advance(&mut self, mut count: usize) {
        assert!(count <= self.remaining, "advance past the end of a frame");
        self.remaining -= count;
        while let Some(front) = self.parts.front_mut() {
            if count < front.len() {
                front.advance(count);
                return;
            }
            count -= front.len();
            self.parts.pop_front();
        }
    }

    fn copy_to_bytes(&mut self, len: usize) -> Bytes {
        assert!(len <= self.remaining, "read past the end of a frame");
        match self.parts.front_mut() {
            Some(front) if len < front.len() => {
                self.remaining -= len;
                front.split_to(len)
            }
            Some(front) if len == front.len() => {
                self.remaining -= len;
                self.parts.pop_front().unwrap_or_default()
            }
            _ => {
                let mut out = BytesMut::with_capacity(len);
                out.put(self.take(len));
                out.freeze()
            }
        }
    }
}
