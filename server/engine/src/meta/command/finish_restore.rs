//! The end of a topic's restore.

use std::sync::Arc;

use flymq_types::{TopicId, TopicName};

use super::{Effect, Effects, Rejection, Reply};
use crate::meta::{MetaImage, TopicMeta};

/// Says that the topic of this name and id is whole, if it is being restored from this backup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FinishRestore {
    pub id: TopicId,
    pub name: TopicName,
    pub backup: Arc<str>,
}

impl FinishRestore {
    pub(super) fn apply(&self, image: &mut MetaImage) -> Result<(Reply, Effects), Rejection> {
        let name = || self.name.clone();
        let topic = image.topics.get(&self.name).filter(|topic| topic.id == self.id);
        let Some(topic) = topic else { return Err(Rejection::TopicUnknown { name: name() }) };
        if topic.restoring.as_ref() != Some(&self.backup) {
            return Err(Rejection::Conflict { name: name() });
        }
        let mut changed = TopicMeta::clone(topic);
        changed.restoring = None;
        changed.revision += 1;
        let changed = Arc::new(changed);
        image.topics.insert(name(), changed.clone());
        Ok((Reply::TopicAltered(changed.clone()), vec![Effect::OpenTopic(changed)]))
    }
}
