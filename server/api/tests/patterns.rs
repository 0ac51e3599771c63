//! Subscriptions by pattern through the whole stack: topics that are there, that come, and that go.

mod common;

use std::{sync::Arc, time::Duration};

use common::{TestBroker, assert_refused, context, record};
use flymq_api::{
    BatchStream, Broker, BrokerError, ByPattern, CallContext, ErrorCode, Request, Response, StackOptions, pb,
};
use futures::{FutureExt as _, StreamExt as _, future::BoxFuture};

/// The stack under another layer, as a cluster has it (each partition by fetches) or a broker alone (by streams).
fn layer(broker: &TestBroker, in_cluster: bool, forbidden: &'static str) -> Arc<dyn Broker> {
    let below = Guarded { inner: broker.broker.clone(), forbidden };
    Arc::new(ByPattern::new(below, broker.engine.clone(), broker.node.clone(), in_cluster))
}

/// Lets nobody read the topics whose names begin so.
#[derive(Debug)]
struct Guarded<B> {
    inner: B,
    forbidden: &'static str,
}

impl<B: Broker> Guarded<B> {
    fn denies(&self, topic: &str) -> bool {
        !self.forbidden.is_empty() && topic.starts_with(self.forbidden)
    }
}

fn denied<T: Send + 'static>() -> BoxFuture<'static, Result<T, BrokerError>> {
    std::future::ready(Err(BrokerError::new(ErrorCode::PermissionDenied, "it is not yours"))).boxed()
}

impl<B: Broker> Broker for Guarded<B> {
    fn call(&self, ctx: CallContext, request: Request) -> BoxFuture<'_, Result<Response, BrokerError>> {
        match request.resource().is_some_and(|topic| self.denies(topic)) {
            true => denied(),
            false => self.inner.call(ctx, request),
        }
    }

    fn subscribe(
        &self,
        ctx: CallContext,
        request: pb::SubscribeRequest,
    ) -> BoxFuture<'_, Result<BatchStream, BrokerError>> {
        match self.denies(&request.topic) {
            true => denied(),
            false => self.inner.subscribe(ctx, request),
        }
    }
}

fn pattern(topic: &str, from: pb::StartFrom) -> pb::SubscribeRequest {
    pb::SubscribeRequest { topic: topic.to_owned(), from: from.into(), ..Default::default() }
}

/// The next `count` records as `topic=value`, sorted: topics take turns as they like.
async fn next(stream: &mut BatchStream, count: usize) -> Vec<String> {
    let mut seen = Vec::new();
    while seen.len() < count {
        let push = tokio::time::timeout(Duration::from_secs(20), stream.next()).await;
        let push = push.expect("in time").expect("the stream goes on").expect("a push");
        let value = |r: &pb::Record| String::from_utf8_lossy(&r.value).into_owned();
        seen.extend(push.records.iter().map(|r| format!("{}={}", push.topic, value(r))));
    }
    seen.sort();
    seen
}

async fn put(broker: &TestBroker, topic: &str, value: &str) {
    broker.produce(topic, None, vec![record("", value)]).await.expect("produced");
}

#[tokio::test]
async fn topics_that_match_are_read_and_new_ones_from_their_first_record() {
    for in_cluster in [false, true] {
        let broker = TestBroker::start().await;
        let layer = layer(&broker, in_cluster, "");
        broker.create("logs/a", 2).await;
        put(&broker, "logs/b/deep", "old").await;
        put(&broker, "other", "no").await;
        let mut all = layer.subscribe(context(), pattern("logs/#", pb::StartFrom::Earliest)).await.unwrap();
        let mut latest = layer.subscribe(context(), pattern("logs/#", pb::StartFrom::Latest)).await.unwrap();
        let mut level = layer.subscribe(context(), pattern("logs/+", pb::StartFrom::Earliest)).await.unwrap();
        put(&broker, "logs/a", "1").await;
        assert_eq!(next(&mut all, 2).await, ["logs/a=1", "logs/b/deep=old"], "in a cluster: {in_cluster}");
        assert_eq!(next(&mut latest, 1).await, ["logs/a=1"]);
        assert_eq!(next(&mut level, 1).await, ["logs/a=1"]);
        // Topics that come later, also while nobody polls.
        put(&broker, "logs/new", "first").await;
        put(&broker, "logs/new", "second").await;
        put(&broker, "logs", "itself").await;
        put(&broker, "logs/b/newer", "deep").await;
        let came = ["logs/b/newer=deep", "logs/new=first", "logs/new=second", "logs=itself"];
        assert_eq!(next(&mut all, 4).await, came);
        assert_eq!(next(&mut latest, 4).await, came, "of what comes later the first record counts");
        assert_eq!(next(&mut level, 2).await, ["logs/new=first", "logs/new=second"]);
    }
}

#[tokio::test]
async fn a_topic_that_goes_ends_nothing_and_may_come_again() {
    for in_cluster in [false, true] {
        let broker = TestBroker::start().await;
        let layer = layer(&broker, in_cluster, "");
        put(&broker, "logs/a", "1").await;
        put(&broker, "logs/b", "1").await;
        let mut stream =
            layer.subscribe(context(), pattern("logs/+", pb::StartFrom::Earliest)).await.unwrap();
        assert_eq!(next(&mut stream, 2).await, ["logs/a=1", "logs/b=1"]);
        let delete = pb::DeleteTopicRequest { name: "logs/a".to_owned() };
        let _: pb::DeleteTopicResponse = broker.call(delete).await.expect("deleted");
        put(&broker, "logs/b", "2").await;
        assert_eq!(next(&mut stream, 1).await, ["logs/b=2"]);
        put(&broker, "logs/a", "again").await;
        assert_eq!(next(&mut stream, 1).await, ["logs/a=again"]);
    }
}

