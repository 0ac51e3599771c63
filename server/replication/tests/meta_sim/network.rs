//! A network that loses, delays, doubles and reorders requests, and cuts one way.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use flymq_replication::{
    MetaPeer, MetaRequest, MetaRpc, MetaTransport, MetaTransportError, RaftId, RaftMetaStore, Simulation,
};
use futures::future::BoxFuture;
use parking_lot::Mutex;
use tokio::time::{Instant, sleep, timeout};

use crate::chance::Chance;
use crate::oracle::Oracle;

/// Clones are the same network.
#[derive(Debug, Clone)]
pub struct Network {
    chance: Chance,
    oracle: Arc<Mutex<Oracle>>,
    began: Instant,
    links: Arc<Mutex<Links>>,
}

#[derive(Debug)]
struct Links {
    members: BTreeMap<RaftId, RaftMetaStore>,
    /// From, to.
    cut: BTreeSet<(RaftId, RaftId)>,
    /// Requests and answers of a hundred that are lost.
    loss: u64,
    /// A way takes at most so many ms.
    delay: u64,
    requests: u64,
    /// Parts of snapshots that came to each.
    snapshots: BTreeMap<RaftId, u64>,
    lost: u64,
    doubled: u64,
}

/// One member's way into it.
#[derive(Debug)]
pub struct Transport {
    network: Network,
    from: RaftId,
}

impl Network {
    /// What it carries is noted there.
    pub fn new(chance: Chance, oracle: Arc<Mutex<Oracle>>) -> Self {
        let (members, cut) = (BTreeMap::new(), BTreeSet::new());
        let links = Links {
            members,
            cut,
            loss: 0,
            delay: 2,
            requests: 0,
            snapshots: BTreeMap::new(),
            lost: 0,
            doubled: 0,
        };
        Self { chance, oracle, began: Instant::now(), links: Arc::new(Mutex::new(links)) }
    }

    pub fn transport(&self, from: RaftId) -> Transport {
        Transport { network: self.clone(), from }
    }

    pub fn join(&self, store: RaftMetaStore) {
        self.links.lock().members.insert(store.id(), store);
    }

    pub fn leave(&self, id: RaftId) {
        self.links.lock().members.remove(&id);
    }

    pub fn cut(&self, from: RaftId, to: RaftId) {
        self.links.lock().cut.insert((from, to));
    }

    pub fn worsen(&self, loss: u64, delay: u64) {
        let mut links = self.links.lock();
        (links.loss, links.delay) = (loss, delay);
    }

    pub fn heal(&self) {
        self.links.lock().cut.clear();
        self.worsen(0, 2);
    }

    /// Requests, messages lost, and requests that came twice.
    pub fn counts(&self) -> [u64; 3] {
        let links = self.links.lock();
        [links.requests, links.lost, links.doubled]
    }

    /// So many parts of snapshots came to this member so far.
    pub fn snapshots_to(&self, id: RaftId) -> u64 {
        self.links.lock().snapshots.get(&id).copied().unwrap_or_default()
    }

    fn note(&self, what: &str) {
        let now = u64::try_from(self.began.elapsed().as_millis()).unwrap();
        self.oracle.lock().note(now, what);
    }

    /// Whether a message gets from one to the other; it takes its time either way.
    async fn pass(&self, from: RaftId, to: RaftId) -> bool {
        let (delay, loss) = {
            let links = self.links.lock();
            (links.delay, links.loss)
        };
        sleep(Duration::from_millis(self.chance.within(0, delay))).await;
        let lost = self.chance.percent(loss) || self.links.lock().cut.contains(&(from, to));
        self.links.lock().lost += u64::from(lost);
        !lost
    }

    async fn exchange(self, from: RaftId, to: RaftId, request: MetaRequest) -> Option<Answer> {
        let rpc = request.rpc;
        let named = |what: &str| self.note(&format!("{from} {what} {to} {rpc:?}"));
        named("asks");
        if !self.pass(from, to).await {
            return None;
        }
        named("reaches");
        if rpc == MetaRpc::InstallSnapshot {
            *self.links.lock().snapshots.entry(to).or_default() += 1;
        }
        let unreachable = MetaTransportError::Unreachable { reason: "nobody is there".to_owned() };
        let Some(member) = self.links.lock().members.get(&to).cloned() else { return Some(Err(unreachable)) };
        // A proposal comes once: what carries requests never repeats one that may have had an effect.
        if request.rpc != MetaRpc::Forward && self.chance.percent(2) {
            self.links.lock().doubled += 1;
            drop(member.answer(request.clone()).await);
        }
        let answer = member.answer(request).await;
        named("was answered by");
        self.pass(to, from).await.then_some(answer)
    }
}

type Answer = Result<Bytes, MetaTransportError>;

impl MetaTransport for Transport {
    /// The request goes on when its caller no longer waits.
    fn call<'a>(
        &'a self,
        to: RaftId,
        _peer: &'a MetaPeer,
        request: MetaRequest,
        within: Duration,
    ) -> BoxFuture<'a, Answer> {
        self.network.links.lock().requests += 1;
        let exchange = Simulation::spawn(self.network.clone().exchange(self.from, to, request));
        Box::pin(async move {
            let lost = || MetaTransportError::Lost { reason: "it took too long".to_owned() };
            let until = Instant::now() + within;
            match timeout(within, exchange).await {
                Ok(Ok(Some(answer))) => answer,
                Ok(Ok(None)) => {
                    tokio::time::sleep_until(until).await;
                    Err(lost())
                }
                Ok(Err(_)) | Err(_) => Err(lost()),
            }
        })
    }
}
