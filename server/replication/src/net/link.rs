//! The way to one member on one lane: connects, connects again, and says at once when it cannot.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use flymq_proto::internal as pb;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::connection::Connection;
use super::handshake::{Channel, KnockError, VERSION};
use super::lane::PeerLane;
use super::packet::{Kind, PacketError};
use super::reach::News;
use super::reader::{PacketReader, ReadError};
use super::refusal::Refusal;
use super::shared::Shared;
use super::socket;
use super::stats::Side;
use super::writer::write_all_of;
use crate::peer::PeerError;
use crate::raft::RaftId;

/// A link that nobody has used during so many failed attempts stops trying.
const UNUSED_ATTEMPTS: u32 = 30;

pub(super) struct Link {
    to: RaftId,
    lane: PeerLane,
    state: Mutex<State>,
    /// Where the member is found, unless the members know better.
    address: Mutex<String>,
    used: AtomicBool,
    /// The other side is heard of: try again now.
    nudged: Notify,
    /// The member has left.
    gone: CancellationToken,
}

/// What callers find.
enum State {
    /// Nobody has asked for it.
    Idle,
    /// Open, or the first attempt is on its way and what is queued waits for it.
    Open(Arc<Connection>),
    /// The last attempt failed; others go on.
    Down { reason: String },
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Link({} to {})", self.lane.name(), self.to)
    }
}

impl Link {
    pub(super) fn new(to: RaftId, lane: PeerLane) -> Self {
        Self {
            to,
            lane,
            state: Mutex::new(State::Idle),
            address: Mutex::default(),
            used: AtomicBool::new(false),
            nudged: Notify::new(),
            gone: CancellationToken::new(),
        }
    }

    /// For a member that the members do not know: it has not registered yet.
    pub(super) fn set_address(&self, address: &str) {
        let mut known = self.address.lock();
        if *known != address {
            address.clone_into(&mut known);
        }
    }

    /// The connection to use; without one, why.
    pub(super) fn connection(self: &Arc<Self>, shared: &Arc<Shared>) -> Result<Arc<Connection>, PeerError> {
        self.used.store(true, Ordering::Relaxed);
        let mut state = self.state.lock();
        match &*state {
            State::Open(connection) => Ok(Arc::clone(connection)),
            State::Down { reason } => Err(PeerError::Unreachable { reason: reason.clone() }),
            State::Idle if shared.stop.is_cancelled() || self.gone.is_cancelled() => {
                Err(PeerError::Unreachable { reason: "the network is stopped".to_owned() })
            }
            State::Idle => {
                let connection = self.fresh(shared);
                *state = State::Open(Arc::clone(&connection));
                let work = run(Arc::clone(self), Arc::clone(shared), Arc::clone(&connection));
                shared.spawn_on_lane(self.lane, work);
                Ok(connection)
            }
        }
    }

    /// The other side is alive: it has just connected to us.
    pub(super) fn nudge(&self) {
        self.nudged.notify_one();
    }

    /// Closes the connection, if there is one; another one is opened at once.
    pub(super) fn reconnect(&self) {
        if let State::Open(connection) = &*self.state.lock() {
            connection.gone.cancel();
        }
        self.nudge();
    }

    /// The member has left: no further attempts.
    pub(super) fn leave(&self) {
        self.gone.cancel();
    }

    fn fresh(&self, shared: &Shared) -> Arc<Connection> {
        let bound = self.lane.queue_bytes(&shared.settings);
        Arc::new(Connection::new(self.lane, bound, Arc::clone(&shared.stats)))
    }

    fn open(&self, connection: &Arc<Connection>) {
        *self.state.lock() = State::Open(Arc::clone(connection));
    }

    /// Whether that is news.
    fn down(&self, reason: &str) -> bool {
        let mut state = self.state.lock();
        let news = !matches!(&*state, State::Down { reason: known } if known == reason);
        *state = State::Down { reason: reason.to_owned() };
        news
    }

    /// Where the member is: the members know best.
    fn found_at(&self, shared: &Shared) -> String {
        let known = shared.members.load().get(&self.to).map(|member| member.address.clone());
        known.unwrap_or_else(|| self.address.lock().clone())
    }

    async fn dial(&self, shared: &Shared) -> Result<Channel, KnockError> {
        let keys = shared.keys.load_full();
        let text = "this node is in no cluster";
        let refused = || KnockError::Refused { reason: Refusal::NotInCluster as u32, text: text.to_owned() };
        let keys = keys.ok_or_else(refused)?;
        let cluster = keys.membership.cluster.ok_or_else(refused)?;
        let address = self.found_at(shared);
        let tls = keys.tls.as_ref().map(|tls| (tls, self.to));
        let mut channel = socket::connect(&address, &shared.settings, tls).await?;
        let hello = pb::PeerHello {
            version: VERSION,
            cluster: Bytes::copy_from_slice(&cluster),
            from: shared.me,
            to: self.to,
            from_epoch: shared.epoch_of(shared.me).0,
            lane: self.lane as u32,
            nonce: shared.nonce(),
            token: String::new(),
        };
        let knocked = channel.knock(&hello, &keys.member).await;
        if let Err(KnockError::Refused { reason, .. }) = &knocked
            && *reason == Refusal::StaleEpoch as u32
        {
            shared.over.fetch_max(hello.from_epoch, Ordering::Relaxed);
        }
        knocked?;
        Ok(channel)
    }

