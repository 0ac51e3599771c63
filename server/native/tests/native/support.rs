//! A broker with a native door, and the two kinds of client as bare frames.

use std::{
    net::SocketAddr,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

use bytes::{Bytes, BytesMut};
use flymq_api::{BatchStream, BrokerError, CallContext, Node, Phase, Request, Response, StackOptions, stack};
use flymq_engine::{Engine, EngineDeps, EngineOptions, meta::MemoryMetaStore};
use flymq_native::{NativeOptions, serve};
use flymq_proto::pb;
use flymq_storage::{DataDir, DataDirOptions, RealDisk, SpaceOptions, SyncMode};
use flymq_types::{SystemClock, SystemRng};
use flymq_wire::{
    batch::{BatchBuilder, NewRecord},
    frame::{Frame, FrameDecoder, FrameParts},
    v1,
    v2::{Acks, FetchBody, Isolation, Message, ProduceBody, op},
};
use futures::{FutureExt as _, StreamExt as _, future::BoxFuture};
use prost::Message as _;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
    time::timeout,
};
use tokio_util::sync::CancellationToken;

/// Nothing in these tests takes longer.
pub const DEADLINE: Duration = Duration::from_secs(30);

/// A broker on a directory of its own; it stops when dropped.
pub struct Broker {
    pub addr: SocketAddr,
    pub node: Arc<Node>,
    pub probe: Arc<Probe>,
    /// Behind the door.
    pub broker: Arc<dyn flymq_api::Broker>,
    shutdown: CancellationToken,
    serving: JoinHandle<()>,
    _dir: tempfile::TempDir,
}

impl Broker {
    pub async fn start() -> Self {
        Self::with(NativeOptions::default()).await
    }

    pub async fn with(options: NativeOptions) -> Self {
        Self::of(options, Node::new("standalone", "node-1")).await
    }

    /// A node and cluster of this name that clients are told to find at `addr`.
    pub async fn named(name: &str, addr: &str) -> Self {
        let mut node = Node::new(name, name);
        node.client_addr = addr.to_owned();
        Self::of(NativeOptions::default(), node).await
    }

    async fn of(options: NativeOptions, node: Node) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let node = Arc::new(node);
        let clock = Arc::new(SystemClock::new());
        let engine = engine(dir.path().join("data"), clock.clone()).await;
        let stack_options = StackOptions { auth_enabled: options.auth_required, ..StackOptions::default() };
        let broker = stack(engine, node.clone(), clock, &stack_options);
        let probe = Arc::new(Probe::default());
        let broker: Arc<dyn flymq_api::Broker> = Arc::new(Probed { inner: broker, probe: probe.clone() });
        node.enter(Phase::Ready);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let shutdown = CancellationToken::new();
        let options = NativeOptions { node: Some(node.clone()), ..options };
        let serving = tokio::spawn(serve(listener, broker.clone(), options, shutdown.clone()));
        Self { addr, node, probe, broker, shutdown, serving, _dir: dir }
    }

    /// Stops in the order of the server; returns when every connection is closed.
    pub async fn stop(self) {
        self.node.enter(Phase::Stopping);
        self.shutdown.cancel();
        timeout(DEADLINE, self.serving).await.expect("the door closes").unwrap();
    }

    /// Produces to this topic fail in the broker from now on, as if it were gone. Empty: none.
    pub fn refuse_produce_to(&self, topic: &str) {
        topic.clone_into(&mut self.probe.refused.lock().unwrap());
    }

    /// Asks the broker behind the door.
    pub async fn call<A: TryFrom<Response, Error: std::fmt::Debug>>(&self, request: impl Into<Request>) -> A {
        let context = CallContext::new(flymq_api::Door::InProcess, "test");
        A::try_from(self.broker.call(context, request.into()).await.unwrap()).unwrap()
    }

    pub async fn v1(&self) -> Client {
        Client::connect(self.addr).await
    }

    /// A version 2 client after its HELLO.
    pub async fn v2(&self) -> Client {
        let mut client = Client::connect(self.addr).await;
        let hello = pb::HelloRequest { client: "test".to_owned(), ..Default::default() };
        client.send(request(op::HELLO, 0, &hello)).await;
        assert!(!client.message().await.is_error());
        client
    }
}

