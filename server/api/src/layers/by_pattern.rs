//! Subscriptions by pattern: one stream over all topics that match, and over those that come to match later.
//!
//! It stands before the authorizer, so that each topic is asked for by itself: what the caller may not read is left out.

mod followed;
mod opened;

use std::sync::Arc;

use flymq_engine::Engine;
use flymq_proto::pb;
use flymq_types::{InvalidPattern, Patterns, is_pattern};
use futures::{FutureExt as _, future::BoxFuture};

use crate::{
    BatchStream, Broker, BrokerError, CallContext, Node, Request, Response,
    convert::{self, Filters},
};

/// Most partitions of one stream on a broker of its own: each costs a place in a list, and nothing while it waits.
const MOST_PARTITIONS: usize = 10_000;
/// As much in a cluster, where each is a fetch that waits at its leader.
const MOST_IN_CLUSTER: usize = 1_000;

/// Passes on all but subscriptions by pattern; of those it makes one for each topic.
#[derive(Debug)]
pub struct ByPattern<B> {
    inner: Arc<B>,
    engine: Arc<Engine>,
    node: Arc<Node>,
    /// Partitions may be led by other nodes, and move.
    in_cluster: bool,
    filters: Filters,
}

impl<B: Broker> ByPattern<B> {
    pub fn new(inner: B, engine: Arc<Engine>, node: Arc<Node>, in_cluster: bool) -> Self {
        Self { inner: Arc::new(inner), engine, node, in_cluster, filters: Filters::default() }
    }

    fn source(
        &self,
        ctx: CallContext,
        request: pb::SubscribeRequest,
    ) -> Result<opened::Source<B>, BrokerError> {
        let mut patterns = Patterns::default();
        patterns.insert(&request.topic, ()).map_err(|why| unfit(&request.topic, &why))?;
        if !request.partitions.is_empty() {
            return Err(convert::invalid(
                "partitions",
                "a pattern takes all partitions of its topics: leave them out",
            ));
        }
        if request.from() == pb::StartFrom::Offset {
            let why = "an offset is of one partition: with a pattern begin at the earliest, the latest, the group's, or a time";
            return Err(convert::invalid("from", why));
        }
        // Known to be wrong at once, also where no topic matches yet.
        self.filters.of(&request.filter, request.filter_kind)?;
        Ok(opened::Source {
            inner: self.inner.clone(),
            engine: self.engine.clone(),
            node: self.node.clone(),
            in_cluster: self.in_cluster,
            most: if self.in_cluster { MOST_IN_CLUSTER } else { MOST_PARTITIONS },
            patterns: Arc::new(patterns),
            ctx,
            request,
        })
    }
}

fn unfit(pattern: &str, why: &InvalidPattern) -> BrokerError {
    convert::invalid("topic", format!("{pattern:?} is no pattern: {why}"))
}

impl<B: Broker> Broker for ByPattern<B> {
    fn call(&self, ctx: CallContext, request: Request) -> BoxFuture<'_, Result<Response, BrokerError>> {
        self.inner.call(ctx, request)
    }

    fn subscribe(
        &self,
        ctx: CallContext,
        request: pb::SubscribeRequest,
    ) -> BoxFuture<'_, Result<BatchStream, BrokerError>> {
        if !is_pattern(&request.topic) {
            return self.inner.subscribe(ctx, request);
        }
        match self.source(ctx, request) {
            Ok(source) => followed::open(source).boxed(),
            Err(error) => std::future::ready(Err(error)).boxed(),
        }
    }
}
