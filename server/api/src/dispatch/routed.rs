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

    /// One record; none: it was deleted, has expired, or was never there.
    pub(super) async fn record_at(
        &self,
        (topic, partition, offset): (&TopicName, PartitionId, Offset),
        deadline: Option<Instant>,
    ) -> Result<Option<pb::Record>, BrokerError> {
        let request = pb::ConsumeRequest {
            topic: topic.to_string(),
            partition: crate::convert::count(partition.get() as usize),
            offset: offset.get(),
            ..pb::ConsumeRequest::default()
        };
        match self.routed::<pb::ConsumeResponse>(request, deadline).await {
            Ok(consumed) => Ok(consumed.record),
            Err(error) if matches!(error.code, ErrorCode::EndOfPartition | ErrorCode::OffsetOutOfRange) => {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }
}

fn answered<A: TryFrom<Response, Error = Response>>(response: Response) -> Result<A, BrokerError> {
    A::try_from(response).map_err(|_| BrokerError::new(ErrorCode::Internal, "another request was answered"))
}
