//! What coordinators of transactions and the places where these write say to each other, from node to node: it travels as
//! requests of clients do, under an rpc name that no client has.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use flymq_engine::{Engine, EngineError, Outcome, Place, PlaceCall, TransactionPeers, What};
use flymq_proto::internal::{
    ForwardRequest, TransactionEnd, TransactionPartition, TransactionPlaceCall,
    transaction_place_call::Place as SentPlace,
};
use flymq_types::{GroupId, NodeId, PartitionId, TopicId, TopicName, TransactionalId};
use futures::{FutureExt as _, future::BoxFuture};
use prost::Message as _;

use super::envelope;
use crate::{BrokerError, ErrorCode, PeerBroker, Response, Rpc, layers::Served, pb};

/// Nodes of earlier versions answer that there is no such rpc.
const RPC: &str = "internal.TransactionPlace";
/// How long another node may take: it syncs its disk, and waits for those of others.
const WITHIN: Duration = Duration::from_secs(10);

/// Sends calls to other nodes.
#[derive(Debug)]
pub(crate) struct Places(pub Arc<dyn PeerBroker>);

impl TransactionPeers for Places {
    fn call(&self, to: NodeId, call: PlaceCall) -> BoxFuture<'static, Result<(), EngineError>> {
        let peers = self.0.clone();
        async move {
            let envelope = ForwardRequest {
                request_id: "transaction".to_owned(),
                rpc: RPC.to_owned(),
                body: sent(&call).encode_to_vec().into(),
                deadline_ms: u32::try_from(WITHIN.as_millis()).unwrap_or(u32::MAX),
                ..ForwardRequest::default()
            };
            let reply = peers.forward(&to, envelope.encode_to_vec().into(), WITHIN).await;
            let reply = reply.map_err(|failure| EngineError::PeerUnavailable {
                reason: format!("node {to}: {failure}"),
            })?;
            match envelope::open_reply(Rpc::CommitTransaction, reply, &to) {
                Ok(_done) => Ok(()),
                Err(error) => Err(refused_there(&call, &to, &error)),
            }
        }
        .boxed()
    }
}

/// Answers such a call; none: it is a client's request.
pub(super) async fn answer(engine: &Engine, body: &Bytes) -> Option<Bytes> {
    let envelope = ForwardRequest::decode(body.clone()).ok().filter(|envelope| envelope.rpc == RPC)?;
    let until = Instant::now() + Duration::from_millis(envelope.deadline_ms.into());
    let call = TransactionPlaceCall::decode(envelope.body).ok().and_then(received);
    let done = async {
        let call = call.ok_or_else(|| {
            BrokerError::new(
                ErrorCode::Protocol,
                "a call about a transaction from another node cannot be read",
            )
        })?;
        match tokio::time::timeout_at(until.into(), engine.carry_out(call)).await {
            Ok(done) => Ok(done?),
            Err(_late) => Err(BrokerError::new(ErrorCode::Timeout, "not done in the time it had")),
        }
    };
    let served = done.await.map(|()| Served::from(Response::from(pb::CommitTransactionResponse::default())));
    Some(envelope::seal_reply(served))
}

/// The other node's refusal, as this one would have refused.
fn refused_there(call: &PlaceCall, node: &NodeId, error: &BrokerError) -> EngineError {
    let (id, epoch) = (call.id.clone(), call.epoch);
    let fact = |name: &str| error.metadata.get(name).cloned().unwrap_or_default();
    match error.code {
        ErrorCode::ProducerFenced => {
            let current = fact("current_epoch").parse().unwrap_or(u16::MAX);
            EngineError::TransactionFenced { id, epoch, current }
        }
        ErrorCode::TransactionState => EngineError::TransactionState { id, epoch, why: fact("why").into() },
        ErrorCode::TransactionNotFound => EngineError::TransactionNotFound { id },
        _ => EngineError::PeerUnavailable { reason: format!("node {node}: {}", error.message) },
    }
}

fn sent(call: &PlaceCall) -> TransactionPlaceCall {
    let place = match &call.place {
        Place::Group(group) => SentPlace::Group(group.to_string()),
        Place::Partition { topic, name, partition } => SentPlace::Partition(TransactionPartition {
            topic_id: topic.as_bytes().to_vec().into(),
            topic: name.to_string(),
            partition: partition.get(),
        }),
    };
    let end = match call.what {
        What::Add => None,
        What::End { outcome, coordinator_epoch } => {
            Some(TransactionEnd { commit: outcome == Outcome::Commit, coordinator_epoch })
        }
    };
    TransactionPlaceCall {
        transactional_id: call.id.to_string(),
        producer_id: call.producer_id,
        epoch: call.epoch.into(),
        place: Some(place),
        end,
    }
}

/// None: not what a node sends.
fn received(call: TransactionPlaceCall) -> Option<PlaceCall> {
    let place = match call.place? {
        SentPlace::Group(group) => Place::Group(GroupId::any(&group).ok()?),
        SentPlace::Partition(at) => Place::Partition {
            topic: TopicId::from_bytes(at.topic_id.as_ref().try_into().ok()?),
            name: TopicName::any(&at.topic).ok()?,
            partition: PartitionId(at.partition),
        },
    };
    let what = call.end.map_or(What::Add, |end| What::End {
        outcome: if end.commit { Outcome::Commit } else { Outcome::Abort },
        coordinator_epoch: end.coordinator_epoch,
    });
    Some(PlaceCall {
        id: TransactionalId::any(&call.transactional_id).ok()?,
        producer_id: call.producer_id,
        epoch: u16::try_from(call.epoch).ok()?,
        place,
        what,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_arrives_as_it_was_sent() {
        let partition = Place::Partition {
            topic: TopicId::from_bytes([7; 16]),
            name: TopicName::new("orders").expect("a name"),
            partition: PartitionId(3),
        };
        let end = What::End { outcome: Outcome::Commit, coordinator_epoch: 9 };
        for place in [partition, Place::Group(GroupId::new("g").expect("a name"))] {
            for what in [What::Add, end, What::End { outcome: Outcome::Abort, coordinator_epoch: 1 }] {
                let id = TransactionalId::internal("__random").expect("a name");
                let call = PlaceCall { id, producer_id: 7, epoch: 2, place: place.clone(), what };
                assert_eq!(received(sent(&call)), Some(call));
            }
        }
        assert_eq!(received(TransactionPlaceCall::default()), None);
    }

    #[test]
    fn a_refusal_means_the_same_on_both_nodes() {
        let place = Place::Group(GroupId::new("g").expect("a name"));
        let id = TransactionalId::new("tx").expect("a name");
        let call = PlaceCall { id: id.clone(), producer_id: 7, epoch: 2, place, what: What::Add };
        let node = NodeId::new("n2").expect("a name");
        let back = |error: EngineError| refused_there(&call, &node, &error.into()).to_string();
        for error in [
            EngineError::TransactionFenced { id: id.clone(), epoch: 2, current: 5 },
            EngineError::TransactionState { id: id.clone(), epoch: 2, why: "it was aborted".into() },
            EngineError::TransactionNotFound { id },
        ] {
            assert_eq!(back(error.clone()), error.to_string());
        }
    }
}
