//! How far groups are behind.

use flymq_types::{GroupId, Offset, PartitionId, TopicName};
use flymq_wire::batch::BatchFlags;

use super::{CommittedOffset, PartitionLag};
use crate::engine::Engine;
use crate::error::EngineError;
use crate::partition::Partition;

/// Batches without readable records that are passed at most.
const PASSED: usize = 64;

impl Engine {
    /// The lag of each partition that the group committed on (and that is asked for), by topic name and partition.
    /// Records count as soon as they are appended, those of open transactions too; markers and aborted batches next to the commit do
    /// not.
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
        let partition = self.topics.find(&committed.topic)?.partition(committed.partition).ok()?;
        let latest = partition.local_log()?.end_offset();
        let next = first_read(&partition, committed.offset);
        let open = self.open_below(group, &committed);
        let lag = latest.get().saturating_sub(next.get()).saturating_add(open.len() as u64);
        let oldest = open.first().copied().unwrap_or(next);
        let lag_ms = if lag == 0 { 0 } else { self.age(&partition, oldest) };
        let (topic, partition) = (committed.topic, committed.partition);
        Some(PartitionLag { topic, partition, committed: committed.offset, latest, lag, lag_ms })
    }

    /// Records before the committed offset that wait for their redelivery, or that somebody holds.
    fn open_below(&self, group: &GroupId, committed: &CommittedOffset) -> Vec<Offset> {
        let Some(topic) = self.topics.find(&committed.topic) else { return Vec::new() };
        let book = self.groups.settled();
        let kept = book.deliveries(group, topic.view().meta.id, committed.partition);
        let below = kept.take_while(|(offset, _)| *offset < committed.offset);
        below.filter(|(_, kept)| kept.is_open()).map(|(offset, _)| offset).collect()
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

/// Where a committed reader goes on: behind markers and aborted batches, so that whoever has read everything is not behind for ever.
fn first_read(partition: &Partition, committed: Offset) -> Offset {
    let Some(log) = partition.local_log() else { return committed };
    let mut at = committed.max(log.start_offset());
    for _ in 0..PASSED {
        let mut batches = log.read(at, 1, log.end_offset()).unwrap_or_default();
        batches.truncate(1);
        let Some(first) = batches.first() else { break };
        let (next, control) = (first.next_offset(), first.header().flags.contains(BatchFlags::CONTROL));
        log.retain_committed(&mut batches);
        if !control && !batches.is_empty() {
            break;
        }
        at = next;
    }
    at
}
