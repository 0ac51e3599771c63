//! The network of one node: what the rest of the broker sees of it.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::{ArcSwap, ArcSwapOption};
use bytes::Bytes;
use flymq_types::Timestamp;
use futures::future::BoxFuture;
use parking_lot::{Mutex, RwLock};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::incoming::Incoming;
use super::lane::PeerLane;
use super::link::Link;
use super::options::{PeerAddress, PeerMembership, PeerOptions};
use super::outbox::{OnSent, Outbound};
use super::packet::{Kind, encode};
use super::reach::Reach;
use super::shared::{GroupCheck, Handlers, Keys, RaftAnswer, Shared};
use super::stats::PeerStats;
use super::{accept, convert, join};
use crate::link::{FrameSink, NodeLink, ReplicaKey, Sent};
use crate::peer::{PeerCall, PeerCaller, PeerError, PeerService};
use crate::raft::{MetaPeer, MetaRequest, MetaRpc, MetaTransport, MetaTransportError, RaftId};
use crate::replica::{BrokerEpoch, BrokerId, Frame, Lane};

/// Connects this node with the others: see the [module](super).
///
/// It is the [`NodeLink`] of replicas, the [`MetaTransport`] of the metadata group and the [`PeerCaller`] of everything
/// else. All three work from the start; who takes what comes in is said when it is there ([`Self::set_raft`],
/// [`Self::set_frames`], [`Self::set_service`]), and others are told "starting" until then.
pub struct PeerNetwork {
    shared: Arc<Shared>,
    address: Option<SocketAddr>,
}

impl fmt::Debug for PeerNetwork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PeerNetwork(member {})", self.shared.me)
    }
}

impl PeerNetwork {
    /// Serves the listener from now on. To be called inside of a tokio runtime.
    pub fn start(options: PeerOptions) -> Arc<Self> {
        let PeerOptions { me, membership, listener, clock, rng, settings } = options;
        let address = listener.local_addr().ok();
        let keys = membership.and_then(|membership| Keys::new(membership, me, &settings));
        let shared = Arc::new(Shared {
            me,
            settings,
            clock,
            rng,
            keys: ArcSwapOption::from_pointee(keys),
            members: ArcSwap::default(),
            over: AtomicU64::new(0),
            handlers: RwLock::new(Handlers::default()),
            links: Mutex::default(),
            incoming: Incoming::default(),
            reach: Reach::default(),
            stats: Arc::new(PeerStats::new()),
            runtime: tokio::runtime::Handle::current(),
            stop: CancellationToken::new(),
            tasks: TaskTracker::new(),
        });
        shared.spawn(accept::run(listener, Arc::clone(&shared)));
        Arc::new(Self { shared, address })
    }

    /// Where the listener is; none where the system does not say.
    pub fn local_addr(&self) -> Option<SocketAddr> {
        self.address
    }

    /// Who answers the requests of the metadata group ([`crate::RaftMetaStore::answer`]).
    pub fn set_raft(&self, answer: RaftAnswer) {
        self.shared.handlers.write().raft = Some(answer);
    }

    /// Who may speak on the lanes of the metadata group ([`crate::RaftMetaStore::knows`]): a node that was removed keeps
    /// its secret and its certificate.
    pub fn set_group(&self, check: GroupCheck) {
        self.shared.handlers.write().group = Some(check);
    }

    /// Who takes the frames of replicas; they are dropped before.
    pub fn set_frames(&self, sink: Arc<dyn FrameSink>) {
        self.shared.handlers.write().frames = Some(sink);
    }

    /// Who answers everything else.
    pub fn set_service(&self, service: Arc<dyn PeerService>) {
        self.shared.handlers.write().service = Some(service);
    }

    /// This node has formed a cluster, or joined one.
    pub fn set_membership(&self, membership: PeerMembership) {
        let keys = Keys::new(membership, self.shared.me, &self.shared.settings);
        self.shared.keys.store(keys.map(Arc::new));
    }

