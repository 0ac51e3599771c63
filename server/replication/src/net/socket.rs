//! Sockets with what a connection between nodes needs, encrypted or not.

use std::io;

use rustls::pki_types::CertificateDer;
use tokio::net::TcpStream;

use super::handshake::{Channel, KnockError, MAX_PACKET, Security};
use super::options::PeerSettings;
use super::reader::{PacketReader, ReadHalf};
use super::tls::Tls;
use super::writer::WriteHalf;
use crate::raft::RaftId;

/// The first byte of a TLS connection: a handshake record. Ours begins otherwise.
const TLS_RECORD: u8 = 22;

/// Ready for the handshake: small packets only.
fn channel(read: ReadHalf, write: WriteHalf, security: Security, settings: &PeerSettings) -> Channel {
    Channel { reader: PacketReader::new(read, MAX_PACKET, settings.handshake), writer: write, security }
}

fn plain(stream: TcpStream, settings: &PeerSettings) -> Channel {
    let (read, write) = stream.into_split();
    channel(Box::new(read), Box::new(write), Security::Plain, settings)
}

/// Connects; encrypted where the member is named. The caller bounds how long it takes.
pub(super) async fn connect(
    address: &str,
    settings: &PeerSettings,
    tls: Option<(&Tls, RaftId)>,
) -> Result<Channel, KnockError> {
    let stream = TcpStream::connect(address).await.map_err(KnockError::Connect)?;
    // What is queued goes out in one write; nothing is gained by waiting for more.
    stream.set_nodelay(true).map_err(KnockError::Connect)?;
    let Some((tls, to)) = tls else { return Ok(plain(stream, settings)) };
    let (stream, binding) = tls.connect(stream, to).await.map_err(KnockError::Tls)?;
    let (read, write) = tokio::io::split(stream);
    let security = Security::Encrypted { binding, shown: None };
    Ok(channel(Box::new(read), Box::new(write), security, settings))
}

/// What an incoming connection begins with.
pub(super) enum Incoming {
    Channel(Channel),
    /// It begins like TLS, and this node has no certificate to show.
    NoTls,
    /// No TLS with a certificate of this cluster.
    Failed(io::Error),
    /// It has ended without a word.
    Closed(io::Error),
}

/// Finds out whether an incoming connection is encrypted.
pub(super) async fn accept(stream: TcpStream, settings: &PeerSettings, tls: Option<&Tls>) -> Incoming {
    let mut first = [0];
    let peeked = match stream.set_nodelay(true) {
        Ok(()) => stream.peek(&mut first).await,
        Err(error) => Err(error),
    };
    match peeked {
        Ok(0) => return Incoming::Closed(io::ErrorKind::UnexpectedEof.into()),
        Ok(_) if first[0] != TLS_RECORD => return Incoming::Channel(plain(stream, settings)),
        Ok(_) => {}
        Err(error) => return Incoming::Closed(error),
    }
    let Some(tls) = tls else { return Incoming::NoTls };
    match tls.accept(stream).await {
        Ok((stream, binding, shown)) => {
            let (read, write) = tokio::io::split(stream);
            let security = Security::Encrypted { binding, shown: Some(shown) };
            Incoming::Channel(channel(Box::new(read), Box::new(write), security, settings))
        }
        Err(error) => Incoming::Failed(error),
    }
}

/// Whether the other side has shown this member's certificate.
pub(super) fn is_certified(tls: &Tls, security: &Security, member: RaftId) -> bool {
    let shown: Option<&CertificateDer<'_>> = match security {
        Security::Encrypted { shown, .. } => shown.as_ref(),
        Security::Plain => None,
    };
    shown.is_some_and(|shown| tls.names(shown, member))
}
