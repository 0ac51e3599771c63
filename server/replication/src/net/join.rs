//! The question of a node that is no member: on a connection of its own, proved and encrypted by the join token.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use flymq_proto::internal as pb;
use tokio::io::AsyncWriteExt;

use super::handshake::{Channel, KnockError, VERSION};
use super::lane::PeerLane;
use super::link::answer_from;
use super::packet::{Kind, PacketError, encode};
use super::reader::ReadError;
use super::refusal::Refusal;
use super::seal::Seal;
use super::secret::token_parts;
use super::serve::{JOIN_ANSWER, JOIN_REQUEST};
use super::shared::Shared;
use super::socket;
use super::words;
use crate::peer::{PeerCall, PeerError};

impl From<KnockError> for PeerError {
    fn from(error: KnockError) -> Self {
        match error {
            KnockError::Refused { reason: _, text } => Self::Refused { reason: text },
            error @ KnockError::Impostor => Self::Refused { reason: error.to_string() },
            error @ (KnockError::Connect(_)
            | KnockError::Tls(_)
            | KnockError::Read(_)
            | KnockError::Foreign(_)
            | KnockError::Closed
            | KnockError::AnotherMember { .. }
            | KnockError::Late(_)) => Self::Unreachable { reason: format!("{error}{}", advice(&error)) },
        }
    }
}

/// What to look at, for whoever has named that address.
fn advice(error: &KnockError) -> &'static str {
    match error {
        KnockError::Connect(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => {
            "; is that node started, and is this its cluster port (FLYMQ_CLUSTER_ADDR there, 9093 unless set)?"
        }
        KnockError::Connect(_) | KnockError::Late(_) => {
            "; check that it is the cluster port (FLYMQ_CLUSTER_ADDR there, 9093 unless set), and what is between the two machines"
        }
        KnockError::Foreign(_) => ": name the one of FLYMQ_CLUSTER_ADDR there (9093 unless set)",
        KnockError::Closed | KnockError::Read(_) => {
            "; ports for clients hang up like this: is it the cluster port (FLYMQ_CLUSTER_ADDR there, 9093 unless set)?"
        }
        KnockError::Tls(_)
        | KnockError::AnotherMember { .. }
        | KnockError::Refused { .. }
        | KnockError::Impostor => "",
    }
}

pub(super) async fn ask(
    shared: &Arc<Shared>,
    address: &str,
    token: &str,
    body: &[u8],
    within: Duration,
) -> Result<Bytes, PeerError> {
    let lost = |reason: String| PeerError::Lost { reason };
    let knock = tokio::time::timeout(within.min(shared.settings.handshake), knock(shared, address, token));
    let late = |_| KnockError::Late(shared.settings.handshake.as_millis());
    let (mut channel, request, answer) = knock.await.map_err(late).flatten()?;
    channel.reader.set_limits(shared.settings.max_packet_bytes, within);
    let unreachable = |reason: &str| PeerError::Unreachable { reason: reason.to_owned() };
    let sealed = request.close(body).ok_or_else(|| unreachable("the request cannot be encrypted"))?;
    let head = pb::PeerRequestHead { id: 1, call: PeerCall::Join as u32 };
    let max = shared.settings.max_packet_bytes;
    let head = encode(Kind::Call, &head, sealed.len(), max).ok_or_else(|| unreachable("too long"))?;
    let exchange = async {
        channel.writer.write_all(&head).await?;
        channel.writer.write_all(&sealed).await?;
        channel.writer.flush().await?;
        read_answer(&mut channel).await
    };
    let answered = tokio::time::timeout(within, exchange).await;
    let answered = answered.map_err(|_| lost(format!("nothing within {} ms", within.as_millis())))?;
    let sealed = answered.map_err(|error| lost(error.to_string()))??;
    answer.open(&sealed).ok_or_else(|| lost("the answer was not encrypted with this token".to_owned()))
}

/// Whether the node at `address` belongs to a cluster. It says so to whoever asks for another one, before anything is proved.
pub(super) async fn belongs(shared: &Shared, address: &str) -> Result<bool, PeerError> {
    let asked = async {
        let mut channel = socket::connect(address, &shared.settings, None).await?;
        let hello = pb::PeerHello {
            version: VERSION,
            cluster: Bytes::new(),
            from: shared.me,
            to: 0,
            from_epoch: 0,
            lane: PeerLane::Calls as u32,
            nonce: shared.nonce(),
            token: String::new(),
        };
        let nobodys = token_parts("").1;
        channel.knock(&hello, &nobodys).await.map(drop)
    };
    let late = |_| KnockError::Late(shared.settings.handshake.as_millis());
    match tokio::time::timeout(shared.settings.handshake, asked).await.map_err(late).flatten() {
        Err(KnockError::Refused { reason, .. }) if reason == Refusal::WrongCluster as u32 => Ok(true),
        Err(KnockError::Refused { reason, .. }) if reason == Refusal::NotInCluster as u32 => Ok(false),
        Err(error) => Err(error.into()),
        Ok(()) => Err(KnockError::Impostor.into()),
    }
}

/// A connection whose other side knows the token, and the keys for question and answer.
async fn knock(shared: &Shared, address: &str, token: &str) -> Result<(Channel, Seal, Seal), KnockError> {
    let (public, key) = token_parts(token);
    let mut channel = socket::connect(address, &shared.settings, None).await?;
    let hello = pb::PeerHello {
        version: VERSION,
        cluster: Bytes::new(),
        from: shared.me,
        to: 0,
        from_epoch: 0,
        lane: PeerLane::Join as u32,
        nonce: shared.nonce(),
        token: public.to_owned(),
    };
    let knocked = channel.knock(&hello, &key).await;
    let transcript = match (knocked, words::foreign(channel.reader.unread())) {
        (Err(_), Some(foreign)) => return Err(KnockError::Foreign(foreign)),
        (knocked, _) => knocked?,
    };
    let seal = |label| Seal::new(&key, label, transcript.as_bytes()).ok_or(KnockError::Impostor);
    Ok((channel, seal(JOIN_REQUEST)?, seal(JOIN_ANSWER)?))
}

async fn read_answer(channel: &mut Channel) -> Result<Result<Bytes, PeerError>, ReadError> {
    let packet = channel.reader.next().await?.ok_or(ReadError::Cut)?;
    if packet.kind != Kind::Answer {
        return Err(PacketError::Unexpected(packet.kind).into());
    }
    let head: pb::PeerAnswerHead = packet.decode()?;
    Ok(answer_from(head.status, packet.body))
}
