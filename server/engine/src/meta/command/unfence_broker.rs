//! A broker has its session, and what it needs of the metadata.

use flymq_types::{BrokerEpoch, NodeId};

use super::{Effects, Rejection, Reply};
use crate::meta::change::change_each;
use crate::meta::election::elect;
use crate::meta::{MetaImage, NodeState};

/// Makes a fenced or draining node active. Partitions without leader of which it is a replica get one if it may lead them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnfenceBroker {
    pub id: NodeId,
    /// The registration that is meant.
    pub broker_epoch: BrokerEpoch,
}

impl UnfenceBroker {
    pub(super) fn apply(&self, image: &mut MetaImage) -> Result<(Reply, Effects), Rejection> {
        let node = image.registered(&self.id, self.broker_epoch)?;
        if node.state == NodeState::Active {
            return Ok((Reply::node(&node, 0), Effects::new()));
        }
        let node = image.set_state(&node, NodeState::Active);
        let mut effects = super::node_effect(&node);
        let changed = change_each(
            image,
            &mut effects,
            |partition| partition.leader.is_none() && partition.replicas.contains(&self.id),
            |partition, context| elect(partition, context.cluster, context.unclean),
        );
        Ok((Reply::node(&node, changed), effects))
    }
}
