//! What the process takes on at once is bounded, whatever the doors read.

use std::{sync::Arc, time::Duration};

use flymq_proto::pb;
use futures::{FutureExt as _, future::BoxFuture};
use metrics::Gauge;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::{BatchStream, Broker, BrokerError, CallContext, ErrorCode, Request, Response};

/// Bounds of [`Limited`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LimitOptions {
    /// Request bytes in flight, over all doors.
    pub in_flight_bytes: u32,
    /// Calls in flight, waiting long polls included.
    pub in_flight_calls: u32,
    /// How long a call waits for its bytes before it is refused; meanwhile its connection is not read on.
    pub patience: Duration,
}

impl Default for LimitOptions {
    fn default() -> Self {
        Self { in_flight_bytes: 256 << 20, in_flight_calls: 16_384, patience: Duration::from_secs(1) }
    }
}

/// Holds each call's share of the byte and call budgets while it runs; answers `OVERLOADED` where there is none.
/// `flymq_requests_in_flight` tells how many run.
///
/// The bytes are those of the request ([`CallContext::wire_bytes`]); a reply is bounded by the frame limit and is
/// read from disk only when its call runs.
#[derive(Debug)]
pub struct Limited<B> {
    inner: B,
    bytes: Arc<Semaphore>,
    calls: Arc<Semaphore>,
    options: LimitOptions,
    in_flight: Gauge,
}

/// A call's share of the budgets, given back when it is dropped.
#[derive(Debug)]
struct Share {
    in_flight: Gauge,
    _call: OwnedSemaphorePermit,
    _bytes: Option<OwnedSemaphorePermit>,
}

impl Share {
    fn new(in_flight: Gauge, call: OwnedSemaphorePermit, bytes: Option<OwnedSemaphorePermit>) -> Self {
        in_flight.increment(1);
        Self { in_flight, _call: call, _bytes: bytes }
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.in_flight.decrement(1);
    }
}

impl<B> Limited<B> {
    pub fn new(inner: B, options: LimitOptions) -> Self {
        Self {
            inner,
            bytes: Arc::new(Semaphore::new(options.in_flight_bytes as usize)),
            calls: Arc::new(Semaphore::new(options.in_flight_calls as usize)),
            options,
            in_flight: metrics::gauge!("flymq_requests_in_flight"),
        }
    }

    async fn admit(&self, wire_bytes: usize) -> Result<Share, BrokerError> {
        let call = self.calls.clone().try_acquire_owned().map_err(|_| self.too_many_calls())?;
        if wire_bytes == 0 {
            return Ok(Share::new(self.in_flight.clone(), call, None));
        }
        let share = u32::try_from(wire_bytes).unwrap_or(u32::MAX);
        if share > self.options.in_flight_bytes {
            return Err(self.too_many_bytes(wire_bytes));
        }
        if let Ok(bytes) = self.bytes.clone().try_acquire_many_owned(share) {
            return Ok(Share::new(self.in_flight.clone(), call, Some(bytes)));
        }
        let waited =
            tokio::time::timeout(self.options.patience, self.bytes.clone().acquire_many_owned(share));
        match waited.await {
            Ok(Ok(bytes)) => Ok(Share::new(self.in_flight.clone(), call, Some(bytes))),
            Ok(Err(_)) | Err(_) => Err(self.too_many_bytes(wire_bytes)),
        }
    }

    fn too_many_calls(&self) -> BrokerError {
        let limit = self.options.in_flight_calls;
        BrokerError::new(ErrorCode::Overloaded, format!("{limit} calls are in flight, and no more are taken"))
            .with("limit", limit)
    }

    fn too_many_bytes(&self, asked: usize) -> BrokerError {
        let limit = self.options.in_flight_bytes;
        let message =
            format!("no room for {asked} bytes: requests in flight may hold {limit} bytes together");
        BrokerError::new(ErrorCode::Overloaded, message).with("limit", limit).with("bytes", asked)
    }
}

impl<B: Broker> Broker for Limited<B> {
    fn call(&self, ctx: CallContext, request: Request) -> BoxFuture<'_, Result<Response, BrokerError>> {
        async move {
            let _share = self.admit(ctx.wire_bytes).await?;
            self.inner.call(ctx, request).await
        }
        .boxed()
    }

    fn subscribe(
        &self,
        ctx: CallContext,
        request: pb::SubscribeRequest,
    ) -> BoxFuture<'_, Result<BatchStream, BrokerError>> {
        async move {
            let _share = self.admit(ctx.wire_bytes).await?;
            self.inner.subscribe(ctx, request).await
        }
        .boxed()
    }
}
