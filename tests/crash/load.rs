//! The load: clients on connections of their own that go on until the crash takes their connection.

mod control;

use std::{collections::VecDeque, sync::Arc, time::Duration};

use flymq_client::{
    Acks, Client, ClientConfig, ClientError, Delivery, NewMessage, ProducerConfig, RecordMetadata,
};
use futures::FutureExt as _;
use tokio::task::JoinSet;

use crate::{
    checker::WRONG_BYTES,
    history::{History, Op, Phase, Promise},
};

pub use control::GROUPS;

pub const TOPIC: &str = "crash";
pub const PARTITIONS: i32 = 3;
/// Records that one producer has on their way.
const IN_FLIGHT: usize = 64;

/// One client in one cycle.
#[derive(Clone)]
pub struct Session {
    pub client: Client,
    pub history: Arc<History>,
    pub id: u32,
    pub cycle: u32,
}

/// How a client sends.
#[derive(Debug, Clone, Copy)]
enum Style {
    /// One after the other: with a key, without, to one partition.
    Single(Target),
    /// Many in one request to one partition.
    Batch,
    /// The batching producer.
    Pipelined(Target),
}

#[derive(Debug, Clone, Copy)]
enum Target {
    Key,
    Any,
    Partition,
}

/// Who writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Writers {
    /// Every style with both acknowledgements.
    All,
    /// Only such as are answered before the record is on disk.
    Leader,
}

const WRITERS: [(Style, Promise); 8] = [
    (Style::Single(Target::Key), Promise::All),
    (Style::Single(Target::Any), Promise::Leader),
    (Style::Single(Target::Partition), Promise::All),
    (Style::Single(Target::Key), Promise::Leader),
    (Style::Batch, Promise::All),
    (Style::Batch, Promise::Leader),
    (Style::Pipelined(Target::Key), Promise::All),
    (Style::Pipelined(Target::Any), Promise::Leader),
];

/// A client without repeats: what has no answer must stay open.
pub async fn connect(addr: &str) -> Client {
    let config = ClientConfig { max_retries: 0, ..ClientConfig::parse(addr).expect("an address") };
    Client::with_config(config).await.expect("ready means ready")
}

/// Starts all clients; each task ends when the broker is gone or says no, with what it was.
pub async fn start(
    addr: &str,
    history: &Arc<History>,
    cycle: u32,
    from: Vec<u64>,
    writers: Writers,
) -> JoinSet<String> {
    let mut tasks = JoinSet::new();
    let mut id = 0;
    let mut session = async || {
        id += 1;
        Session { client: connect(addr).await, history: Arc::clone(history), id, cycle }
    };
    let chosen = |promise| writers == Writers::All || promise == Promise::Leader;
    for (style, promise) in WRITERS.into_iter().filter(|(_, promise)| chosen(*promise)) {
        let session = session().await;
        tasks.spawn(async move {
            match style {
                Style::Single(target) => single(session, target, promise).await,
                Style::Batch => batches(session, promise).await,
                Style::Pipelined(target) => pipelined(session, target, promise).await,
            }
            format!("{style:?} {promise:?}")
        });
    }
    let (committer, creator) = (session().await, session().await);
    tasks.spawn(control::commit(committer).map(|()| "commits".to_owned()));
    tasks.spawn(control::topics(creator).map(|()| "topics".to_owned()));
    for (partition, offset) in (0..PARTITIONS).zip(from) {
        let reader = control::read(session().await, partition, offset);
        tasks.spawn(reader.map(move |()| format!("reader of {partition}")));
    }
    tasks
}

async fn single(session: Session, target: Target, promise: Promise) {
    for n in 0.. {
        let value = session.value(n);
        session.add(Phase::Invoke, sent(&value, promise, None));
        let message = session.message(&value, n, target);
        let result = session.client.produce_one(TOPIC, message, acks(promise)).await;
        if session.settle(&value, promise, result.as_ref()) {
            return;
        }
    }
}

