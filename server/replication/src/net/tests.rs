//! Nodes that talk over real loopback sockets.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use flymq_types::{LeaderEpoch, ManualClock, Offset, PartitionId, SeededRng, Timestamp, TopicId};
use futures::future::BoxFuture;
use parking_lot::{Condvar, Mutex};
use tokio::net::TcpListener;

use super::*;
use crate::link::{FrameSink, NodeLink, ReplicaKey};
use crate::peer::{PeerCall, PeerCaller, PeerError, PeerService};
use crate::raft::RaftId;
use crate::replica::{BrokerEpoch, BrokerId, Chunk, EpochStart, Frame, Lane, Position, RangeHead, StreamId};

mod calls;
mod document;
mod faults;
mod frames;
mod handshake;
mod join;
mod packets;
mod proxy;
mod raft;
mod tls;

/// Longer than anything that is waited for; hit only if a test fails.
const DEADLINE: Duration = Duration::from_secs(60);
const CLUSTER: [u8; 16] = [7; 16];

fn settings() -> PeerSettings {
    PeerSettings {
        ping_every: Duration::from_millis(100),
        backoff: (Duration::from_millis(10), Duration::from_millis(100)),
        ..PeerSettings::default()
    }
}

/// Waits until it is so.
async fn until(what: &str, is_so: impl Fn() -> bool) {
    let wait = async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    assert!(tokio::time::timeout(DEADLINE, wait).await.is_ok(), "never: {what}");
}

async fn in_time<T>(what: &str, work: impl Future<Output = T>) -> T {
    match tokio::time::timeout(DEADLINE, work).await {
        Ok(done) => done,
        Err(_) => panic!("not in time: {what}"),
    }
}

type Arrived = (BrokerId, BrokerEpoch, ReplicaKey, Frame);

/// Keeps what arrives; holds up the frames of one partition, and with them their connection, while told so.
#[derive(Debug, Default)]
struct Sink {
    arrived: Mutex<Vec<Arrived>>,
    held: Mutex<Option<PartitionId>>,
    released: Condvar,
}

impl Sink {
    fn hold(&self, partition: u32) {
        *self.held.lock() = Some(PartitionId::new(partition));
    }

    fn release(&self) {
        *self.held.lock() = None;
        self.released.notify_all();
    }

    fn count(&self) -> usize {
        self.arrived.lock().len()
    }

    /// The offsets of acknowledgements for a partition, in the order of arrival.
    fn ends(&self, partition: u32) -> Vec<u64> {
        let arrived = self.arrived.lock();
        let of = arrived.iter().filter(|(_, _, at, _)| at.partition.get() == partition);
        of.filter_map(|(_, _, _, frame)| match frame {
            Frame::Ack { position, .. } => Some(position.end.get()),
            Frame::Range { head, .. } => Some(head.first.get()),
            _ => None,
        })
        .collect()
    }
}

impl FrameSink for Sink {
    fn frame(&self, from: BrokerId, to_epoch: BrokerEpoch, at: ReplicaKey, frame: Frame) {
        if *self.held.lock() == Some(at.partition) {
            // The worker's other duties (timers and sockets among them) go to another thread meanwhile.
            tokio::task::block_in_place(|| {
                let mut held = self.held.lock();
                self.released.wait_while(&mut held, |held| *held == Some(at.partition));
            });
        }
        self.arrived.lock().push((from, to_epoch, at, frame));
    }
}

/// Says back what it is asked; `wait` takes until it is told, `panic` fails.
#[derive(Debug, Default)]
struct Echo {
    asked: AtomicUsize,
    go: tokio::sync::Notify,
}

impl PeerService for Echo {
    fn answer(
        &self,
        from: Option<RaftId>,
        call: PeerCall,
        body: Bytes,
    ) -> BoxFuture<'_, Result<Bytes, PeerError>> {
        Box::pin(async move {
            self.asked.fetch_add(1, Ordering::SeqCst);
            match body.as_ref() {
                b"wait" => self.go.notified().await,
                b"panic" => panic!("the service fails, as it was told"),
                b"refuse" => return Err(PeerError::Refused { reason: "I will not".to_owned() }),
                _ => {}
            }
            let from = from.map_or("nobody".to_owned(), |from| from.to_string());
            Ok(format!("{from} {call:?} {}", String::from_utf8_lossy(&body)).into())
        })
    }
}

