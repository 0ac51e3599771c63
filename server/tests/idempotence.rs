//! B25: answers that get lost between broker and producer. Whatever is sent again is stored once, and in order.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use flymq_client::{
    Client, FetchSpec, NewMessage, ProducerConfig,
    pb::{self, ErrorCode},
};
use flymq_server::{Config, RunningBroker, start};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

const MESSAGES: usize = 400;
/// Frames of version 2 begin with so many bytes: magic, version, op, flags, length.
const FRAME_HEAD: usize = 8;
const PRODUCE: u8 = 1;

/// A way to the broker on which every so many-th answer to a produce is lost, with the connection.
struct Proxy {
    addr: SocketAddr,
    eaten: Arc<AtomicUsize>,
}

impl Proxy {
    async fn start(broker: SocketAddr, every: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let addr = listener.local_addr().expect("it is bound");
        let (answers, eaten) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let count = Arc::clone(&eaten);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let server = TcpStream::connect(broker).await.expect("the broker listens");
                let (answers, eaten) = (Arc::clone(&answers), Arc::clone(&count));
                tokio::spawn(async move {
                    let (mut from_client, mut to_client) = client.into_split();
                    let (mut from_server, mut to_server) = server.into_split();
                    let up = tokio::io::copy(&mut from_client, &mut to_server);
                    let down = async {
                        let mut head = [0; FRAME_HEAD];
                        while from_server.read_exact(&mut head).await.is_ok() {
                            let length = u32::from_be_bytes([head[4], head[5], head[6], head[7]]);
                            let mut body = vec![0; length as usize];
                            if from_server.read_exact(&mut body).await.is_err() {
                                return;
                            }
                            if head[2] == PRODUCE
                                && (answers.fetch_add(1, Ordering::SeqCst) + 1).is_multiple_of(every)
                            {
                                eaten.fetch_add(1, Ordering::SeqCst);
                                return;
                            }
                            let frame = [&head[..], &body].concat();
                            if to_client.write_all(&frame).await.is_err() {
                                return;
                            }
                        }
                    };
                    // When one way ends, both do.
                    tokio::select! { _ = up => (), () = down => () }
                });
            }
        });
        Self { addr, eaten }
    }
}

async fn broker() -> (RunningBroker, TempDir) {
    let dir = tempfile::tempdir().expect("a directory");
    (start(Config::embedded(dir.path())).await.expect("started"), dir)
}

fn config(enable_idempotence: bool) -> ProducerConfig {
    ProducerConfig {
        enable_idempotence,
        // Many batches, up to five on their way.
        batch_messages: 3,
        retries: 1_000,
        retry_backoff: Duration::from_millis(1),
        ..ProducerConfig::default()
    }
}

/// Sends numbered messages through the proxy; all are acknowledged in the end.
async fn send(through: SocketAddr, config: ProducerConfig, message: impl Fn(usize) -> NewMessage) {
    let client = Client::connect(&through.to_string()).await.expect("the proxy listens");
    let producer = client.producer(config);
    let mut deliveries = Vec::new();
    for n in 0..MESSAGES {
        deliveries.push(producer.send("t", message(n)).await.expect("queued"));
    }
    for delivery in deliveries {
        delivery.await.expect("stored in the end");
    }
}

/// The values of each partition, in their order.
async fn stored(broker: &RunningBroker, partitions: i32) -> BTreeMap<i32, Vec<usize>> {
    let client = Client::connect(&broker.native_addr().to_string()).await.expect("the broker listens");
    let mut found = BTreeMap::new();
    for partition in 0..partitions {
        let (mut offset, mut values) = (0, Vec::new());
        loop {
            let spec = FetchSpec::new("t", partition, offset);
            let page = client.fetch(&spec).await.expect("readable");
            let text = |value: &[u8]| String::from_utf8_lossy(value).parse::<usize>().expect("a number");
            values.extend(page.messages.iter().map(|m| text(&m.value)));
            if page.next_offset == offset {
                break;
            }
            offset = page.next_offset;
        }
        found.insert(partition, values);
    }
    found
}

