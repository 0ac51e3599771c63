//! The records of a topic of dead letters, one after the other.

use std::{ops::ControlFlow, time::Instant};

use flymq_proto::pb;
use flymq_types::{Offset, PartitionId};

use super::{super::EngineBroker, Letters, PAGE, Place, letter};
use crate::{BrokerError, ErrorCode, convert};

/// A record of the topic of dead letters.
pub(super) enum Found {
    Letter(Box<pb::DeadLetter>),
    /// It is over here, and lies there until a purge.
    Replayed,
    /// Somebody else has written it there.
    Other,
}

impl EngineBroker {
    /// Shows the letters from that place on, partition after partition, until `visit` has enough.
    pub(super) async fn scan(
        &self,
        letters: &Letters,
        (first, offset): Place,
        deadline: Option<Instant>,
        mut visit: impl FnMut(Place, pb::DeadLetter) -> ControlFlow<()> + Send,
    ) -> Result<(), BrokerError> {
        for partition in first..letters.partitions {
            let number = PartitionId(u32::try_from(partition).unwrap_or(u32::MAX));
            let passed = self.engine.next_to_acquire(&letters.group, &letters.topic, number)?;
            let asked = if partition == first { offset } else { 0 };
            let from = passed.map_or(asked, |passed| passed.get().max(asked));
            let visited = self
                .records(letters, (partition, from), deadline, |at, record| match record {
                    Found::Letter(letter) => visit(at, *letter),
                    Found::Replayed | Found::Other => ControlFlow::Continue(()),
                })
                .await?;
            if visited.is_break() {
                break;
            }
        }
        Ok(())
    }

    /// Shows all records of a partition from that place on.
    pub(super) async fn records(
        &self,
        letters: &Letters,
        (partition, mut from): Place,
        deadline: Option<Instant>,
        mut visit: impl FnMut(Place, Found) -> ControlFlow<()> + Send,
    ) -> Result<ControlFlow<()>, BrokerError> {
        let number = PartitionId(u32::try_from(partition).unwrap_or(u32::MAX));
        loop {
            let page = self.letters_from(letters, partition, from, deadline).await?;
            let kept = self.engine.kept_records(&letters.group, &letters.topic, number)?;
            for record in page.records {
                let (at, replayed) = ((partition, record.offset), kept.contains(&Offset(record.offset)));
                let found = match letter::read(convert::count(partition), record) {
                    Some(_) if replayed => Found::Replayed,
                    Some(letter) => Found::Letter(Box::new(letter)),
                    None => Found::Other,
                };
                if visit(at, found).is_break() {
                    return Ok(ControlFlow::Break(()));
                }
            }
            if page.next_offset <= from {
                return Ok(ControlFlow::Continue(()));
            }
            from = page.next_offset;
        }
    }

    /// A page of records; where they were deleted, those behind.
    async fn letters_from(
        &self,
        letters: &Letters,
        partition: usize,
        offset: u64,
        deadline: Option<Instant>,
    ) -> Result<pb::FetchResponse, BrokerError> {
        let mut request = pb::FetchRequest {
            topic: letters.topic.to_string(),
            partition: convert::count(partition),
            offset,
            max_records: PAGE,
            ..pb::FetchRequest::default()
        };
        match self.routed::<pb::FetchResponse>(request.clone(), deadline).await {
            Err(error) if error.code == ErrorCode::OffsetOutOfRange => {
                let start = error.metadata.get("start").and_then(|start| start.parse().ok());
                request.offset = start.filter(|start| *start > offset).ok_or(error)?;
                self.routed(request, deadline).await
            }
            other => other,
        }
    }
}
