//! Members that reach each other inside one process, with partitions and delays: for tests and simulation.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use parking_lot::Mutex;

use super::store::{Member, RaftMetaStore};
use super::transport::{MetaRequest, MetaTransport, MetaTransportError};
use super::types::{MetaPeer, RaftId};

/// A network in memory. Clones share one.
#[derive(Debug, Clone, Default)]
pub struct MemoryNetwork(Arc<Mutex<Links>>);

#[derive(Debug, Default)]
struct Links {
    members: BTreeMap<RaftId, Weak<Member>>,
    /// From, to.
    cut: BTreeSet<(RaftId, RaftId)>,
    delay: Duration,
}

/// One member's way into a [`MemoryNetwork`].
#[derive(Debug, Clone)]
pub struct MemoryTransport {
    network: MemoryNetwork,
    from: RaftId,
}

impl MemoryNetwork {
    /// What the member sends through.
    pub fn transport(&self, from: RaftId) -> MemoryTransport {
        MemoryTransport { network: self.clone(), from }
    }

    /// From now on requests to the member's id go to this store.
    pub fn join(&self, store: &RaftMetaStore) {
        self.0.lock().members.insert(store.id(), Arc::downgrade(&store.0));
    }

    /// Requests to the member no longer get there.
    pub fn leave(&self, id: RaftId) {
        self.0.lock().members.remove(&id);
    }

    /// Loses everything that goes from one member to the other; not the other way round.
    pub fn cut(&self, from: RaftId, to: RaftId) {
        self.0.lock().cut.insert((from, to));
    }

    /// Loses everything between the two sides.
    pub fn partition(&self, one: &[RaftId], other: &[RaftId]) {
        for (a, b) in one.iter().flat_map(|a| other.iter().map(move |b| (*a, *b))) {
            self.cut(a, b);
            self.cut(b, a);
        }
    }

    /// Ends all cuts.
    pub fn heal(&self) {
        self.0.lock().cut.clear();
    }

    /// Each request and each answer takes this long.
    pub fn set_delay(&self, delay: Duration) {
        self.0.lock().delay = delay;
    }

    fn is_cut(&self, from: RaftId, to: RaftId) -> bool {
        self.0.lock().cut.contains(&(from, to))
    }

    /// The store behind an id, and how long the way is.
    fn find(&self, from: RaftId, to: RaftId) -> Result<(RaftMetaStore, Duration), MetaTransportError> {
        let unreachable = |reason: &str| MetaTransportError::Unreachable { reason: reason.to_owned() };
        let links = self.0.lock();
        if links.cut.contains(&(from, to)) {
            return Err(unreachable("the link is cut"));
        }
        let member = links.members.get(&to).and_then(Weak::upgrade);
        let member = member.ok_or_else(|| unreachable("nobody is there"))?;
        Ok((RaftMetaStore(member), links.delay))
    }
}

async fn pass(delay: Duration) {
    if !delay.is_zero() {
        tokio::time::sleep(delay).await;
    }
}

impl MetaTransport for MemoryTransport {
    fn call<'a>(
        &'a self,
        to: RaftId,
        _peer: &'a MetaPeer,
        request: MetaRequest,
        within: Duration,
    ) -> BoxFuture<'a, Result<Bytes, MetaTransportError>> {
        let lost = |reason: &str| MetaTransportError::Lost { reason: reason.to_owned() };
        let exchange = async move {
            let (store, delay) = self.network.find(self.from, to)?;
            pass(delay).await;
            let answer = store.answer(request).await;
            pass(delay).await;
            if self.network.is_cut(to, self.from) { Err(lost("the link is cut")) } else { answer }
        };
        Box::pin(async move {
            tokio::time::timeout(within, exchange).await.unwrap_or_else(|_| Err(lost("it took too long")))
        })
    }
}
