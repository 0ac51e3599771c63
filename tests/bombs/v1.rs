//! Version 1's compressed requests.

use std::net::SocketAddr;

use bytes::BytesMut;
use flymq_wire::{
    frame::{Frame, FrameDecoder, Version},
    v1::{ErrorReply, InflateLimits, deflate, flag, op},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

pub struct Connection {
    socket: TcpStream,
    decoder: FrameDecoder,
    buffer: BytesMut,
}

impl Connection {
    pub async fn open(addr: SocketAddr) -> Self {
        let socket = TcpStream::connect(addr).await.expect("the door is open");
        let decoder = FrameDecoder::default().with_version(Version::V1);
        Self { socket, decoder, buffer: BytesMut::new() }
    }

    /// Sends a gzip payload as PRODUCE; the text of the error that must answer it.
    pub async fn refused(&mut self, payload: &[u8]) -> String {
        let length = u32::try_from(payload.len()).expect("small");
        let mut frame = vec![0xAF, 1, op::PRODUCE, flag::BINARY | flag::GZIP];
        frame.extend_from_slice(&length.to_be_bytes());
        frame.extend_from_slice(payload);
        self.socket.write_all(&frame).await.expect("written");
        let frame = self.frame().await;
        assert_eq!(frame.op, op::ERROR, "a bomb was taken");
        ErrorReply::read(&frame.payload).text
    }

    async fn frame(&mut self) -> Frame {
        loop {
            if let Some(frame) = self.decoder.decode(&mut self.buffer).expect("frames of version 1") {
                return frame;
            }
            assert!(self.socket.read_buf(&mut self.buffer).await.expect("open") > 0, "the connection lives");
        }
    }
}

/// A bomb, one that claims to be small, and one that claims as much as it may.
pub fn payloads() -> [Vec<u8>; 3] {
    let honest = deflate(&vec![0; super::bomb::INFLATED]).to_vec();
    let claiming = |length: usize| {
        let mut liar = honest.clone();
        let at = liar.len() - 4;
        liar[at..].copy_from_slice(&u32::try_from(length).expect("small").to_le_bytes());
        liar
    };
    let most = InflateLimits::REQUEST.of(honest.len());
    [honest.clone(), claiming(100), claiming(most)]
}