async fn engine(path: PathBuf, clock: Arc<SystemClock>) -> Arc<Engine> {
    let options = DataDirOptions {
        disk: Arc::new(RealDisk),
        path,
        clock: clock.clone(),
        rng: Arc::new(SystemRng),
        sync: SyncMode::Thread { interval: Duration::from_millis(5) },
        tail_cache_bytes: 64 << 20,
        space: SpaceOptions::OFF,
        encryption: None,
        node: None,
        open_files: 64,
    };
    let data = Arc::new(DataDir::open(options).unwrap());
    let meta = Arc::new(MemoryMetaStore::default());
    let deps = EngineDeps { data, clock, rng: Arc::new(SystemRng), meta, replication: None };
    Engine::open(EngineOptions::default(), deps).await.unwrap()
}

/// What the door asked of the broker.
#[derive(Debug, Default)]
pub struct Probe {
    pub started: AtomicUsize,
    pub finished: AtomicUsize,
    /// Most calls at one time.
    pub peak: AtomicUsize,
    /// A topic that produces in transactions fail for.
    pub refused: std::sync::Mutex<String>,
    /// Runs that streams have given.
    pub pulled: AtomicUsize,
}

/// The real broker, watched.
struct Probed {
    inner: Arc<dyn flymq_api::Broker>,
    probe: Arc<Probe>,
}

impl flymq_api::Broker for Probed {
    fn call(&self, ctx: CallContext, request: Request) -> BoxFuture<'_, Result<Response, BrokerError>> {
        let started = self.probe.started.fetch_add(1, SeqCst) + 1;
        self.probe.peak.fetch_max(started - self.probe.finished.load(SeqCst), SeqCst);
        let refused = match &request {
            Request::ProduceInTransaction(produce) => *self.probe.refused.lock().unwrap() == produce.topic,
            _ => false,
        };
        let call = self.inner.call(ctx, request);
        async move {
            if refused {
                return Err(
                    BrokerError::new(flymq_api::ErrorCode::TopicNotFound, "gone").with("topic", "gone")
                );
            }
            let result = call.await;
            self.probe.finished.fetch_add(1, SeqCst);
            result
        }
        .boxed()
    }

    fn subscribe(
        &self,
        ctx: CallContext,
        request: pb::SubscribeRequest,
    ) -> BoxFuture<'_, Result<BatchStream, BrokerError>> {
        let subscribing = self.inner.subscribe(ctx, request);
        let probe = self.probe.clone();
        async move {
            let stream = subscribing.await?;
            Ok(stream.inspect(move |_| _ = probe.pulled.fetch_add(1, SeqCst)).boxed())
        }
        .boxed()
    }
}

/// A socket that speaks frames.
pub struct Client {
    pub socket: TcpStream,
    buf: BytesMut,
    decoder: FrameDecoder,
}

impl Client {
    pub async fn connect(addr: SocketAddr) -> Self {
        let socket = TcpStream::connect(addr).await.unwrap();
        socket.set_nodelay(true).unwrap();
        Self { socket, buf: BytesMut::new(), decoder: FrameDecoder::default() }
    }

    pub async fn send_raw(&mut self, bytes: &[u8]) {
        timeout(DEADLINE, self.socket.write_all(bytes)).await.expect("the door reads").unwrap();
    }

    pub async fn send(&mut self, frame: FrameParts) {
        self.send_raw(&frame.into_bytes()).await;
    }

    /// The next frame; `None` when the door closed the connection.
    pub async fn try_frame(&mut self) -> Option<Frame> {
        loop {
            if let Some(frame) = self.decoder.decode(&mut self.buf).expect("the door sends sound frames") {
                return Some(frame);
            }
            let read =
                timeout(DEADLINE, self.socket.read_buf(&mut self.buf)).await.expect("a frame or the end");
            if read.unwrap_or(0) == 0 {
                return None;
            }
        }
    }

