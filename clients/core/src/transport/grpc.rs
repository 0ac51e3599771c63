//! gRPC: the same calls over tonic, bodies passed through as bytes.

mod codec;

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use bytes::Bytes;
use flymq_proto::{RpcInfo, pb};
use futures::{FutureExt as _, StreamExt as _, future::BoxFuture};
use prost::Message as _;
use tonic::{
    client::Grpc,
    codegen::http::uri::PathAndQuery,
    metadata::MetadataValue,
    transport::{Channel, Endpoint},
};

use super::{
    FetchReply, ProduceCall, ProduceReply, Push, PushStream, Transport, joined, rpc_by_name, wanted_from,
};
use crate::{ClientConfig, ClientError, FetchSpec};
use codec::BytesCodec;

/// Largest message either way; the same as the native port's frame.
const MAX_MESSAGE: usize = 32 << 20;

/// gRPC's side of [`Transport`].
pub(super) struct GrpcTransport {
    addr: String,
    grpc: Grpc<Channel>,
    authorization: Option<MetadataValue<tonic::metadata::Ascii>>,
    /// The connection was lost: the channel would make it anew, but always to the same server.
    lost: Lost,
}

/// Whether a connection was lost.
#[derive(Debug, Clone, Default)]
struct Lost(Arc<AtomicBool>);

impl Lost {
    /// Notes it where the error says so.
    fn note(&self, error: ClientError) -> ClientError {
        if error.code == pb::ErrorCode::Connection {
            self.0.store(true, Ordering::Relaxed);
        }
        error
    }
}

impl GrpcTransport {
    pub(super) async fn connect(addr: &str, config: &ClientConfig) -> Result<Self, ClientError> {
        let endpoint = Endpoint::from_shared(format!("http://{addr}"))
            .map_err(|e| ClientError::invalid(format!("{addr:?} is no address: {e}")))?
            .tcp_nodelay(true)
            .initial_stream_window_size(4 << 20)
            .initial_connection_window_size(16 << 20);
        let channel = endpoint.connect().await.map_err(|e| {
            let source = std::io::Error::other(root_cause(&e));
            ClientError::connect(addr, &source)
        })?;
        let grpc =
            Grpc::new(channel).max_decoding_message_size(MAX_MESSAGE).max_encoding_message_size(MAX_MESSAGE);
        let authorization = basic(config)?;
        Ok(Self { addr: addr.to_owned(), grpc, authorization, lost: Lost::default() })
    }

    fn request(&self, body: Bytes) -> tonic::Request<Bytes> {
        let mut request = tonic::Request::new(body);
        if let Some(value) = &self.authorization {
            request.metadata_mut().insert("authorization", value.clone());
        }
        request
    }

    fn unary(&self, rpc: &'static RpcInfo, body: Bytes) -> BoxFuture<'static, Result<Bytes, ClientError>> {
        let (mut grpc, request, addr) = (self.grpc.clone(), self.request(body), self.addr.clone());
        let lost = self.lost.clone();
        async move {
            grpc.ready().await.map_err(|e| lost.note(ClientError::broken(&addr, root_cause(&e)).unsent()))?;
            let path = PathAndQuery::from_static(&rpc.path);
            let reply = grpc.unary(request, path, BytesCodec).await;
            Ok(reply.map_err(|status| lost.note(from_status(&addr, &status)))?.into_inner())
        }
        .boxed()
    }

    fn typed<Req: prost::Message, Resp: prost::Message + Default>(
        &self,
        name: &str,
        request: &Req,
    ) -> BoxFuture<'static, Result<Resp, ClientError>> {
        let reply = rpc_by_name(name).map(|rpc| self.unary(rpc, request.encode_to_vec().into()));
        async move { Resp::decode(reply?.await?).map_err(|e| unreadable(&e)) }.boxed()
    }
}

impl Transport for GrpcTransport {
    fn call(&self, rpc: &'static RpcInfo, body: Bytes) -> BoxFuture<'static, Result<Bytes, ClientError>> {
        self.unary(rpc, body)
    }

    fn produce(&self, call: ProduceCall) -> BoxFuture<'static, Result<ProduceReply, ClientError>> {
        let request = pb::ProduceRequest {
            topic: call.topic.to_string(),
            partition: (call.partition >= 0).then_some(call.partition),
            acks: call.acks.into(),
            batch: call.batch,
            ..pb::ProduceRequest::default()
        };
        let reply = self.typed::<_, pb::ProduceResponse>("Produce", &request);
        async move {
            let reply = reply.await?;
            Ok(ProduceReply {
                partition: reply.partition,
                base_offset: reply.base_offset,
                timestamp_ms: reply.timestamp_ms,
            })
        }
        .boxed()
    }

