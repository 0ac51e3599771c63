//! 0xAF version 2: one TCP connection, many requests on their way, replies in any order.

mod connection;
mod outgoing;

use std::sync::Arc;

use bytes::Bytes;
use flymq_proto::RpcInfo;
use flymq_wire::v2;
use futures::{FutureExt as _, StreamExt as _, future::BoxFuture};
use prost::Message as _;

use super::{FetchReply, ProduceCall, ProduceReply, Push, PushStream, Transport, wanted_from};
use crate::{ClientConfig, ClientError, FetchSpec, pb};
use connection::Connection;

/// Credit of a subscription that names none: bytes on their way to us at most.
const DEFAULT_CREDIT: u32 = 4 << 20;

/// The feature of a server that is a node of a cluster.
const CLUSTER: &str = "cluster";

/// The native port's side of [`Transport`].
pub(super) struct NativeTransport {
    connection: Arc<Connection>,
    node_id: String,
    in_cluster: bool,
}

impl NativeTransport {
    pub(super) async fn connect(addr: &str, config: &ClientConfig) -> Result<Self, ClientError> {
        let connection = Connection::open(addr).await?;
        let hello = pb::HelloRequest {
            client: config.client_id.clone(),
            client_version: env!("CARGO_PKG_VERSION").to_owned(),
            features: Vec::new(),
            username: config.username.clone().unwrap_or_default(),
            password: config.password.clone().unwrap_or_default(),
        };
        let body = connection.request(v2::op::HELLO, 0, hello.encode_to_vec().into()).await?;
        let reply = pb::HelloResponse::decode(body)
            .map_err(|e| ClientError::protocol(format!("hello reply: {e}")))?;
        tracing::debug!(addr, server = reply.server_version, node = reply.node_id, "connected");
        let in_cluster = reply.features.iter().any(|feature| feature == CLUSTER);
        Ok(Self { connection, node_id: reply.node_id, in_cluster })
    }
}

impl Transport for NativeTransport {
    fn call(&self, rpc: &'static RpcInfo, body: Bytes) -> BoxFuture<'static, Result<Bytes, ClientError>> {
        let code = rpc.op.code;
        let own_layout = matches!(code, v2::op::PRODUCE | v2::op::FETCH);
        self.connection.request(code, if own_layout { v2::flag::PROTOBUF } else { 0 }, body)
    }

    fn produce(&self, call: ProduceCall) -> BoxFuture<'static, Result<ProduceReply, ClientError>> {
        let body = v2::ProduceBody {
            acks: acks(call.acks),
            partition: call.partition,
            timeout_ms: 0,
            topic: call.topic.to_string(),
            batch: call.batch,
        };
        let reply = self.connection.send(move |correlation| body.encode(correlation));
        async move {
            let reply = v2::ProduceReply::decode(reply.await?).map_err(unreadable)?;
            Ok(ProduceReply {
                partition: reply.partition,
                base_offset: reply.base_offset,
                timestamp_ms: reply.append_time,
            })
        }
        .boxed()
    }

    fn fetch(&self, spec: &FetchSpec) -> BoxFuture<'static, Result<FetchReply, ClientError>> {
        if spec.filter.is_some() {
            // FETCH's own layout has no place for a filter.
            let body = spec.to_request().encode_to_vec().into();
            let reply = self.connection.request(v2::op::FETCH, v2::flag::PROTOBUF, body);
            return async move {
                let reply = pb::FetchResponse::decode(reply.await?)
                    .map_err(|e| ClientError::protocol(format!("the server's reply cannot be read: {e}")))?;
                Ok(FetchReply::from(reply))
            }
            .boxed();
        }
        let body = v2::FetchBody {
            partition: spec.partition,
            offset: spec.offset,
            max_bytes: spec.max_bytes,
            min_bytes: spec.min_bytes,
            max_wait_ms: u32::try_from(spec.max_wait.as_millis()).unwrap_or(u32::MAX),
            isolation: isolation(spec.isolation),
            topic: spec.topic.to_string(),
        };
        let reply = self.connection.send(move |correlation| body.encode(correlation));
        async move {
            let reply = v2::FetchReply::decode(reply.await?).map_err(unreadable)?;
            Ok(FetchReply {
                next_offset: reply.next_offset,
                high_watermark: reply.high_watermark,
                low_watermark: reply.log_start,
                batches: reply.runs.into_iter().next().unwrap_or_default(),
            })
        }
        .boxed()
    }

    fn subscribe(
        &self,
        mut request: pb::SubscribeRequest,
    ) -> BoxFuture<'static, Result<PushStream, ClientError>> {
        if request.credit_bytes == 0 {
            request.credit_bytes = DEFAULT_CREDIT;
        }
        request.batches = true;
        let connection = Arc::clone(&self.connection);
        let topic: Arc<str> = request.topic.as_str().into();
        let from = wanted_from(&request);
        async move {
            let stream = connection.open_stream(v2::op::SUBSCRIBE_STREAM, request.encode_to_vec().into())?;
            Ok(stream.map(move |item| push(&topic, from, item?)).boxed())
        }
        .boxed()
    }

    fn is_closed(&self) -> bool {
        self.connection.is_closed()
    }

    fn node_id(&self) -> &str {
        &self.node_id
    }

    fn in_cluster(&self) -> bool {
        self.in_cluster
    }

    fn leads_for(&self, node: &str) -> bool {
        self.node_id == node
    }
}

fn push(topic: &Arc<str>, from: u64, body: Bytes) -> Result<Push, ClientError> {
    let push = v2::PushBody::decode(body).map_err(unreadable)?;
    let topic = if *push.topic == **topic { Arc::clone(topic) } else { push.topic.as_str().into() };
    let batches = push.runs.into_iter().next().unwrap_or_default();
    Ok(Push { topic, partition: push.partition, from, next_offset: push.next_offset, batches })
}

fn unreadable(error: flymq_wire::codec::DecodeError) -> ClientError {
    ClientError::protocol(format!("the server's reply cannot be read: {error}"))
}

fn acks(acks: pb::Acks) -> v2::Acks {
    match acks {
        pb::Acks::Unspecified => v2::Acks::Default,
        pb::Acks::None => v2::Acks::None,
        pb::Acks::Leader => v2::Acks::Leader,
        pb::Acks::All => v2::Acks::All,
    }
}

fn isolation(isolation: pb::Isolation) -> v2::Isolation {
    match isolation {
        pb::Isolation::Unspecified | pb::Isolation::ReadCommitted => v2::Isolation::ReadCommitted,
        pb::Isolation::ReadUncommitted => v2::Isolation::ReadUncommitted,
    }
}
