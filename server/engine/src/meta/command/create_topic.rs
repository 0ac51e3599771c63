//! A new topic.

use std::sync::Arc;

use flymq_types::{Limits, Timestamp, TopicId, TopicName};

use super::new_partitions::{check_min_insync, new_partitions, seed};
use super::{Effect, Effects, Rejection, Reply};
use crate::meta::{MetaImage, TopicMeta};
use crate::topic::TopicConfig;

/// Creates a topic under a name that is free and an id that was never used. In a cluster its partitions are placed on the
/// nodes; the id is the seed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreateTopic {
    pub id: TopicId,
    pub name: TopicName,
    /// At least 1, checked before.
    pub partitions: u32,
    pub config: TopicConfig,
    pub created: Timestamp,
    /// The backup that it is to be restored from.
    pub restoring: Option<Arc<str>>,
}

impl CreateTopic {
    pub(super) fn apply(&self, image: &mut MetaImage) -> Result<(Reply, Effects), Rejection> {
        let limit = Limits::DEFAULT.topics;
        if image.topics.contains_key(&self.name) {
            return Err(Rejection::TopicExists { name: self.name.clone() });
        }
        if image.topics.len() >= limit {
            return Err(Rejection::TooManyTopics { limit });
        }
        if image.deleted.contains(&self.id) || image.topic_by_id(self.id).is_some() {
            return Err(Rejection::TopicIdUsed { name: self.name.clone() });
        }
        let count = self.partitions.max(1);
        let partitions = new_partitions(&image.cluster, &self.config, &[], count, seed(self.id, 0))?;
        check_min_insync(&self.config, &partitions)?;
        let topic = Arc::new(TopicMeta {
            id: self.id,
            name: self.name.clone(),
            config: self.config.clone(),
            created: self.created,
            partitions,
            revision: 0,
            restoring: self.restoring.clone(),
        });
        image.topics.insert(self.name.clone(), topic.clone());
        Ok((Reply::TopicCreated(topic.clone()), vec![Effect::OpenTopic(topic)]))
    }
}
