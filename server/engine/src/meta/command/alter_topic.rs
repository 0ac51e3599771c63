//! More partitions or other settings for a topic.

use std::sync::Arc;

use flymq_types::{TopicId, TopicName};

use super::{Effect, Effects, Rejection, Reply};
use crate::meta::{MetaImage, PartitionMeta, TopicMeta};
use crate::topic::TopicConfig;

/// Changes the topic of this name and id, if it is still at `revision`.
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
        let (current, asked) = (topic.partitions.len(), self.partitions as usize);
        if asked < current {
            let current = u32::try_from(current).unwrap_or(u32::MAX);
            return Err(Rejection::PartitionsShrink { name: name(), current, asked: self.partitions });
        }
        let mut changed = TopicMeta::clone(topic);
        changed.partitions.resize(asked, PartitionMeta::default());
        changed.config = self.config.clone();
        changed.revision += 1;
        let changed = Arc::new(changed);
        image.topics.insert(name(), changed.clone());
        Ok((Reply::TopicAltered(changed.clone()), vec![Effect::OpenTopic(changed)]))
    }
}
