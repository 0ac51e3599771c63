//! The other end: what another node has authorized, and this one can answer.

use std::{panic::AssertUnwindSafe, sync::Arc, time::Instant};

use bytes::Bytes;
use flymq_engine::Engine;
use futures::FutureExt as _;
use tokio::sync::Semaphore;
use tracing::{Instrument as _, debug, debug_span, warn};

use super::{envelope, places};
use crate::{
    BrokerError, CallContext, ErrorCode, Request,
    layers::{Authorized, AuthorizedBroker, Served},
};

/// Requests of other nodes that run at the same time; the bytes of each are bounded by the frame it came in.
const IN_FLIGHT: usize = 4_096;

/// Carries out requests that other nodes send here, behind the authorizer, which they have passed there.
///
/// They count in `flymq_requests_from_peers_total{rpc,code}`, not in `flymq_requests_total`: the first node counts them
/// there, once, and writes their audit events.
pub struct Forwarded {
    inner: Arc<dyn AuthorizedBroker>,
    /// For what nodes say to each other about transactions.
    engine: Option<Arc<Engine>>,
    turns: Semaphore,
}

impl std::fmt::Debug for Forwarded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Forwarded").field("free", &self.turns.available_permits()).finish_non_exhaustive()
    }
}

impl Forwarded {
    pub fn new(inner: Arc<dyn AuthorizedBroker>) -> Self {
        Self { inner, engine: None, turns: Semaphore::new(IN_FLIGHT) }
    }

    /// As one that takes part in transactions, too.
    #[must_use]
    pub fn with_engine(self, engine: Arc<Engine>) -> Self {
        Self { engine: Some(engine), ..self }
    }

    /// Answers the body that [`crate::PeerBroker::forward`] brought. It always has an answer: an error is one, too.
    pub async fn answer(&self, body: Bytes) -> Bytes {
        if let Some(engine) = &self.engine
            && let Some(answer) = places::answer(engine, &body).await
        {
            return answer;
        }
        envelope::seal_reply(match envelope::open(body, Instant::now()) {
            Ok((ctx, request)) => self.run(ctx, request).await,
            Err(error) => {
                warn!(%error, "another node sent what is no request");
                Err(error)
            }
        })
    }

    async fn run(&self, ctx: CallContext, request: Request) -> Result<Served, BrokerError> {
        let (rpc, request_id, door) = (request.rpc(), ctx.request_id.clone(), ctx.door.name());
        let span = debug_span!("forwarded", %request_id, rpc = rpc.meta().rpc, door);
        let work = AssertUnwindSafe(self.within_deadline(ctx, request)).catch_unwind().instrument(span);
        let answered = work.await.unwrap_or_else(|_panic| {
            warn!(%request_id, rpc = rpc.meta().rpc, "a forwarded call panicked");
            let message = format!("{} failed inside the broker", rpc.meta().rpc);
            Err(BrokerError::new(ErrorCode::Internal, message).with("request_id", &request_id))
        });
        let code = answered.as_ref().err().map_or("OK", |error| error.traits().name.as_str());
        debug!(%request_id, rpc = rpc.meta().rpc, door, code, "forwarded call answered");
        metrics::counter!("flymq_requests_from_peers_total", "rpc" => rpc.meta().rpc, "code" => code)
            .increment(1);
        answered
    }

    async fn within_deadline(&self, ctx: CallContext, request: Request) -> Result<Served, BrokerError> {
        let Ok(_turn) = self.turns.try_acquire() else {
            let message = format!("{IN_FLIGHT} requests of other nodes are running already");
            return Err(BrokerError::new(ErrorCode::Overloaded, message).with("limit", IN_FLIGHT));
        };
        let rpc = request.rpc().meta().rpc;
        let deadline = ctx.deadline;
        let work = self.inner.call(ctx, Authorized::by_peer(request));
        let Some(deadline) = deadline else { return work.await };
        tokio::time::timeout_at(deadline.into(), work).await.unwrap_or_else(|_| {
            Err(BrokerError::new(ErrorCode::Timeout, format!("{rpc} was not done in the time it had left")))
        })
    }
}
