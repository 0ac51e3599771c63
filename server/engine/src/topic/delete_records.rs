//! Somebody deletes the oldest records of a partition.

use std::sync::Arc;

use flymq_storage::StorageError;
use flymq_types::{Offset, PartitionId, TopicName};

use crate::engine::Engine;
use crate::error::EngineError;
use crate::partition::Partition;
use crate::replication::PartitionReplica;
use crate::task::blocking;

impl Engine {
    /// Deletes all records of a partition below `before`: they cannot be read any more when this returns, also after a
    /// power cut. [`Offset::MAX`] means all that is readable now. Returns the low watermark, which never goes back:
    /// where it is higher already, nothing happens.
    ///
    /// # Errors
    /// `TopicNotFound`, `PartitionNotFound`, `InternalTopic`; `OffsetOutOfRange` above the high watermark. Nothing was
    /// deleted. A storage failure: the records may be gone.
    pub async fn delete_records(
        &self,
        topic: &TopicName,
        partition: PartitionId,
        before: Offset,
    ) -> Result<Offset, EngineError> {
        if topic.is_internal() {
            return Err(EngineError::InternalTopic { topic: topic.clone() });
        }
        self.check_running()?;
        // Also of a topic that is being restored: what had been deleted out of the middle of a batch stays deleted.
        let partition = self.topics.get(topic)?.partition(partition)?;
        if let Some(replica) = partition.replica() {
            return delete_replicated(&partition, replica, before).await;
        }
        let log = partition.log()?.clone();
        // What its producer knows to be stored counts as there.
        partition
            .durable(if before == Offset::MAX { log.end_offset() } else { before.min(log.end_offset()) })
            .await?;
        let high = partition.high();
        let to = if before == Offset::MAX { high } else { before };
        let counters = self.counters.clone();
        let cut = log.clone();
        let outcome = blocking(move || cut.advance_start(to, high)).await?;
        let retired = outcome.map_err(|error| match error {
            StorageError::OffsetOutOfRange { start, end } => partition.out_of_range(to, start, end),
            other => partition.error(other),
        })?;
        counters.count_retired(retired);
        tracing::info!(topic = %partition.topic(), partition = %partition.number(), before = %to, "records deleted");
        Ok(log.start_offset())
    }
}

/// Deletes at the leader, and answers once every in-sync replica has deleted.
async fn delete_replicated(
    partition: &Partition,
    replica: &Arc<dyn PartitionReplica>,
    before: Offset,
) -> Result<Offset, EngineError> {
    let (start, end) = {
        let log = partition.log()?;
        (log.start_offset(), log.end_offset())
    };
    partition.durable(before.min(end)).await?;
    let high = partition.high();
    let to = if before == Offset::MAX { high } else { before };
    if to > high {
        return Err(partition.out_of_range(to, start, high));
    }
    let deleted = replica.delete_records(to).await.map_err(|failure| partition.failure(failure))?;
    tracing::info!(topic = %partition.topic(), partition = %partition.number(), before = %to, "records deleted");
    Ok(deleted)
}
