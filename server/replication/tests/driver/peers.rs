//! What engines ask of each other, besides frames of replicas: in memory, and it can be cut, or its answers get lost.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Weak};

use bytes::Bytes;
use flymq_engine::{Appended, Engine, EngineError, PlaceCall, SchedulePeers, Target, TransactionPeers};
use flymq_types::{Acks, NodeId, PartitionId, TopicName};
use futures::future::BoxFuture;
use parking_lot::Mutex;

/// All engines of a test.
#[derive(Debug, Clone, Default)]
pub struct Peers(Arc<Mutex<Wires>>);

#[derive(Debug, Default)]
struct Wires {
    engines: BTreeMap<NodeId, Weak<Engine>>,
    isolated: BTreeSet<NodeId>,
    asked: u64,
    /// Each so many-th answer is lost.
    lose_every: Option<u64>,
}

impl Peers {
    /// The engine reaches the others, and is reached by them, from now on.
    pub fn join(&self, id: &NodeId, engine: &Arc<Engine>) {
        let peer = Arc::new(Peer { peers: self.clone(), me: id.clone() });
        engine.connect_transactions(peer.clone());
        engine.connect_schedules(peer);
        self.0.lock().engines.insert(id.clone(), Arc::downgrade(engine));
    }

    pub fn leave(&self, id: &NodeId) {
        self.0.lock().engines.remove(id);
    }

    pub fn isolate(&self, id: &NodeId) {
        self.0.lock().isolated.insert(id.clone());
    }

    pub fn lose_every(&self, answers: u64) {
        self.0.lock().lose_every = Some(answers);
    }

    pub fn heal(&self) {
        let mut wires = self.0.lock();
        wires.isolated.clear();
        wires.lose_every = None;
    }

    /// The engines that run, for clients.
    pub fn engines(&self) -> Vec<Arc<Engine>> {
        self.0.lock().engines.values().filter_map(Weak::upgrade).collect()
    }

    /// The engine that is asked, and whether its answer gets back.
    fn ask(&self, from: &NodeId, to: &NodeId) -> Result<(Arc<Engine>, bool), EngineError> {
        let mut wires = self.0.lock();
        wires.asked += 1;
        let lost = wires.lose_every.is_some_and(|every| wires.asked.is_multiple_of(every));
        let cut = wires.isolated.contains(from) || wires.isolated.contains(to);
        let engine = wires.engines.get(to).filter(|_| !cut).and_then(Weak::upgrade);
        Ok((engine.ok_or_else(|| unreachable(to))?, lost))
    }
}

fn unreachable(to: &NodeId) -> EngineError {
    EngineError::PeerUnavailable { reason: format!("{to} does not answer") }
}

#[derive(Debug)]
struct Peer {
    peers: Peers,
    me: NodeId,
}

impl TransactionPeers for Peer {
    fn call(&self, to: NodeId, call: PlaceCall) -> BoxFuture<'static, Result<(), EngineError>> {
        let asked = self.peers.ask(&self.me, &to);
        Box::pin(async move {
            let (engine, lost) = asked?;
            let answer = engine.carry_out(call).await;
            if lost { Err(unreachable(&to)) } else { answer }
        })
    }
}

impl SchedulePeers for Peer {
    fn append(
        &self,
        to: NodeId,
        topic: TopicName,
        partition: PartitionId,
        batch: Bytes,
    ) -> BoxFuture<'static, Result<Appended, EngineError>> {
        let asked = self.peers.ask(&self.me, &to);
        Box::pin(async move {
            let (engine, lost) = asked?;
            let answer = engine.append(&topic, Target::Partition(partition), batch, Acks::All).await;
            // None of what is refused here is refused for ever.
            if lost { Err(unreachable(&to)) } else { answer.map_err(|_| unreachable(&to)) }
        })
    }
}
