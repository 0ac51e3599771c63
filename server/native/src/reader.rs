//! Frames from a socket.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::BytesMut;
use flymq_wire::frame::{Frame, FrameDecoder, FrameError, Version};
use tokio::io::AsyncRead;
use tokio_util::io::poll_read_buf;

/// Bytes asked of the socket at a time, at least.
const CHUNK: usize = 64 << 10;
/// Below this much room the buffer is renewed (or reused, when all frames cut from it are gone).
const MIN_ROOM: usize = 4 << 10;
/// How far the buffer may grow ahead of a large frame's bytes. Not resident before the bytes arrive.
const AHEAD: usize = 1 << 20;

/// Cuts what a socket gives into frames. A frame's payload shares the memory that the socket was read into, and the
/// buffer's memory is reused once no frame holds it.
#[derive(Debug)]
pub(crate) struct FrameReader<R> {
    socket: R,
    buf: BytesMut,
    decoder: FrameDecoder,
}

impl<R: AsyncRead + Unpin> FrameReader<R> {
    pub(crate) fn new(socket: R, limit: u32) -> Self {
        Self { socket, buf: BytesMut::new(), decoder: FrameDecoder::new(limit) }
    }

    /// The next whole frame among the bytes at hand.
    pub(crate) fn buffered(&mut self) -> Result<Option<Frame>, FrameError> {
        self.decoder.decode(&mut self.buf)
    }

    /// Reads what the socket has, at least one byte; 0 at its end. Loses nothing when dropped.
    pub(crate) async fn fill(&mut self) -> io::Result<usize> {
        std::future::poll_fn(|cx| self.poll_fill(cx)).await
    }

    pub(crate) fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if self.buf.capacity() - self.buf.len() < MIN_ROOM {
            self.buf.reserve(CHUNK);
        }
        let read = ready!(poll_read_buf(Pin::new(&mut self.socket), cx, &mut self.buf))?;
        Poll::Ready(Ok(read))
    }

    /// Whether part of a frame has arrived.
    pub(crate) fn has_part(&self) -> bool {
        !self.buf.is_empty()
    }

    /// The peer is known: changes the frame limit, and lets large frames be read in few steps.
    pub(crate) fn trust(&mut self, limit: u32) {
        self.decoder.set_limit(limit);
        self.decoder = std::mem::take(&mut self.decoder).with_ahead(AHEAD);
    }

    /// The version the peer speaks, as far as its bytes tell.
    pub(crate) fn version(&self) -> Option<Version> {
        self.decoder.version().or_else(|| Version::from_byte(*self.buf.get(1)?).ok())
    }

    /// Throws away what the peer still sends, so that closing the socket does not reset it before the last reply
    /// was read; ends with the peer's end of stream or after 16 MiB.
    pub(crate) async fn discard(&mut self) -> io::Result<()> {
        for _ in 0..256 {
            self.buf.clear();
            if self.fill().await? == 0 {
                break;
            }
        }
        Ok(())
    }
}