    fn fetch(&self, spec: &FetchSpec) -> BoxFuture<'static, Result<FetchReply, ClientError>> {
        let request = spec.to_request();
        let reply = self.typed::<_, pb::FetchResponse>("Fetch", &request);
        async move { Ok(FetchReply::from(reply.await?)) }.boxed()
    }

    fn subscribe(
        &self,
        mut request: pb::SubscribeRequest,
    ) -> BoxFuture<'static, Result<PushStream, ClientError>> {
        request.batches = true;
        let topic: Arc<str> = request.topic.as_str().into();
        let (rpc, from) = (rpc_by_name("Subscribe"), wanted_from(&request));
        let (mut grpc, addr, lost) = (self.grpc.clone(), self.addr.clone(), self.lost.clone());
        let request = self.request(request.encode_to_vec().into());
        async move {
            grpc.ready().await.map_err(|e| lost.note(ClientError::broken(&addr, root_cause(&e))))?;
            let path = PathAndQuery::from_static(&rpc?.path);
            let stream = grpc.server_streaming(request, path, BytesCodec).await;
            let stream = stream.map_err(|status| lost.note(from_status(&addr, &status)))?.into_inner();
            Ok(stream
                .map(move |item| push((&topic, from), &addr, item).map_err(|error| lost.note(error)))
                .boxed())
        }
        .boxed()
    }

    fn is_closed(&self) -> bool {
        self.lost.0.load(Ordering::Relaxed)
    }

    /// gRPC has no greeting that would tell.
    fn node_id(&self) -> &str {
        ""
    }

    fn in_cluster(&self) -> bool {
        false
    }

    /// Every node sends gRPC requests on to the one that leads.
    fn leads_for(&self, _node: &str) -> bool {
        true
    }
}

fn push(
    (topic, from): (&Arc<str>, u64),
    addr: &str,
    item: Result<Bytes, tonic::Status>,
) -> Result<Push, ClientError> {
    let body = item.map_err(|status| from_status(addr, &status))?;
    let run = pb::SubscribeResponse::decode(body).map_err(|e| unreadable(&e))?;
    let topic = if run.topic == **topic { Arc::clone(topic) } else { run.topic.as_str().into() };
    let batches = joined(run.batches);
    Ok(Push { topic, partition: run.partition, from, next_offset: run.next_offset, batches })
}

fn unreadable(error: &prost::DecodeError) -> ClientError {
    ClientError::protocol(format!("the server's reply cannot be read: {error}"))
}

/// Basic credentials, as RFC 7617 writes them.
fn basic(config: &ClientConfig) -> Result<Option<MetadataValue<tonic::metadata::Ascii>>, ClientError> {
    use base64::Engine as _;
    let Some(username) = &config.username else { return Ok(None) };
    let pair = format!("{username}:{}", config.password.as_deref().unwrap_or_default());
    let text = format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(pair));
    let mut value = MetadataValue::try_from(text)
        .map_err(|_| ClientError::invalid("user name or password cannot be sent"))?;
    value.set_sensitive(true);
    Ok(Some(value))
}

/// The broker's own error travels in the status details; anything else is the transport's.
fn from_status(addr: &str, status: &tonic::Status) -> ClientError {
    codec::error_detail(status).unwrap_or_else(|| match status.code() {
        tonic::Code::Unavailable | tonic::Code::Unknown | tonic::Code::Cancelled => {
            ClientError::broken(addr, status.message())
        }
        tonic::Code::DeadlineExceeded => ClientError::new(pb::ErrorCode::Timeout, status.message()),
        tonic::Code::Unimplemented => ClientError::new(pb::ErrorCode::Unimplemented, status.message()),
        tonic::Code::ResourceExhausted => ClientError::new(pb::ErrorCode::Overloaded, status.message()),
        tonic::Code::OutOfRange => ClientError::new(pb::ErrorCode::FrameTooLarge, status.message()),
        _ => ClientError::new(pb::ErrorCode::Internal, format!("{}: {}", status.code(), status.message())),
    })
}

fn root_cause(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    cause.to_string()
}
