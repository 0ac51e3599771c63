//! Where earliest, latest, a time and a group's commit are.

use flymq_types::{GroupId, Offset, PartitionId, TopicName};

use super::StartFrom;
use crate::engine::Engine;
use crate::error::EngineError;
use crate::task::blocking;

impl Engine {
    /// The offset that `at` means for a partition. `Committed` without a group means earliest.
    ///
    /// # Errors
    /// `TopicNotFound`, `PartitionNotFound`, `OffsetOutOfRange` for an offset that the log does not have, or a
    /// storage failure.
    pub async fn find_offset(
        &self,
        topic: &TopicName,
        partition: PartitionId,
        at: StartFrom,
    ) -> Result<Offset, EngineError> {
        let partition = self.partition(topic, partition)?;
        let log = partition.log()?;
        match at {
            StartFrom::Earliest | StartFrom::Committed => Ok(log.start_offset()),
            StartFrom::Latest => self.latest(&partition).await,
            StartFrom::Offset(offset) => {
                let (start, end) = (log.start_offset(), log.end_offset());
                let there = (start..=end).contains(&offset);
                if there { Ok(offset) } else { Err(partition.out_of_range(offset, start, end)) }
            }
            StartFrom::Timestamp(time) => {
                let scanned = log.clone();
                let found = blocking(move || scanned.offset_for_timestamp(time)).await?;
                match found.map_err(|error| partition.error(error))? {
                    Some(offset) => Ok(offset),
                    None => self.latest(&partition).await,
                }
            }
        }
    }

    /// The offset from which on there are `records` readable records, or the first one where there are fewer.
    ///
    /// # Errors
    /// `TopicNotFound`, `PartitionNotFound`, or a storage failure.
    pub async fn find_offset_back(
        &self,
        topic: &TopicName,
        partition: PartitionId,
        records: u64,
    ) -> Result<Offset, EngineError> {
        let partition = self.partition(topic, partition)?;
        let latest = self.latest(&partition).await?;
        let log = partition.log()?.clone();
        let found = blocking(move || log.offset_back(records, latest)).await?;
        found.map_err(|error| partition.error(error))
    }

    /// Everything appended by now counts as before "latest", and it is readable when this returns.
    async fn latest(&self, partition: &crate::partition::Partition) -> Result<Offset, EngineError> {
        let end = partition.log()?.end_offset();
        partition.durable(end).await?;
        Ok(end)
    }

    /// Where a reader of the group begins: as [`Engine::find_offset`], and `Committed` is the group's committed
    /// offset, brought into the log's range, or earliest where it has none.
    ///
    /// # Errors
    /// As [`Engine::find_offset`].
    pub async fn start_offset(
        &self,
        group: Option<&GroupId>,
        topic: &TopicName,
        partition: PartitionId,
        from: StartFrom,
    ) -> Result<Offset, EngineError> {
        if let (StartFrom::Committed, Some(group)) = (from, group) {
            let open = self.topics.get(topic)?;
            open.check_whole()?;
            let number = partition;
            let partition = open.partition(number)?;
            if let Some(offset) = self.groups.offset(group, open.view().meta.id, number) {
                let log = partition.log()?;
                return Ok(offset.clamp(log.start_offset(), log.end_offset()));
            }
        }
        self.find_offset(topic, partition, from).await
    }
}
