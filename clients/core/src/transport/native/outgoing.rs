//! The way of frames to the socket.
//!
//! Whoever has a frame writes it, in the same call, if nobody else is writing: no other task has to wake up first. Frames
//! that come meanwhile are left to the one who writes; a full socket is left to the connection's own task.

use std::{collections::VecDeque, io, io::IoSlice};

use bytes::Buf as _;
use flymq_wire::frame::FrameParts;
use parking_lot::Mutex;
use tokio::{net::tcp::OwnedWriteHalf, sync::Notify};

/// Pieces handed to one `writev`.
const SLICES: usize = 64;

#[derive(Debug, Default)]
struct Waiting {
    frames: VecDeque<FrameParts>,
    /// Somebody writes, or the socket is full and the task waits for it.
    busy: bool,
    /// The socket is given up.
    ended: bool,
}

/// A socket's queue of frames.
#[derive(Debug)]
pub(super) struct Outgoing {
    socket: OwnedWriteHalf,
    waiting: Mutex<Waiting>,
    /// The socket is full: the task takes over.
    full: Notify,
}

/// How far a writer came.
enum Written {
    All,
    SocketFull,
}

impl Outgoing {
    pub(super) fn new(socket: OwnedWriteHalf) -> Self {
        Self { socket, waiting: Mutex::default(), full: Notify::new() }
    }

    /// Queues a frame behind those that wait; the caller has to [`Outgoing::drive`] then. False: the socket was given up.
    pub(super) fn push(&self, frame: FrameParts) -> bool {
        let mut waiting = self.waiting.lock();
        if !waiting.ended {
            waiting.frames.push_back(frame);
        }
        !waiting.ended
    }

    /// Writes what waits, unless somebody does already.
    ///
    /// # Errors
    /// Those of the socket; nothing can be written any more.
    pub(super) fn drive(&self) -> io::Result<()> {
        let mut waiting = self.waiting.lock();
        if waiting.busy || waiting.frames.is_empty() {
            return Ok(());
        }
        waiting.busy = true;
        let mut frames = std::mem::take(&mut waiting.frames);
        drop(waiting);
        match self.write(&mut frames)? {
            Written::All => {}
            Written::SocketFull => self.full.notify_one(),
        }
        Ok(())
    }

    /// Finishes what a full socket did not take; ends with the socket's first error.
    pub(super) async fn finish_forever(&self) -> io::Error {
        loop {
            self.full.notified().await;
            loop {
                if let Err(error) = self.socket.writable().await {
                    return error;
                }
                let mut frames = std::mem::take(&mut self.waiting.lock().frames);
                match self.write(&mut frames) {
                    Ok(Written::All) => break,
                    Ok(Written::SocketFull) => {}
                    Err(error) => return error,
                }
            }
        }
    }

    /// Drops what waits and takes no more.
    pub(super) fn end(&self) {
        let mut waiting = self.waiting.lock();
        waiting.ended = true;
        waiting.frames.clear();
    }

    /// Writes `frames`, then what came meanwhile; only the one who is `busy` may call it. What a full socket leaves goes
    /// back to the front of the queue.
    fn write(&self, frames: &mut VecDeque<FrameParts>) -> io::Result<Written> {
        loop {
            while !frames.is_empty() {
                match self.write_once(frames) {
                    Ok(()) => {}
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                        let mut waiting = self.waiting.lock();
                        frames.append(&mut waiting.frames);
                        waiting.frames = std::mem::take(frames);
                        return Ok(Written::SocketFull);
                    }
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => {
                        self.end();
                        return Err(error);
                    }
                }
            }
            let mut waiting = self.waiting.lock();
            if waiting.frames.is_empty() {
                waiting.busy = false;
                return Ok(Written::All);
            }
            std::mem::swap(frames, &mut waiting.frames);
        }
    }

    fn write_once(&self, frames: &mut VecDeque<FrameParts>) -> io::Result<()> {
        let mut slices = [IoSlice::new(&[]); SLICES];
        let mut used = 0;
        for frame in frames.iter() {
            used += frame.chunks_vectored(&mut slices[used..]);
            if used == SLICES {
                break;
            }
        }
        let mut written = self.socket.try_write_vectored(&slices[..used])?;
        if written == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        while written > 0 {
            let Some(front) = frames.front_mut() else { break };
            let step = written.min(front.remaining());
            front.advance(step);
            written -= step;
            if !front.has_remaining() {
                frames.pop_front();
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bytes::Bytes;
    use flymq_wire::frame::Version;
    use tokio::{
        io::AsyncReadExt as _,
        net::{TcpListener, TcpStream},
    };

    use super::*;

    fn frame(fill: u8, len: usize) -> FrameParts {
        FrameParts::new(Version::V2, 1, 0, Bytes::from(vec![fill; len])).expect("small")
    }

    /// Far more than a socket takes at once, from several callers: nothing is lost or mixed up.
    #[tokio::test]
    async fn frames_leave_whole_and_in_order_through_a_full_socket() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let near = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (mut far, _) = listener.accept().await.unwrap();
        let (_read, write) = near.into_split();
        let outgoing = Arc::new(Outgoing::new(write));
        let task = tokio::spawn({
            let outgoing = Arc::clone(&outgoing);
            async move { outgoing.finish_forever().await }
        });
        let mut expected = Vec::new();
        for number in 0..200 {
            let frame = frame(number as u8, 100 + number * 1_000);
            expected.extend_from_slice(&frame.clone().into_bytes());
            assert!(outgoing.push(frame));
            outgoing.drive().unwrap();
        }
        let mut got = vec![0; expected.len()];
        far.read_exact(&mut got).await.unwrap();
        assert!(got == expected, "the bytes that arrive are those that were sent");
        task.abort();
    }

    #[tokio::test]
    async fn a_socket_that_was_given_up_takes_nothing() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let near = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (_read, write) = near.into_split();
        let outgoing = Outgoing::new(write);
        outgoing.end();
        assert!(!outgoing.push(frame(1, 1)));
        assert!(outgoing.drive().is_ok());
    }
}
