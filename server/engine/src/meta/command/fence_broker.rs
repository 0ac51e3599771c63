//! A broker's session is over.

use flymq_types::{BrokerEpoch, NodeId};

use super::{Effects, Rejection, Reply};
use crate::meta::change::{Context, change_each};
use crate::meta::election::elect;
use crate::meta::{MetaImage, NodeState, PartitionMeta};

/// Takes a node out of every in-sync set and every leadership.
///
/// Each partition that it led goes to the first replica in preferred order that is in sync and lives, else to one that is
/// eligible (KIP-966). Where none is, it has no leader, and the node stays its last in-sync member; an unclean election
/// happens only where the topic allows it. Source: the deterministic election of KIP-631 and KIP-841.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FenceBroker {
    pub id: NodeId,
    /// The registration that is meant: a newer one is not fenced by an old suspicion.
    pub broker_epoch: BrokerEpoch,
}

impl FenceBroker {
    pub(super) fn apply(&self, image: &mut MetaImage) -> Result<(Reply, Effects), Rejection> {
        let node = image.registered(&self.id, self.broker_epoch)?;
        if node.state == NodeState::Fenced {
            return Ok((Reply::node(&node, 0), Effects::new()));
        }
        let node = image.set_state(&node, NodeState::Fenced);
        let mut effects = super::node_effect(&node);
        let changed = change_each(
            image,
            &mut effects,
            |partition| partition.isr.contains(&self.id),
            |partition, context| self.leave(partition, context),
        );
        Ok((Reply::node(&node, changed), effects))
    }

    fn leave(&self, partition: &mut PartitionMeta, context: &Context<'_>) {
        if partition.isr.len() > 1 {
            partition.isr.retain(|node| *node != self.id);
            partition.elr.push(self.id.clone());
        }
        if partition.leader.as_ref() == Some(&self.id) {
            elect(partition, context.cluster, context.unclean);
        }
    }
}
