//! More partitions or other settings for a topic.

use std::sync::Arc;

use flymq_types::{TopicId, TopicName};

use super::new_partitions::{check_min_insync, new_partitions, seed};
use super::{Effect, Effects, Rejection, Reply};
use crate::meta::change::change_one;
use crate::meta::election::elect;
use crate::meta::{MetaImage, PartitionMeta, TopicMeta};
use crate::topic::TopicConfig;

/// Changes the topic of this name and id, if it is still at `revision`. In a cluster, new partitions are placed on the nodes;
/// where it allows unclean elections, partitions without leader get one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AlterTopic {
    pub id: TopicId,
    pub name: TopicName,
    pub revision: u64,
    /// The new number of partitions; not below the present one.
    pub partitions: u32,
    /// The whole new configuration.
    pub config: TopicConfig,
}

impl AlterTopic {
    pub(super) fn apply(&self, image: &mut MetaImage) -> Result<(Reply, Effects), Rejection> {
        let name = || self.name.clone();
        let topic = image.topics.get(&self.name).filter(|topic| topic.id == self.id);
        let Some(topic) = topic else { return Err(Rejection::TopicUnknown { name: name() }) };
        if topic.revision != self.revision {
            return Err(Rejection::Conflict { name: name() });
        }
        let current = u32::try_from(topic.partitions.len()).unwrap_or(u32::MAX);
        let Some(added) = self.partitions.checked_sub(current) else {
            return Err(Rejection::PartitionsShrink { name: name(), current, asked: self.partitions });
        };
        let mut changed = TopicMeta::clone(topic);
        let seed = seed(self.id, self.revision + 1);
        let added = new_partitions(&image.cluster, &self.config, &changed.partitions, added, seed)?;
        changed.partitions.extend(added);
        check_min_insync(&self.config, &changed.partitions)?;
        changed.config = self.config.clone();
        changed.revision += 1;
        let unclean = self.config.unclean_election;
        let concerns = |partition: &PartitionMeta| {
            // With fewer that have to be in sync, something is committed that the eligible ones do not have.
            unclean && partition.is_leaderless() || !partition.elr.is_empty()
        };
        let concerned: Vec<_> = (0..changed.partitions.len())
            .filter(|number| concerns(&changed.partitions[*number]))
            .map(|number| changed.partition_id(number))
            .collect();
        image.topics.insert(name(), Arc::new(changed));
        let mut elected = Effects::new();
        for at in concerned {
            change_one(image, &at, &mut elected, |partition, context| {
                if unclean && partition.is_leaderless() {
                    elect(partition, context.cluster, true);
                }
            })?;
        }
        let topic = image.topic(&self.name).ok_or_else(|| Rejection::TopicUnknown { name: name() })?;
        let effects = std::iter::once(Effect::OpenTopic(topic.clone())).chain(elected).collect();
        Ok((Reply::TopicAltered(topic.clone()), effects))
    }
}
