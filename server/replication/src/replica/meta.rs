//! What the metadata group says of one partition, and how a replica is set.

use flymq_types::LeaderEpoch;

/// Milliseconds of a clock that never goes back; only differences count.
pub type Millis = u64;

/// A broker's number in the metadata group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BrokerId(pub u64);

/// Counts the registrations of a broker: a process that starts again, or has another disk, has a higher one.
/// (Broker epoch of [KIP-841](https://cwiki.apache.org/confluence/x/phmhCw): an ISR change that names an older one is
/// refused.)
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct BrokerEpoch(pub u64);

/// One follower's run of fetching from one leader. Whatever is older than the highest that a leader has heard of comes
/// from before a restart, a truncation or a repair, and is not counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct StreamId {
    /// The follower's registration.
    pub broker_epoch: BrokerEpoch,
    /// Counted up by the follower each time it joins a leader anew.
    pub number: u32,
}

/// The state of a partition as the metadata group has committed it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct PartitionMeta {
    /// Assigned, in order of preference.
    pub replicas: Vec<BrokerId>,
    /// In sync: each has every committed record on its disk, so each may lead.
    pub isr: Vec<BrokerId>,
    /// Being added by a reassignment; they follow, and join the ISR once they have caught up.
    pub adding: Vec<BrokerId>,
    /// None where no replica in sync is alive.
    pub leader: Option<BrokerId>,
    /// Whom the leader is to hand over to.
    pub successor: Option<BrokerId>,
    /// +1 on every change of leader.
    pub leader_epoch: LeaderEpoch,
    /// +1 on every change at all: what [`IsrChange`](super::IsrChange) is compared and swapped on.
    pub partition_epoch: u32,
}

impl PartitionMeta {
    /// Whether `id` has a copy, or is to get one.
    pub fn holds(&self, id: BrokerId) -> bool {
        self.replicas.contains(&id) || self.adding.contains(&id)
    }

    /// Everyone with a copy, each once, in order of preference.
    pub fn holders(&self) -> Vec<BrokerId> {
        let mut all = self.replicas.clone();
        all.extend(self.adding.iter().filter(|id| !self.replicas.contains(id)));
        all
    }
}

/// How a replica is set. All times in milliseconds.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ReplicaSettings {
    /// Fewest replicas in sync with which `acks=all` is taken and the high watermark moves (`min_insync_replicas`, at
    /// most the replication factor).
    pub min_insync: usize,
    /// A follower that has not caught up for so long leaves the ISR (`replica_lag_max`).
    pub lag_max: Millis,
    /// The broker's session with the metadata leader; half of it without renewal, and the leader trusts itself less.
    pub session: Millis,
    /// A request without an answer is sent again after so long.
    pub resend_after: Millis,
    /// At most so many records on their way to one follower.
    pub max_in_flight: u64,
    /// A follower further behind than this many records is served by the bulk connection.
    pub live_window: u64,
}

impl Default for ReplicaSettings {
    fn default() -> Self {
        Self {
            min_insync: 2,
            lag_max: 1_000,
            session: 1_500,
            resend_after: 100,
            max_in_flight: 65_536,
            live_window: 65_536,
        }
    }
}
