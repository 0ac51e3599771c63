//! Requests for another node: authorized here, sent there once, answered by a real broker.

mod common;

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use common::{TestBroker, assert_refused, context, record};
use flymq_api::{
    Authorize, Authorized, AuthorizedBroker, BatchStream, Broker, BrokerError, CallContext, ClusterControl,
    ClusterLinks, Door, ErrorCode, Forward, Forwarded, Forwarder, OPS, PeerBroker, PeerFailure, Request,
    Served, StackOptions, cluster_stack, pb,
};
use flymq_types::{NodeId, SystemClock};
use futures::{FutureExt as _, future::BoxFuture};

/// The engine of a node that leads nothing: every request belongs to `leader`.
struct Elsewhere {
    leader: &'static str,
}

impl AuthorizedBroker for Elsewhere {
    fn call(&self, _: CallContext, _: Authorized<Request>) -> BoxFuture<'_, Result<Served, BrokerError>> {
        let error = BrokerError::new(ErrorCode::NotLeader, "not here").with("leader", self.leader);
        std::future::ready(Err(error)).boxed()
    }

    fn subscribe(
        &self,
        _: CallContext,
        _: Authorized<pb::SubscribeRequest>,
    ) -> BoxFuture<'_, Result<BatchStream, BrokerError>> {
        std::future::ready(Err(BrokerError::new(ErrorCode::NotLeader, "not here"))).boxed()
    }
}

/// The network between the two nodes.
#[derive(Debug)]
struct Wire {
    node: Arc<Forwarded>,
    sent: AtomicUsize,
    fails: Option<PeerFailure>,
}

impl Wire {
    fn to(node: Arc<Forwarded>) -> Arc<Self> {
        Arc::new(Self { node, sent: AtomicUsize::new(0), fails: None })
    }

    fn sent(&self) -> usize {
        self.sent.load(Ordering::Relaxed)
    }
}

impl PeerBroker for Wire {
    fn forward(
        &self,
        to: &NodeId,
        body: Bytes,
        _within: Duration,
    ) -> BoxFuture<'_, Result<Bytes, PeerFailure>> {
        assert_eq!(to.as_str(), "n2");
        self.sent.fetch_add(1, Ordering::Relaxed);
        async move {
            match &self.fails {
                Some(failure) => Err(failure.clone()),
                None => Ok(self.node.answer(body).await),
            }
        }
        .boxed()
    }
}

impl ClusterControl for Wire {
    fn metadata_leader(&self) -> Option<NodeId> {
        NodeId::new("n2").ok()
    }

    fn out_of_touch(&self) -> Option<Duration> {
        None
    }

    fn create_join_token(&self, _: Duration) -> BoxFuture<'_, Result<String, BrokerError>> {
        std::future::ready(Ok("token".to_owned())).boxed()
    }
}

/// Node n1, from the authorizer on, whose engine leads nothing.
fn first_node(wire: &Arc<Wire>, auth_enabled: bool) -> impl Broker {
    let forwarder = Arc::new(Forwarder::new("n1", wire.clone()));
    Authorize::new(Forward::new(Elsewhere { leader: "n2" }, Some(forwarder)), auth_enabled)
}

/// Node n2: a real broker, with what it takes from other nodes.
async fn second_node() -> (TestBroker, Arc<Wire>) {
    let broker = TestBroker::start().await;
    let options = StackOptions::default();
    let clock = Arc::new(SystemClock::new());
    let stack = cluster_stack(broker.engine.clone(), broker.node.clone(), clock, &options, None);
    (broker, Wire::to(stack.forwarded))
}

fn at(door: Door) -> CallContext {
    CallContext::new(door, "asked-once")
}

/// With so little time left that nobody waits for the end of an election.
fn soon(door: Door) -> CallContext {
    CallContext { deadline: Some(Instant::now() + Duration::from_millis(300)), ..at(door) }
}

fn get_topic(name: &str) -> Request {
    pb::GetTopicRequest { name: name.to_owned() }.into()
}

#[tokio::test]
async fn the_node_that_leads_answers_for_the_first_one() {
    let (there, wire) = second_node().await;
    there.produce("t", Some(0), vec![record("k", "v")]).await.expect("produced");
    let here = first_node(&wire, false);
    for (turn, door) in Door::ALL.into_iter().enumerate() {
        let fetch = pb::FetchRequest { topic: "t".to_owned(), ..Default::default() };
        let answer = here.call(at(door), fetch.into()).await.expect("the other node has it");
        let answer = pb::FetchResponse::try_from(answer).expect("the answer to this rpc");
        assert_eq!(common::texts(&answer.records), ["v"], "{door:?}");
        assert_eq!(wire.sent(), turn + 1, "{door:?}: once");
    }
    let refused = here.call(at(Door::Grpc), get_topic("nope")).await;
    assert_refused(refused, ErrorCode::TopicNotFound, "topic");
}

#[tokio::test]
async fn clients_that_find_the_leader_themselves_are_told_where_it_is() {
    let (there, wire) = second_node().await;
    there.create("t", 1).await;
    let here = first_node(&wire, false);
    let fetch = pb::FetchRequest { topic: "t".to_owned(), batches: true, ..Default::default() };
    assert_refused(here.call(at(Door::NativeV2), fetch.into()).await, ErrorCode::NotLeader, "leader");
    assert_eq!(wire.sent(), 0);
}

