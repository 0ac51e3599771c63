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
    pub broker_epoch: BrokerEpoch,
}

/// Makes `new_isr` the in-sync set, if leader and metadata are still the ones that the leader knew (KIP-497).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AlterIsr {
    pub at: TopicPartition,
    /// Of the leader that asks.
    pub leader_epoch: LeaderEpoch,
    /// Of the metadata that it asks from.
    pub partition_epoch: PartitionEpoch,
    /// With the leader itself, in any order.
    pub new_isr: Vec<IsrMember>,
}

impl AlterIsr {
    pub(super) fn apply(&self, image: &mut MetaImage) -> Result<(Reply, Effects), Rejection> {
        let partition = image.replicated(&self.at)?;
        self.check_epochs(partition)?;
        self.check_members(partition)?;
        for member in &self.new_isr {
            check_alive(&image.cluster, member, partition.isr.contains(&member.node))?;
        }
        let mut effects = Effects::new();
        let partition = change_one(image, &self.at, &mut effects, |partition, _| {
            partition.isr = self.new_isr.iter().map(|member| member.node.clone()).collect();
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
        let Some(leader) = &partition.leader else { return Err(PartitionRejection::NoLeader { at: at() }) };
        let mut seen = BTreeSet::new();
        for IsrMember { node, .. } in &self.new_isr {
            if !partition.replicas.contains(node) {
                return Err(PartitionRejection::NotReplica { at: at(), node: node.clone() });
            }
            if !seen.insert(node) {
                return Err(PartitionRejection::Twice { at: at(), node: node.clone() });
            }
        }
        if !seen.contains(leader) {
            return Err(PartitionRejection::LeaderMissing { at: at(), leader: leader.clone() });
        }
        Ok(())
    }
}

/// A member stays while it lives; only an active node comes in.
fn check_alive(cluster: &ClusterMeta, member: &IsrMember, was_in: bool) -> Result<(), NodeRejection> {
    let id = member.node.clone();
    let Some(node) = cluster.node(&id) else { return Err(NodeRejection::Unknown { id }) };
    let (asked, current) = (member.broker_epoch, node.broker_epoch);
    if asked != current {
        return Err(NodeRejection::StaleEpoch { id, asked, current });
    }
    match node.state {
        NodeState::Active => Ok(()),
        NodeState::Draining if was_in => Ok(()),
        state @ (NodeState::Draining | NodeState::Fenced) => Err(NodeRejection::WrongState { id, state }),
    }
}
