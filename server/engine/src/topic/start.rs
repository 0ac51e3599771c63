//! What happens to topics at start: every log that this node is to have is opened, every other one is dealt with.

use std::collections::HashSet;
use std::sync::Arc;

use flymq_storage::LogConfig;
use flymq_types::{PartitionId, TopicId, TopicName};
use futures::{StreamExt, TryStreamExt, stream};

use super::OpenTopic;
use super::open_logs::OpenLogs;
use super::open_topic::View;
use crate::engine::Engine;
use crate::error::EngineError;
use crate::meta::{MetaImage, PartitionMeta, TopicMeta};
use crate::partition::Partition;
use crate::task::blocking;

type Found = HashSet<(TopicId, PartitionId)>;

/// Topics, and tasks for one topic, that open logs at the same time.
const OPEN_AT_ONCE: usize = 32;
/// Partitions that one blocking task opens.
const CHUNK: usize = 8;

impl Engine {
    /// Opens all topics of the metadata and removes what deletions and creations that a crash cut left behind.
    pub(crate) async fn open_topics(&self, image: &Arc<MetaImage>) -> Result<(), EngineError> {
        let data = self.data.clone();
        let found: Found =
            blocking(move || data.logs()).await?.map_err(EngineError::directory)?.into_iter().collect();
        self.clear_orphans(image, &found).await?;
        stream::iter(image.topics.values().cloned())
            .map(|meta| async move {
                let (view, _) = self.open_parts(&meta, image, Vec::new()).await?;
                self.topics.insert(meta.name.clone(), Arc::new(OpenTopic::new(view)));
                Ok::<_, EngineError>(())
            })
            .buffer_unordered(OPEN_AT_ONCE)
            .try_collect::<()>()
            .await
    }

    /// Whether this node has a log for the partition.
    fn keeps(&self, partition: &PartitionMeta) -> bool {
        !self.is_member() || self.options.node.as_ref().is_some_and(|node| partition.replicas.contains(node))
    }

    /// The partitions of a topic as this node has them: those of `before` that are still what they were, the others
    /// opened. Beside them those of `before` that this node no longer keeps.
    pub(crate) async fn open_parts(
        &self,
        meta: &Arc<TopicMeta>,
        image: &Arc<MetaImage>,
        before: Vec<Arc<Partition>>,
    ) -> Result<(View, Vec<Arc<Partition>>), EngineError> {
        let logs = self.logs_of(meta.id, meta.name.clone(), self.settings_of(meta));
        let settings = logs.settings;
        let keeps: Vec<bool> = meta.partitions.iter().map(|partition| self.keeps(partition)).collect();
        let (mut same, mut left) = (Vec::with_capacity(keeps.len()), Vec::new());
        for (number, keep) in keeps.iter().enumerate() {
            let known = before.get(number);
            same.push(known.filter(|partition| is_here(partition) == *keep).cloned());
            left.extend(known.filter(|partition| is_here(partition) && !keep).cloned());
        }
        let is_new = |number: &PartitionId| same[number.get() as usize].is_none();
        let new: Vec<_> = (0..).map(PartitionId).take(keeps.len()).filter(is_new).collect();
        let (here, elsewhere): (Vec<_>, Vec<_>) =
            new.into_iter().partition(|number| keeps[number.get() as usize]);
        let opened = open_many(&logs, &here).await?;
        let absent = elsewhere.iter().map(|number| Partition::elsewhere(meta.name.clone(), *number));
        for partition in opened.into_iter().chain(absent) {
            let number = partition.number().get() as usize;
            tell(&partition, meta, image);
            same[number] = Some(partition);
        }
        let partitions = same.into_iter().flatten().collect();
        Ok((View { meta: meta.clone(), settings, partitions }, left))
    }

