//! Sockets with what a connection between nodes needs.

use std::io;

use tokio::net::TcpStream;

use super::handshake::{Channel, KnockError, MAX_PACKET};
use super::options::PeerSettings;
use super::reader::PacketReader;

/// Ready for the handshake: small packets only.
pub(super) fn channel(stream: TcpStream, settings: &PeerSettings) -> io::Result<Channel> {
    // What is queued goes out in one write; nothing is gained by waiting for more.
    stream.set_nodelay(true)?;
    let (read, write) = stream.into_split();
    let reader = PacketReader::new(Box::new(read), MAX_PACKET, settings.handshake);
    Ok(Channel { reader, writer: Box::new(write) })
}

/// The caller bounds how long it takes.
pub(super) async fn connect(address: &str, settings: &PeerSettings) -> Result<Channel, KnockError> {
    let stream = TcpStream::connect(address).await.map_err(KnockError::Connect)?;
    channel(stream, settings).map_err(KnockError::Connect)
}