async fn topic(broker: &RunningBroker, partitions: i32) {
    let client = Client::connect(&broker.native_addr().to_string()).await.expect("the broker listens");
    client.create_topic("t", partitions).await.expect("created");
}

#[tokio::test(flavor = "multi_thread")]
async fn lost_answers_double_and_disorder_nothing() {
    let (broker, _dir) = broker().await;
    topic(&broker, 1).await;
    let proxy = Proxy::start(broker.native_addr(), 7).await;
    let keyed = |n: usize| NewMessage::value(n.to_string()).to_partition(0);
    send(proxy.addr, config(true), keyed).await;
    assert!(proxy.eaten.load(Ordering::SeqCst) > 5, "answers were lost");
    assert_eq!(stored(&broker, 1).await[&0], (0..MESSAGES).collect::<Vec<_>>());
    broker.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_for_any_partition_are_stored_once() {
    let (broker, _dir) = broker().await;
    topic(&broker, 3).await;
    let proxy = Proxy::start(broker.native_addr(), 5).await;
    send(proxy.addr, config(true), |n| NewMessage::value(n.to_string())).await;
    assert!(proxy.eaten.load(Ordering::SeqCst) > 5, "answers were lost");
    let found = stored(&broker, 3).await;
    assert!(found.values().all(|values| !values.is_empty() && values.is_sorted()), "{found:?}");
    let mut all = found.into_values().flatten().collect::<Vec<_>>();
    all.sort_unstable();
    assert_eq!(all, (0..MESSAGES).collect::<Vec<_>>());
    broker.shutdown().await;
}

/// Without, the same way doubles records: the proxy does what it is to do.
#[tokio::test(flavor = "multi_thread")]
async fn a_producer_without_idempotence_doubles_what_it_repeats() {
    let (broker, _dir) = broker().await;
    topic(&broker, 1).await;
    let proxy = Proxy::start(broker.native_addr(), 7).await;
    send(proxy.addr, config(false), |n| NewMessage::value(n.to_string()).to_partition(0)).await;
    assert!(stored(&broker, 1).await[&0].len() > MESSAGES);
    broker.shutdown().await;
}

/// A batch that the broker refuses for itself is a gap: what comes behind it goes on all the same.
#[tokio::test(flavor = "multi_thread")]
async fn a_refused_batch_leaves_no_gap_behind() {
    let (broker, _dir) = broker().await;
    let client = Client::connect(&broker.native_addr().to_string()).await.expect("the broker listens");
    let compacted = pb::TopicOptions {
        partitions: 1,
        cleanup_policy: pb::CleanupPolicy::Compact.into(),
        ..pb::TopicOptions::default()
    };
    let request = pb::CreateTopicRequest {
        name: "t".to_owned(),
        options: Some(compacted),
        ..pb::CreateTopicRequest::default()
    };
    let _created: pb::CreateTopicResponse = client.call("CreateTopic", &request).await.expect("created");
    let producer = client.producer(ProducerConfig { batch_messages: 1, ..config(true) });
    let send = |n: usize, key: &'static str| {
        producer.send("t", NewMessage::keyed(key, n.to_string()).to_partition(0))
    };
    let (mut good, mut refused) = (Vec::new(), Vec::new());
    for n in 0..60 {
        match n % 10 {
            // A compacted topic takes none without a key.
            0 | 5 => refused.push(send(n, "").await.expect("queued")),
            _ => good.push((n, send(n, "k").await.expect("queued"))),
        }
    }
    for delivery in refused {
        assert_eq!(delivery.await.expect_err("it has no key").code, ErrorCode::InvalidArgument);
    }
    let mut wanted = Vec::new();
    for (n, delivery) in good {
        delivery.await.expect("stored");
        wanted.push(n);
    }
    assert_eq!(stored(&broker, 1).await[&0], wanted);
    broker.shutdown().await;
}
