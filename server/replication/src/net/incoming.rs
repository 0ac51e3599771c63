//! The connections that others have opened: one for each member and lane. A newer one takes over when the older has been
//! read to its end, so that frames keep their order.

use std::collections::HashMap;

use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use super::lane::PeerLane;
use crate::raft::RaftId;
use crate::replica::BrokerEpoch;

type Key = (RaftId, PeerLane);

#[derive(Debug, Default)]
pub(super) struct Incoming(Mutex<Connections>);

#[derive(Debug, Default)]
struct Connections {
    last: u64,
    open: HashMap<Key, Entry>,
}

#[derive(Debug, Clone)]
struct Entry {
    number: u64,
    epoch: BrokerEpoch,
    /// Asks it to end.
    end: CancellationToken,
    /// It has ended: nothing of it is given to anyone any more.
    ended: CancellationToken,
    /// The same of those before it, which may still be waited for.
    before: Vec<CancellationToken>,
}

/// A connection in the registry, for as long as it lives.
#[derive(Debug)]
pub(super) struct Registered<'a> {
    incoming: &'a Incoming,
    key: Key,
    entry: Entry,
}

impl Incoming {
    /// Ends an older connection of the same member and lane, and waits for that.
    pub(super) async fn register(&self, key: Key, epoch: BrokerEpoch) -> Registered<'_> {
        let entry = self.insert(key, epoch);
        // Also where this future is dropped while it waits, the entry goes with it.
        let registered = Registered { incoming: self, key, entry };
        for earlier in &registered.entry.before {
            earlier.cancelled().await;
        }
        registered
    }

    fn insert(&self, key: Key, epoch: BrokerEpoch) -> Entry {
        let mut connections = self.0.lock();
        connections.last += 1;
        let mut before = Vec::new();
        if let Some(older) = connections.open.remove(&key) {
            older.end.cancel();
            before = older.before;
            before.push(older.ended);
            before.retain(|ended| !ended.is_cancelled());
        }
        let (end, ended) = (CancellationToken::new(), CancellationToken::new());
        let entry = Entry { number: connections.last, epoch, end, ended, before };
        connections.open.insert(key, entry.clone());
        entry
    }

    /// Whether that member has such a connection open.
    pub(super) fn has(&self, key: Key) -> bool {
        self.0.lock().open.contains_key(&key)
    }

    /// Ends those that `is_over` picks by member, lane and epoch.
    pub(super) fn end_where(&self, is_over: impl Fn(RaftId, PeerLane, BrokerEpoch) -> bool) {
        for ((from, lane), entry) in &self.0.lock().open {
            if is_over(*from, *lane, entry.epoch) {
                entry.end.cancel();
            }
        }
    }
}

impl Registered<'_> {
    /// Resolves when the connection is to end.
    pub(super) async fn end(&self) {
        self.entry.end.cancelled().await;
    }
}

impl Drop for Registered<'_> {
    fn drop(&mut self) {
        let mut connections = self.incoming.0.lock();
        let own = connections.open.get(&self.key).is_some_and(|entry| entry.number == self.entry.number);
        if own {
            connections.open.remove(&self.key);
        }
        drop(connections);
        self.entry.ended.cancel();
    }
}
