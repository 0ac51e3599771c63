//! A broker comes, or comes back.

use std::sync::Arc;

use flymq_types::{ClusterId, DirectoryId, IncarnationId, NodeId};

use super::{Effects, NodeRejection, Rejection, Reply};
use crate::meta::change::change_each;
use crate::meta::{MetaImage, NodeAddresses, NodeMeta, NodeRun, NodeState, PartitionMeta};

/// Registers one run of a broker: it is fenced and has a new broker epoch. [`super::UnfenceBroker`] follows when it has
/// caught up with the metadata.
///
/// With another directory than before, or not `clean`, it is a new replica of all its partitions: it leaves every in-sync
/// set and is eligible nowhere, and where it was the last member it is not elected until the directory that has everything is back (KIP-631, KIP-841, KIP-858, KIP-966).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegisterBroker {
    pub cluster: ClusterId,
    pub id: NodeId,
    pub incarnation: IncarnationId,
    pub directory: DirectoryId,
    /// Whether the directory has everything that the node ever acknowledged as durable.
    pub clean: bool,
    pub addresses: NodeAddresses,
    pub rack: Option<Arc<str>>,
    pub feature_version: u32,
    pub run: NodeRun,
}

impl RegisterBroker {
    pub(super) fn apply(&self, image: &mut MetaImage) -> Result<(Reply, Effects), Rejection> {
        self.check_cluster(image)?;
        let known = image.cluster.node(&self.id).cloned();
        if let Some(node) = &known {
            // The same run again: its first answer was lost.
            if node.incarnation == Some(self.incarnation) && node.directory == self.directory {
                return Ok((Reply::node(node, 0), Effects::new()));
            }
            if node.state.is_alive() {
                return Err(NodeRejection::IdInUse { id: self.id.clone() }.into());
            }
        }
        self.check_directory(image)?;
        let epoch = image.cluster.last_broker_epoch.next();
        image.cluster.last_broker_epoch = epoch;
        let node = Arc::new(NodeMeta {
            id: self.id.clone(),
            directory: self.directory,
            incarnation: Some(self.incarnation),
            addresses: self.addresses.clone(),
            rack: self.rack.clone(),
            state: NodeState::Fenced,
            broker_epoch: epoch,
            feature_version: self.feature_version,
            run: self.run.clone(),
        });
        image.cluster.nodes.insert(self.id.clone(), node.clone());
        let mut effects = super::node_effect(&node);
        let before = known.map(|before| before.directory);
        let changed = change_each(
            image,
            &mut effects,
            |partition| partition.isr.contains(&self.id) || partition.elr.contains(&self.id),
            |partition, _| self.return_to(partition, before),
        );
        Ok((Reply::node(&node, changed), effects))
    }

    fn check_cluster(&self, image: &MetaImage) -> Result<(), NodeRejection> {
        let cluster = image.cluster.id.ok_or(NodeRejection::NoCluster)?;
        if cluster != self.cluster {
            return Err(NodeRejection::WrongCluster { cluster, asked: self.cluster });
        }
        let (needed, understood) = (image.cluster.features, self.feature_version);
        if understood < needed {
            return Err(NodeRejection::TooOld { id: self.id.clone(), understood, needed });
        }
        Ok(())
    }

    /// A directory copied to a second node would count one disk as two replicas.
    fn check_directory(&self, image: &MetaImage) -> Result<(), NodeRejection> {
        if image.cluster.was_removed(self.directory) {
            return Err(NodeRejection::Removed { id: self.id.clone() });
        }
        let mut others = image.cluster.nodes.values().filter(|node| node.id != self.id);
        match others.find(|node| node.directory == self.directory) {
            Some(owner) => Err(NodeRejection::DirectoryInUse {
                id: self.id.clone(),
                directory: self.directory,
                owner: owner.id.clone(),
            }),
            None => Ok(()),
        }
    }

    /// What becomes of a partition that it could lead; it was fenced, so that it leads nothing.
    fn return_to(&self, partition: &mut PartitionMeta, before: Option<DirectoryId>) {
        if !partition.isr.contains(&self.id) {
            if !self.clean || before != Some(self.directory) {
                partition.elr.retain(|node| *node != self.id);
            }
            return;
        }
        let has_all = if partition.isr_lost { partition.isr_directory } else { before };
        let has_all = has_all.filter(|directory| self.clean || *directory != self.directory);
        if has_all == Some(self.directory) {
            partition.isr_lost = false;
            partition.isr_directory = None;
        } else if partition.isr.len() > 1 {
            partition.isr.retain(|node| *node != self.id);
        } else {
            partition.isr_lost = true;
            partition.isr_directory = has_all;
        }
    }
}
