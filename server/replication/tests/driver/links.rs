//! Links in memory that can be cut.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Weak};

use flymq_replication::replica::{BrokerEpoch, BrokerId, Frame, Lane};
use flymq_replication::{FrameSink, NodeLink, ReplicaKey, ReplicaSet, Sent};
use parking_lot::Mutex;

/// All links between the nodes of a test.
#[derive(Debug, Clone, Default)]
pub struct Links(Arc<Mutex<Wires>>);

#[derive(Debug, Default)]
struct Wires {
    nodes: BTreeMap<BrokerId, (BrokerEpoch, Weak<ReplicaSet>)>,
    /// From, to.
    cut: BTreeSet<(BrokerId, BrokerId)>,
    sent: u64,
    lose_every: Option<u64>,
}

impl Links {
    pub fn of(&self, me: BrokerId) -> Arc<dyn NodeLink> {
        Arc::new(Link { links: self.clone(), me })
    }

    /// Frames to the broker go there from now on.
    pub fn join(&self, me: BrokerId, epoch: BrokerEpoch, replicas: &Arc<ReplicaSet>) {
        self.0.lock().nodes.insert(me, (epoch, Arc::downgrade(replicas)));
    }

    /// Frames to the broker are lost.
    pub fn leave(&self, me: BrokerId) {
        self.0.lock().nodes.remove(&me);
    }

    /// Loses everything between the broker and all others.
    pub fn isolate(&self, one: BrokerId, others: &[BrokerId]) {
        let mut wires = self.0.lock();
        for other in others.iter().filter(|other| **other != one) {
            wires.cut.insert((one, *other));
            wires.cut.insert((*other, one));
        }
    }

    /// Loses what goes one way.
    pub fn cut(&self, from: BrokerId, to: BrokerId) {
        self.0.lock().cut.insert((from, to));
    }

    /// Loses each so many-th frame.
    pub fn lose_every(&self, frames: u64) {
        self.0.lock().lose_every = Some(frames);
    }

    pub fn heal(&self) {
        let mut wires = self.0.lock();
        wires.cut.clear();
        wires.lose_every = None;
    }
}

#[derive(Debug)]
struct Link {
    links: Links,
    me: BrokerId,
}

impl NodeLink for Link {
    fn send(&self, to: BrokerId, at: ReplicaKey, frame: Frame, _lane: Lane, sent: Option<Sent>) {
        let target = {
            let mut wires = self.links.0.lock();
            wires.sent += 1;
            let lost = wires.lose_every.is_some_and(|every| wires.sent.is_multiple_of(every));
            let cut = lost || wires.cut.contains(&(self.me, to));
            wires.nodes.get(&to).filter(|_| !cut).and_then(|(epoch, sink)| Some((*epoch, sink.upgrade()?)))
        };
        if let Some((epoch, sink)) = target {
            sink.frame(self.me, epoch, at, frame);
        }
        if let Some(sent) = sent {
            sent();
        }
    }
}
