//! Leaderships go back to where they were placed.

use flymq_types::NodeId;

use super::{Effects, Rejection, Reply};
use crate::meta::change::{Context, change_each, change_one};
use crate::meta::{MetaImage, NodeState, PartitionMeta, TopicPartition};

/// Lets the first replica of each partition lead, where it is active and in sync; the others stay as they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ElectPreferred {
    /// Empty: all partitions.
    pub partitions: Vec<TopicPartition>,
    /// The leaders hand over themselves, each once the first replica has all that it has; else the first replicas lead at once, and
    /// what only the old leaders have is lost.
    pub hand_over: bool,
}

impl ElectPreferred {
    pub(super) fn apply(&self, image: &mut MetaImage) -> Result<(Reply, Effects), Rejection> {
        let mut effects = Effects::new();
        let prefer = |partition: &mut PartitionMeta, context: &Context<'_>| self.prefer(partition, context);
        if self.partitions.is_empty() {
            change_each(image, &mut effects, PartitionMeta::is_replicated, prefer);
        }
        for at in &self.partitions {
            image.replicated(at)?;
            change_one(image, at, &mut effects, prefer)?;
        }
        let moved = u32::try_from(effects.len()).unwrap_or(u32::MAX);
        Ok((Reply::LeadersMoved { partitions: moved }, effects))
    }

    fn prefer(&self, partition: &mut PartitionMeta, context: &Context<'_>) {
        let Some(first) = partition.replicas.first() else { return };
        let may_lead = |node: &NodeId| {
            context.cluster.state(node) == Some(NodeState::Active) && partition.isr.contains(node)
        };
        if partition.leader.is_none() || !may_lead(first) {
            return;
        }
        if self.hand_over {
            partition.successor = Some(first.clone());
        } else {
            partition.leader = Some(first.clone());
        }
    }
}
