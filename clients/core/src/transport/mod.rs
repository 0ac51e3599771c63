//! How requests reach a broker: one trait, two ways.

mod grpc;
mod native;

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use flymq_proto::{RpcInfo, rpcs};
use futures::{future::BoxFuture, stream::BoxStream};

use crate::{ClientConfig, ClientError, FetchSpec, TransportKind, pb};

/// One batch for one partition, or for the partition that the server picks.
#[derive(Debug, Clone)]
pub(crate) struct ProduceCall {
    pub topic: Arc<str>,
    /// -1: the server chooses.
    pub partition: i32,
    pub acks: pb::Acks,
    /// A whole batch, producer fields set.
    pub batch: Bytes,
}

/// Where the batch went.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ProduceReply {
    pub partition: i32,
    pub base_offset: u64,
    pub timestamp_ms: i64,
}

/// Batches as stored, and the partition's watermarks.
#[derive(Debug, Clone)]
pub(crate) struct FetchReply {
    pub next_offset: u64,
    pub high_watermark: u64,
    pub low_watermark: u64,
    /// Whole batches back to back.
    pub batches: Bytes,
}

impl From<pb::FetchResponse> for FetchReply {
    fn from(reply: pb::FetchResponse) -> Self {
        Self {
            next_offset: reply.next_offset,
            high_watermark: reply.high_watermark,
            low_watermark: reply.low_watermark,
            batches: joined(reply.batches),
        }
    }
}

/// One run of bytes out of several; copies only when there is more than one.
fn joined(batches: Vec<Bytes>) -> Bytes {
    match <[Bytes; 1]>::try_from(batches) {
        Ok([one]) => one,
        Err(many) => many.concat().into(),
    }
}

/// A run of batches of one partition that the server pushed.
#[derive(Debug, Clone)]
pub(crate) struct Push {
    pub topic: Arc<str>,
    pub partition: i32,
    /// First offset that was asked for: the first batch may begin before it.
    pub from: u64,
    /// Offset behind the batches.
    pub next_offset: u64,
    pub batches: Bytes,
}

/// First offset that a subscription wants of its partitions.
fn wanted_from(request: &pb::SubscribeRequest) -> u64 {
    if request.from() == pb::StartFrom::Offset { request.offset } else { 0 }
}

pub(crate) type PushStream = BoxStream<'static, Result<Push, ClientError>>;

/// A connection to one broker.
///
/// # Contract
/// - Calls that are started one after another reach the broker in that order.
/// - A dropped future gives up waiting; the request may still take effect.
/// - After `is_closed` says true each call fails at once; the owner connects anew.
pub(crate) trait Transport: Send + Sync + 'static {
    /// Any unary rpc, protobuf in, protobuf out.
    fn call(&self, rpc: &'static RpcInfo, body: Bytes) -> BoxFuture<'static, Result<Bytes, ClientError>>;
    fn produce(&self, call: ProduceCall) -> BoxFuture<'static, Result<ProduceReply, ClientError>>;
    fn fetch(&self, spec: &FetchSpec) -> BoxFuture<'static, Result<FetchReply, ClientError>>;
    fn subscribe(&self, request: pb::SubscribeRequest)
    -> BoxFuture<'static, Result<PushStream, ClientError>>;
    fn is_closed(&self) -> bool;

    /// Name of the node at the other end; empty where that is not known.
    fn node_id(&self) -> &str;

    /// Whether the server says that it is a node of a cluster.
    fn in_cluster(&self) -> bool;

    /// Whether a request for what `node` leads may be sent here: it is that node, or sends it on.
    fn leads_for(&self, node: &str) -> bool;
}

/// Connects to `addr` and says hello.
pub(crate) async fn connect(addr: &str, config: &ClientConfig) -> Result<Arc<dyn Transport>, ClientError> {
    let connecting = async {
        match config.transport {
            TransportKind::Native => native::NativeTransport::connect(addr, config)
                .await
                .map(|t| Arc::new(t) as Arc<dyn Transport>),
            TransportKind::Grpc => {
                grpc::GrpcTransport::connect(addr, config).await.map(|t| Arc::new(t) as Arc<dyn Transport>)
            }
        }
    };
    tokio::time::timeout(config.connect_timeout, connecting)
        .await
        .unwrap_or_else(|_| Err(connect_timeout(addr, config.connect_timeout)))
}

fn connect_timeout(addr: &str, limit: Duration) -> ClientError {
    let source = std::io::Error::new(
        std::io::ErrorKind::TimedOut,
        format!("no answer within {} ms", limit.as_millis()),
    );
    ClientError::connect(addr, &source)
}

/// The rpc of that name (`CreateTopic`).
pub(crate) fn rpc_by_name(name: &str) -> Result<&'static RpcInfo, ClientError> {
    rpcs().iter().find(|r| r.name == name).ok_or_else(|| ClientError::invalid(format!("no rpc named {name}")))
}
