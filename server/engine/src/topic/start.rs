//! What happens to topics at start: every log named by the metadata is opened, every other one is dealt with.

use std::collections::HashSet;
use std::sync::Arc;

use flymq_storage::LogConfig;
use flymq_types::{PartitionId, TopicId};
use futures::{StreamExt, TryStreamExt, stream};

use super::admin::NODES;
use super::open_logs::OpenLogs;
use super::open_topic::View;
use super::{OpenTopic, TopicConfig};
use crate::engine::Engine;
use crate::error::EngineError;
use crate::meta::{MetaImage, TopicMeta};
use crate::task::blocking;

type Found = HashSet<(TopicId, PartitionId)>;

/// Topics, and tasks for one topic, that open logs at the same time.
const OPEN_AT_ONCE: usize = 32;
/// Partitions that one blocking task opens.
const CHUNK: usize = 8;

impl Engine {
    /// Opens all topics of the metadata and removes what deletions and creations that a crash cut left behind.
    pub(crate) async fn open_topics(&self) -> Result<(), EngineError> {
        let image = self.meta.image();
        let data = self.data.clone();
        let found: Found =
            blocking(move || data.logs()).await?.map_err(EngineError::directory)?.into_iter().collect();
        self.clear_orphans(&image, &found).await?;
        stream::iter(image.topics.values().cloned())
            .map(|meta| async move { self.open_topic(meta).await })
            .buffer_unordered(OPEN_AT_ONCE)
            .try_collect::<()>()
            .await
    }

    async fn open_topic(&self, meta: Arc<TopicMeta>) -> Result<(), EngineError> {
        let settings = meta.config.resolve(&self.options.topic_defaults, NODES);
        let numbers: Vec<_> = (0..).map(PartitionId).take(meta.partitions.len()).collect();
        let logs = self.logs_of(meta.id, meta.name.clone(), &meta.config);
        let chunks = numbers.chunks(CHUNK).map(<[_]>::to_vec);
        let opened: Vec<_> = stream::iter(chunks)
            .map(|chunk| {
                let logs = logs.clone();
                blocking(move || open_chunk(&logs, &chunk))
            })
            .buffered(OPEN_AT_ONCE)
            .try_collect()
            .await?;
        let partitions = opened.into_iter().flatten().collect();
        let name = meta.name.clone();
        let topic = OpenTopic::new(View { meta, settings, partitions });
        self.topics.insert(name, Arc::new(topic));
        Ok(())
    }

    /// Logs that the metadata does not name: of a deleted topic, or never announced.
    async fn clear_orphans(&self, image: &MetaImage, found: &Found) -> Result<(), EngineError> {
        let named = image.topics.values().flat_map(|topic| {
            (0..).map(PartitionId).take(topic.partitions.len()).map(|number| (topic.id, number))
        });
        let named: Found = named.collect();
        let deleted: HashSet<_> =
            found.iter().map(|(id, _)| *id).filter(|id| image.deleted.contains(id)).collect();
        for id in &deleted {
            tracing::info!(topic = %id, "removing the data of a deleted topic");
            self.remove_data(*id).await;
        }
        let unknown: Vec<_> =
            found.difference(&named).filter(|(id, _)| !deleted.contains(id)).copied().collect();
        let mut lost = Vec::new();
        for (id, number) in unknown {
            let name = flymq_types::TopicName::internal("__orphan").expect("is a valid internal name");
            let logs = self.logs_of(id, name, &TopicConfig::default());
            if !blocking(move || clear_if_empty(&logs, number)).await? {
                lost.push(format!("topics/{id}/{number}"));
            }
        }
        if lost.is_empty() { Ok(()) } else { Err(metadata_lost(&mut lost)) }
    }
}

/// A topic's first record is written after its metadata is durable, so records of a topic that the metadata does not
/// know prove that metadata was lost. To go on would hide the topic, and give out its offsets anew under its name.
fn metadata_lost(logs: &mut [String]) -> EngineError {
    logs.sort_unstable();
    let (count, first) = (logs.len(), logs.first().map_or("", String::as_str));
    let reason = format!(
        "{count} logs hold records of topics that metadata/log does not know (the first is {first}): metadata was lost. \
         Restore the directory metadata from a backup, or move these logs out of the data directory to give them up; \
         no record was changed"
    );
    EngineError::StorageFailed { reason }
}

fn open_chunk(logs: &OpenLogs, chunk: &[PartitionId]) -> Vec<Arc<crate::partition::Partition>> {
    chunk.iter().map(|number| logs.open_existing(*number)).collect()
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
