//! A topic that is open on this node.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use arc_swap::ArcSwap;
use flymq_types::{PartitionId, TopicName, partition_for_key};

use super::start::tell;
use super::{TopicInfo, TopicSettings};
use crate::error::EngineError;
use crate::meta::{MetaImage, TopicMeta};
use crate::partition::{Partition, Stop};
use crate::produce::Target;

/// The open partitions of a topic with its metadata. Both change as one.
#[derive(Debug)]
pub(crate) struct OpenTopic {
    view: ArcSwap<View>,
    /// The next partition in turn.
    turn: AtomicU32,
}

#[derive(Debug)]
pub(crate) struct View {
    pub(crate) meta: Arc<TopicMeta>,
    pub(crate) settings: TopicSettings,
    pub(crate) partitions: Vec<Arc<Partition>>,
}

impl OpenTopic {
    pub(crate) fn new(view: View) -> Self {
        Self { view: ArcSwap::from_pointee(view), turn: AtomicU32::new(0) }
    }

    pub(crate) fn view(&self) -> Arc<View> {
        self.view.load_full()
    }

    pub(crate) fn replace(&self, view: View) {
        self.view.store(Arc::new(view));
    }

    pub(crate) fn partition(&self, number: PartitionId) -> Result<Arc<Partition>, EngineError> {
        let view = self.view.load();
        view.partitions.get(number.get() as usize).cloned().ok_or_else(|| view.no_partition(number))
    }

    /// The partition that a batch for `target` goes to.
    pub(crate) fn route(&self, target: &Target) -> Result<Arc<Partition>, EngineError> {
        match target {
            Target::Partition(number) => self.partition(*number),
            Target::Key(key) => self.partition(self.number_for(Some(key))),
            Target::RoundRobin => self.partition(self.number_for(None)),
        }
    }

    /// The partition of the key's hash; without key the next in turn.
    pub(crate) fn number_for(&self, key: Option<&[u8]>) -> PartitionId {
        let count = self.view.load().count();
        match key {
            Some(key) => partition_for_key(key, count),
            None => PartitionId(self.turn.fetch_add(1, Ordering::Relaxed) % count.max(1)),
        }
    }

    pub(crate) fn info(&self) -> TopicInfo {
        let view = self.view.load();
        TopicInfo {
            id: view.meta.id,
            name: view.meta.name.clone(),
            config: view.meta.config.clone(),
            settings: view.settings,
            created: view.meta.created,
            partitions: view.partitions.iter().map(|partition| partition.info()).collect(),
            restoring: view.meta.restoring.clone(),
        }
    }

    /// Gives the open partitions their metadata.
    pub(crate) fn tell(&self, meta: &TopicMeta, image: &Arc<MetaImage>) {
        for partition in &self.view.load().partitions {
            tell(partition, meta, image);
        }
    }

    /// Has all logs kept as the settings say.
    pub(crate) fn configure(&self) {
        let view = self.view.load();
        for log in view.partitions.iter().filter_map(|partition| partition.local_log()) {
            log.configure(view.settings.log_config(&view.meta.name));
        }
    }

    /// Ends every wait on the topic.
    pub(crate) fn stop(&self, stop: &Stop) {
        for partition in &self.view.load().partitions {
            partition.stop(stop.clone());
        }
    }
}

impl View {
    pub(crate) fn count(&self) -> u32 {
        u32::try_from(self.partitions.len()).unwrap_or(u32::MAX)
    }

    pub(crate) fn no_partition(&self, partition: PartitionId) -> EngineError {
        let topic: TopicName = self.meta.name.clone();
        EngineError::PartitionNotFound { topic, partition, partitions: self.count() }
    }
}