    /// Logs that this node is not to have: of a deleted topic, never announced, or moved to other nodes.
    async fn clear_orphans(&self, image: &MetaImage, found: &Found) -> Result<(), EngineError> {
        let named = image.topics.values().flat_map(|topic| {
            let partitions = (0..).map(PartitionId).zip(&topic.partitions);
            partitions.map(|(number, partition)| ((topic.id, number), self.keeps(partition)))
        });
        let (kept, moved): (Vec<_>, Vec<_>) = named.partition(|(_, keeps)| *keeps);
        let [kept, moved] = [kept, moved].map(|logs| logs.into_iter().map(|(log, _)| log).collect::<Found>());
        for (id, number) in found.intersection(&moved) {
            tracing::info!(topic = %id, partition = %number, "removing a partition that other nodes keep now");
            self.remove_log(*id, *number).await;
        }
        let deleted: HashSet<_> =
            found.iter().map(|(id, _)| *id).filter(|id| image.deleted.contains(id)).collect();
        for id in &deleted {
            tracing::info!(topic = %id, "removing the data of a deleted topic");
            self.remove_data(*id).await;
        }
        let unknown: Vec<_> = found
            .iter()
            .filter(|log| !kept.contains(*log) && !moved.contains(*log) && !deleted.contains(&log.0))
            .copied()
            .collect();
        let mut lost = Vec::new();
        for (id, number) in unknown {
            let name = TopicName::internal("__orphan").expect("is a valid internal name");
            let logs = self.logs_of(id, name, self.options.topic_defaults);
            if !blocking(move || clear_if_empty(&logs, number)).await? {
                lost.push(format!("topics/{id}/{number}"));
            }
        }
        if lost.is_empty() { Ok(()) } else { Err(metadata_lost(&mut lost)) }
    }

    /// Removes the log of a partition that this node no longer keeps; what fails is done at the next start.
    pub(crate) async fn remove_log(&self, id: TopicId, number: PartitionId) {
        let data = self.data.clone();
        let removed = blocking(move || data.delete_log(id, number)).await;
        if let Err(error) = removed.and_then(|result| result.map_err(EngineError::directory)) {
            tracing::warn!(topic = %id, partition = %number, %error, "the data of a partition that moved away stays until the next start");
        }
    }
}
fn is_here(partition: &Partition) -> bool {
    !partition.is_replicated() || partition.replica().is_some()
}

/// Gives a partition its metadata.
pub(super) fn tell(partition: &Partition, topic: &TopicMeta, image: &Arc<MetaImage>) {
    if let Some(meta) = topic.partitions.get(partition.number().get() as usize)
        && meta.is_replicated()
    {
        partition.update(meta, meta.min_insync(topic.config.min_insync_replicas), image);
    }
}

/// A topic's first record is written after its metadata is durable, so records of a topic that the metadata does not
/// know prove that metadata was lost. To go on would hide the topic, and give out its offsets anew under its name.
fn metadata_lost(logs: &mut [String]) -> EngineError {
    logs.sort_unstable();
    let (count, first) = (logs.len(), logs.first().map_or("", String::as_str));
    let reason = format!(
        "{count} logs hold records of topics that metadata/log (in a cluster raft/log) does not know (the first is {first}): metadata was lost. \
         Restore the directory metadata from a backup (in a cluster never raft: start the node with an empty data directory, and it \
         fetches everything from the others), or move these logs out of the data directory to give them up; no record was changed"
    );
    EngineError::StorageFailed { reason }
}

/// Opens the logs of known partitions, many at once, in their order.
async fn open_many(logs: &OpenLogs, numbers: &[PartitionId]) -> Result<Vec<Arc<Partition>>, EngineError> {
    let chunks = numbers.chunks(CHUNK).map(<[_]>::to_vec);
    let opened: Vec<Vec<_>> = stream::iter(chunks)
        .map(|chunk| {
            let logs = logs.clone();
            blocking(move || chunk.iter().map(|number| logs.open_existing(*number)).collect())
        })
        .buffered(OPEN_AT_ONCE)
        .try_collect()
        .await?;
    Ok(opened.into_iter().flatten().collect())
}

/// An empty log was made for a topic whose creation a crash cut: it goes. False for one with records, which stays.
fn clear_if_empty(logs: &OpenLogs, number: PartitionId) -> bool {
    let empty = match logs.data.open_log(logs.id, number, LogConfig::default()) {
        Ok((log, _)) => log.end_offset() == log.start_offset(),
        Err(_) => false,
    };
    if empty {
        logs.remove(number.get()..number.get() + 1);
    }
    empty
}
