//! Replicas as people and metrics see them.

use flymq_engine::meta::TopicPartition;
use flymq_types::{LeaderEpoch, Offset};

use crate::replica::{BrokerId, Replica, RoleName};

/// What a replica on this node is doing, as of its last tick.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplicaStatus {
    pub at: TopicPartition,
    pub role: RoleName,
    pub leader_epoch: LeaderEpoch,
    /// As the metadata says.
    pub in_sync: Vec<BrokerId>,
    pub high_watermark: Offset,
    pub log_end: Offset,
    /// At the leader: the others, and how many records each lacks on its disk; none where nothing is known of it yet.
    pub lag: Vec<(BrokerId, Option<u64>)>,
    /// Why it takes no part until a restart.
    pub failed: Option<String>,
    /// Why its log last refused what its leader says, if it has taken no batches since; tried again and again.
    pub refused: Option<String>,
}

impl ReplicaStatus {
    pub(super) fn unknown(at: TopicPartition) -> Self {
        Self {
            at,
            role: RoleName::Offline,
            leader_epoch: LeaderEpoch(0),
            in_sync: Vec::new(),
            high_watermark: Offset::ZERO,
            log_end: Offset::ZERO,
            lag: Vec::new(),
            failed: None,
            refused: None,
        }
    }

    pub(super) fn note(&mut self, replica: &Replica, failed: Option<String>, refused: Option<String>) {
        let (meta, end) = (replica.meta(), replica.log().end);
        self.role = if failed.is_some() { RoleName::Offline } else { replica.role() };
        self.leader_epoch = meta.leader_epoch;
        self.in_sync.clone_from(&meta.isr);
        self.high_watermark = replica.high_watermark();
        self.log_end = end;
        let lag = |durable: Offset| end.get().saturating_sub(durable.get());
        let followers = replica.followers().into_iter();
        self.lag =
            followers.map(|(id, position)| (id, position.map(|position| lag(position.durable)))).collect();
        (self.failed, self.refused) = (failed, refused);
    }
}
