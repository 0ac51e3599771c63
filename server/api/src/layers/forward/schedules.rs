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
    BrokerError, CallContext, Door, ErrorCode, PeerBroker, Request, Response, convert, layers::Served, pb,
    request_id,
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
    if is_final(error.code) {
        return EngineError::InvalidArgument { field: "record", reason };
    }
    EngineError::PeerUnavailable { reason }
}

/// Whether it is the message that is refused, so that no other try may do better. After any other refusal a message that was promised
/// stays: it would be lost for a node that is behind, or of another version.
fn is_final(code: ErrorCode) -> bool {
    matches!(
        code,
        ErrorCode::InvalidArgument
            | ErrorCode::RecordTooLarge
            | ErrorCode::FrameTooLarge
            | ErrorCode::CorruptBatch
            | ErrorCode::SchemaValidationFailed
            | ErrorCode::TopicNotFound
            | ErrorCode::PartitionNotFound
    )
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

#[cfg(test)]
mod tests {
    use super::*;

    /// A message that is dropped is lost: only for what is wrong with it.
    #[test]
    fn only_a_message_that_is_refused_itself_is_dropped() {
        let node = NodeId::new("n").expect("a name");
        let refused = |code| refused_there(&node, &BrokerError::new(code, "no"));
        for code in [ErrorCode::InvalidArgument, ErrorCode::RecordTooLarge, ErrorCode::SchemaValidationFailed]
        {
            assert!(matches!(refused(code), EngineError::InvalidArgument { .. }), "{code:?}");
        }
        for code in [
            ErrorCode::ProducerFenced,
            ErrorCode::PermissionDenied,
            ErrorCode::Unimplemented,
            ErrorCode::SchemaNotFound,
            ErrorCode::NotLeader,
            ErrorCode::StorageFailed,
        ] {
            assert!(matches!(refused(code), EngineError::PeerUnavailable { .. }), "{code:?}");
        }
    }
}