    /// The brokers of the cluster, this node among them, as the image of the metadata has them: at every change of it.
    /// Whoever is not among them can no longer send frames, heartbeats or calls; nor can an earlier registration of one.
    /// Members of the metadata group are reached without being named here.
    pub fn set_members(&self, members: BTreeMap<RaftId, PeerAddress>) {
        let shared = &self.shared;
        let own = shared.epoch_of(shared.me);
        let before = shared.members.swap(Arc::new(members));
        let members = shared.members.load();
        let renewed = shared.epoch_of(shared.me) != own;
        shared.links.lock().retain(|(to, lane), link| {
            let address =
                |of: &BTreeMap<RaftId, PeerAddress>| of.get(to).map(|member| member.address.clone());
            let known = members.contains_key(to);
            if !known && lane.for_brokers_only() {
                link.leave();
                return false;
            }
            // What this node said of itself, or where the other one is, is no longer so.
            if (renewed && lane.for_brokers_only()) || (known && address(&members) != address(&before)) {
                link.reconnect();
            }
            true
        });
        shared.incoming.end_where(|from, lane, epoch| {
            lane.for_brokers_only() && members.get(&from).is_none_or(|known| epoch < known.broker_epoch)
        });
    }

    /// Nobody is to wait for that node any longer: its calls without an answer are lost. Others go on over a new
    /// connection.
    pub fn hang_up(&self, to: RaftId) {
        let link = self.shared.links.lock().get(&(to, PeerLane::Calls)).cloned();
        if let Some(link) = link {
            link.reconnect();
        }
    }

    /// A token that lets nodes join until `expires`. None: this node knows no secret of a cluster.
    pub fn join_token(&self, expires: Timestamp) -> Option<String> {
        let keys = self.shared.keys.load();
        Some(keys.as_ref()?.membership.secret.join_token(expires, &*self.shared.rng))
    }

    /// Asks the node at `address` ([`PeerCall::Join`], without being a member) and waits for the answer at most `within`.
    /// Both sides prove that they know `token`; question and answer are encrypted with what comes from it.
    ///
    /// # Errors
    /// `Unreachable`: nobody is there. `Refused`: wrong token, in no cluster, or the service's own reason.
    pub async fn join(
        &self,
        address: &str,
        token: &str,
        body: Bytes,
        within: Duration,
    ) -> Result<Bytes, PeerError> {
        join::ask(&self.shared, address, token, &body, within).await
    }

    /// Whether the node at `address` belongs to a cluster, whichever that is.
    ///
    /// # Errors
    /// `Unreachable`: nobody is there, or no FlyMQ node. `Refused`: it says neither.
    pub async fn belongs(&self, address: &str) -> Result<bool, PeerError> {
        join::belongs(&self.shared, address).await
    }

    /// Whether that node has a connection of this lane open to this one: that of a process that dies is gone at once.
    pub fn hears(&self, from: RaftId, lane: PeerLane) -> bool {
        self.shared.incoming.has((from, lane))
    }

    /// Whether another node knows of a later registration with this data directory than the one of that epoch.
    pub fn is_over(&self, own: BrokerEpoch) -> bool {
        own.0 > 0 && self.shared.over.load(Ordering::Relaxed) >= own.0
    }

    /// Whether this member speaks TLS with the others.
    pub fn speaks_tls(&self) -> bool {
        self.shared.keys.load().as_ref().is_some_and(|keys| keys.tls.is_some())
    }

    /// What was counted so far.
    pub fn stats(&self) -> &PeerStats {
        &self.shared.stats
    }

    /// Closes the listener and all connections, lets go of who takes what comes in, and waits until nothing runs any more.
    pub async fn shutdown(&self) {
        self.shared.stop.cancel();
        *self.shared.handlers.write() = Handlers::default();
        self.shared.tasks.close();
        self.shared.tasks.wait().await;
    }
}

impl Drop for PeerNetwork {
    fn drop(&mut self) {
        self.shared.stop.cancel();
    }
}

impl Shared {
    fn link(&self, to: RaftId, lane: PeerLane) -> Arc<Link> {
        let mut links = self.links.lock();
        Arc::clone(links.entry((to, lane)).or_insert_with(|| Arc::new(Link::new(to, lane))))
    }