/// One node of a test.
struct Node {
    id: RaftId,
    network: Arc<PeerNetwork>,
    sink: Arc<Sink>,
    service: Arc<Echo>,
    address: String,
}

impl Node {
    async fn start(id: RaftId) -> Self {
        Self::start_with(id, settings(), "127.0.0.1:0", Some(membership())).await
    }

    async fn start_with(
        id: RaftId,
        settings: PeerSettings,
        at: &str,
        membership: Option<PeerMembership>,
    ) -> Self {
        let listener = TcpListener::bind(at).await.expect("a free port");
        let address = listener.local_addr().expect("bound").to_string();
        let network = PeerNetwork::start(PeerOptions {
            me: id,
            membership,
            listener,
            clock: Arc::new(ManualClock::new(Timestamp(0))),
            rng: Arc::new(SeededRng::new(id)),
            settings,
        });
        let (sink, service) = (Arc::new(Sink::default()), Arc::new(Echo::default()));
        network.set_frames(sink.clone());
        network.set_service(service.clone());
        Self { id, network, sink, service, address }
    }

    async fn pair() -> (Self, Self) {
        let (one, two) = (Self::start(1).await, Self::start(2).await);
        introduce(&[&one, &two]);
        (one, two)
    }

    fn ack(&self, to: &Node, partition: u32, end: u64, sent: Option<crate::link::Sent>) {
        self.network.send(BrokerId(to.id), key(partition), ack(end), Lane::Live, sent);
    }

    async fn ask(&self, to: RaftId, body: &'static str) -> Result<Bytes, PeerError> {
        let body = Bytes::from_static(body.as_bytes());
        let asked = PeerCaller::call(&*self.network, to, PeerCall::Forward, body, DEADLINE);
        in_time("an answer", asked).await
    }
}

fn membership() -> PeerMembership {
    let secret = ClusterSecret::new("the token of the tests").expect("not empty");
    PeerMembership { cluster: Some(CLUSTER), secret: secret.founded(&SeededRng::new(0)) }
}

fn members(nodes: &[&Node]) -> BTreeMap<RaftId, PeerAddress> {
    let member = |node: &&Node| {
        (node.id, PeerAddress { address: node.address.clone(), broker_epoch: BrokerEpoch(node.id * 10) })
    };
    nodes.iter().map(member).collect()
}

/// Everybody knows everybody.
fn introduce(nodes: &[&Node]) {
    for node in nodes {
        node.network.set_members(members(nodes));
    }
}

fn key(partition: u32) -> ReplicaKey {
    ReplicaKey { topic: TopicId::from_bytes([3; 16]), partition: PartitionId::new(partition) }
}

fn stream() -> StreamId {
    StreamId { broker_epoch: BrokerEpoch(20), number: 4 }
}

fn ack(end: u64) -> Frame {
    let (end, start) = (Offset::new(end), Offset::ZERO);
    let position = Position { end, durable: end, log_start: start, high_watermark: start, fenced: false };
    Frame::Ack { leader_epoch: LeaderEpoch::new(1), stream: stream(), position }
}

fn range(first: u64, raw: Bytes) -> Frame {
    let head = RangeHead {
        leader_epoch: LeaderEpoch::new(1),
        stream: stream(),
        first: Offset::new(first),
        prev_epoch: None,
        high_watermark: Offset::ZERO,
        log_start: Offset::ZERO,
    };
    let epochs = vec![EpochStart { epoch: LeaderEpoch::new(1), start: Offset::ZERO }];
    let chunk = Chunk { first: Offset::new(first), until: Offset::new(first + 1), epochs, raw };
    Frame::Range { head, chunk }
}

/// Counts how often the frames it is given to were said to be on their way.
#[derive(Debug, Clone, Default)]
struct SentCount(Arc<Mutex<BTreeMap<usize, usize>>>);

impl SentCount {
    fn of(&self, frame: usize) -> Option<crate::link::Sent> {
        let count = Arc::clone(&self.0);
        Some(Box::new(move || *count.lock().entry(frame).or_default() += 1))
    }

    fn frames(&self) -> usize {
        self.0.lock().len()
    }

    fn all_once(&self) -> bool {
        self.0.lock().values().all(|count| *count == 1)
    }
}

fn unreachable(answer: &Result<Bytes, PeerError>) -> bool {
    matches!(answer, Err(PeerError::Unreachable { .. }))
}
