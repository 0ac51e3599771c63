//! A broker becomes the first node of a cluster.

use std::sync::Arc;

use flymq_types::{BrokerEpoch, ClusterId, DirectoryId, NodeId};

use super::{Effects, NodeRejection, Rejection, Reply};
use crate::meta::change::change_each;
use crate::meta::{MetaImage, NodeAddresses, NodeMeta, NodeRun, NodeState};

/// Gives the cluster its id and its first node.
///
/// Partitions of the broker that it was before become partitions with one replica, the founder's: it is fenced until it
/// registers with the same directory, and leads them from then on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FormCluster {
    pub cluster: ClusterId,
    pub founder: NodeId,
    /// Where the founder's data is.
    pub directory: DirectoryId,
    /// The feature version that the cluster begins with.
    pub features: u32,
}

impl FormCluster {
    pub(super) fn apply(&self, image: &mut MetaImage) -> Result<(Reply, Effects), Rejection> {
        if let Some(cluster) = image.cluster.id {
            // A repeated proposal of the same founder is no failure.
            return match image.cluster.node(&self.founder) {
                Some(node) if cluster == self.cluster => Ok((Reply::node(node, 0), Effects::new())),
                Some(_) | None => Err(NodeRejection::WrongCluster { cluster, asked: self.cluster }.into()),
            };
        }
        let founder = Arc::new(NodeMeta {
            id: self.founder.clone(),
            directory: self.directory,
            incarnation: None,
            addresses: NodeAddresses::default(),
            rack: None,
            state: NodeState::Fenced,
            broker_epoch: BrokerEpoch(0),
            feature_version: self.features,
            run: NodeRun::default(),
        });
        image.cluster.id = Some(self.cluster);
        image.cluster.features = self.features;
        image.cluster.nodes.insert(self.founder.clone(), founder.clone());
        let mut effects = super::node_effect(&founder);
        let adopted = change_each(
            image,
            &mut effects,
            |partition| !partition.is_replicated(),
            |partition, _| {
                partition.replicas = vec![self.founder.clone()];
                partition.isr = partition.replicas.clone();
            },
        );
        Ok((Reply::node(&founder, adopted), effects))
    }
}
