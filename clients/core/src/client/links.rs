//! The client's connections: a few to whichever server answers, and one to each node that leads something. Each is made at
//! first use and anew after it broke.

mod connect;

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use futures::{
    FutureExt as _,
    future::{BoxFuture, Shared},
};
use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::{ClientConfig, ClientError, metadata::Leader, pb, runtime, transport::Transport};

type Link = Arc<dyn Transport>;

/// How long one node has to take a connection before the next one is tried.
const OTHER_WAIT: Duration = Duration::from_secs(1);

/// So often the nodes and their addresses are asked for: where something failed lately or a node is away, which may come back
/// under another address; and else.
const UNSURE: Duration = Duration::from_secs(1);
const SURE: Duration = Duration::from_secs(60);
/// A failure counts for so long.
const LATELY: Duration = Duration::from_secs(30);

/// When the nodes of the cluster are asked for.
#[derive(Default)]
struct Asking {
    next: Option<Instant>,
    failed: Option<Instant>,
}

impl Asking {
    /// A connection was made anew: the server that it was to is away, and who took it may know more.
    fn reconnected(&mut self) {
        if self.next.is_some() {
            let now = Instant::now();
            (self.failed, self.next) = (Some(now), Some(now));
        }
    }
}

/// The one attempt that all callers without a connection wait for.
type Connecting = Shared<BoxFuture<'static, Result<Link, ClientError>>>;

#[derive(Default)]
struct Slot {
    link: Option<Link>,
    connecting: Option<Connecting>,
}

impl Slot {
    fn open(&self) -> Option<&Link> {
        self.link.as_ref().filter(|link| !link.is_closed())
    }
}

/// What a slot is connected to.
#[derive(Debug, Clone)]
enum Target {
    /// Any server that answers.
    Any,
    /// The node of this name at this address.
    Node { node: Arc<str>, addr: Arc<str> },
}

struct Inner {
    config: Arc<ClientConfig>,
    any: Vec<Arc<Mutex<Slot>>>,
    /// By address.
    nodes: Mutex<HashMap<Arc<str>, Arc<Mutex<Slot>>>>,
    /// Server that answered last, by its place among all that are known.
    server: AtomicUsize,
    /// Names and addresses of the cluster's nodes.
    members: Mutex<Vec<(Arc<str>, Arc<str>)>>,
    asking: Mutex<Asking>,
    /// The servers are nodes of one cluster.
    cluster: AtomicBool,
    closed: AtomicBool,
}

pub(super) struct Links(Arc<Inner>);

impl Links {
    pub(super) fn new(config: Arc<ClientConfig>) -> Self {
        let any = (0..config.connections.max(1)).map(|_| Arc::default()).collect();
        Self(Arc::new(Inner {
            config,
            any,
            nodes: Mutex::default(),
            server: AtomicUsize::new(0),
            members: Mutex::default(),
            asking: Mutex::default(),
            cluster: AtomicBool::new(false),
            closed: AtomicBool::new(false),
        }))
    }

    /// A connection to any server.
    pub(super) async fn any(&self, slot: usize) -> Result<Link, ClientError> {
        let any = &self.0.any;
        self.get(&any[slot % any.len()], Target::Any).await
    }

    /// The connection to the node that leads something: one that is there already, where it is that node's.
    pub(super) async fn to(&self, leader: &Leader) -> Result<Link, ClientError> {
        if let Some(link) = self.open_to(leader) {
            return Ok(link);
        }
        if leader.addr.is_empty() {
            // Such a node can only be reached through the others.
            return self.any(0).await;
        }
        let slot = Arc::clone(self.0.nodes.lock().entry(Arc::clone(&leader.addr)).or_default());
        let target = Target::Node { node: Arc::clone(&leader.node), addr: Arc::clone(&leader.addr) };
        self.get(&slot, target).await
    }

    /// As [`Links::to`], if it needs no wait.
    pub(super) fn open_to(&self, leader: &Leader) -> Option<Link> {
        if let Some(link) = self.open_any().filter(|link| link.node_id() == &*leader.node) {
            return Some(link);
        }
        let slot = self.0.nodes.lock().get(&leader.addr).cloned()?;
        let slot = slot.lock();
        slot.open().cloned()
    }

    /// The first connection to any server, if it needs no wait.
    pub(super) fn open_any(&self) -> Option<Link> {
        self.0.any.first()?.lock().open().cloned()
    }

    /// Makes no further requests on a connection that does not answer; the next one is made to another server. Those that
    /// wait there have their time to be answered all the same.
    pub(super) fn leave(&self, link: &Link) {
        for slot in &self.0.any {
            let mut slot = slot.lock();
            let Some(left) = slot.link.take_if(|known| Arc::ptr_eq(known, link)) else { continue };
            self.0.server.fetch_add(1, Ordering::Relaxed);
            let patience = self.0.config.request_timeout;
            drop(runtime::spawn(async move {
                tokio::time::sleep(patience).await;
                drop(left);
            }));
        }
    }

