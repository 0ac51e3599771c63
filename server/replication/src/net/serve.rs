//! A connection that another node has opened, after its handshake: takes frames, answers questions.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use flymq_proto::internal as pb;
use futures::future::BoxFuture;
use ring::hmac;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tracing::{debug, warn};

use super::accept;
use super::connection::Connection;
use super::convert::from_head;
use super::handshake::{Channel, Transcript};
use super::lane::PeerLane;
use super::link::answer_to;
use super::outbox::Outbound;
use super::packet::{Kind, Packet, PacketError, empty, encode};
use super::reader::{PacketReader, ReadError};
use super::refusal::{Refusal, Refused};
use super::seal::Seal;
use super::shared::Shared;
use super::stats::Side;
use super::words;
use super::writer::write_all_of;
use crate::peer::{PeerCall, PeerError};
use crate::raft::{MetaRequest, MetaRpc, MetaTransportError, RaftId};
use crate::replica::{BrokerEpoch, BrokerId};

/// Longest request of a node that is no member yet, bytes.
const MAX_JOIN: usize = 1 << 20;

/// Batches below this are copied out of the buffer that they were read into: the log keeps the newest ones in memory, and
/// a few bytes would hold a whole buffer with others' packets in it.
const COPIED_BELOW: usize = 16 << 10;

/// Who has proved what.
pub(super) struct Guest {
    /// None: no member, it wants to join.
    pub(super) from: Option<RaftId>,
    pub(super) lane: PeerLane,
    pub(super) epoch: BrokerEpoch,
    pub(super) key: hmac::Key,
    pub(super) transcript: Transcript,
}

/// Serves the connection until it ends.
pub(super) async fn run(shared: &Arc<Shared>, mut channel: Channel, guest: Guest, peer: SocketAddr) {
    let registered = match guest.from {
        Some(from) => Some(shared.incoming.register((from, guest.lane), guest.epoch).await),
        None => None,
    };
    // The members may have changed since.
    let current = match guest.from {
        Some(from) => accept::check_current(shared, from, guest.lane, guest.epoch).await,
        None => Ok(()),
    };
    if let Err(why) = current {
        accept::refused(shared, peer, &why);
        return channel.refuse(&why).await;
    }
    if channel.welcome(guest.transcript(), &guest.key).await.is_err() {
        return;
    }
    debug!(%peer, from = guest.from, lane = guest.lane.name(), "a node has connected");
    if let Some(from) = guest.from {
        shared.nudge_links_to(from);
    }
    let end = async {
        match &registered {
            Some(registered) => registered.end().await,
            None => std::future::pending().await,
        }
    };
    let reason = tokio::select! {
        biased;
        () = end => "a newer one took over, or its member is gone".to_owned(),
        reason = carry(shared, channel, &guest, peer) => reason,
    };
    debug!(%peer, from = guest.from, lane = guest.lane.name(), %reason, "the connection of a node has ended");
}

async fn carry(shared: &Arc<Shared>, channel: Channel, guest: &Guest, peer: SocketAddr) -> String {
    let Channel { mut reader, mut writer, security: _ } = channel;
    let settings = &shared.settings;
    let max = if guest.from.is_some() { settings.max_packet_bytes } else { MAX_JOIN };
    reader.set_limits(max, guest.lane.dead_after(settings));
    // Answers are bounded by the number of questions.
    let connection = Arc::new(Connection::new(guest.lane, usize::MAX, Arc::clone(&shared.stats)));
    let _open = shared.stats.open(guest.lane, Side::Incoming);
    let reason = tokio::select! {
        biased;
        error = write_all_of(&connection, &mut writer, None) => words::of(&error),
        ended = read(shared, &mut reader, &connection, guest) => match ended {
            Ok(()) => "the other node has closed it".to_owned(),
            Err(ReadError::Packet(error)) => {
                let refused = Refused::new(Refusal::Protocol, error.to_string());
                accept::refused(shared, peer, &refused);
                refused.text
            }
            Err(error) => error.to_string(),
        },
    };
    connection.close(&reason);
    reason
}

async fn read(
    shared: &Arc<Shared>,
    reader: &mut PacketReader,
    connection: &Arc<Connection>,
    guest: &Guest,
) -> Result<(), ReadError> {
    let permits = Arc::new(Semaphore::new(shared.settings.max_concurrent_calls));
    loop {
        let packet = reader.next().await;
        shared.stats.add_received(guest.lane, reader.take_received());
        let Some(packet) = packet? else { return Ok(()) };
        match (packet.kind, guest.lane, guest.from) {
            (Kind::Ping, _, _) => {
                let _ = connection.push(Outbound::new(empty(Kind::Pong), Bytes::new()));
            }
            (Kind::Replica, PeerLane::Live | PeerLane::CatchUp, Some(from)) => {
                take_frame(shared, from, &packet)?;
            }
            (Kind::MetaRequest, PeerLane::Meta | PeerLane::Snapshot, Some(_))
            | (Kind::Call, PeerLane::Heartbeat | PeerLane::Calls, Some(_))
            | (Kind::Call, PeerLane::Join, None) => {
                let Ok(permit) = Arc::clone(&permits).acquire_owned().await else { return Ok(()) };
                answer(shared, connection, guest, &packet, permit)?;
            }
            (kind, _, _) => return Err(PacketError::Unexpected(kind).into()),
        }
    }
}

