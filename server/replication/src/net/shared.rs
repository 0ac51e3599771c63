//! What all connections of a node have in common.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use arc_swap::{ArcSwap, ArcSwapOption};
use bytes::Bytes;
use flymq_types::{Clock, Rng};
use futures::future::BoxFuture;
use parking_lot::{Mutex, RwLock};
use ring::hmac;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::bulk;
use super::handshake::NONCE_LEN;
use super::incoming::Incoming;
use super::lane::PeerLane;
use super::link::Link;
use super::options::{PeerAddress, PeerMembership, PeerSettings};
use super::reach::Reach;
use super::stats::PeerStats;
use super::tls::Tls;
use crate::link::FrameSink;
use crate::peer::PeerService;
use crate::raft::{MetaRequest, MetaTransportError, RaftId};
use crate::replica::BrokerEpoch;

/// Answers the metadata group's requests: [`crate::RaftMetaStore::answer`].
pub type RaftAnswer =
    Arc<dyn Fn(MetaRequest) -> BoxFuture<'static, Result<Bytes, MetaTransportError>> + Send + Sync>;

/// Whether that member is in the metadata group: [`crate::RaftMetaStore::knows`].
pub type GroupCheck = Arc<dyn Fn(RaftId) -> BoxFuture<'static, bool> + Send + Sync>;

/// Who takes what comes in. Nobody yet: the node is starting, and says so.
#[derive(Default)]
pub(super) struct Handlers {
    pub(super) raft: Option<RaftAnswer>,
    pub(super) frames: Option<Arc<dyn FrameSink>>,
    pub(super) service: Option<Arc<dyn PeerService>>,
    /// Everybody with the secret, before it is there.
    pub(super) group: Option<GroupCheck>,
}

/// The membership with its keys.
pub(super) struct Keys {
    pub(super) membership: PeerMembership,
    pub(super) member: hmac::Key,
    /// None: members speak plain text.
    pub(super) tls: Option<Tls>,
}

impl Keys {
    /// None, and logged, where this node cannot be certified: it must not speak plain text instead.
    pub(super) fn new(membership: PeerMembership, me: RaftId, settings: &PeerSettings) -> Option<Self> {
        let tls = match (membership.secret.seed(), membership.cluster) {
            (Some(seed), Some(cluster)) if settings.tls => match Tls::new(seed, cluster, me) {
                Ok(tls) => Some(tls),
                Err(reason) => {
                    tracing::error!(%reason, "this node cannot be certified, and talks to no other node");
                    return None;
                }
            },
            (Some(_) | None, Some(_) | None) => None,
        };
        Some(Self { member: membership.secret.member_key(), membership, tls })
    }
}

pub(super) struct Shared {
    pub(super) me: RaftId,
    pub(super) settings: PeerSettings,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) rng: Arc<dyn Rng>,
    pub(super) keys: ArcSwapOption<Keys>,
    pub(super) members: ArcSwap<BTreeMap<RaftId, PeerAddress>>,
    /// The newest broker epoch of this node that another one has refused because a later one is current.
    pub(super) over: AtomicU64,
    pub(super) handlers: RwLock<Handlers>,
    pub(super) links: Mutex<HashMap<(RaftId, PeerLane), Arc<Link>>>,
    pub(super) incoming: Incoming,
    pub(super) reach: Reach,
    pub(super) stats: Arc<PeerStats>,
    /// Frames are also sent by threads outside of the runtime.
    pub(super) runtime: tokio::runtime::Handle,
    pub(super) stop: CancellationToken,
    pub(super) tasks: TaskTracker,
}

impl Shared {
    /// The registration of a member that this node knows of; 0 where there is none.
    pub(super) fn epoch_of(&self, member: RaftId) -> BrokerEpoch {
        self.members.load().get(&member).map_or(BrokerEpoch(0), |known| known.broker_epoch)
    }

    pub(super) fn nonce(&self) -> Bytes {
        let mut nonce = [0; NONCE_LEN];
        self.rng.fill(&mut nonce);
        Bytes::copy_from_slice(&nonce)
    }

    /// Runs beside the caller until the network stops.
    pub(super) fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn_on(work, &self.runtime);
    }

    /// What a connection of this lane does.
    pub(super) fn spawn_on_lane(&self, lane: PeerLane, work: impl Future<Output = ()> + Send + 'static) {
        let bulk = if lane.is_bulk() { bulk::runtime() } else { None };
        self.tasks.spawn_on(work, bulk.unwrap_or(&self.runtime));
    }
}
