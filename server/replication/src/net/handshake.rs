//! The first packets of a connection. Both sides prove that they know the key (of the cluster, or of a join token)
//! without saying it; who connects proves first.
//!
//! ```text
//! ─► "fmqc", Hello      version, cluster, from, to, broker epoch of from, lane, nonce, public part of a token
//! ◄─ Challenge  member, nonce
//! ─► Proof      HMAC(key, "flymq connect" · transcript)
//! ◄─ Welcome    HMAC(key, "flymq accept" · transcript)       or at any time: Refusal
//! ```
//!
//! The transcript is what was said before, byte for byte, and where the connection is encrypted, what comes of its keys: a
//! proof is good for this connection, lane and registration only.

use bytes::Bytes;
use flymq_proto::internal as pb;
use prost::Message;
use ring::hmac;
use rustls::pki_types::CertificateDer;
use tokio::io::AsyncWriteExt;

use super::packet::{Kind, Packet, PacketError, encode};
use super::reader::{PacketReader, ReadError};
use super::refusal::{Refusal, Refused};
use super::tls::Binding;
use super::words;
use super::writer::WriteHalf;

pub(super) const VERSION: u32 = 1;
/// Longest packet of a handshake, bytes: what a stranger can make this node hold.
pub(super) const MAX_PACKET: usize = 4 << 10;
pub(super) const NONCE_LEN: usize = 32;

const CONNECT: &[u8] = b"flymq connect";
const ACCEPT: &[u8] = b"flymq accept";

/// What each side that connects says before anything else: no other protocol begins like this, TLS neither.
pub(super) const PREFACE: &[u8; 4] = b"fmqc";

/// A connection during and after its handshake.
pub(super) struct Channel {
    pub(super) reader: PacketReader,
    pub(super) writer: WriteHalf,
    pub(super) security: Security,
}

/// What is around the packets.
pub(super) enum Security {
    Plain,
    Encrypted {
        binding: Binding,
        /// What the other side, if it has connected, has shown.
        shown: Option<CertificateDer<'static>>,
    },
}

/// What both sides have said so far.
#[derive(Debug, Clone, Default)]
pub(super) struct Transcript(Vec<u8>);

impl Transcript {
    /// Begins with what only the two ends of this connection know, where it is encrypted.
    fn new(security: &Security) -> Self {
        match security {
            Security::Plain => Self::default(),
            Security::Encrypted { binding, .. } => Self(binding.to_vec()),
        }
    }