    /// The other node is heard of: attempts to connect to it do not wait any longer.
    pub(super) fn nudge_links_to(&self, to: RaftId) {
        self.links.lock().iter().filter(|((member, _), _)| *member == to).for_each(|(_, link)| link.nudge());
    }

    /// The link to a broker; the metadata group's is found by its own address.
    fn link_to_broker(&self, to: RaftId, lane: PeerLane) -> Result<Arc<Link>, PeerError> {
        if self.members.load().contains_key(&to) {
            return Ok(self.link(to, lane));
        }
        Err(PeerError::Unreachable { reason: format!("member {to} is not known here") })
    }

    /// What would go over the network if the two nodes were not one.
    async fn call_own(&self, call: PeerCall, body: Bytes, within: Duration) -> Result<Bytes, PeerError> {
        let service = self.handlers.read().service.clone();
        let Some(service) = service else {
            return Err(PeerError::Refused { reason: "this node is starting, or stopping".to_owned() });
        };
        let answer = tokio::time::timeout(within, service.answer(Some(self.me), call, body)).await;
        answer.unwrap_or_else(|_| {
            Err(PeerError::Lost { reason: format!("nothing within {} ms", within.as_millis()) })
        })
    }
}

impl NodeLink for PeerNetwork {
    fn send(&self, to: BrokerId, at: ReplicaKey, frame: Frame, lane: Lane, sent: Option<Sent>) {
        let shared = &self.shared;
        let (lane, sent) = (PeerLane::from(lane), OnSent::new(sent));
        let dropped = || shared.stats.add_dropped(lane, 1);
        let Ok(link) = shared.link_to_broker(to.0, lane) else { return dropped() };
        let (head, body) = convert::to_head(shared.epoch_of(to.0), at, frame);
        let Some(head) = encode(Kind::Replica, &head, body.len(), shared.settings.max_packet_bytes) else {
            tracing::error!(to = to.0, %at, bytes = body.len(), "a frame of a replica is too long and dropped");
            return dropped();
        };
        match link.connection(shared) {
            // What is not taken is counted there.
            Ok(connection) => {
                let _ = connection.push(Outbound { head, body, call: None, sent });
            }
            Err(_) => dropped(),
        }
    }
}

impl PeerCaller for PeerNetwork {
    fn call(
        &self,
        to: RaftId,
        call: PeerCall,
        body: Bytes,
        within: Duration,
    ) -> BoxFuture<'_, Result<Bytes, PeerError>> {
        Box::pin(async move {
            if to == self.shared.me {
                return self.shared.call_own(call, body, within).await;
            }
            let lane = match call {
                PeerCall::Heartbeat => PeerLane::Heartbeat,
                PeerCall::Join | PeerCall::Forward => PeerLane::Calls,
            };
            let connection = self.shared.link_to_broker(to, lane)?.connection(&self.shared)?;
            let max = self.shared.settings.max_packet_bytes;
            connection.call((Kind::Call, call as u8), body, within, max).await
        })
    }
}

impl MetaTransport for PeerNetwork {
    fn call<'a>(
        &'a self,
        to: RaftId,
        peer: &'a MetaPeer,
        request: MetaRequest,
        within: Duration,
    ) -> BoxFuture<'a, Result<Bytes, MetaTransportError>> {
        let shared = &self.shared;
        let work = async move {
            let lane = match request.rpc {
                MetaRpc::Append
                | MetaRpc::Vote
                | MetaRpc::Forward
                | MetaRpc::ReadIndex
                | MetaRpc::Silence => PeerLane::Meta,
                MetaRpc::InstallSnapshot => PeerLane::Snapshot,
            };
            let link = shared.link(to, lane);
            link.set_address(&peer.address);
            let max = shared.settings.max_packet_bytes;
            let connection = link.connection(shared)?;
            connection.call((Kind::MetaRequest, request.rpc as u8), request.body, within, max).await
        };
        Box::pin(async move {
            work.await.map_err(|error| match error {
                PeerError::Unreachable { reason } => MetaTransportError::Unreachable { reason },
                PeerError::Lost { reason } => MetaTransportError::Lost { reason },
                PeerError::Refused { reason } => MetaTransportError::Refused { reason },
            })
        })
    }
}
