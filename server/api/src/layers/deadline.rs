//! Every call ends: by its own deadline, or by the server's default.

use std::time::{Duration, Instant};

use flymq_proto::pb;
use futures::{FutureExt as _, future::BoxFuture};

use crate::{BatchStream, Broker, BrokerError, CallContext, ErrorCode, Request, Response};

/// What a long poll keeps back of its caller's deadline, so that the empty answer arrives in time.
const ANSWER_MARGIN: Duration = Duration::from_millis(50);

/// Answers `TIMEOUT` once the deadline has passed; a write that has begun goes on.
///
/// The deadline is the caller's (or for a produce its `timeout_ms`, whichever is sooner), else `default` from now, to
/// which a long poll adds the wait it asks for. The wait of a long poll is cut to the caller's deadline.
#[derive(Debug)]
pub struct Deadline<B> {
    inner: B,
    default: Duration,
}

impl<B> Deadline<B> {
    pub fn new(inner: B, default: Duration) -> Self {
        Self { inner, default }
    }

    fn of(&self, ctx: &CallContext, request: &mut Request, now: Instant) -> Instant {
        let mut limit = now + self.default;
        if let Some(max_wait_ms) = long_poll(request) {
            if let Some(deadline) = ctx.deadline {
                let left = deadline.saturating_duration_since(now).saturating_sub(ANSWER_MARGIN);
                let left_ms = u32::try_from(left.as_millis()).unwrap_or(u32::MAX);
                *max_wait_ms = left_ms.min(*max_wait_ms);
            }
            limit += Duration::from_millis((*max_wait_ms).into());
        }
        if let Request::Produce(pb::ProduceRequest { timeout_ms: asked @ 1.., .. }) = request {
            limit = now + Duration::from_millis((*asked).into());
        }
        ctx.deadline.map_or(limit, |deadline| deadline.min(limit))
    }
}

impl<B: Broker> Broker for Deadline<B> {
    fn call(
        &self,
        mut ctx: CallContext,
        mut request: Request,
    ) -> BoxFuture<'_, Result<Response, BrokerError>> {
        let now = Instant::now();
        let deadline = self.of(&ctx, &mut request, now);
        let rpc = request.rpc().meta().rpc;
        if deadline <= now {
            return std::future::ready(Err(passed(rpc, Duration::ZERO))).boxed();
        }
        ctx.deadline = Some(deadline);
        let inner = self.inner.call(ctx, request);
        async move {
            tokio::time::timeout_at(deadline.into(), inner)
                .await
                .unwrap_or_else(|_| Err(passed(rpc, deadline - now)))
        }
        .boxed()
    }

    /// The deadline is for the start of the stream; it then lives as long as its reader.
    fn subscribe(
        &self,
        ctx: CallContext,
        request: pb::SubscribeRequest,
    ) -> BoxFuture<'_, Result<BatchStream, BrokerError>> {
        let started = tokio::time::timeout(self.default, self.inner.subscribe(ctx, request));
        async move { started.await.unwrap_or_else(|_| Err(passed("Subscribe", self.default))) }.boxed()
    }
}

/// How long a request that waits for something to happen asks to wait, milliseconds.
pub(crate) fn long_poll(request: &mut Request) -> Option<&mut u32> {
    if let Request::Fetch(fetch) = request {
        return Some(&mut fetch.max_wait_ms);
    }
    if let Request::Acquire(acquire) = request {
        return Some(&mut acquire.max_wait_ms);
    }
    if let Request::Heartbeat(heartbeat) = request { Some(&mut heartbeat.max_wait_ms) } else { None }
}

fn passed(rpc: &str, after: Duration) -> BrokerError {
    let ms = after.as_millis();
    let message = if ms == 0 {
        format!("the deadline of {rpc} had passed before it began")
    } else {
        format!("{rpc} was not done after {ms} ms")
    };
    BrokerError::new(ErrorCode::Timeout, message).with("timeout_ms", ms)
}
