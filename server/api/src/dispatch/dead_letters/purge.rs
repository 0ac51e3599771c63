//! A purge deletes the dead letters of a topic, those that were replayed too.

use std::ops::ControlFlow;

use flymq_proto::pb;
use flymq_types::{Offset, PartitionId};

use super::{super::EngineBroker, Letters, Place, scan::Found};
use crate::{BrokerError, CallContext, ErrorCode, convert};

impl EngineBroker {
    pub(in crate::dispatch) async fn purge_dead_letters(
        &self,
        ctx: &CallContext,
        request: &pb::PurgeDeadLettersRequest,
    ) -> Result<pb::PurgeDeadLettersResponse, BrokerError> {
        let letters = self.letters(&request.topic)?;
        let mover = self.movers.of(&letters.group);
        let _turn = mover.lock().await;
        let mut purged: u32 = 0;
        self.scan(&letters, (0, 0), ctx.deadline, |_, _| {
            purged = purged.saturating_add(1);
            ControlFlow::Continue(())
        })
        .await?;
        // Those that were replayed go as well.
        let (mut ends, mut other) = (vec![0; letters.partitions], None);
        for (partition, end) in ends.iter_mut().enumerate() {
            let look = |at: Place, found: Found| {
                match found {
                    Found::Letter(_) | Found::Replayed => *end = at.1 + 1,
                    Found::Other => other = Some(at),
                }
                if other.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            };
            if self.records(&letters, (partition, 0), ctx.deadline, look).await?.is_break() {
                break;
            }
        }
        if let Some(at) = other {
            return Err(not_only_letters(&letters, at));
        }
        for (partition, end) in ends.into_iter().enumerate().filter(|(_, end)| *end > 0) {
            let request = pb::DeleteRecordsRequest {
                topic: letters.topic.to_string(),
                partition: convert::count(partition),
                before_offset: end,
            };
            let _deleted: pb::DeleteRecordsResponse = self.routed(request, ctx.deadline).await?;
            let number = PartitionId(u32::try_from(partition).unwrap_or(u32::MAX));
            self.engine.pass_records(&letters.group, &letters.topic, number, Offset(end)).await?;
        }
        metrics::counter!("flymq_dead_letters_purged_total").increment(purged.into());
        Ok(pb::PurgeDeadLettersResponse { purged })
    }
}

/// A purge deletes everything up to the newest letter.
fn not_only_letters(letters: &Letters, (partition, offset): Place) -> BrokerError {
    let Letters { source, topic, .. } = letters;
    let message = format!(
        "{topic} holds records that are no dead letters of {source} ({topic}/{partition} offset {offset} is one), which a purge would \
         delete: give the dead letters of {source} a topic of their own, or delete the records of {topic} yourself"
    );
    BrokerError::new(ErrorCode::InUse, message)
        .with("topic", topic)
        .with("partition", partition)
        .with("offset", offset)
}