#[tokio::test]
async fn what_the_caller_may_not_read_is_left_out() {
    for in_cluster in [false, true] {
        let broker = TestBroker::start().await;
        let layer = layer(&broker, in_cluster, "logs/secret");
        put(&broker, "logs/a", "1").await;
        put(&broker, "logs/secret", "no").await;
        let mut stream =
            layer.subscribe(context(), pattern("logs/#", pb::StartFrom::Earliest)).await.unwrap();
        assert_eq!(next(&mut stream, 1).await, ["logs/a=1"]);
        put(&broker, "logs/secret/later", "no").await;
        put(&broker, "logs/later", "yes").await;
        assert_eq!(next(&mut stream, 1).await, ["logs/later=yes"]);
        let none =
            layer.subscribe(context(), pattern("logs/secret/#", pb::StartFrom::Earliest)).await.map(drop);
        assert_refused(none, ErrorCode::PermissionDenied, "");
    }
    let closed = TestBroker::with(&StackOptions { auth_enabled: true, ..StackOptions::default() }).await;
    let opened = closed.broker.subscribe(context(), pattern("#", pb::StartFrom::Earliest)).await.map(drop);
    assert_refused(opened, ErrorCode::AuthenticationRequired, "");
}

#[tokio::test]
async fn filters_groups_and_internal_topics() {
    for in_cluster in [false, true] {
        let broker = TestBroker::start().await;
        let layer = layer(&broker, in_cluster, "");
        for value in ["{\"total\": 5}", "{\"total\": 500}"] {
            put(&broker, "orders/eu", value).await;
        }
        let at = pb::PartitionOffset { topic: "orders/eu".to_owned(), offset: 1, ..Default::default() };
        let commit =
            pb::CommitOffsetsRequest { group: "g".to_owned(), offsets: vec![at], ..Default::default() };
        let _: pb::CommitOffsetsResponse = broker.call(commit).await.expect("makes an internal topic, too");
        let filter = "cel:value.total > 100".to_owned();
        let request = pb::SubscribeRequest { filter, ..pattern("#", pb::StartFrom::Earliest) };
        let mut found = layer.subscribe(context(), request).await.unwrap();
        assert_eq!(next(&mut found, 1).await, ["orders/eu={\"total\": 500}"]);
        let group = "g".to_owned();
        let request = pb::SubscribeRequest { group, ..pattern("orders/+", pb::StartFrom::Unspecified) };
        let mut found = layer.subscribe(context(), request).await.unwrap();
        assert_eq!(next(&mut found, 1).await, ["orders/eu={\"total\": 500}"], "where the group goes on");
        let filter = "cel:value.total >".to_owned();
        let request = pb::SubscribeRequest { filter, ..pattern("orders/+", pb::StartFrom::Earliest) };
        assert_refused(layer.subscribe(context(), request).await.map(drop), ErrorCode::FilterInvalid, "");
    }
}

#[tokio::test]
async fn patterns_that_cannot_be_are_refused() {
    let broker = TestBroker::start().await;
    broker.create("logs/a", 1).await;
    for topic in ["#/a", "a/#/b", "+//a", "../#"] {
        let refused =
            broker.broker.subscribe(context(), pattern(topic, pb::StartFrom::Earliest)).await.map(drop);
        assert_refused(refused, ErrorCode::InvalidArgument, "field");
    }
    let some = pb::SubscribeRequest { partitions: vec![0], ..pattern("logs/+", pb::StartFrom::Earliest) };
    assert_refused(
        broker.broker.subscribe(context(), some).await.map(drop),
        ErrorCode::InvalidArgument,
        "field",
    );
    let at = pattern("logs/+", pb::StartFrom::Offset);
    assert_refused(
        broker.broker.subscribe(context(), at).await.map(drop),
        ErrorCode::InvalidArgument,
        "field",
    );
}

#[tokio::test]
async fn a_pattern_that_means_too_much_is_refused() {
    let broker = TestBroker::start().await;
    let layer = layer(&broker, true, "");
    broker.create("wide/a", 600).await;
    let mut stream = layer.subscribe(context(), pattern("wide/#", pb::StartFrom::Earliest)).await.unwrap();
    broker.create("wide/b", 600).await;
    let ended = tokio::time::timeout(Duration::from_secs(20), stream.next()).await.expect("in time");
    assert_refused(ended.expect("an item").map(drop), ErrorCode::InvalidArgument, "field");
    let refused = layer.subscribe(context(), pattern("wide/#", pb::StartFrom::Earliest)).await.map(drop);
    assert_refused(refused, ErrorCode::InvalidArgument, "field");
}

#[tokio::test]
async fn a_node_that_stops_ends_the_stream() {
    let broker = TestBroker::start().await;
    let mut stream = broker.broker.subscribe(context(), pattern("#", pb::StartFrom::Earliest)).await.unwrap();
    broker.node.enter(flymq_api::Phase::Stopping);
    let ended = tokio::time::timeout(Duration::from_secs(20), stream.next()).await.expect("in time");
    assert_refused(ended.expect("an item").map(drop), ErrorCode::Unavailable, "");
}
