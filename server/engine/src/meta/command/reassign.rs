//! A partition gets other replicas.

use std::collections::BTreeSet;

use flymq_types::{NodeId, PartitionEpoch};

use super::{Effects, NodeRejection, PartitionRejection, Rejection, Reply};
use crate::meta::change::change_one;
use crate::meta::{MetaImage, NodeState, PartitionMeta, TopicPartition};

/// Lets `replicas` keep the partition, in this preferred order (KIP-455).
///
/// New ones are added at once; old ones go when every new one is in sync and enough replicas are without them. A second one
/// replaces the first; the replicas from before it call it off.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reassign {
    pub at: TopicPartition,
    /// Of the metadata that it was made from.
    pub partition_epoch: PartitionEpoch,
    /// At least one, each once.
    pub replicas: Vec<NodeId>,
    /// Bytes per second that one leader sends to replicas that reassignments add, all together; 0: as fast as it can.
    pub throttle_bytes_per_s: u64,
}

impl Reassign {
    pub(super) fn apply(&self, image: &mut MetaImage) -> Result<(Reply, Effects), Rejection> {
        let partition = image.replicated(&self.at)?;
        partition.check_epoch(&self.at, self.partition_epoch)?;
        self.check_replicas(image, partition)?;
        let mut effects = Effects::new();
        let partition = change_one(image, &self.at, &mut effects, |partition, _| self.begin(partition))?;
        Ok((Reply::PartitionChanged { at: self.at.clone(), partition }, effects))
    }

    fn check_replicas(&self, image: &MetaImage, partition: &PartitionMeta) -> Result<(), Rejection> {
        let at = || self.at.clone();
        if self.replicas.is_empty() {
            return Err(PartitionRejection::NoReplicas { at: at() }.into());
        }
        let mut seen = BTreeSet::new();
        for node in &self.replicas {
            if !seen.insert(node) {
                return Err(PartitionRejection::Twice { at: at(), node: node.clone() }.into());
            }
            let id = || node.clone();
            match image.cluster.state(node) {
                None => return Err(NodeRejection::Unknown { id: id() }.into()),
                Some(NodeState::Active) => {}
                // What is a replica already may be down just now.
                Some(NodeState::Fenced | NodeState::Draining) if partition.replicas.contains(node) => {}
                Some(state) => return Err(NodeRejection::WrongState { id: id(), state }.into()),
            }
        }
        let replicas = u32::try_from(self.replicas.len()).unwrap_or(u32::MAX);
        let configured = image.topic(&self.at.name).and_then(|topic| topic.config.min_insync_replicas);
        match configured {
            Some(asked) if asked > replicas => Err(Rejection::MinInsync { asked, replicas }),
            Some(_) | None => Ok(()),
        }
    }

    fn begin(&self, partition: &mut PartitionMeta) {
        let is_asked = |node: &&NodeId| self.replicas.contains(node);
        let original: Vec<NodeId> = partition.original().cloned().collect();
        let leaving: Vec<NodeId> =
            partition.replicas.iter().filter(|node| !is_asked(node)).cloned().collect();
        partition.adding = self.replicas.iter().filter(|node| !original.contains(node)).cloned().collect();
        partition.replicas = self.replicas.iter().chain(&leaving).cloned().collect();
        partition.removing = leaving;
        partition.successor = None;
        partition.throttle_bytes_per_s =
            if partition.is_reassigning() { self.throttle_bytes_per_s } else { 0 };
    }
}
