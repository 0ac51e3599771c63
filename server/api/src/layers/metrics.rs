//! What the broker moved, and how fast.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use flymq_proto::pb;
use flymq_types::BatchHeader;
use flymq_wire::batch::HEADER_LEN;
use futures::{FutureExt as _, StreamExt as _, future::BoxFuture};
use metrics::{Counter, Histogram};

use super::{Authorized, AuthorizedBroker, Served};
use crate::{BatchStream, BrokerError, CallContext, Request, Response};

/// Records handed out since the start of the process.
#[derive(Debug, Default)]
pub struct Totals {
    pub consumed: AtomicU64,
}

/// Counts records and times calls.
///
/// | Metric | What it says |
/// |---|---|
/// | `flymq_messages_consumed_total` | records handed to readers, subscriptions included |
/// | `flymq_produce_latency_seconds` | from request to acknowledgement |
/// | `flymq_consume_latency_seconds` | from request to answer, **less the time a long poll had nothing to read**; answers without records are not counted |
///
/// The engine itself counts appends (`flymq_messages_produced_total`, `flymq_topic_messages_total`). The recorder must be installed before this is made.
#[derive(Debug)]
pub struct Measure<B> {
    inner: B,
    totals: Arc<Totals>,
    meters: Meters,
}

impl<B> Measure<B> {
    pub fn new(inner: B, totals: Arc<Totals>) -> Self {
        Self { inner, totals, meters: Meters::new() }
    }

    fn note(&self, began: Instant, served: &Served) {
        let time = began.elapsed().saturating_sub(served.waited);
        if matches!(served.response, Response::Produce(_)) {
            self.meters.produce_latency.record(time);
        }
        let read = if let Response::Fetch(done) = &served.response {
            count(&done.records, &done.batches)
        } else {
            u64::from(matches!(served.response, Response::Consume(_)))
        };
        if read > 0 {
            self.meters.consume_latency.record(time);
            consumed(&self.totals, &self.meters.consumed, read);
        }
    }
}

fn consumed(totals: &Totals, counter: &Counter, records: u64) {
    counter.increment(records);
    totals.consumed.fetch_add(records, Ordering::Relaxed);
}

fn count(records: &[pb::Record], batches: &[bytes::Bytes]) -> u64 {
    let mut total = records.len() as u64;
    let mut pieces = batches.iter();
    while let Some(piece) = pieces.next() {
        total += BatchHeader::parse(piece).map_or(0, |header| header.record_count.into());
        if piece.len() == HEADER_LEN {
            // A header alone: its payload is the next piece.
            pieces.next();
        }
    }
    total
}

impl<B: AuthorizedBroker> AuthorizedBroker for Measure<B> {
    fn call(
        &self,
        ctx: CallContext,
        request: Authorized<Request>,
    ) -> BoxFuture<'_, Result<Served, BrokerError>> {
        let began = Instant::now();
        let inner = self.inner.call(ctx, request);
        async move {
            let served = inner.await?;
            self.note(began, &served);
            Ok(served)
        }
        .boxed()
    }

    fn subscribe(
        &self,
        ctx: CallContext,
        request: Authorized<pb::SubscribeRequest>,
    ) -> BoxFuture<'_, Result<BatchStream, BrokerError>> {
        let inner = self.inner.subscribe(ctx, request);
        async move {
            let (totals, counter) = (self.totals.clone(), self.meters.consumed.clone());
            let counted = inner.await?.inspect(move |item| {
                if let Ok(run) = item {
                    consumed(&totals, &counter, count(&run.records, &run.batches));
                }
            });
            Ok(counted.boxed())
        }
        .boxed()
    }
}

#[derive(Debug)]
struct Meters {
    consumed: Counter,
    produce_latency: Histogram,
    consume_latency: Histogram,
}

impl Meters {
    fn new() -> Self {
        Self {
            consumed: metrics::counter!("flymq_messages_consumed_total"),
            produce_latency: metrics::histogram!("flymq_produce_latency_seconds"),
            consume_latency: metrics::histogram!("flymq_consume_latency_seconds"),
        }
    }
}
