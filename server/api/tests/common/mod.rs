//! The real stack over a data directory of its own, called without sockets.
#![allow(dead_code)]

use std::sync::Arc;

use flymq_api::{
    Broker, BrokerError, CallContext, Door, ErrorCode, Node, Phase, Request, Response, StackOptions, pb,
    stack,
};
use flymq_engine::meta::MemoryMetaStore;
use flymq_engine::{Engine, EngineDeps, EngineOptions};
use flymq_storage::{DataDir, DataDirOptions};
use flymq_types::{SystemClock, SystemRng};
use tempfile::TempDir;

/// A broker and the directory it lives in.
pub struct TestBroker {
    pub broker: Arc<dyn Broker>,
    pub engine: Arc<Engine>,
    pub node: Arc<Node>,
    dir: TempDir,
}

impl TestBroker {
    pub async fn start() -> Self {
        Self::with(&StackOptions::default()).await
    }

    pub async fn with(options: &StackOptions) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let clock = Arc::new(SystemClock::new());
        let data = DataDir::open(DataDirOptions::real(dir.path())).expect("a fresh data directory");
        let deps = EngineDeps {
            data: Arc::new(data),
            clock: clock.clone(),
            rng: Arc::new(SystemRng),
            meta: Arc::new(MemoryMetaStore::default()),
            replication: None,
        };
        let engine = Engine::open(EngineOptions::default(), deps).await.expect("an empty engine");
        let node = Arc::new(Node::new("test-cluster", "test-node"));
        node.enter(Phase::Ready);
        let broker = stack(engine.clone(), node.clone(), clock, options);
        Self { broker, engine, node, dir }
    }

    /// One call, with its answer in the type that belongs to the request.
    pub async fn call<Q, A>(&self, request: Q) -> Result<A, BrokerError>
    where
        Q: Into<Request>,
        A: TryFrom<Response, Error = Response>,
    {
        let response = self.broker.call(context(), request.into()).await?;
        Ok(A::try_from(response).unwrap_or_else(|other| panic!("another rpc's answer: {other:?}")))
    }

    pub async fn create(&self, name: &str, partitions: i32) {
        let options = Some(pb::TopicOptions { partitions, ..Default::default() });
        let request =
            pb::CreateTopicRequest { name: name.to_owned(), options, ..pb::CreateTopicRequest::default() };
        let _: pb::CreateTopicResponse = self.call(request).await.expect("a fresh name");
    }

    /// Produces with `acks=all`, so that a fetch sees the records at once.
    pub async fn produce(
        &self,
        topic: &str,
        partition: Option<i32>,
        records: Vec<pb::Record>,
    ) -> Result<pb::ProduceResponse, BrokerError> {
        let acks = pb::Acks::All.into();
        self.call(pb::ProduceRequest {
            topic: topic.to_owned(),
            partition,
            acks,
            records,
            ..Default::default()
        })
        .await
    }

    pub async fn fetch(
        &self,
        topic: &str,
        partition: i32,
        offset: u64,
    ) -> Result<pb::FetchResponse, BrokerError> {
        self.call(pb::FetchRequest { topic: topic.to_owned(), partition, offset, ..Default::default() }).await
    }
}

pub fn context() -> CallContext {
    CallContext::new(Door::InProcess, "test-request")
}

pub fn record(key: &str, value: &str) -> pb::Record {
    let key = (!key.is_empty()).then(|| key.to_owned().into());
    pb::Record { key, value: value.to_owned().into(), ..Default::default() }
}

pub fn texts(records: &[pb::Record]) -> Vec<&str> {
    records.iter().map(|r| std::str::from_utf8(&r.value).expect("UTF-8 in tests")).collect()
}

/// Asserts the code, and that the fact is there.
#[track_caller]
pub fn assert_refused<T: std::fmt::Debug>(result: Result<T, BrokerError>, code: ErrorCode, fact: &str) {
    let error = result.expect_err("must be refused");
    assert_eq!(error.code, code, "{error}");
    assert!(
        fact.is_empty() || error.metadata.contains_key(fact),
        "{error} lacks {fact}: {:?}",
        error.metadata
    );
}
