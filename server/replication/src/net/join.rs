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
use super::seal::Seal;
use super::secret::token_parts;
use super::serve::{JOIN_ANSWER, JOIN_REQUEST};
use super::shared::Shared;
use super::socket;
use crate::peer::{PeerCall, PeerError};

impl From<KnockError> for PeerError {
    fn from(error: KnockError) -> Self {
        match error {
            KnockError::Refused { reason: _, text } => Self::Refused { reason: text },
            error @ KnockError::Impostor => Self::Refused { reason: error.to_string() },
            error @ (KnockError::Connect(_)
            | KnockError::Tls(_)
            | KnockError::Read(_)
            | KnockError::Closed
            | KnockError::AnotherMember { .. }
            | KnockError::Late(_)) => Self::Unreachable { reason: error.to_string() },
        }
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
    let transcript = channel.knock(&hello, &key).await?;
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
