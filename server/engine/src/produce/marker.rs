//! The ends of transactions, as their coordinator has them written.

use flymq_types::{Acks, Marker, Offset, PartitionId, ProducerId, RecordBatch, TopicName};

use crate::engine::Engine;
use crate::error::EngineError;

impl Engine {
    /// Appends the end of a transaction to one of its partitions, and waits until that is committed: on the disk of this node,
    /// and of all in-sync replicas. Where nothing of the producer is open the marker ends nothing, and its epoch counts all the
    /// same: a late batch of an older one is refused. Returns the marker's offset.
    ///
    /// # Errors
    /// `ProducerFenced` where the partition knows a later epoch, `CoordinatorFenced` where a coordinator of a later term has
    /// spoken: nothing was appended. `TopicNotFound`, `PartitionNotFound`, `NotLeader`, `NotEnoughReplicas`, `StorageFull`:
    /// likewise. `LeadershipLost`, `StorageFailed`: unknown; it may be sent again.
    pub async fn write_marker(
        &self,
        topic: &TopicName,
        number: PartitionId,
        marker: Marker,
    ) -> Result<Offset, EngineError> {
        self.check_running()?;
        let partition = self.partition_soon(topic, number).await?;
        let bytes = marker.encode(self.clock.wall().as_millis()).map_err(EngineError::InvalidBatch)?;
        let batch = RecordBatch::from_broker(bytes).map_err(EngineError::InvalidBatch)?;
        let appended = if partition.replica().is_some() {
            self.begin_append(&partition, batch, Acks::All).await.await?
        } else {
            let appended = self.append_to(&partition, &batch).await?;
            partition.durable(appended.last_offset.plus(1)).await?;
            appended
        };
        Ok(appended.base_offset)
    }

    /// Whether the producer has a transaction of this epoch open in the partition, as far as this node has it.
    ///
    /// # Errors
    /// `TopicNotFound`, `PartitionNotFound`.
    pub fn has_open_transaction(
        &self,
        topic: &TopicName,
        number: PartitionId,
        producer: ProducerId,
        epoch: u16,
    ) -> Result<bool, EngineError> {
        Ok(self.partition(topic, number)?.has_open(producer, epoch))
    }

    /// The last stable offset of a partition: nothing below it belongs to a transaction that has not ended.
    ///
    /// # Errors
    /// `TopicNotFound`, `PartitionNotFound`.
    pub fn last_stable_offset(&self, topic: &TopicName, number: PartitionId) -> Result<Offset, EngineError> {
        Ok(self.partition(topic, number)?.last_stable_offset())
    }
}
