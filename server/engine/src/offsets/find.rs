//! Where earliest, latest, a time and a group's commit are.

use flymq_storage::{FoundRecords, HeaderQuery};
use flymq_types::{GroupId, Isolation, Offset, PartitionId, TopicName};

use super::StartFrom;
use crate::engine::Engine;
use crate::error::EngineError;
use crate::task::blocking;

/// A header to look for.
#[derive(Debug, Clone)]
pub struct HeaderMatch {
    pub name: String,
    pub value: Vec<u8>,
    pub from: Offset,
    /// Most offsets to answer, at least 1.
    pub limit: usize,
}

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
        isolation: Isolation,
    ) -> Result<Offset, EngineError> {
        let partition = self.partition_soon(topic, partition).await?;
        let log = partition.log()?;
        match at {
            StartFrom::Earliest | StartFrom::Committed => Ok(log.start_offset()),
            StartFrom::Latest => self.latest(&partition, isolation).await,
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
                    None => self.latest(&partition, isolation).await,
                }
            }
        }
    }

    /// The records from `from` on that have a header with this value; the header must be one of the topic's indexed
    /// ones.
    ///
    /// # Errors
    /// `TopicNotFound`, `PartitionNotFound`, `InvalidArgument` for a header that is not indexed, or a storage failure.
    pub async fn find_by_header(
        &self,
        topic: &TopicName,
        partition: PartitionId,
        header: HeaderMatch,
        isolation: Isolation,
    ) -> Result<FoundRecords, EngineError> {
        let open = self.topic_soon(topic).await?;
        let indexed: Vec<_> = open.view().meta.config.index.iter().flat_map(|i| i.headers.clone()).collect();
        if !indexed.contains(&header.name) {
            let there = if indexed.is_empty() { "none".to_owned() } else { indexed.join(", ") };
            let reason = format!(
                "{:?} is not indexed in topic {topic}: add it to its option index.headers (now: {there})",
                header.name
            );
            return Err(EngineError::InvalidArgument { field: "header", reason });
        }
        let partition = self.partition_soon(topic, partition).await?;
        let query = HeaderQuery {
            indexed: indexed.into(),
            name: header.name,
            value: header.value,
            from: header.from,
            upto: partition.readable_below(partition.high(), isolation),
            committed: isolation == Isolation::ReadCommitted,
            limit: header.limit,
        };
        let log = partition.log()?.clone();
        let found = blocking(move || log.find_header(&query)).await?;
        found.map_err(|error| partition.error(error))
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
        isolation: Isolation,
    ) -> Result<Offset, EngineError> {
        let partition = self.partition_soon(topic, partition).await?;
        let latest = self.latest(&partition, isolation).await?;
        let log = partition.log()?.clone();
        let found = blocking(move || log.offset_back(records, latest)).await?;
        found.map_err(|error| partition.error(error))
    }

    /// Everything appended by now counts as before "latest", and it is readable when this returns; for committed readers as far
    /// as no transaction holds it back.
    async fn latest(
        &self,
        partition: &crate::partition::Partition,
        isolation: Isolation,
    ) -> Result<Offset, EngineError> {
        let end = partition.log()?.end_offset();
        partition.settled().await?;
        partition.durable(end).await?;
        partition.check_sure()?;
        Ok(partition.readable_below(end, isolation))
    }

    /// Where a reader of the group begins: as [`Engine::find_offset`], and `Committed` is the group's committed
    /// offset, brought into the log's range, or earliest where it has none.
    ///
    /// # Errors
    /// As [`Engine::find_offset`]; `NotCoordinator` for a group whose offsets another node keeps.
    pub async fn start_offset(
        &self,
        group: Option<&GroupId>,
        topic: &TopicName,
        partition: PartitionId,
        from: StartFrom,
        isolation: Isolation,
    ) -> Result<Offset, EngineError> {
        if let (StartFrom::Committed, Some(group)) = (from, group) {
            let open = self.topics.get(topic)?;
            open.check_whole()?;
            let number = partition;
            let partition = open.partition(number)?;
            self.groups_known(group).await?;
            self.check_coordinator(group)?;
            let id = open.view().meta.id;
            self.offsets_are_stable(group, |topic, at| topic == id && at == number).await?;
            let committed = self.groups.offset(group, id, number);
            if partition.is_replicated() {
                return partition.begin_at(committed);
            }
            if let Some(offset) = committed {
                let log = partition.log()?;
                return Ok(offset.clamp(log.start_offset(), log.end_offset()));
            }
        }
        self.find_offset(topic, partition, from, isolation).await
    }

    /// As [`Engine::start_offset`] on the node that keeps the group's offsets, which mostly is another one than the
    /// partition's leader: what its own copy knows is taken then, which may be a little old.
    pub(crate) async fn offset_anywhere(
        &self,
        group: &GroupId,
        topic: &TopicName,
        number: PartitionId,
        to: StartFrom,
    ) -> Result<Offset, EngineError> {
        let partition = self.partition(topic, number)?;
        let isolation = Isolation::ReadCommitted;
        let own = partition.local_log().filter(|_| partition.is_replicated() && partition.log().is_err());
        let Some(log) = own.cloned() else {
            return self.start_offset(Some(group), topic, number, to, isolation).await;
        };
        let (start, latest) = (log.start_offset(), partition.last_stable_offset());
        match to {
            StartFrom::Earliest => Ok(start),
            StartFrom::Committed => self.start_offset(Some(group), topic, number, to, isolation).await,
            StartFrom::Latest => Ok(latest),
            StartFrom::Offset(offset) if (start..=log.end_offset()).contains(&offset) => Ok(offset),
            StartFrom::Offset(offset) => Err(partition.out_of_range(offset, start, log.end_offset())),
            StartFrom::Timestamp(time) => {
                let found = blocking(move || log.offset_for_timestamp(time)).await?;
                Ok(found.map_err(|error| partition.error(error))?.map_or(latest, |offset| offset.min(latest)))
            }
        }
    }
}
