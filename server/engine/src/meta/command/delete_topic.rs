//! The end of a topic.

use flymq_types::{TopicId, TopicName};

use super::{Effect, Effects, Rejection, Reply};
use crate::meta::{MAX_TOMBSTONES, MetaImage};

/// Deletes the topic of this name and id. A topic created again under the name has another id and is not meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeleteTopic {
    pub id: TopicId,
    pub name: TopicName,
}

impl DeleteTopic {
    pub(super) fn apply(&self, image: &mut MetaImage) -> Result<(Reply, Effects), Rejection> {
        if image.topics.get(&self.name).is_none_or(|topic| topic.id != self.id) {
            return Err(Rejection::TopicUnknown { name: self.name.clone() });
        }
        image.topics.remove(&self.name);
        image.deleted.insert(self.id);
        if image.deleted.len() > MAX_TOMBSTONES {
            // Any: data of a topic deleted so long ago is gone, and if not it is reported, never lost by this.
            let other = image.deleted.iter().find(|id| **id != self.id).copied();
            other.map(|id| image.deleted.remove(&id));
        }
        let effect = Effect::RemoveTopic { id: self.id, name: self.name.clone() };
        Ok((Reply::TopicDeleted { id: self.id }, vec![effect]))
    }
}
