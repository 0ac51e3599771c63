//! A broker of its own for each test, on free ports.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use flymq_api::{BatchStream, Broker, BrokerError, CallContext, Request, Response};
use flymq_proto::pb;
use flymq_server::{Config, RunningBroker};
use futures::{FutureExt as _, StreamExt as _, future::BoxFuture};
use tempfile::TempDir;
use tonic::transport::Channel;

/// How long a test waits for what must come.
pub const PATIENCE: Duration = Duration::from_secs(20);

pub struct TestBroker {
    pub running: RunningBroker,
    _data: TempDir,
}

pub async fn start() -> TestBroker {
    start_with(|_| ()).await
}

pub async fn start_with(change: impl FnOnce(&mut Config)) -> TestBroker {
    let data = TempDir::new().expect("a temporary directory");
    let mut config = Config::embedded(data.path());
    change(&mut config);
    let running = flymq_server::start(config).await.expect("the broker starts");
    TestBroker { running, _data: data }
}

impl TestBroker {
    pub async fn channel(&self) -> Channel {
        channel(self.running.grpc_addr()).await
    }

    pub fn rest(&self) -> std::net::SocketAddr {
        self.running.rest_addr().expect("REST is on")
    }
}

pub async fn channel(addr: std::net::SocketAddr) -> Channel {
    Channel::from_shared(format!("http://{addr}")).expect("a URI").connect().await.expect("the door is open")
}

/// Waits until `condition` holds.
pub async fn eventually(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let wait = async {
        while !condition().await {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.unwrap_or_else(|_| panic!("not in time: {what}"));
}

/// The real broker, with a count of its open calls and subscriptions.
#[derive(Clone)]
pub struct Counted {
    inner: Arc<dyn Broker>,
    open: Arc<AtomicUsize>,
}

impl Counted {
    pub fn new(inner: Arc<dyn Broker>) -> Self {
        Self { inner, open: Arc::default() }
    }

    pub fn open(&self) -> usize {
        self.open.load(Ordering::SeqCst)
    }
}

impl Broker for Counted {
    fn call(&self, ctx: CallContext, request: Request) -> BoxFuture<'_, Result<Response, BrokerError>> {
        let open = Open::new(self.open.clone());
        async move {
            let answer = self.inner.call(ctx, request).await;
            drop(open);
            answer
        }
        .boxed()
    }

    fn subscribe(
        &self,
        ctx: CallContext,
        request: pb::SubscribeRequest,
    ) -> BoxFuture<'_, Result<BatchStream, BrokerError>> {
        async move {
            let stream = self.inner.subscribe(ctx, request).await?;
            let open = Open::new(self.open.clone());
            let counted = stream.map(move |item| {
                let _still = &open;
                item
            });
            Ok(counted.boxed())
        }
        .boxed()
    }
}

struct Open(Arc<AtomicUsize>);

impl Open {
    fn new(count: Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Self(count)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}