    /// Uses the connection until it ends: why it ended, and whether the next attempt is worth waiting for. Not where the
    /// other side never said anything, or has fallen silent.
    async fn carry(&self, shared: &Shared, channel: Channel, connection: &Connection) -> (String, bool) {
        let Channel { mut reader, mut writer, security: _ } = channel;
        reader.set_limits(shared.settings.max_packet_bytes, self.lane.dead_after(&shared.settings));
        let heard = AtomicBool::new(false);
        let _open = shared.stats.open(self.lane, Side::Outgoing);
        let ended: ReadError = tokio::select! {
            biased;
            () = connection.gone.cancelled() => io::Error::other("it was closed here").into(),
            ended = read_answers(connection, &mut reader, &heard, shared) => ended,
            ended = write_all_of(connection, &mut writer, Some(shared.settings.ping_every)) => ended.into(),
        };
        let silent = matches!(ended, ReadError::Silent(_));
        (ended.to_string(), heard.into_inner() && !silent)
    }
}

/// Connects, uses the connection, and connects again, until the member or the network is gone.
async fn run(link: Arc<Link>, shared: Arc<Shared>, first: Arc<Connection>) {
    let work = keep(&link, &shared, first);
    let reason = tokio::select! {
        biased;
        () = shared.stop.cancelled() => "the network is stopped",
        () = link.gone.cancelled() => "it is no member any more",
        () = work => return,
    };
    let state = std::mem::replace(&mut *link.state.lock(), State::Down { reason: reason.to_owned() });
    if let State::Open(connection) = state {
        connection.close(reason);
    }
}

async fn keep(link: &Link, shared: &Shared, first: Arc<Connection>) {
    let (shortest, longest) = shared.settings.backoff;
    let mut published = Some(first);
    let (mut pause, mut unused) = (shortest, 0);
    loop {
        let dialed = tokio::time::timeout(shared.settings.handshake, link.dial(shared)).await;
        let late = |_| KnockError::Late(shared.settings.handshake.as_millis());
        match dialed.map_err(late).flatten() {
            Ok(channel) => {
                published = use_until_it_ends(link, shared, channel, published.take()).await;
                if published.is_some() {
                    pause = shortest;
                    continue;
                }
            }
            Err(error) => failed(link, shared, &error, published.take()),
        }
        let nudged = tokio::time::timeout(pause, link.nudged.notified()).await.is_ok();
        pause = if nudged { shortest } else { (pause * 2).min(longest) };
        unused = if link.used.swap(false, Ordering::Relaxed) { 0 } else { unused + 1 };
        if unused > UNUSED_ATTEMPTS {
            *link.state.lock() = State::Idle;
            return;
        }
    }
}

/// The connection that is published for the next attempt, where that is worth waiting for.
async fn use_until_it_ends(
    link: &Link,
    shared: &Shared,
    channel: Channel,
    published: Option<Arc<Connection>>,
) -> Option<Arc<Connection>> {
    let connection = published.unwrap_or_else(|| link.fresh(shared));
    link.open(&connection);
    debug!(to = link.to, lane = link.lane.name(), "connected to a node");
    if shared.reach.opened(link.to) == News::Reached {
        info!(address = link.found_at(shared), member = link.to, "connected to a node");
    }
    let (reason, heard) = link.carry(shared, channel, &connection).await;
    debug!(to = link.to, lane = link.lane.name(), %reason, "the connection to a node has ended");
    // Published first: callers never find one that is closed.
    let next = heard.then(|| link.fresh(shared));
    match &next {
        Some(next) => link.open(next),
        None => {
            link.down(&reason);
        }
    }
    connection.close(&reason);
    next
}

fn failed(link: &Link, shared: &Shared, error: &KnockError, published: Option<Arc<Connection>>) {
    let reason = error.to_string();
    shared.stats.add_connect_failure(link.lane);
    if link.down(&reason) {
        debug!(to = link.to, lane = link.lane.name(), %reason, "cannot reach a node");
    }
    if shared.reach.failed(link.to, &reason, shared.clock.monotonic()) == News::Lost {
        let (address, lane) = (link.found_at(shared), link.lane.name());
        warn!(address, member = link.to, lane, %reason, "cannot reach a node");
    }
    if let Some(connection) = published {
        connection.close(&reason);
    }
}

/// Reads until the connection ends: why it did.
async fn read_answers(
    connection: &Connection,
    reader: &mut PacketReader,
    heard: &AtomicBool,
    shared: &Shared,
) -> ReadError {
    loop {
        let read = reader.next().await;
        shared.stats.add_received(connection.lane, reader.take_received());
        let packet = match read {
            Ok(Some(packet)) => packet,
            Ok(None) => return io::Error::other("the other node has closed it").into(),
            Err(error) => return error,
        };
        heard.store(true, Ordering::Relaxed);
        let taken = match packet.kind {
            Kind::Pong => Ok(()),
            Kind::Answer => packet.decode::<pb::PeerAnswerHead>().map(|head| {
                connection.calls.finish(head.id, answer_from(head.status, packet.body));
            }),
            other => Err(PacketError::Unexpected(other)),
        };
        if let Err(error) = taken {
            return error.into();
        }
    }
}

pub(super) fn answer_from(status: u32, body: Bytes) -> Result<Bytes, PeerError> {
    let reason = || String::from_utf8_lossy(&body).into_owned();
    match status {
        0 => Ok(body),
        1 => Err(PeerError::Refused { reason: reason() }),
        3 => Err(PeerError::Unreachable { reason: reason() }),
        // 2, and whatever a newer node may say: it may have had its effect.
        _ => Err(PeerError::Lost { reason: reason() }),
    }
}

/// The number for an outcome, and what follows it.
pub(super) fn answer_to(answer: Result<Bytes, PeerError>) -> (u32, Bytes) {
    match answer {
        Ok(body) => (0, body),
        Err(PeerError::Refused { reason }) => (1, reason.into()),
        Err(PeerError::Lost { reason }) => (2, reason.into()),
        Err(PeerError::Unreachable { reason }) => (3, reason.into()),
    }
}
