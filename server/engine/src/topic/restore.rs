//! Topics that come out of a backup, with the offsets they had.
//!
//! ```text
//! create_topic(restore) ─► restore_records … ─► finish_restore ─► a topic like any other
//! ```
//! In between the topic takes records of its backup alone and shows none: a consumer that met half of it would find
//! its offset above the end, and a producer's records would mix with those that are yet to come. All this is metadata,
//! so that a restore that a crash cut off is known as one, and can go on or be deleted.

use std::sync::Arc;

use bytes::Bytes;
use flymq_types::{Offset, PartitionId, RecordBatch, TopicName};

use super::open_topic::View;
use super::{NewTopic, OpenTopic, TopicInfo};
use crate::engine::Engine;
use crate::error::EngineError;
use crate::meta::{Command, FinishRestore, Reply};
use crate::produce::check_stored;
use crate::task::{blocking, to_the_end};

/// Longest name of a backup, bytes.
const MAX_BACKUP_BYTES: usize = 128;

impl Engine {
    /// Appends stored batches of one partition at the offsets they had. What is there already is passed over, so that
    /// a repeat does no harm; the rest must follow the log's end without a gap. Returns the log's end; what lies below
    /// it is on disk once [`Engine::finish_restore`] has returned.
    ///
    /// # Errors
    /// `NotRestoring`, `TopicNotFound`, `PartitionNotFound`, `InvalidBatch`, `TooLarge`, `OffsetOutOfRange` with the
    /// log's range: nothing was appended. A storage failure: unknown.
    pub async fn restore_records(
        &self,
        topic: &TopicName,
        partition: PartitionId,
        backup: &str,
        batches: Vec<Bytes>,
    ) -> Result<Offset, EngineError> {
        self.check_running()?;
        // Producers of another time: nobody goes on where they were, and their ids may be others' here.
        let checked = batches
            .into_iter()
            .map(|bytes| Ok(check_stored(bytes, &self.options.limits)?.without_producer()));
        let batches = checked.collect::<Result<Vec<_>, EngineError>>()?;
        let topic = self.topics.get(topic)?;
        let partition = topic.partition(partition)?;
        let turn = partition.turns().wait().await;
        topic.check_restoring(backup)?;
        let now = self.clock.wall();
        blocking(move || {
            // Held to the end of the append also if the caller goes away.
            let _turn = turn;
            partition.restore(&batches, now)
        })
        .await?
    }

    /// Ends the restore of a topic once all its records are on disk. A topic that is whole stays as it is.
    ///
    /// # Errors
    /// `NotRestoring` when it is being restored from another backup, `TopicNotFound`, or a storage or metadata failure.
    pub async fn finish_restore(&self, name: &TopicName, backup: &str) -> Result<TopicInfo, EngineError> {
        self.check_running()?;
        let (engine, name, backup) = (self.shared()?, name.clone(), backup.to_owned());
        to_the_end(async move {
            let _turn = engine.admin.lock().await;
            engine.finish_locked(&name, &backup).await
        })
        .await
    }

    /// Call with the `admin` lock.
    async fn finish_locked(&self, name: &TopicName, backup: &str) -> Result<TopicInfo, EngineError> {
        let topic = self.topics.get(name)?;
        let view = topic.view();
        if view.meta.restoring.is_none() {
            return Ok(topic.info());
        }
        topic.check_restoring(backup)?;
        let mut turns = Vec::with_capacity(view.partitions.len());
        for partition in &view.partitions {
            turns.push(partition.turns().wait().await);
            partition.durable(partition.log()?.end_offset()).await?;
        }
        let finish = FinishRestore { id: view.meta.id, name: name.clone(), backup: backup.into() };
        let mut applied = self.meta.propose(vec![Command::FinishRestore(finish)]).await?;
        let Some(Reply::TopicAltered(meta)) = applied.replies.pop() else {
            return Err(EngineError::MetaUnavailable {
                reason: "unexpected reply to a restore's end".to_owned(),
            });
        };
        topic.replace(View { meta, settings: view.settings, partitions: view.partitions.clone() });
        Ok(topic.info())
    }
}

impl OpenTopic {
    /// Refuses what a topic only does once it is whole.
    ///
    /// # Errors
    /// `Restoring`.
    pub(crate) fn check_whole(&self) -> Result<(), EngineError> {
        let view = self.view();
        match &view.meta.restoring {
            None => Ok(()),
            Some(backup) => {
                Err(EngineError::Restoring { topic: view.meta.name.clone(), backup: backup.clone() })
            }
        }
    }

    fn check_restoring(&self, backup: &str) -> Result<(), EngineError> {
        let view = self.view();
        if view.meta.restoring.as_deref() == Some(backup) {
            return Ok(());
        }
        Err(EngineError::NotRestoring { topic: view.meta.name.clone(), backup: backup.to_owned() })
    }
}

impl NewTopic {
    /// Where partition `number` begins.
    pub(crate) fn first_offsets(&self) -> &[Offset] {
        self.restore.as_ref().map_or(&[], |restore| &restore.first_offsets)
    }

    /// The backup in the metadata.
    pub(crate) fn backup(&self) -> Option<Arc<str>> {
        self.restore.as_ref().map(|restore| restore.backup.clone())
    }

    pub(crate) fn validate_restore(&self, partitions: u32) -> Result<(), EngineError> {
        let Some(restore) = &self.restore else { return Ok(()) };
        let refuse = |field, reason| Err(EngineError::InvalidArgument { field, reason });
        if restore.backup.is_empty() || restore.backup.len() > MAX_BACKUP_BYTES {
            let reason = format!("must have 1 to {MAX_BACKUP_BYTES} bytes, not {}", restore.backup.len());
            return refuse("restore.backup_id", reason);
        }
        if restore.first_offsets.len() != partitions as usize {
            let reason = format!("names {} partitions of {partitions}", restore.first_offsets.len());
            return refuse("restore.first_offsets", reason);
        }
        // Above it no offset would be left for records.
        if restore.first_offsets.iter().any(|first| first.get() > u64::MAX / 2) {
            return refuse("restore.first_offsets", "has an offset that no log reaches".to_owned());
        }
        Ok(())
    }
}

/// Those of `batches` that are not in the log yet; they follow its end.
pub(crate) fn missing(batches: &[RecordBatch], end: Offset) -> Result<&[RecordBatch], Offset> {
    let there = batches.partition_point(|batch| batch.next_offset() <= end);
    let missing = &batches[there..];
    let mut next = end;
    for batch in missing {
        if batch.base_offset() != next {
            return Err(batch.base_offset());
        }
        next = batch.next_offset();
    }
    Ok(missing)
}
