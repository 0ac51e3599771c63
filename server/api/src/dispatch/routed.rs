//! Requests that the broker makes of itself while it carries out one: of this node, or of the one that leads.

use std::{sync::Arc, time::Instant};

use flymq_proto::pb;
use flymq_types::{Offset, PartitionId, TopicName};
use futures::{FutureExt as _, future::BoxFuture};

use super::EngineBroker;
use crate::{BrokerError, CallContext, Door, ErrorCode, Request, Response, layers::Patience};

impl EngineBroker {
    /// Has the request answered here or by the node that an error names, as the broker itself: no right is asked for any more.
    ///
    /// # Errors
    /// The request's own.
    pub(super) fn routed<A>(
        &self,
        request: impl Into<Request>,
        deadline: Option<Instant>,
    ) -> BoxFuture<'_, Result<A, BrokerError>>
    where
        A: TryFrom<Response, Error = Response>,
    {
        let request = request.into();
        async move {
            let mut ctx = CallContext::new(Door::InProcess, Arc::from("broker"));
            ctx.deadline = deadline;
            let patience = Patience::of(&ctx);
            // Nobody further in is to send it on: here is where that is done.
            let here = CallContext { forwarded: true, ..ctx.clone() };
            loop {
                let error = match self.serve(here.clone(), request.clone()).await {
                    Ok(served) => return answered(served.response),
                    Err(error) => error,
                };
                let there = self.forwarder.as_deref().and_then(|f| Some((f, f.instead(&error)?)));
                let error = match there {
                    Some((forwarder, leader)) => match forwarder.send(&leader, &ctx, request.clone()).await {
                        Ok(served) => return answered(served.response),
                        Err(error) => error,
                    },
                    None => error,
                };
                if !patience.again(&error).await {
                    return Err(error);
                }
            }
        }
        .boxed()
    }

    /// One record; none: it is gone for ever (deleted, expired, aborted).
    ///
    /// # Errors
    /// `Unavailable`: it cannot be read for now; a leader that has just begun does not show yet what the one before has shown. `EndOfPartition`: there is no such
    /// offset, for all that this leader knows.
    pub(super) async fn record_at(
        &self,
        (topic, partition, offset): (&TopicName, PartitionId, Offset),
        deadline: Option<Instant>,
    ) -> Result<Option<pb::Record>, BrokerError> {
        let request = pb::FetchRequest {
            topic: topic.to_string(),
            partition: crate::convert::count(partition.get() as usize),
            offset: offset.get(),
            max_records: 1,
            max_bytes: 1,
            ..pb::FetchRequest::default()
        };
        match self.routed::<pb::FetchResponse>(request, deadline).await {
            Ok(page) => found(page, offset.get()).map_err(|code| {
                let message = format!("no record at offset {offset} of {topic}/{partition} can be read yet");
                BrokerError::new(code, message).with("topic", topic).with("partition", partition)
            }),
            // Below the log's beginning, and not beyond the end of a log that is behind.
            Err(error) if error.code == ErrorCode::OffsetOutOfRange && begins_behind(&error, offset) => {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }
}

/// What a page from `offset` on says of the record there.
fn found(page: pb::FetchResponse, offset: u64) -> Result<Option<pb::Record>, ErrorCode> {
    match page.records.into_iter().next() {
        Some(record) if record.offset == offset => Ok(Some(record)),
        // What was looked at and left out will never be there.
        _ if page.next_offset > offset || cfg!(mutant = "unseen_record_is_gone") => Ok(None),
        _ if offset < page.log_end_offset => Err(ErrorCode::Unavailable),
        _ => Err(ErrorCode::EndOfPartition),
    }
}

fn begins_behind(error: &BrokerError, offset: Offset) -> bool {
    let start = error.metadata.get("start").and_then(|start| start.parse::<u64>().ok());
    start.is_some_and(|start| start > offset.get())
}

fn answered<A: TryFrom<Response, Error = Response>>(response: Response) -> Result<A, BrokerError> {
    A::try_from(response).map_err(|_| BrokerError::new(ErrorCode::Internal, "another request was answered"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(next_offset: u64, log_end_offset: u64, records: &[u64]) -> pb::FetchResponse {
        let record = |offset: &u64| pb::Record { offset: *offset, ..Default::default() };
        let records = records.iter().map(record).collect();
        pb::FetchResponse { next_offset, log_end_offset, records, ..Default::default() }
    }

    /// A new leader's high watermark is behind that of the one before: a record that it does not show yet is not gone.
    #[test]
    fn only_what_was_passed_over_is_gone() {
        assert_eq!(found(page(6, 9, &[5]), 5).map(|record| record.map(|r| r.offset)), Ok(Some(5)));
        assert_eq!(found(page(8, 9, &[7]), 5), Ok(None), "deleted, expired or aborted");
        assert_eq!(found(page(9, 9, &[]), 5), Ok(None));
        assert_eq!(found(page(5, 9, &[]), 5), Err(ErrorCode::Unavailable), "not shown yet");
        assert_eq!(found(page(5, 5, &[]), 5), Err(ErrorCode::EndOfPartition));
    }
}