    /// A connection to a node of the cluster other than this one.
    pub(super) async fn other_than(&self, node: &str) -> Option<Link> {
        let named = |link: &Link| !link.node_id().is_empty() && link.node_id() != node;
        if let Some(link) = self.open_any().filter(named) {
            return Some(link);
        }
        let members = self.0.members.lock().clone();
        let others = members.into_iter().filter(|(name, addr)| **name != *node && !addr.is_empty());
        let mut others: Vec<_> = others.map(|(node, addr)| Leader { node, addr, epoch: 0 }).collect();
        // Those first that can be asked without a wait.
        others.sort_by_key(|there| self.open_to(there).is_none());
        for there in others {
            if let Ok(Ok(link)) = tokio::time::timeout(OTHER_WAIT, self.to(&there)).await {
                return Some(link);
            }
        }
        None
    }

    /// Remembers the nodes of the cluster.
    pub(super) fn learn(&self, members: &[pb::ClusterMember]) {
        if members.len() < 2 {
            return;
        }
        self.is_cluster();
        let known = members.iter().map(|m| (m.node_id.as_str().into(), m.client_addr.as_str().into()));
        *self.0.members.lock() = known.collect();
        let mut asking = self.0.asking.lock();
        let failed = asking.failed.is_some_and(|failed| failed.elapsed() < LATELY);
        let away = members.iter().any(|member| member.state == "fenced");
        asking.next = Some(Instant::now() + if failed || away { UNSURE } else { SURE });
    }

    /// Whether it is time to ask for the nodes again; if so the caller does, and nobody else for a moment.
    pub(super) fn members_due(&self) -> bool {
        let mut asking = self.0.asking.lock();
        let now = Instant::now();
        let due = asking.next.is_some_and(|next| next <= now);
        if due {
            asking.next = Some(now + UNSURE);
        }
        due
    }

    /// A node did not answer.
    pub(super) fn failed(&self) {
        let mut asking = self.0.asking.lock();
        let now = Instant::now();
        asking.failed = Some(now);
        asking.next = asking.next.map(|next| next.min(now + UNSURE));
    }

    /// The servers are nodes of one cluster.
    pub(super) fn is_cluster(&self) {
        self.0.cluster.store(true, Ordering::Relaxed);
    }

    pub(super) fn in_cluster(&self) -> bool {
        self.0.cluster.load(Ordering::Relaxed)
    }

    /// Whether there is another server to try where one fails.
    pub(super) fn have_others(&self) -> bool {
        self.0.config.bootstrap_servers.len() > 1 || self.0.members.lock().len() > 1
    }

    pub(super) fn close(&self) {
        self.0.closed.store(true, Ordering::Release);
        for slot in &self.0.any {
            slot.lock().link = None;
        }
        for (_, slot) in self.0.nodes.lock().drain() {
            slot.lock().link = None;
        }
    }

    /// The slot's connection; where it has none, a task makes one, so that it comes about also if the caller who asked
    /// first is not polled any more.
    async fn get(&self, place: &Arc<Mutex<Slot>>, target: Target) -> Result<Link, ClientError> {
        let inner = &self.0;
        let connecting = {
            let mut slot = place.lock();
            inner.check_open()?;
            if let Some(link) = slot.open() {
                return Ok(Arc::clone(link));
            }
            slot.connecting.get_or_insert_with(|| inner.begin(Arc::clone(place), target)).clone()
        };
        let made = connecting.clone().await;
        if made.is_err() {
            // Its task may have ended with its runtime, and cleared nothing.
            place.lock().connecting.take_if(|known| known.ptr_eq(&connecting));
        }
        made
    }
}

impl Inner {
    fn check_open(&self) -> Result<(), ClientError> {
        if self.closed.load(Ordering::Acquire) { Err(ClientError::closed("client")) } else { Ok(()) }
    }

    fn begin(self: &Arc<Self>, place: Arc<Mutex<Slot>>, target: Target) -> Connecting {
        let (sender, receiver) = oneshot::channel();
        let inner = Arc::clone(self);
        let connect = async move {
            let made = inner.connect(target).await;
            let made = inner.keep(&place, made);
            // Nobody may be left who waits.
            let _ = sender.send(made);
        };
        drop(runtime::spawn(connect));
        let made = async { receiver.await.unwrap_or_else(|_| Err(ClientError::closed("client's runtime"))) };
        made.boxed().shared()
    }

    fn keep(&self, place: &Mutex<Slot>, made: Result<Link, ClientError>) -> Result<Link, ClientError> {
        let mut slot = place.lock();
        slot.connecting = None;
        // Under the lock: a close either sees the connection or is seen.
        self.check_open()?;
        slot.link = made.as_ref().ok().cloned();
        if made.as_ref().is_ok_and(|link| link.in_cluster()) {
            self.cluster.store(true, Ordering::Relaxed);
        }
        made
    }
}
