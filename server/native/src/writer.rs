//! Frames to a socket.

use std::{
    collections::VecDeque,
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Buf as _;
use flymq_wire::frame::FrameParts;
use tokio::io::{AsyncWrite, AsyncWriteExt as _};

/// Pieces handed to one `writev`.
const SLICES: usize = 64;

/// A queue of frames in front of a socket. Frames go out in order, many per system call, and the batches in them
/// are never copied.
#[derive(Debug)]
pub(crate) struct FrameWriter<W> {
    socket: W,
    queue: VecDeque<FrameParts>,
    bytes: usize,
}

impl<W: AsyncWrite + Unpin> FrameWriter<W> {
    pub(crate) fn new(socket: W) -> Self {
        Self { socket, queue: VecDeque::new(), bytes: 0 }
    }

    pub(crate) fn push(&mut self, frame: FrameParts) {
        self.bytes += frame.remaining();
        self.queue.push_back(frame);
    }

    /// Queues a frame, if there is one.
    pub(crate) fn push_some(&mut self, frame: Option<FrameParts>) {
        frame.into_iter().for_each(|frame| self.push(frame));
    }

    /// Bytes that wait.
    pub(crate) fn queued(&self) -> usize {
        self.bytes
    }

    /// Writes once. Loses nothing when pending.
    pub(crate) fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let mut slices = [IoSlice::new(&[]); SLICES];
        let mut used = 0;
        for frame in &self.queue {
            used += frame.chunks_vectored(&mut slices[used..]);
            if used == SLICES {
                break;
            }
        }
        let written = ready!(Pin::new(&mut self.socket).poll_write_vectored(cx, &slices[..used]))?;
        if written == 0 {
            return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
        }
        self.advance(written);
        Poll::Ready(Ok(written))
    }

    fn advance(&mut self, mut written: usize) {
        self.bytes -= written;
        while let Some(front) = self.queue.front_mut() {
            let step = written.min(front.remaining());
            front.advance(step);
            written -= step;
            if front.has_remaining() {
                return;
            }
            self.queue.pop_front();
        }
    }

    /// Writes all that waits.
    pub(crate) async fn flush(&mut self) -> io::Result<()> {
        while self.bytes > 0 {
            std::future::poll_fn(|cx| self.poll_write(cx)).await?;
        }
        Ok(())
    }

    /// Writes all that waits and tells the peer that no more will come.
    pub(crate) async fn finish(&mut self) -> io::Result<()> {
        self.flush().await?;
        self.socket.shutdown().await
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use flymq_wire::{
        frame::{FrameDecoder, Version},
        v2::FetchReply,
    };
    use tokio::io::AsyncReadExt as _;

    use super::*;

    fn reply(runs: usize) -> FrameParts {
        let runs = (0..runs).map(|n| Bytes::from(vec![n as u8; 100 + n])).collect();
        let reply = FetchReply { high_watermark: 9, log_start: 0, log_end: 9, next_offset: 9, runs };
        reply.encode(7).expect("small")
    }

    #[tokio::test]
    async fn frames_of_many_pieces_come_out_whole_and_in_order_through_a_narrow_pipe() {
        let (near, mut far) = tokio::io::duplex(37);
        let counts = [0, 200, 1, 3, 70];
        let mut expected = Vec::new();
        for count in counts {
            expected.extend_from_slice(&reply(count).into_bytes());
        }
        let write = async move {
            let mut writer = FrameWriter::new(near);
            counts.iter().for_each(|count| writer.push(reply(*count)));
            writer.finish().await.expect("the pipe is open");
            assert_eq!(writer.queued(), 0);
        };
        let read = async {
            let mut got = Vec::new();
            far.read_to_end(&mut got).await.expect("the pipe is open");
            got
        };
        let ((), got) = tokio::join!(write, read);
        assert_eq!(got, expected);
        let mut buf = bytes::BytesMut::from(&got[..]);
        let mut decoder = FrameDecoder::default();
        for _ in counts {
            let frame = decoder.decode(&mut buf).expect("sound").expect("whole");
            assert_eq!(frame.version, Version::V2);
        }
    }
}