/// Whatever the rpc and the door: who lacks the right is refused before another node hears of it.
#[tokio::test]
async fn authorization_comes_before_forwarding() {
    let (_there, wire) = second_node().await;
    let here = first_node(&wire, true);
    for op in OPS.iter().filter(|op| op.access() != flymq_api::Access::Public) {
        let Some(request) = Request::decode(op.id, Bytes::new()) else { continue };
        let request = request.expect("an empty message");
        for door in Door::ALL {
            let refused = here.call(at(door), request.clone()).await;
            assert_refused(refused, ErrorCode::PermissionDenied, "right");
        }
    }
    assert_eq!(wire.sent(), 0, "nothing was sent on");
}

#[tokio::test]
async fn what_was_forwarded_is_not_sent_on_again() {
    let third = Forwarded::new(Arc::new(Elsewhere { leader: "n3" }));
    let wire = Wire::to(Arc::new(third));
    let here = first_node(&wire, false);
    let refused = here.call(soon(Door::Grpc), get_topic("t")).await.expect_err("nobody leads it");
    assert_eq!((refused.code, refused.metadata["leader"].as_str()), (ErrorCode::NotLeader, "n3"));
    assert!(wire.sent() >= 1);
}

#[tokio::test]
async fn a_node_that_cannot_be_asked_is_told_apart_from_one_that_may_have_acted() {
    let (there, wire) = second_node().await;
    let reason = || "refused".to_owned();
    for (failure, code) in [
        (PeerFailure::Unreachable { reason: reason() }, ErrorCode::Unavailable),
        (PeerFailure::Refused { reason: reason() }, ErrorCode::Unavailable),
        (PeerFailure::Lost { reason: reason() }, ErrorCode::Timeout),
    ] {
        let wire =
            Arc::new(Wire { node: wire.node.clone(), sent: AtomicUsize::new(0), fails: Some(failure) });
        let here = first_node(&wire, false);
        assert_refused(here.call(soon(Door::Rest), get_topic("t")).await, code, "node");
    }
    drop(there);
}

/// The engine of a node that leads once it was asked three times.
struct Elected {
    asked: AtomicUsize,
    then: Arc<dyn AuthorizedBroker>,
}

impl AuthorizedBroker for Elected {
    fn call(
        &self,
        ctx: CallContext,
        request: Authorized<Request>,
    ) -> BoxFuture<'_, Result<Served, BrokerError>> {
        if self.asked.fetch_add(1, Ordering::Relaxed) < 3 {
            let nobody = BrokerError::new(ErrorCode::NotLeader, "nobody leads");
            return std::future::ready(Err(nobody)).boxed();
        }
        self.then.call(ctx, request)
    }

    fn subscribe(
        &self,
        ctx: CallContext,
        request: Authorized<pb::SubscribeRequest>,
    ) -> BoxFuture<'_, Result<BatchStream, BrokerError>> {
        self.then.subscribe(ctx, request)
    }
}

#[tokio::test]
async fn a_request_waits_for_the_end_of_an_election() {
    let (_there, wire) = second_node().await;
    let then = Arc::new(Elsewhere { leader: "n1" });
    let elected = Elected { asked: AtomicUsize::new(0), then };
    let forwarder = Arc::new(Forwarder::new("n1", wire.clone()));
    let here = Authorize::new(Forward::new(elected, Some(forwarder)), false);
    let began = Instant::now();
    // It still says that it does not lead, but by its own name: there is nobody else to ask.
    let refused = here.call(soon(Door::NativeV1), get_topic("t")).await.expect_err("not the leader");
    assert_eq!(refused.metadata["leader"], "n1", "the engine was asked again");
    assert!(began.elapsed() >= Duration::from_millis(100), "three looks apart");
    assert_eq!(wire.sent(), 0);
}

#[tokio::test]
async fn a_forwarded_call_ends_with_the_time_of_its_caller() {
    let (there, wire) = second_node().await;
    there.create("t", 1).await;
    let here = first_node(&wire, false);
    let mut ctx = at(Door::Grpc);
    ctx.deadline = Some(Instant::now() + Duration::from_millis(250));
    let fetch = pb::FetchRequest { topic: "t".to_owned(), max_wait_ms: 60_000, ..Default::default() };
    let answer = here.call(ctx, fetch.into()).await.expect("an empty answer, in time");
    let answer = pb::FetchResponse::try_from(answer).expect("the answer to this rpc");
    assert!(answer.records.is_empty());
}

/// A member of a cluster that has no cluster yet says what is missing.
#[tokio::test]
async fn operations_on_a_cluster_need_one() {
    let broker = TestBroker::start().await;
    let (_there, wire) = second_node().await;
    let links = ClusterLinks { peers: wire.clone(), control: wire.clone() };
    let options = StackOptions::default();
    let clock = Arc::new(SystemClock::new());
    let stack = cluster_stack(broker.engine.clone(), broker.node.clone(), clock, &options, Some(links));
    let calls: [Request; 5] = [
        pb::BalanceLeadersRequest {}.into(),
        pb::CreateJoinTokenRequest::default().into(),
        pb::DrainNodeRequest { node_id: "n1".to_owned() }.into(),
        pb::LeaveClusterRequest { node_id: "n1".to_owned() }.into(),
        pb::ReassignPartitionsRequest::default().into(),
    ];
    for call in calls {
        assert_refused(stack.broker.call(context(), call).await, ErrorCode::FeatureDisabled, "");
    }
    assert_eq!(wire.sent(), 0);
}
