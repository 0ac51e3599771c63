//! What each layer does, on its own and in the stack.

mod common;

use std::time::{Duration, Instant};

use common::{TestBroker, assert_refused, context, record};
use flymq_api::{
    BatchStream, Broker, BrokerError, CallContext, Deadline, ErrorCode, LimitOptions, Limited, Request,
    Response, StackOptions, Trace, pb,
};
use futures::{FutureExt as _, future::BoxFuture};

/// Stands where the rest of the stack would: never answers, or panics.
struct Below {
    panics: bool,
}

impl Broker for Below {
    fn call(&self, _: CallContext, _: Request) -> BoxFuture<'_, Result<Response, BrokerError>> {
        async {
            assert!(!self.panics, "deep down");
            std::future::pending().await
        }
        .boxed()
    }

    fn subscribe(
        &self,
        _: CallContext,
        _: pb::SubscribeRequest,
    ) -> BoxFuture<'_, Result<BatchStream, BrokerError>> {
        std::future::pending().boxed()
    }
}

fn health() -> Request {
    pb::GetHealthRequest {}.into()
}

#[tokio::test]
async fn a_deadline_ends_the_call() {
    let layer = Deadline::new(Below { panics: false }, Duration::from_millis(30));
    assert_refused(layer.call(context(), health()).await, ErrorCode::Timeout, "timeout_ms");
    let opened = layer.subscribe(context(), pb::SubscribeRequest::default()).await.map(drop);
    assert_refused(opened, ErrorCode::Timeout, "timeout_ms");

    let layer = Deadline::new(Below { panics: false }, Duration::from_secs(60));
    let produce = pb::ProduceRequest { timeout_ms: 20, ..Default::default() };
    assert_refused(layer.call(context(), produce.into()).await, ErrorCode::Timeout, "timeout_ms");
    let mut ctx = context();
    ctx.deadline = Some(Instant::now());
    assert_refused(layer.call(ctx, health()).await, ErrorCode::Timeout, "timeout_ms");
}

#[tokio::test]
async fn the_budgets_are_held_and_given_back() {
    let options =
        LimitOptions { in_flight_bytes: 100, in_flight_calls: 2, patience: Duration::from_millis(20) };
    let layer = Limited::new(Below { panics: false }, options);
    let sized = |bytes| CallContext { wire_bytes: bytes, ..context() };
    assert_refused(layer.call(sized(101), health()).await, ErrorCode::Overloaded, "bytes");
    {
        let mut first = layer.call(sized(60), health());
        assert!(futures::poll!(&mut first).is_pending());
        assert_refused(layer.call(sized(60), health()).await, ErrorCode::Overloaded, "limit");
        let mut second = layer.call(sized(0), health());
        assert!(futures::poll!(&mut second).is_pending());
        assert_refused(layer.call(sized(0), health()).await, ErrorCode::Overloaded, "limit");
    }
    let mut next = layer.call(sized(100), health());
    assert!(futures::poll!(&mut next).is_pending(), "what was given back can be had again");
}

#[tokio::test]
async fn a_panic_is_an_error_of_that_call_alone() {
    let layer = Trace::new(Below { panics: true });
    assert_refused(layer.call(context(), health()).await, ErrorCode::Internal, "request_id");
    assert_refused(layer.call(context(), health()).await, ErrorCode::Internal, "");
}

#[tokio::test]
async fn with_auth_on_only_public_rpcs_pass() {
    let broker = TestBroker::with(&StackOptions { auth_enabled: true, ..StackOptions::default() }).await;
    let _: pb::GetHealthResponse = broker.call(pb::GetHealthRequest {}).await.expect("public");
    let me: pb::WhoAmIResponse = broker.call(pb::WhoAmIRequest {}).await.expect("public");
    assert!(!me.authenticated);
    let list = || pb::ListTopicsRequest::default();
    assert_refused(
        broker.call::<_, pb::ListTopicsResponse>(list()).await,
        ErrorCode::AuthenticationRequired,
        "",
    );
    let mut ctx = context();
    ctx.credentials = Some("Basic YTpi".into());
    assert_refused(broker.broker.call(ctx, list().into()).await, ErrorCode::AuthenticationFailed, "");
    let subscribe = pb::SubscribeRequest { topic: "t".to_owned(), ..Default::default() };
    let opened = broker.broker.subscribe(context(), subscribe).await.map(drop);
    assert_refused(opened, ErrorCode::AuthenticationRequired, "");
}

#[tokio::test]
async fn users_do_not_write_to_internal_topics() {
    let broker = TestBroker::start().await;
    broker.produce("t", Some(0), vec![record("", "v")]).await.expect("produced");
    let at = pb::PartitionOffset { topic: "t".to_owned(), offset: 1, ..Default::default() };
    let commit = pb::CommitOffsetsRequest { group: "g".to_owned(), offsets: vec![at], ..Default::default() };
    let _: pb::CommitOffsetsResponse = broker.call(commit).await.expect("makes the internal topic");

    let name = "__consumer_offsets";
    let denied = broker.produce(name, Some(0), vec![record("", "forged")]).await;
    assert_refused(denied, ErrorCode::PermissionDenied, "resource");
    let delete = pb::DeleteTopicRequest { name: name.to_owned() };
    assert_refused(
        broker.call::<_, pb::DeleteTopicResponse>(delete).await,
        ErrorCode::PermissionDenied,
        "right",
    );
    let get = pb::GetTopicRequest { name: name.to_owned() };
    let found: pb::GetTopicResponse = broker.call(get).await.expect("reading is allowed");
    assert_eq!(found.topic.expect("a topic").name, name);
}

#[test]
fn metrics_tell_what_moved() {
    let recorder = metrics_exporter_prometheus::PrometheusBuilder::new().build_recorder();
    let handle = recorder.handle();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    metrics::with_local_recorder(&recorder, || {
        runtime.block_on(async {
            let broker = TestBroker::start().await;
            let records = vec![record("", "a"), record("", "b")];
            broker.produce("t", Some(0), records).await.expect("produced");
            broker.fetch("t", 0, 1).await.expect("fetched");
            broker.fetch("t", 0, 2).await.expect("the end");
            broker.fetch("nope", 0, 0).await.expect_err("no topic");
        });
    });
    let text = handle.render();
    for line in [
        "flymq_messages_produced_total 2",
        "flymq_messages_consumed_total 1",
        "flymq_produce_latency_seconds_count 1",
        "flymq_consume_latency_seconds_count 1",
        "flymq_requests_total{rpc=\"Fetch\",door=\"in-process\",code=\"OK\"} 2",
        "flymq_requests_total{rpc=\"Fetch\",door=\"in-process\",code=\"TOPIC_NOT_FOUND\"} 1",
    ] {
        assert!(text.contains(line), "no {line:?} in\n{text}");
    }
}
