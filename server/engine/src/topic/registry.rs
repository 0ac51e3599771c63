//! The open topics by name.

use std::collections::HashMap;
use std::sync::Arc;

use flymq_types::TopicName;
use parking_lot::RwLock;

use super::OpenTopic;
use crate::error::EngineError;

/// What is open on this node. Looking up takes a short read lock.
#[derive(Debug, Default)]
pub(crate) struct Registry(RwLock<HashMap<TopicName, Arc<OpenTopic>>>);

impl Registry {
    pub(crate) fn find(&self, name: &TopicName) -> Option<Arc<OpenTopic>> {
        self.0.read().get(name).cloned()
    }

    pub(crate) fn get(&self, name: &TopicName) -> Result<Arc<OpenTopic>, EngineError> {
        self.find(name).ok_or_else(|| EngineError::TopicNotFound { topic: name.clone() })
    }

    pub(crate) fn insert(&self, name: TopicName, topic: Arc<OpenTopic>) {
        self.0.write().insert(name, topic);
    }

    pub(crate) fn remove(&self, name: &TopicName) -> Option<Arc<OpenTopic>> {
        self.0.write().remove(name)
    }

    /// All topics, by name.
    pub(crate) fn sorted(&self) -> Vec<(TopicName, Arc<OpenTopic>)> {
        let mut all: Vec<_> =
            self.0.read().iter().map(|(name, topic)| (name.clone(), topic.clone())).collect();
        all.sort_by(|a, b| a.0.cmp(&b.0));
        all
    }

    pub(crate) fn len(&self) -> usize {
        self.0.read().len()
    }
}
