//! A broker leaves for good.

use flymq_types::{BrokerEpoch, NodeId};

use super::{Effect, Effects, NodeRejection, Rejection, Reply};
use crate::meta::MetaImage;

/// Removes a fenced node that keeps no replica. Its id may be given to another one; its data directory does not register
/// again, so that nobody comes back who was not let in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoveBroker {
    pub id: NodeId,
    /// The registration that is meant.
    pub broker_epoch: BrokerEpoch,
}

impl RemoveBroker {
    pub(super) fn apply(&self, image: &mut MetaImage) -> Result<(Reply, Effects), Rejection> {
        let node = image.registered(&self.id, self.broker_epoch)?;
        let id = self.id.clone();
        if node.state.is_alive() {
            return Err(NodeRejection::WrongState { id, state: node.state }.into());
        }
        if image.cluster.nodes.len() == 1 {
            return Err(NodeRejection::LastNode { id }.into());
        }
        let partitions = image.topics.values().flat_map(|topic| &topic.partitions);
        let kept = partitions.filter(|partition| partition.replicas.contains(&id)).count();
        if kept > 0 {
            let partitions = u32::try_from(kept).unwrap_or(u32::MAX);
            return Err(NodeRejection::HasReplicas { id, partitions }.into());
        }
        let directory = node.directory;
        image.cluster.nodes.remove(&id);
        image.cluster.forget(directory);
        Ok((Reply::NodeRemoved { id: id.clone() }, vec![Effect::RemoveNode { id }]))
    }
}
