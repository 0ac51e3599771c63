//! A broker is about to stop.

use flymq_types::{BrokerEpoch, NodeId};

use super::{Effects, NodeRejection, Rejection, Reply};
use crate::meta::change::{Context, change_each};
use crate::meta::election::other_than_leader;
use crate::meta::{MetaImage, NodeState, PartitionMeta};

/// Moves leaderships off a living node and gives it none as long as others can lead. It stays a member, replicates on, and
/// keeps what nobody else can lead; [`super::FenceBroker`] follows when it stops, [`super::UnfenceBroker`] calls it off.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DrainBroker {
    pub id: NodeId,
    /// The registration that is meant.
    pub broker_epoch: BrokerEpoch,
    /// The node hands its leaderships over itself, each once the next leader has all of it; else they move at once, and what only
    /// this node has is lost.
    pub hand_over: bool,
}

impl DrainBroker {
    pub(super) fn apply(&self, image: &mut MetaImage) -> Result<(Reply, Effects), Rejection> {
        let node = image.registered(&self.id, self.broker_epoch)?;
        if !node.state.is_alive() {
            return Err(NodeRejection::WrongState { id: self.id.clone(), state: node.state }.into());
        }
        let mut effects = Effects::new();
        let node = if node.state == NodeState::Draining {
            node
        } else {
            let node = image.set_state(&node, NodeState::Draining);
            effects = super::node_effect(&node);
            node
        };
        let moved = change_each(
            image,
            &mut effects,
            |partition| partition.leader.as_ref() == Some(&self.id),
            |partition, context| self.move_off(partition, context),
        );
        // What others were to hand over to it.
        change_each(
            image,
            &mut effects,
            |partition| partition.successor.as_ref() == Some(&self.id),
            |partition, _| partition.successor = None,
        );
        Ok((Reply::node(&node, moved), effects))
    }

    fn move_off(&self, partition: &mut PartitionMeta, context: &Context<'_>) {
        let Some(next) = other_than_leader(partition, context.cluster) else { return };
        if self.hand_over {
            partition.successor = Some(next);
        } else {
            partition.leader = Some(next);
        }
    }
}
