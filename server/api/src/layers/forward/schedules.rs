//! Scheduled messages that are due in a partition that another node leads: it appends them as it does what clients send on.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use flymq_engine::{Appended, EngineError, SchedulePeers};
use flymq_types::{NodeId, Offset, PartitionId, Timestamp, TopicName};
use futures::{FutureExt as _, future::BoxFuture};

use super::envelope;
use crate::{
    BrokerError, CallContext, Door, PeerBroker, Request, Response, convert, layers::Served, pb, request_id,
};

/// How long another node may take: it syncs its disk, and waits for those of others.
const WITHIN: Duration = Duration::from_secs(5);

/// Appends batches on other nodes.
#[derive(Debug)]
pub(crate) struct Deliveries(pub Arc<dyn PeerBroker>);

impl SchedulePeers for Deliveries {
    fn append(
        &self,
        to: NodeId,
        topic: TopicName,
        partition: PartitionId,
        batch: Bytes,
    ) -> BoxFuture<'static, Result<Appended, EngineError>> {
        let peers = self.0.clone();
        async move {
            let request = pb::ProduceRequest {
                topic: topic.to_string(),
                partition: Some(convert::count(partition.get() as usize)),
                acks: pb::Acks::All.into(),
                batch,
                ..pb::ProduceRequest::default()
            };
            let request = Request::from(request);
            let rpc = request.rpc();
            let mut ctx = CallContext::new(Door::InProcess, request_id(Some("schedule")));
            ctx.deadline = Some(Instant::now() + WITHIN);
            let unknown = |reason: String| EngineError::PeerUnavailable { reason };
            let reply = peers.forward(&to, envelope::seal(&ctx, &request, WITHIN), WITHIN).await;
            let reply = reply.map_err(|failure| unknown(format!("node {to}: {failure}")))?;
            match envelope::open_reply(rpc, reply, &to) {
                Ok(Served { response: Response::Produce(produced), .. }) => {
                    appended(&produced).map_err(|error| unknown(error.message))
                }
                Ok(_) => Err(unknown(format!("node {to} answered another request"))),
                Err(error) => Err(refused_there(&to, &error)),
            }
        }
        .boxed()
    }
}

/// The other node's refusal: for now, or for ever.
fn refused_there(node: &NodeId, error: &BrokerError) -> EngineError {
    let reason = format!("node {node}: {}", error.message);
    let traits = error.traits();
    if traits.retryable || traits.side_effects {
        return EngineError::PeerUnavailable { reason };
    }
    EngineError::InvalidArgument { field: "record", reason }
}

fn appended(reply: &pb::ProduceResponse) -> Result<Appended, BrokerError> {
    let base_offset = Offset(reply.base_offset);
    Ok(Appended {
        partition: convert::partition(reply.partition)?,
        base_offset,
        last_offset: base_offset.plus(u64::from(reply.record_count.saturating_sub(1))),
        append_time: Timestamp::from_millis(reply.timestamp_ms),
        duplicate: false,
    })
}