fn take_frame(shared: &Shared, from: RaftId, packet: &Packet) -> Result<(), PacketError> {
    let head: pb::ReplicaFrame = packet.decode()?;
    let small = packet.body.len() < COPIED_BELOW;
    let body = if small { Bytes::copy_from_slice(&packet.body) } else { packet.body.clone() };
    let frame = from_head(head, body);
    let (to_epoch, at, frame) = frame.map_err(|_| PacketError::Head(packet.kind))?;
    let sink = shared.handlers.read().frames.clone();
    if let Some(sink) = sink {
        sink.frame(BrokerId(from), to_epoch, at, frame);
    }
    Ok(())
}

/// Answers beside the reader: questions may overtake each other.
fn answer(
    shared: &Arc<Shared>,
    connection: &Arc<Connection>,
    guest: &Guest,
    packet: &Packet,
    permit: OwnedSemaphorePermit,
) -> Result<(), PacketError> {
    let head: pb::PeerRequestHead = packet.decode()?;
    let reply = Reply {
        id: head.id,
        connection: Arc::clone(connection),
        max: shared.settings.max_packet_bytes,
        permit: Some(permit),
    };
    let number = u8::try_from(head.call).unwrap_or(0);
    let body = packet.body.clone();
    let work = match (packet.kind, guest.from) {
        (Kind::MetaRequest, Some(from)) => meta(shared, from, number, body),
        (_, None) => join(shared, guest, number, &body)?,
        (_, from) => service(shared, from, number, body),
    };
    let stop = shared.stop.clone();
    shared.spawn(async move {
        let stopped = || Err(PeerError::Lost { reason: "the node has stopped".to_owned() });
        reply.send(stop.run_until_cancelled(work).await.unwrap_or_else(stopped));
    });
    Ok(())
}

type Work = BoxFuture<'static, Result<Bytes, PeerError>>;

fn refuse(reason: &str) -> Work {
    let refusal = PeerError::Refused { reason: reason.to_owned() };
    Box::pin(async move { Err(refusal) })
}

fn meta(shared: &Arc<Shared>, from: RaftId, number: u8, body: Bytes) -> Work {
    let Some(rpc) = MetaRpc::from_number(number) else {
        return refuse("this request of the metadata group is not known here: use a newer FlyMQ");
    };
    let Some(answer) = shared.handlers.read().raft.clone() else {
        return refuse("this node is starting, or stopping");
    };
    let shared = Arc::clone(shared);
    Box::pin(async move {
        if let Err(why) = accept::check_in_group(&shared, from).await {
            // Its next attempt is refused in the handshake, counted and logged.
            shared.incoming.end_where(|member, lane, _| member == from && !lane.for_brokers_only());
            return Err(PeerError::Refused { reason: why.text });
        }
        answer(MetaRequest { rpc, body }).await.map_err(|error| match error {
            MetaTransportError::Unreachable { reason } => PeerError::Unreachable { reason },
            MetaTransportError::Lost { reason } => PeerError::Lost { reason },
            MetaTransportError::Refused { reason } => PeerError::Refused { reason },
        })
    })
}

fn service(shared: &Shared, from: Option<RaftId>, number: u8, body: Bytes) -> Work {
    let Some(call) = PeerCall::from_number(number) else {
        return refuse("this call is not known here: use a newer FlyMQ");
    };
    let Some(service) = shared.handlers.read().service.clone() else {
        return refuse("this node is starting, or stopping");
    };
    Box::pin(async move { service.answer(from, call, body).await })
}

/// Opens the sealed question, and seals the answer.
fn join(shared: &Shared, guest: &Guest, number: u8, sealed: &[u8]) -> Result<Work, PacketError> {
    if PeerCall::from_number(number) != Some(PeerCall::Join) {
        return Ok(refuse("a node that is no member can only ask to join"));
    }
    let broken = PacketError::Head(Kind::Call);
    let seal = |label| Seal::new(&guest.key, label, guest.transcript.as_bytes()).ok_or(broken);
    let body = seal(JOIN_REQUEST)?.open(sealed).ok_or(broken)?;
    let (work, seal) = (service(shared, None, number, body), seal(JOIN_ANSWER)?);
    Ok(Box::pin(async move {
        let lost = || PeerError::Lost { reason: "the answer cannot be encrypted".to_owned() };
        seal.close(&work.await?).ok_or_else(lost)
    }))
}

/// Which of the two sealed messages.
pub(super) const JOIN_REQUEST: &str = "flymq join request";
pub(super) const JOIN_ANSWER: &str = "flymq join answer";

/// The answer to one question: there is always one.
struct Reply {
    id: u64,
    connection: Arc<Connection>,
    max: usize,
    permit: Option<OwnedSemaphorePermit>,
}

impl Reply {
    fn send(mut self, answer: Result<Bytes, PeerError>) {
        self.write(answer);
    }

    fn write(&mut self, answer: Result<Bytes, PeerError>) {
        let Some(permit) = self.permit.take() else { return };
        let (status, body) = answer_to(answer);
        let packet = |status, body: Bytes| {
            let head = pb::PeerAnswerHead { id: self.id, status };
            Some(Outbound::new(encode(Kind::Answer, &head, body.len(), self.max)?, body))
        };
        let too_long = || packet(2, Bytes::from_static(b"the answer is too long"));
        if let Some(mut packet) = packet(status, body).or_else(too_long) {
            // The next question is read when this answer is on its way: what waits is bounded.
            packet.sent = super::outbox::OnSent::new(Some(Box::new(move || drop(permit))));
            let _ = self.connection.push(packet);
        }
    }
}

/// The work has ended without an answer: it has panicked.
impl Drop for Reply {
    fn drop(&mut self) {
        if self.permit.is_some() {
            warn!(id = self.id, "a question of another node was not answered: its work has failed");
            self.write(Err(PeerError::Lost { reason: "the work on it has failed".to_owned() }));
        }
    }
}
