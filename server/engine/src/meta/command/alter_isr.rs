//! A leader changes who is in sync.

use std::collections::BTreeSet;

use flymq_types::{BrokerEpoch, LeaderEpoch, NodeId, PartitionEpoch};

use super::{Effects, NodeRejection, PartitionRejection, Rejection, Reply};
use crate::meta::change::change_one;
use crate::meta::{ClusterMeta, MetaImage, NodeState, PartitionMeta, TopicPartition};

/// A member of a proposed in-sync set: that replica in that life. One that has restarted since it caught up does not get
/// in by what it had before (KIP-903).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IsrMember {
    pub node: NodeId,
    /// None for a member that is in the set already and has not been heard of in this leader epoch.
    pub broker_epoch: Option<BrokerEpoch>,
}

/// Makes `new_isr` the in-sync set, if leader and metadata are still the ones that the leader knew (KIP-497).
///
/// The partition epoch rises even where the members are the same: so a leader makes sure that an earlier wish of its own can
/// no longer come true.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AlterIsr {
    pub at: TopicPartition,
    /// The leader that asks, by its name and its registration.
    pub leader: NodeId,
    pub broker_epoch: BrokerEpoch,
    pub leader_epoch: LeaderEpoch,
    /// Of the metadata that it asks from.
    pub partition_epoch: PartitionEpoch,
    /// With the leader itself, in any order.
    pub new_isr: Vec<IsrMember>,
}

impl AlterIsr {
    pub(super) fn apply(&self, image: &mut MetaImage) -> Result<(Reply, Effects), Rejection> {
        let partition = image.replicated(&self.at)?;
        image.registered(&self.leader, self.broker_epoch)?;
        self.check_epochs(partition)?;
        self.check_members(partition)?;
        for member in &self.new_isr {
            check_alive(&image.cluster, member, partition.isr.contains(&member.node))?;
        }
        let mut effects = Effects::new();
        let partition = change_one(image, &self.at, &mut effects, |partition, _| {
            let isr = self.new_isr.iter().map(|member| member.node.clone()).collect();
            // Those who leave are eligible, if too few are left to commit without them; the others are sorted out again.
            partition.elr.extend(std::mem::replace(&mut partition.isr, isr));
            partition.partition_epoch = partition.partition_epoch.next();
        })?;
        Ok((Reply::PartitionChanged { at: self.at.clone(), partition }, effects))
    }

    fn check_epochs(&self, partition: &PartitionMeta) -> Result<(), PartitionRejection> {
        let (asked, current) = (self.leader_epoch, partition.leader_epoch);
        if asked != current {
            return Err(PartitionRejection::StaleLeaderEpoch { at: self.at.clone(), asked, current });
        }
        partition.check_epoch(&self.at, self.partition_epoch)
    }

    fn check_members(&self, partition: &PartitionMeta) -> Result<(), PartitionRejection> {
        let at = || self.at.clone();
        partition.check_leader(&self.at, &self.leader)?;
        let mut seen = BTreeSet::new();
        for IsrMember { node, .. } in &self.new_isr {
            if !partition.replicas.contains(node) {
                return Err(PartitionRejection::NotReplica { at: at(), node: node.clone() });
            }
            if !seen.insert(node) {
                return Err(PartitionRejection::Twice { at: at(), node: node.clone() });
            }
        }
        if !seen.contains(&self.leader) {
            return Err(PartitionRejection::LeaderMissing { at: at(), leader: self.leader.clone() });
        }
        Ok(())
    }
}

/// A member stays while it lives; only an active node comes in.
fn check_alive(cluster: &ClusterMeta, member: &IsrMember, was_in: bool) -> Result<(), NodeRejection> {
    let id = member.node.clone();
    let Some(node) = cluster.node(&id) else { return Err(NodeRejection::Unknown { id }) };
    let current = node.broker_epoch;
    match member.broker_epoch {
        Some(asked) if asked != current => return Err(NodeRejection::StaleEpoch { id, asked, current }),
        None if !was_in => return Err(NodeRejection::NoEpoch { id }),
        Some(_) | None => {}
    }
    match node.state {
        NodeState::Active => Ok(()),
        NodeState::Draining if was_in => Ok(()),
        state @ (NodeState::Draining | NodeState::Fenced) => Err(NodeRejection::WrongState { id, state }),
    }
}
