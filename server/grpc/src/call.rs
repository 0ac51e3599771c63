//! One call: take the message, ask the broker, answer.

use std::{sync::Arc, time::Instant};

use flymq_api::{
    Broker, BrokerError, CallContext, ErrorCode, OpMeta, REQUEST_ID_HEADER, ReadBudget, Response,
};
use flymq_proto::pb;
use futures::{Stream, StreamExt as _, stream};
use prost::Message as _;
use tokio_util::sync::CancellationToken;
use tonic::{
    Code, Status, Streaming,
    body::Body,
    codec::{Codec, CompressionEncoding, EnabledCompressionEncodings},
    codegen::http,
    server::Grpc,
};
use tonic_prost::ProstCodec;
use tower::service_fn;

use crate::{
    codec::{Inbound, RpcCodec, undecodable},
    context::{call_context, request_id_header},
    metered::{Metered, NO_ROOM},
    status::status,
    unwritten::Unwritten,
};

/// Largest request of a subscription: names, numbers and a filter.
const MAX_SUBSCRIBE_BYTES: usize = 64 * 1024;

/// Answers calls of `flymq.v1`.
#[derive(Clone)]
pub(crate) struct Calls {
    pub broker: Arc<dyn Broker>,
    pub max_message_bytes: usize,
    pub max_inflated_bytes: usize,
    pub budget: ReadBudget,
    pub answers: ReadBudget,
    pub shutdown: CancellationToken,
}

impl Calls {
    /// Answers one call of `op`; the request id goes back in the headers.
    pub async fn answer(self, op: &'static OpMeta, request: http::Request<Body>) -> http::Response<Body> {
        let ctx = call_context(&request, Instant::now());
        let request_id = request_id_header(&ctx.request_id);
        let mut response = if op.server_streaming {
            self.subscribe(ctx, request).await
        } else {
            self.unary(op, ctx, request).await
        };
        if let Some(id) = request_id {
            response.headers_mut().insert(REQUEST_ID_HEADER, id);
        }
        response
    }

    /// Served as a client stream of one message: so an unreadable message comes to us, to be told by the error table.
    async fn unary(
        self,
        op: &'static OpMeta,
        ctx: CallContext,
        request: http::Request<Body>,
    ) -> http::Response<Body> {
        let share = Arc::new(self.budget.share());
        let request = request.map(|body| Metered::body(body, share.clone()));
        let codec = RpcCodec { rpc: op.id, share: share.clone() };
        let limit = self.message_limit(&request);
        let mut grpc = self.grpc(codec, limit);
        let unwritten = Unwritten::default();
        let paying = (unwritten.clone(), self.answers.clone());
        let call = service_fn(move |request: tonic::Request<Streaming<Inbound>>| {
            let (broker, ctx, share) = (self.broker.clone(), ctx.clone(), share.clone());
            let (unwritten, answers) = paying.clone();
            async move {
                let _until_answered = share;
                let request_id = ctx.request_id.clone();
                let answer = unary(broker, op, ctx, request.into_inner(), limit).await;
                let paid = answer.and_then(|answer| {
                    unwritten.pay(&answers, answer.encoded_len())?;
                    Ok(answer)
                });
                paid.map(tonic::Response::new).map_err(|e| status(&e, &request_id))
            }
        });
        grpc.client_streaming(call, request).await.map(|body| unwritten.body(body))
    }

    async fn subscribe(self, ctx: CallContext, request: http::Request<Body>) -> http::Response<Body> {
        let codec = ProstCodec::<pb::SubscribeResponse, pb::SubscribeRequest>::default();
        let mut grpc = self.grpc(codec, MAX_SUBSCRIBE_BYTES);
        let unwritten = Unwritten::default();
        let paying = unwritten.clone();
        let call = service_fn(move |request: tonic::Request<Streaming<pb::SubscribeRequest>>| {
            let (calls, ctx, unwritten) = (self.clone(), ctx.clone(), paying.clone());
            async move {
                let request_id = ctx.request_id.clone();
                let records = subscribe(calls, ctx, request.into_inner(), unwritten).await;
                records.map(tonic::Response::new).map_err(|e| status(&e, &request_id))
            }
        });
        grpc.streaming(call, request).await.map(|body| unwritten.body(body))
    }

    /// The largest message of this call after decompression. tonic inflates into one growing buffer up to the limit, so that
    /// a call which says that it compresses may not make it larger than one that holds the largest record.
    fn message_limit(&self, request: &http::Request<Body>) -> usize {
        let plain = request.headers().get("grpc-encoding").is_none_or(|encoding| encoding == "identity");
        if plain { self.max_message_bytes } else { self.max_message_bytes.min(self.max_inflated_bytes) }
    }

    fn grpc<C: Codec>(&self, codec: C, max_message_bytes: usize) -> Grpc<C> {
        let mut gzip = EnabledCompressionEncodings::default();
        gzip.enable(CompressionEncoding::Gzip);
        // Replies are compressed only for clients that say they accept it.
        Grpc::new(codec)
            .apply_compression_config(gzip, gzip)
            .apply_max_message_size_config(Some(max_message_bytes), None)
    }
}

async fn unary(
    broker: Arc<dyn Broker>,
    op: &'static OpMeta,
    mut ctx: CallContext,
    mut messages: Streaming<Inbound>,
    limit: usize,
) -> Result<Response, BrokerError> {
    let inbound = one(&mut messages, op.rpc, limit).await?;
    let request = inbound.request?;
    ctx.wire_bytes = inbound.wire_bytes;
    broker.call(ctx, request).await
}

async fn subscribe(
    calls: Calls,
    ctx: CallContext,
    mut messages: Streaming<pb::SubscribeRequest>,
    unwritten: Unwritten,
) -> Result<impl Stream<Item = Result<pb::SubscribeResponse, Status>>, BrokerError> {
    let request_id = ctx.request_id.clone();
    let request = one(&mut messages, "Subscribe", MAX_SUBSCRIBE_BYTES).await?;
    let records = calls.broker.subscribe(ctx, request).await?;
    let answers = calls.answers.clone();
    let records = records.map(move |item| {
        item.and_then(|push| {
            unwritten.pay(&answers, push.encoded_len())?;
            Ok(push)
        })
    });
    let stopping = calls.shutdown.clone().cancelled_owned();
    let goodbye = stream::once(async move { calls.shutdown.is_cancelled().then(stopped) });
    let until_shutdown = records.take_until(stopping).chain(goodbye.filter_map(|e| async { e.map(Err) }));
    Ok(until_shutdown.map(move |item| item.map_err(|e| status(&e, &request_id))))
}

/// The one message of the request; whatever is wrong with it, in the words of the error table.
async fn one<M>(messages: &mut Streaming<M>, rpc: &str, limit: usize) -> Result<M, BrokerError> {
    match messages.message().await {
        Ok(Some(message)) => Ok(message),
        Ok(None) => Err(undecodable(rpc, "the call ended without a message")),
        Err(fault) => match fault.code() {
            Code::OutOfRange | Code::ResourceExhausted => {
                let text = format!("the {rpc} request is larger than a frame may be ({limit} bytes)");
                Err(BrokerError::new(ErrorCode::FrameTooLarge, text).with("limit", limit))
            }
            NO_ROOM => Err(BrokerError::new(ErrorCode::Overloaded, fault.message())),
            Code::Cancelled => Err(BrokerError::new(ErrorCode::Cancelled, "the caller gave up")),
            _ => Err(undecodable(rpc, fault.message())),
        },
    }
}

fn stopped() -> BrokerError {
    BrokerError::new(ErrorCode::Unavailable, "the broker is stopping")
}
