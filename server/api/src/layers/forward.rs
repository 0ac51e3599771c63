//! Requests that this node cannot answer go to the node that can, and never further. Where nobody can just now, they wait for
//! the end of an election.
//!
//! ```text
//! node A: … authorize ► audit ► Forward ─► engine: NotLeader(B) ─► PeerBroker ═► node B: Forwarded ► metrics ► engine
//! ```

mod envelope;
mod places;
mod receive;
mod schedules;

use std::{
    fmt::Debug,
    sync::Arc,
    time::{Duration, Instant},
};

use flymq_proto::pb;
use flymq_types::NodeId;
use futures::{FutureExt as _, future::BoxFuture};
use tracing::debug;

pub(crate) use places::Places;
pub use receive::Forwarded;
pub(crate) use schedules::Deliveries;

use super::{Authorized, AuthorizedBroker, Served, deadline::long_poll};
use crate::{BatchStream, BrokerError, CallContext, Door, ErrorCode, PeerBroker, PeerFailure, Request, Rpc};

/// For a call without deadline.
const DEFAULT_WAIT: Duration = Duration::from_secs(30);
/// What a forwarded long poll keeps back of the time that is left, for the ways there and back.
const WAY: Duration = Duration::from_millis(100);

/// How long a request waits here for a leader: an election takes about a second and a half from the end of the old one.
const ELECTION: Duration = Duration::from_secs(3);
/// Between two looks at who leads.
const LOOK: Duration = Duration::from_millis(50);

/// The time in which a request that nobody can answer just now is tried again.
#[derive(Debug)]
pub(crate) struct Patience {
    until: Instant,
}

impl Patience {
    pub(crate) fn of(ctx: &CallContext) -> Self {
        let until = Instant::now() + ELECTION;
        // What is left after that is for the answer.
        let latest = ctx.deadline.and_then(|deadline| deadline.checked_sub(WAY));
        Self { until: latest.map_or(until, |latest| latest.min(until)) }
    }

    /// Waits a moment where another try may do better: the request certainly had no effect, and somebody will lead soon.
    pub(crate) async fn again(&self, error: &BrokerError) -> bool {
        // A node that is away, a coordinator that is not ready.
        let away = ["node", "group", "transactional_id", "schedules_of"]
            .iter()
            .any(|fact| error.metadata.contains_key(*fact));
        let passes = error.code == ErrorCode::NotLeader || error.code == ErrorCode::Unavailable && away;
        let again = passes && Instant::now() + LOOK < self.until;
        if again {
            tokio::time::sleep(LOOK).await;
        }
        again
    }
}

/// Sends requests to the node that an error names, and counts them in `flymq_requests_forwarded_total{rpc,code}`.
#[derive(Debug)]
pub struct Forwarder {
    /// This node.
    me: String,
    peers: Arc<dyn PeerBroker>,
}

impl Forwarder {
    pub fn new(me: &str, peers: Arc<dyn PeerBroker>) -> Self {
        Self { me: me.to_owned(), peers }
    }

    /// Whether a request of this call may be sent on: another node has not sent it here. `batches`: it is one of the record
    /// path, which clients of the native protocol, version 2, send to the leader by themselves.
    pub(crate) fn takes(ctx: &CallContext, batches: bool) -> bool {
        !(ctx.forwarded || batches && ctx.door == Door::NativeV2)
    }

    /// Who is to be asked instead, after this error.
    pub(crate) fn instead(&self, error: &BrokerError) -> Option<NodeId> {
        let leader = error.metadata.get("leader").filter(|_| error.code == ErrorCode::NotLeader)?;
        NodeId::new(leader).ok().filter(|leader| leader.as_str() != self.me)
    }

    /// Lets node `to` answer.
    ///
    /// # Errors
    /// The other node's own; `Unavailable` where it did not get the request, `Timeout` where it may have.
    pub(crate) async fn send(
        &self,
        to: &NodeId,
        ctx: &CallContext,
        mut request: Request,
    ) -> Result<Served, BrokerError> {
        let rpc = request.rpc();
        let within =
            ctx.deadline.map_or(DEFAULT_WAIT, |deadline| deadline.saturating_duration_since(Instant::now()));
        if let Some(max_wait_ms) = long_poll(&mut request) {
            let left = u32::try_from(within.saturating_sub(WAY).as_millis()).unwrap_or(u32::MAX);
            *max_wait_ms = left.min(*max_wait_ms);
        }
        debug!(request_id = %ctx.request_id, rpc = rpc.meta().rpc, to = %to, "forwarding");
        let body = envelope::seal(ctx, &request, within);
        let answered = match self.peers.forward(to, body, within).await {
            Ok(reply) => envelope::open_reply(rpc, reply, to),
            Err(failure) => Err(unanswered(rpc, to, &failure)),
        };
        let code = answered.as_ref().err().map_or("OK", |error| error.traits().name.as_str());
        metrics::counter!("flymq_requests_forwarded_total", "rpc" => rpc.meta().rpc, "code" => code)
            .increment(1);
        answered
    }
}

fn unanswered(rpc: Rpc, to: &NodeId, failure: &PeerFailure) -> BrokerError {
    let code = match failure {
        PeerFailure::Unreachable { .. } | PeerFailure::Refused { .. } => ErrorCode::Unavailable,
        PeerFailure::Lost { .. } => ErrorCode::Timeout,
    };
    BrokerError::new(code, format!("{} is for node {to}, and {failure}", rpc.meta().rpc)).with("node", to)
}

/// Sends on what ends in `NotLeader`; streams and broker without cluster are passed as they are.
///
/// Produce is sent on further in, batch by batch: one request may hold records for partitions of several leaders.
#[derive(Debug)]
pub struct Forward<B> {
    inner: B,
    forwarder: Option<Arc<Forwarder>>,
}

impl<B> Forward<B> {
    pub fn new(inner: B, forwarder: Option<Arc<Forwarder>>) -> Self {
        Self { inner, forwarder }
    }

    fn forwarder(&self, ctx: &CallContext, request: &Request) -> Option<&Forwarder> {
        let forwarder = self.forwarder.as_deref()?;
        let batches = matches!(request, Request::Fetch(fetch) if fetch.batches);
        let inside = matches!(request, Request::Produce(_) | Request::ProduceInTransaction(_));
        let takes = !inside && Forwarder::takes(ctx, batches);
        takes.then_some(forwarder)
    }
}

impl<B: AuthorizedBroker> AuthorizedBroker for Forward<B> {
    fn call(
        &self,
        ctx: CallContext,
        request: Authorized<Request>,
    ) -> BoxFuture<'_, Result<Served, BrokerError>> {
        let Some(forwarder) = self.forwarder(&ctx, request.get()) else {
            return self.inner.call(ctx, request);
        };
        async move {
            let patience = Patience::of(&ctx);
            loop {
                let error = match self.inner.call(ctx.clone(), request.clone()).await {
                    Ok(served) => return Ok(served),
                    Err(error) => error,
                };
                let error = match forwarder.instead(&error) {
                    Some(leader) => match forwarder.send(&leader, &ctx, request.get().clone()).await {
                        Ok(served) => return Ok(served),
                        Err(error) => error,
                    },
                    None => error,
                };
                if !patience.again(&error).await {
                    return Err(error);
                }
            }
        }
        .boxed()
    }

    fn subscribe(
        &self,
        ctx: CallContext,
        request: Authorized<pb::SubscribeRequest>,
    ) -> BoxFuture<'_, Result<BatchStream, BrokerError>> {
        self.inner.subscribe(ctx, request)
    }
}