    pub async fn frame(&mut self) -> Frame {
        self.try_frame().await.expect("a frame")
    }

    /// Waits until the door closes the connection; fails if it sends a frame before.
    pub async fn expect_close(&mut self) {
        assert_eq!(self.try_frame().await, None);
    }

    // Version 1.

    pub async fn ask(&mut self, request: v1::Request) -> Frame {
        self.send(request.encode().unwrap()).await;
        self.frame().await
    }

    /// The reply body of a request that succeeds.
    pub async fn reply<T: v1::Layout>(&mut self, request: v1::Request) -> T {
        let op = request.op();
        v1::read_reply(op, &self.ask(request).await).expect("a reply")
    }

    /// The text of a request that fails, which must come in a coded error frame.
    pub async fn refused(&mut self, request: v1::Request) -> String {
        error_text(&self.ask(request).await)
    }

    // Version 2.

    pub async fn message(&mut self) -> Message {
        Message::from_frame(self.frame().await).unwrap()
    }

    pub async fn call<T: prost::Message + Default>(&mut self, op: u8, body: &impl prost::Message) -> T {
        self.send(request(op, 1, body)).await;
        let message = self.message().await;
        assert!(!message.is_error(), "{:?}", detail(&message));
        assert_eq!((message.op, message.correlation), (op, 1));
        T::decode(message.body).unwrap()
    }

    pub async fn create_topic(&mut self, name: &str, partitions: i32) {
        let options = Some(pb::TopicOptions { partitions, ..Default::default() });
        let request =
            pb::CreateTopicRequest { name: name.to_owned(), options, ..pb::CreateTopicRequest::default() };
        let _: pb::CreateTopicResponse = self.call(3, &request).await;
    }
}

/// The text of a coded error frame.
pub fn error_text(frame: &Frame) -> String {
    assert_eq!((frame.op, frame.flags), (0xFF, 0x01), "{frame:?}");
    let error = v1::ErrorReply::read(&frame.payload);
    assert_eq!(error.code, Some(1), "errors are coded");
    assert_eq!(frame.payload.len(), 6 + error.text.len(), "errors are coded");
    error.text
}

/// A protobuf request frame.
pub fn request(op: u8, correlation: u32, body: &impl prost::Message) -> FrameParts {
    let body = Bytes::from(body.encode_to_vec());
    Message { op, flags: 0, correlation, body }.into_frame().unwrap()
}

pub fn detail(message: &Message) -> pb::ErrorDetail {
    assert!(message.is_error());
    pb::ErrorDetail::decode(message.body.clone()).unwrap()
}

/// A batch with one record for each value.
pub fn batch(values: &[&[u8]]) -> Bytes {
    let mut builder = BatchBuilder::new();
    for value in values {
        builder.push(&NewRecord { value: Some(value), ..NewRecord::default() }).unwrap();
    }
    builder.build().unwrap()
}

pub fn produce(topic: &str, partition: i32, acks: Acks, batch: Bytes) -> ProduceBody {
    ProduceBody { acks, partition, timeout_ms: 0, topic: topic.to_owned(), batch }
}

pub fn fetch(topic: &str, offset: u64, max_wait_ms: u32) -> FetchBody {
    FetchBody {
        partition: 0,
        offset,
        max_bytes: 1 << 20,
        min_bytes: 1,
        max_wait_ms,
        isolation: Isolation::ReadCommitted,
        topic: topic.to_owned(),
    }
}

/// Waits until `done`, without guessing how long that takes.
pub async fn eventually(what: &str, mut done: impl FnMut() -> bool) {
    let began = Instant::now();
    while !done() {
        assert!(began.elapsed() < DEADLINE, "never happened: {what}");
        tokio::task::yield_now().await;
    }
}