    fn add(&mut self, head: &[u8]) {
        self.0.extend_from_slice(&(head.len() as u64).to_le_bytes());
        self.0.extend_from_slice(head);
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    fn sign(&self, key: &hmac::Key, label: &[u8]) -> Bytes {
        let mut context = hmac::Context::with_key(key);
        context.update(label);
        context.update(&self.0);
        Bytes::copy_from_slice(context.sign().as_ref())
    }

    fn verify(&self, key: &hmac::Key, label: &[u8], mac: &[u8]) -> bool {
        // Constant time; the label comes first and has a fixed length.
        let signed = [label, &self.0].concat();
        hmac::verify(key, &signed, mac).is_ok()
    }
}

/// Why a connection did not come about, for the side that connects.
#[derive(Debug, thiserror::Error)]
pub(super) enum KnockError {
    #[error("cannot connect: {}", words::of(.0))]
    Connect(std::io::Error),
    /// No certificate of this cluster on one of the sides.
    #[error("no TLS with this node: {}", words::of_handshake(.0))]
    Tls(std::io::Error),
    #[error("{0}")]
    Read(#[from] ReadError),
    /// No cluster port, by its first bytes.
    #[error("{0}, no cluster port")]
    Foreign(&'static str),
    #[error("the connection was closed during the handshake")]
    Closed,
    /// The other side says why not: by number ([`Refusal`]), and in words.
    #[error("the other node refuses: {text}")]
    Refused { reason: u32, text: String },
    #[error("member {found} answers instead of {wanted}")]
    AnotherMember { wanted: u64, found: u64 },
    /// It let us in without knowing the key.
    #[error("the other node does not know the secret of the cluster, or the token")]
    Impostor,
    #[error("no handshake within {0} ms")]
    Late(u128),
}

impl From<std::io::Error> for KnockError {
    fn from(error: std::io::Error) -> Self {
        Self::Read(error.into())
    }
}

impl From<PacketError> for KnockError {
    fn from(error: PacketError) -> Self {
        Self::Read(error.into())
    }
}

/// The handshake has ended before it was done.
fn ended(error: &ReadError) -> Refused {
    let reason = match error {
        ReadError::Packet(_) => Refusal::Protocol,
        ReadError::Silent(_) => Refusal::Timeout,
        ReadError::Io(_) | ReadError::Cut => Refusal::Closed,
    };
    Refused::new(reason, error.to_string())
}

fn handshake_packet(kind: Kind, head: &impl Message) -> std::io::Result<Bytes> {
    let too_long = || std::io::Error::other("a handshake packet is too long");
    encode(kind, head, 0, MAX_PACKET).ok_or_else(too_long)
}

impl Channel {
    async fn write(&mut self, kind: Kind, head: &impl Message) -> std::io::Result<()> {
        self.writer.write_all(&handshake_packet(kind, head)?).await?;
        self.writer.flush().await
    }

    async fn expect(&mut self, kind: Kind) -> Result<Packet, KnockError> {
        let packet = self.reader.next().await?.ok_or(KnockError::Closed)?;
        match packet.kind {
            Kind::Refusal => {
                let pb::PeerRefusal { reason, text } = packet.decode()?;
                Err(KnockError::Refused { reason, text })
            }
            found if found == kind => Ok(packet),
            found => Err(PacketError::Unexpected(found).into()),
        }
    }

    /// The side that connects. What it returns was said by both.
    pub(super) async fn knock(
        &mut self,
        hello: &pb::PeerHello,
        key: &hmac::Key,
    ) -> Result<Transcript, KnockError> {
        let mut transcript = Transcript::new(&self.security);
        transcript.add(&hello.encode_to_vec());
        // In one write: a port that is none of ours sees at once that it does not understand it, and says so.
        let begin = [PREFACE, &handshake_packet(Kind::Hello, hello)?[..]].concat();
        self.writer.write_all(&begin).await?;
        self.writer.flush().await?;
        let packet = self.expect(Kind::Challenge).await?;
        let challenge: pb::PeerChallenge = packet.decode()?;
        if hello.to != 0 && challenge.member != hello.to {
            return Err(KnockError::AnotherMember { wanted: hello.to, found: challenge.member });
        }
        transcript.add(&packet.head);
        self.write(Kind::Proof, &pb::PeerProof { mac: transcript.sign(key, CONNECT) }).await?;
        let welcome: pb::PeerWelcome = self.expect(Kind::Welcome).await?.decode()?;
        let proved = transcript.verify(key, ACCEPT, &welcome.mac) || cfg!(mutant = "net_impostor_taken");
        if proved { Ok(transcript) } else { Err(KnockError::Impostor) }
    }

    async fn expect_from_stranger<M: Message + Default>(
        &mut self,
        kind: Kind,
    ) -> Result<(M, Bytes), Refused> {
        let protocol = |error: PacketError| Refused::new(Refusal::Protocol, error.to_string());
        let packet = match self.reader.next().await {
            Ok(Some(packet)) if packet.kind == kind => packet,
            Ok(Some(packet)) => return Err(protocol(PacketError::Unexpected(packet.kind))),
            Ok(None) => return Err(ended(&ReadError::Cut)),
            Err(error) => return Err(ended(&error)),
        };
        let message = packet.decode().map_err(protocol)?;
        Ok((message, packet.head))
    }

    /// The other side's first word.
    pub(super) async fn hello(&mut self) -> Result<(pb::PeerHello, Transcript), Refused> {
        if self.reader.take_exact(PREFACE.len()).await.map_err(|error| ended(&error))? != PREFACE[..] {
            let text = "it does not begin like a FlyMQ node: is a client connecting to the cluster port?";
            return Err(Refused::new(Refusal::Protocol, text));
        }
        let (hello, said): (pb::PeerHello, Bytes) = self.expect_from_stranger(Kind::Hello).await?;
        if hello.version != VERSION {
            let text = format!(
                "version {} of the cluster protocol is not spoken here, only {VERSION}: run the same FlyMQ on all nodes",
                hello.version
            );
            return Err(Refused::new(Refusal::Version, text));
        }
        if hello.nonce.len() != NONCE_LEN {
            return Err(Refused::new(Refusal::Protocol, "a nonce of another length"));
        }
        let mut transcript = Transcript::new(&self.security);
        transcript.add(&said);
        Ok((hello, transcript))
    }

    /// Lets the other side prove that it has the key; `otherwise`: it has not.
    pub(super) async fn challenge(
        &mut self,
        challenge: &pb::PeerChallenge,
        transcript: &mut Transcript,
        key: &hmac::Key,
        otherwise: Refused,
    ) -> Result<(), Refused> {
        let closed = |error: std::io::Error| Refused::new(Refusal::Closed, words::of(&error));
        transcript.add(&challenge.encode_to_vec());
        self.write(Kind::Challenge, challenge).await.map_err(closed)?;
        let (proof, _): (pb::PeerProof, Bytes) = self.expect_from_stranger(Kind::Proof).await?;
        let proved = transcript.verify(key, CONNECT, &proof.mac) || cfg!(mutant = "net_proof_not_checked");
        if proved { Ok(()) } else { Err(otherwise) }
    }

    /// Proves the same, and opens the connection.
    pub(super) async fn welcome(&mut self, transcript: &Transcript, key: &hmac::Key) -> std::io::Result<()> {
        self.write(Kind::Welcome, &pb::PeerWelcome { mac: transcript.sign(key, ACCEPT) }).await
    }

    /// Says why not, if it can still be said.
    pub(super) async fn refuse(&mut self, refused: &Refused) {
        if refused.reason.is_told() {
            let refusal = pb::PeerRefusal { reason: refused.reason as u32, text: refused.text.clone() };
            let _ = self.write(Kind::Refusal, &refusal).await;
        }
    }
}
