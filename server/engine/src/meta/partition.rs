//! A partition in the metadata: who keeps it, who is in sync, who leads.

use flymq_types::{DirectoryId, LeaderEpoch, NodeId, PartitionEpoch, PartitionId, TopicId, TopicName};

use super::PartitionRejection;

/// Names one partition of one topic. The name finds it, the id tells whether it is still the same topic.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TopicPartition {
    pub topic: TopicId,
    pub name: TopicName,
    pub partition: PartitionId,
}

impl std::fmt::Display for TopicPartition {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.name, self.partition)
    }
}

/// A partition in the metadata.
///
/// Without `replicas` it belongs to the one node of a broker without cluster, and all else is empty.
///
/// With replicas these hold after every command:
/// - `leader` is in `isr`, `isr` is a part of `replicas` in their order, and never empty;
/// - `adding` and `removing` are parts of `replicas` and have no node in common;
/// - every member of `isr` lives while there is a leader; without one, `isr` is the last member alone;
/// - `successor` is in `isr` and is not `leader`, which there is;
/// - `elr` is a part of `replicas` in their order without those in `isr`, and empty where `isr` has as many as `min_insync`;
/// - a change raises `partition_epoch` by one, a change of `leader` also `leader_epoch`.
///
/// Source: the metadata of PacificA (configuration of primary and secondaries with a version) and of Kafka (KIP-455,
/// KIP-497, KIP-841, KIP-966).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PartitionMeta {
    /// Who keeps it, in preferred order: the first one leads where it can. Those to be removed come last.
    pub replicas: Vec<NodeId>,
    /// The in-sync replicas: they have every committed record.
    pub isr: Vec<NodeId>,
    /// Eligible leader replicas: they left `isr` when fewer than `min_insync` were left in it, and nothing was committed
    /// since, so that they have every committed record as well. Where no in-sync replica lives, one of them leads.
    pub elr: Vec<NodeId>,
    /// Replicas that a reassignment adds.
    pub adding: Vec<NodeId>,
    /// Replicas that go once every one of `adding` is in sync.
    pub removing: Vec<NodeId>,
    /// Bytes per second that a leader sends to its replicas in `adding`; 0: as fast as it can.
    pub throttle_bytes_per_s: u64,
    /// Who takes records; none where no in-sync replica lives.
    pub leader: Option<NodeId>,
    /// Who is to lead next: the leader hands over, with [`super::TransferLeader`], once this one has all that it has itself.
    pub successor: Option<NodeId>,
    /// The last in-sync replica came back without what it had (see [`super::RegisterBroker`]): it stays in `isr` as the
    /// name of who knew, and is not elected. An unclean election ends this, or the return of `isr_directory`.
    pub isr_lost: bool,
    /// Where everything still is, if the last in-sync replica came back with another directory: somebody may have
    /// mounted the wrong one. Only together with `isr_lost`.
    pub isr_directory: Option<DirectoryId>,
    pub leader_epoch: LeaderEpoch,
    pub partition_epoch: PartitionEpoch,
}

impl PartitionMeta {
    /// A new partition on these replicas, of which `in_sync` start in sync; the first of them leads.
    pub(super) fn placed(replicas: Vec<NodeId>, in_sync: Vec<NodeId>) -> Self {
        let leader = in_sync.first().cloned();
        Self { replicas, isr: in_sync, leader, ..Self::default() }
    }

    /// Whether a cluster keeps it, and not the one node of a broker without cluster.
    pub fn is_replicated(&self) -> bool {
        !self.replicas.is_empty()
    }

    /// Whether it has replicas, and none of them leads.
    pub fn is_leaderless(&self) -> bool {
        self.is_replicated() && self.leader.is_none()
    }

    /// The replicas once the reassignment is done, in preferred order; without one all replicas.
    pub fn target(&self) -> impl Iterator<Item = &NodeId> {
        self.replicas.iter().filter(|node| !self.removing.contains(node))
    }

    /// The replicas that there were before the reassignment.
    pub(super) fn original(&self) -> impl Iterator<Item = &NodeId> {
        self.replicas.iter().filter(|node| !self.adding.contains(node))
    }

    /// Whether a reassignment is under way.
    pub fn is_reassigning(&self) -> bool {
        !self.adding.is_empty() || !self.removing.is_empty()
    }

    /// In-sync replicas that `acks=all` needs where the topic asks for `configured`: else the majority of the replicas
    /// that there are to be. At least 1.
    pub fn min_insync(&self, configured: Option<u32>) -> usize {
        let majority = self.target().count() / 2 + 1;
        configured.map_or(majority, |min| min as usize).max(1)
    }

    /// Refuses what comes from a node that does not lead.
    pub(super) fn check_leader(&self, at: &TopicPartition, node: &NodeId) -> Result<(), PartitionRejection> {
        let at = || at.clone();
        match &self.leader {
            Some(leader) if leader == node => Ok(()),
            Some(leader) => {
                let (node, leader) = (node.clone(), leader.clone());
                Err(PartitionRejection::NotLeader { at: at(), node, leader })
            }
            None => Err(PartitionRejection::NoLeader { at: at() }),
        }
    }

    /// Refuses what was made from another state of the partition.
    pub(super) fn check_epoch(
        &self,
        at: &TopicPartition,
        asked: PartitionEpoch,
    ) -> Result<(), PartitionRejection> {
        let current = self.partition_epoch;
        if asked == current {
            Ok(())
        } else {
            Err(PartitionRejection::StalePartitionEpoch { at: at.clone(), asked, current })
        }
    }
}
