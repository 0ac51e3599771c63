//! How far groups are behind.

use flymq_types::{GroupId, Offset, PartitionId, TopicName};

use super::{CommittedOffset, PartitionLag};
use crate::engine::Engine;
use crate::error::EngineError;
use crate::partition::Partition;

impl Engine {
    /// The lag of each partition that the group committed on (and that is asked for), by topic name and partition.
    /// Records count as soon as they are appended.
    ///
    /// # Errors
    /// `GroupNotFound`, `TopicNotFound`, `PartitionNotFound`.
    pub fn lag(
        &self,
        group: &GroupId,
        topic: Option<&TopicName>,
        partition: Option<PartitionId>,
    ) -> Result<Vec<PartitionLag>, EngineError> {
        if let (Some(topic), Some(partition)) = (topic, partition) {
            self.topics.get(topic)?.partition(partition)?;
        }
        let committed = self.committed(group, topic, partition)?;
        Ok(committed.into_iter().filter_map(|committed| self.lag_of(group, committed)).collect())
    }

    fn lag_of(&self, group: &GroupId, committed: CommittedOffset) -> Option<PartitionLag> {
        let (latest, lag) = self.behind(&committed)?;
        let lag = lag.saturating_add(self.open_below(group, &committed));
        let partition = self.topics.find(&committed.topic)?.partition(committed.partition).ok()?;
        let lag_ms = if lag == 0 { 0 } else { self.age(&partition, committed.offset) };
        let (topic, partition) = (committed.topic, committed.partition);
        Some(PartitionLag { topic, partition, committed: committed.offset, latest, lag, lag_ms })
    }

    /// Records before the committed offset that wait for their redelivery, or that somebody holds.
    fn open_below(&self, group: &GroupId, committed: &CommittedOffset) -> u64 {
        let Some(topic) = self.topics.find(&committed.topic) else { return 0 };
        let book = self.groups.settled();
        let kept = book.deliveries(group, topic.view().meta.id, committed.partition);
        kept.take_while(|(offset, _)| *offset < committed.offset).filter(|(_, kept)| kept.is_open()).count()
            as u64
    }

    /// The log's end and the records between the commit and it; `None` where the partition is gone or offline.
    fn behind(&self, committed: &CommittedOffset) -> Option<(Offset, u64)> {
        let partition = self.topics.find(&committed.topic)?.partition(committed.partition).ok()?;
        let latest = partition.local_log()?.end_offset();
        Some((latest, latest.get().saturating_sub(committed.offset.get())))
    }

    /// Milliseconds since the batch with `offset` (or the first one still there) was appended.
    fn age(&self, partition: &Partition, offset: Offset) -> u64 {
        let Some(log) = partition.local_log() else { return 0 };
        let from = offset.max(log.start_offset());
        let batches = log.read(from, 1, partition.committed()).unwrap_or_default();
        let since =
            batches.first().map(|batch| self.clock.wall().as_millis() - batch.append_time().as_millis());
        since.and_then(|ms| u64::try_from(ms).ok()).unwrap_or(0)
    }
}
