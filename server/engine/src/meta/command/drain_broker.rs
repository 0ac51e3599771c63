//! A broker is about to stop.

use flymq_types::{BrokerEpoch, NodeId};

use super::{Effects, NodeRejection, Rejection, Reply};
use crate::meta::change::change_each;
use crate::meta::election::move_off;
use crate::meta::{MetaImage, NodeState};

/// Moves leaderships off a living node and gives it none as long as others can lead. It stays a member, replicates on, and
/// keeps what nobody else can lead; [`super::FenceBroker`] follows when it stops, [`super::UnfenceBroker`] calls it off.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DrainBroker {
    pub id: NodeId,
    /// The registration that is meant.
    pub broker_epoch: BrokerEpoch,
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
            |partition, context| move_off(partition, context.cluster),
        );
        Ok((Reply::node(&node, moved), effects))
    }
}
