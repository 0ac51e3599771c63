//! Reads packets from a socket.

use std::io;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt};

use super::packet::{Packet, PacketError, Parsed, parse};
use super::words;

/// The reading half of a connection, plain or TLS.
pub(super) type ReadHalf = Box<dyn AsyncRead + Send + Unpin>;

/// Room for small packets: one read takes many.
const ROOM: usize = 64 << 10;

/// Why a connection ended.
#[derive(Debug, thiserror::Error)]
pub(super) enum ReadError {
    #[error("{}", words::of(.0))]
    Io(#[from] io::Error),
    #[error("nothing was heard for {} ms", .0.as_millis())]
    Silent(Duration),
    #[error("the connection ended inside a packet")]
    Cut,
    #[error(transparent)]
    Packet(#[from] PacketError),
}

/// Takes packets of at most `max` bytes, and silences of at most `silence`.
pub(super) struct PacketReader {
    from: ReadHalf,
    buffer: BytesMut,
    max: usize,
    silence: Duration,
    /// For the counter of the lane.
    received: u64,
}

impl PacketReader {
    pub(super) fn new(from: ReadHalf, max: usize, silence: Duration) -> Self {
        Self { from, buffer: BytesMut::new(), max, silence, received: 0 }
    }

    /// After the handshake more is taken.
    pub(super) fn set_limits(&mut self, max: usize, silence: Duration) {
        (self.max, self.silence) = (max, silence);
    }

    /// What was read and is no packet yet.
    pub(super) fn unread(&self) -> &[u8] {
        &self.buffer
    }

    /// Bytes since the last time this was asked.
    pub(super) fn take_received(&mut self) -> u64 {
        std::mem::take(&mut self.received)
    }

    /// The first bytes of a connection: exactly so many.
    pub(super) async fn take_exact(&mut self, len: usize) -> Result<Bytes, ReadError> {
        while self.buffer.len() < len {
            if self.fill(len - self.buffer.len()).await? == 0 {
                return Err(ReadError::Cut);
            }
        }
        Ok(self.buffer.split_to(len).freeze())
    }

    /// Reads once, with room for at least `missing` bytes.
    async fn fill(&mut self, missing: usize) -> Result<usize, ReadError> {
        self.buffer.reserve(missing.max(ROOM.min(self.max)));
        let read = tokio::time::timeout(self.silence, self.from.read_buf(&mut self.buffer)).await;
        let read = read.map_err(|_| ReadError::Silent(self.silence))??;
        self.received += read as u64;
        Ok(read)
    }

    /// The next packet; none where the other side has closed the connection. Nothing is lost if it is dropped.
    pub(super) async fn next(&mut self) -> Result<Option<Packet>, ReadError> {
        loop {
            let missing = match parse(&mut self.buffer, self.max)? {
                Parsed::Packet(packet) => return Ok(Some(packet)),
                Parsed::Missing(missing) => missing,
            };
            if self.fill(missing).await? == 0 {
                return if self.buffer.is_empty() { Ok(None) } else { Err(ReadError::Cut) };
            }
        }
    }
}