async fn batches(session: Session, promise: Promise) {
    let mut n = 0;
    loop {
        let values: Vec<String> = (n..n + 1 + n % 20).map(|n| session.value(n)).collect();
        let messages = values.iter().map(|value| {
            session.add(Phase::Invoke, sent(value, promise, None));
            session.message(value, n, Target::Partition)
        });
        let result = session.client.produce_batch(TOPIC, messages.collect(), acks(promise)).await;
        n += u32::try_from(values.len()).expect("a small batch");
        let stored = result.as_ref().map_or(&[][..], Vec::as_slice);
        assert!(result.is_err() || stored.len() == values.len(), "an answer for every record");
        let mut over = false;
        for (i, value) in values.iter().enumerate() {
            over |= session.settle(value, promise, result.as_ref().map(|stored| &stored[i]));
        }
        if over {
            return;
        }
    }
}

async fn pipelined(session: Session, target: Target, promise: Promise) {
    let config = ProducerConfig {
        acks: acks(promise),
        retries: 0,
        linger: Duration::from_millis(1),
        ..ProducerConfig::default()
    };
    let producer = session.client.producer(config);
    let mut waiting: VecDeque<(String, Delivery)> = VecDeque::new();
    let mut over = false;
    for n in 0.. {
        let value = session.value(n);
        session.add(Phase::Invoke, sent(&value, promise, None));
        match producer.send(TOPIC, session.message(&value, n, target)).await {
            Ok(delivery) => waiting.push_back((value, delivery)),
            Err(error) => over |= session.settle(&value, promise, Err(&error)),
        }
        while waiting.len() >= IN_FLIGHT || (over && !waiting.is_empty()) {
            let Some((value, delivery)) = waiting.pop_front() else { break };
            over |= session.settle(&value, promise, delivery.await.as_ref());
        }
        if over {
            return;
        }
    }
}

impl Session {
    fn add(&self, phase: Phase, op: Op) {
        self.history.add(self.id, phase, op);
    }

    fn value(&self, n: u32) -> String {
        format!("{}/{}/{n}", self.id, self.cycle)
    }

    fn message(&self, value: &str, n: u32, target: Target) -> NewMessage {
        let payload = padded(value);
        match target {
            Target::Key => NewMessage::keyed(format!("key-{}", n % 7), payload),
            Target::Any => NewMessage::value(payload),
            // Several clients share a partition, and the whole run of a client in a cycle is in one.
            Target::Partition => NewMessage::value(payload)
                .to_partition(i32::try_from((self.id + self.cycle) % 3).expect("below 3")),
        }
    }

    /// Notes an answer; true when the client is to stop.
    fn settle(&self, value: &str, promise: Promise, result: Result<&RecordMetadata, &ClientError>) -> bool {
        match result {
            Ok(stored) => {
                self.add(Phase::Ok, sent(value, promise, Some((stored.partition, stored.offset))));
                false
            }
            Err(error) => {
                self.add(unanswered(error), sent(value, promise, None));
                true
            }
        }
    }
}

/// What an error leaves: certainty that nothing happened, or none.
fn unanswered(error: &ClientError) -> Phase {
    if error.side_effects { Phase::Info } else { Phase::Fail }
}

fn sent(value: &str, acks: Promise, at: Option<(i32, u64)>) -> Op {
    Op::Produce { value: value.to_owned(), acks, at }
}

fn acks(promise: Promise) -> Acks {
    match promise {
        Promise::Leader => Acks::Leader,
        Promise::All => Acks::All,
    }
}

/// What is stored for a value: from a few bytes to two kilobytes, which the value alone decides.
pub fn padded(value: &str) -> String {
    let n: usize =
        value.rsplit('/').next().and_then(|n| n.parse().ok()).expect("a value ends with its counter");
    format!("{value}|{}", "x".repeat(n * 131 % 2_000))
}

/// The value of a stored payload; for one that is not as it was sent, a text that nobody sent.
pub fn unpadded(payload: &[u8]) -> String {
    let text = String::from_utf8_lossy(payload);
    match text.split_once('|') {
        Some((value, _)) if value.split('/').count() == 3 && padded(value) == text => value.to_owned(),
        Some(_) | None => format!("{WRONG_BYTES}{}", text.chars().take(60).collect::<String>()),
    }
}
