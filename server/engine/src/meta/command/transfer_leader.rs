//! An operator chooses the leader.

use flymq_types::{NodeId, PartitionEpoch};

use super::{Effects, NodeRejection, PartitionRejection, Rejection, Reply};
use crate::meta::change::change_one;
use crate::meta::election::lead_uncleanly;
use crate::meta::{MetaImage, NodeState, PartitionMeta, TopicPartition};

/// Lets that in-sync replica lead.
///
/// `unclean` is the way out for a partition whose in-sync replicas are lost: where nobody leads, the replica need not be in
/// sync then, and acknowledged records that it does not have are lost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransferLeader {
    pub at: TopicPartition,
    /// Of the metadata that it was made from.
    pub partition_epoch: PartitionEpoch,
    pub to: NodeId,
    pub unclean: bool,
}

impl TransferLeader {
    pub(super) fn apply(&self, image: &mut MetaImage) -> Result<(Reply, Effects), Rejection> {
        let partition = image.replicated(&self.at)?;
        partition.check_epoch(&self.at, self.partition_epoch)?;
        let clean = self.is_clean(image, partition)?;
        let mut effects = Effects::new();
        let partition = change_one(image, &self.at, &mut effects, |partition, _| {
            if clean {
                partition.leader = Some(self.to.clone());
            } else {
                lead_uncleanly(partition, self.to.clone());
            }
        })?;
        Ok((Reply::PartitionChanged { at: self.at.clone(), partition }, effects))
    }

    fn is_clean(&self, image: &MetaImage, partition: &PartitionMeta) -> Result<bool, Rejection> {
        let (at, node) = (self.at.clone(), self.to.clone());
        if !partition.replicas.contains(&node) {
            return Err(PartitionRejection::NotReplica { at, node }.into());
        }
        let unclean = self.unclean && partition.leader.is_none();
        match image.cluster.state(&node) {
            None => return Err(NodeRejection::Unknown { id: node }.into()),
            Some(NodeState::Active) => {}
            Some(NodeState::Draining) if unclean => {}
            Some(state) => return Err(NodeRejection::WrongState { id: node, state }.into()),
        }
        let in_sync = partition.isr.contains(&node) && !partition.isr_lost;
        if !in_sync && !unclean {
            return Err(PartitionRejection::NotInSync { at, node }.into());
        }
        Ok(in_sync)
    }
}
