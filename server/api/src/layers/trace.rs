//! Outermost layer: a span and one log line for each call, the count of calls by outcome, and the last catch for panics.

use std::{
    any::Any,
    panic::AssertUnwindSafe,
    sync::{Arc, OnceLock},
    time::Instant,
};

use flymq_proto::pb;
use futures::{FutureExt as _, future::BoxFuture};
use metrics::Counter;
use tracing::{Instrument as _, Span, debug, debug_span, warn};

use crate::{BatchStream, Broker, BrokerError, CallContext, Door, ErrorCode, OPS, Request, Response, Rpc};

const DOORS: usize = 5;

/// Names each call in the log and counts it in `flymq_requests_total{rpc,door,code}`, refused ones too.
///
/// A panic below becomes an `INTERNAL` error of that one call.
#[derive(Debug)]
pub struct Trace<B> {
    inner: B,
    succeeded: Vec<OnceLock<Counter>>,
}

impl<B> Trace<B> {
    pub fn new(inner: B) -> Self {
        Self { inner, succeeded: (0..OPS.len() * DOORS).map(|_| OnceLock::new()).collect() }
    }

    async fn run<T>(
        &self,
        call: Call,
        work: impl Future<Output = Result<T, BrokerError>>,
    ) -> Result<T, BrokerError> {
        let result = AssertUnwindSafe(work).catch_unwind().await;
        let result = result.unwrap_or_else(|panic| Err(call.panicked(panic.as_ref())));
        self.count(&call, result.as_ref().err());
        call.log(result.as_ref().err());
        result
    }

    fn count(&self, call: &Call, error: Option<&BrokerError>) {
        let (rpc, door) = (call.rpc.meta().rpc, call.door);
        let counter = |code: String| metrics::counter!("flymq_requests_total", "rpc" => rpc, "door" => door.name(), "code" => code);
        match error {
            None => self.succeeded[call.rpc as usize * DOORS + door as usize]
                .get_or_init(|| counter("OK".to_owned()))
                .increment(1),
            Some(error) => counter(error.traits().name.clone()).increment(1),
        }
    }
}

impl<B: Broker> Broker for Trace<B> {
    fn call(&self, ctx: CallContext, request: Request) -> BoxFuture<'_, Result<Response, BrokerError>> {
        let call = Call::new(request.rpc(), &ctx);
        let span = call.span(request.resource());
        self.run(call, self.inner.call(ctx, request)).instrument(span).boxed()
    }

    fn subscribe(
        &self,
        ctx: CallContext,
        request: pb::SubscribeRequest,
    ) -> BoxFuture<'_, Result<BatchStream, BrokerError>> {
        let call = Call::new(Rpc::Subscribe, &ctx);
        let span = call.span(Some(&request.topic));
        self.run(call, self.inner.subscribe(ctx, request)).instrument(span).boxed()
    }
}

struct Call {
    rpc: Rpc,
    door: Door,
    request_id: Arc<str>,
    began: Instant,
}

impl Call {
    fn new(rpc: Rpc, ctx: &CallContext) -> Self {
        Self { rpc, door: ctx.door, request_id: ctx.request_id.clone(), began: Instant::now() }
    }

    fn span(&self, resource: Option<&str>) -> Span {
        let (rpc, door) = (self.rpc.meta().rpc, self.door.name());
        debug_span!("call", request_id = %self.request_id, rpc, door, resource)
    }

    fn panicked(&self, panic: &(dyn Any + Send)) -> BrokerError {
        let text =
            panic.downcast_ref::<&str>().copied().or(panic.downcast_ref::<String>().map(String::as_str));
        warn!(request_id = %self.request_id, rpc = self.rpc.meta().rpc, panic = text.unwrap_or("no text"), "a call panicked");
        BrokerError::new(ErrorCode::Internal, format!("{} failed inside the broker", self.rpc.meta().rpc))
            .with("request_id", &self.request_id)
    }

    fn log(&self, error: Option<&BrokerError>) {
        let (rpc, door, elapsed) = (self.rpc.meta().rpc, self.door.name(), self.began.elapsed());
        let elapsed_us = u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX);
        match error {
            None => debug!(request_id = %self.request_id, rpc, door, elapsed_us, "call answered"),
            Some(error) if is_fault(error.code) => {
                warn!(request_id = %self.request_id, rpc, door, elapsed_us, code = error.traits().name, %error, facts = ?error.metadata, "call failed");
            }
            Some(error) => {
                debug!(request_id = %self.request_id, rpc, door, elapsed_us, code = error.traits().name, %error, "call refused");
            }
        }
    }
}

/// Whether an operator should hear of it: something is wrong with the broker, not with the request.
fn is_fault(code: ErrorCode) -> bool {
    matches!(
        code,
        ErrorCode::Unspecified
            | ErrorCode::Internal
            | ErrorCode::CorruptData
            | ErrorCode::StorageFailed
            | ErrorCode::StorageFull
    )
}
