//! The load: writers that want every record on the disk of all in-sync replicas, readers that ask what there is. They go
//! on through every failure until they are told to stop; the network of clients is never cut.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use flymq_client::{Acks, Client, ClientError, FetchSpec, NewMessage, RecordMetadata, pb};
use tokio::{sync::watch, task::JoinSet};

use crate::{
    checker::WRONG_BYTES,
    cluster::connect,
    history::{History, Op, Phase, Promise},
};

pub const TOPIC: &str = "cluster";
pub const PARTITIONS: i32 = 3;
/// Between a refusal and the next try.
const PAUSE: Duration = Duration::from_millis(10);
/// Batches hold up to so many records.
const BATCH: u32 = 20;

/// What the writers of a run do.
#[derive(Debug, Clone, Copy)]
pub struct Style {
    pub acks: Promise,
    /// Values of up to 700 bytes, so that segments are closed soon.
    pub padded: bool,
}

impl Style {
    /// Small records for the disks of all in-sync replicas.
    pub const ALL: Self = Self { acks: Promise::All, padded: false };
}

/// What all clients of a run share.
#[derive(Clone)]
pub struct Shared {
    history: Arc<History>,
    /// The number that the next client gets. Who does not know what became of a record goes on as somebody else: it may
    /// be stored later than the next.
    next: Arc<AtomicU32>,
    over: watch::Receiver<bool>,
    style: Style,
}

/// Clients that run.
pub struct Load {
    tasks: JoinSet<()>,
    over: watch::Sender<bool>,
}

impl Load {
    /// For each partition one client that sends records one by one, one that sends batches, and one that reads.
    pub async fn start(addresses: &str, history: &Arc<History>, next: &Arc<AtomicU32>, style: Style) -> Self {
        let (over, stop) = watch::channel(false);
        let (history, next) = (Arc::clone(history), Arc::clone(next));
        let shared = Shared { history, next, over: stop, style };
        let mut tasks = JoinSet::new();
        for partition in 0..PARTITIONS {
            tasks.spawn(write(shared.clone(), connect(addresses).await, partition, 1));
            tasks.spawn(write(shared.clone(), connect(addresses).await, partition, BATCH));
            tasks.spawn(read(shared.clone(), connect(addresses).await, partition));
        }
        Self { tasks, over }
    }

    /// Lets the clients end their present request, and waits for them.
    pub async fn stop(mut self) {
        self.over.send_replace(true);
        while let Some(client) = self.tasks.join_next().await {
            client.expect("no client panics");
        }
    }
}

impl Shared {
    fn new_client(&self) -> u32 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    fn is_over(&self) -> bool {
        *self.over.borrow()
    }
}

/// Sends up to `most` records in a request, waits for the answer, and goes on.
async fn write(shared: Shared, client: Client, partition: i32, most: u32) {
    let (mut id, mut n) = (shared.new_client(), 0);
    let acks = shared.style.acks;
    while !shared.is_over() {
        let values: Vec<String> = (n..n + 1 + n % most).map(|n| format!("{id}/0/{n}")).collect();
        n += u32::try_from(values.len()).expect("a small batch");
        for value in &values {
            shared.history.add(id, Phase::Invoke, produce(value, acks, None));
        }
        let result = send(&client, partition, &values, shared.style).await;
        let phase = match &result {
            Ok(_) => Phase::Ok,
            Err(error) if error.side_effects => Phase::Info,
            Err(_) => Phase::Fail,
        };
        for (i, value) in values.iter().enumerate() {
            let at = result.as_ref().ok().map(|stored| (stored[i].partition, stored[i].offset));
            shared.history.add(id, phase, produce(value, acks, at));
        }
        match phase {
            Phase::Ok | Phase::Invoke => {}
            Phase::Info => (id, n) = (shared.new_client(), 0),
            // Nobody leads just now: asking faster would only heat the machine.
            Phase::Fail => tokio::time::sleep(PAUSE).await,
        }
    }
}

async fn send(
    client: &Client,
    partition: i32,
    values: &[String],
    style: Style,
) -> Result<Vec<RecordMetadata>, ClientError> {
    let acks = match style.acks {
        Promise::All => Acks::All,
        Promise::Leader => Acks::Leader,
    };
    let payload = |value: &String| if style.padded { padded(value) } else { value.clone() };
    let message = |value: &String| NewMessage::value(payload(value)).to_partition(partition);
    match values {
        [value] => Ok(vec![client.produce_one(TOPIC, message(value), acks).await?]),
        _ => client.produce_batch(TOPIC, values.iter().map(message).collect(), acks).await,
    }
}

/// A value and as many bytes as it alone decides.
fn padded(value: &str) -> String {
    let n: usize = value.rsplit('/').next().and_then(|n| n.parse().ok()).expect("it ends with its counter");
    format!("{value}|{}", "x".repeat(n * 131 % 700))
}

/// Reads on from the start, and asks in between where the partition ends.
async fn read(shared: Shared, client: Client, partition: i32) {
    let id = shared.new_client();
    let mut spec = FetchSpec::new(TOPIC, partition, 0);
    spec.max_wait = Duration::from_millis(100);
    while !shared.is_over() {
        ask_latest(&shared, &client, id, partition).await;
        match client.fetch(&spec).await {
            Ok(page) => {
                for message in &page.messages {
                    let value = value_of(&message.value);
                    shared.history.add(id, Phase::Ok, Op::Read { partition, offset: message.offset, value });
                }
                spec.offset = page.next_offset;
            }
            Err(_) => tokio::time::sleep(PAUSE).await,
        }
    }
}

async fn ask_latest(shared: &Shared, client: &Client, id: u32, partition: i32) {
    let op = |offset| Op::Latest { partition, offset };
    shared.history.add(id, Phase::Invoke, op(0));
    let request = pb::GetStartOffsetRequest {
        topic: TOPIC.to_owned(),
        partition,
        from: pb::StartFrom::Latest.into(),
        ..pb::GetStartOffsetRequest::default()
    };
    match client.call::<_, pb::GetStartOffsetResponse>("GetStartOffset", &request).await {
        Ok(answer) => shared.history.add(id, Phase::Ok, op(answer.offset)),
        Err(_) => shared.history.add(id, Phase::Fail, op(0)),
    }
}

fn produce(value: &str, acks: Promise, at: Option<(i32, u64)>) -> Op {
    Op::Produce { value: value.to_owned(), acks, at }
}

/// The value of a stored payload; for one that is not as it was sent, a text that nobody sent.
pub fn value_of(payload: &[u8]) -> String {
    let text = String::from_utf8_lossy(payload);
    if let Some((value, _)) = text.split_once('|').filter(|(value, _)| value_of(value.as_bytes()) == *value)
        && padded(value) == text
    {
        return value.to_owned();
    }
    let mut parts = text.split('/').map(|part| part.parse::<u32>().is_ok());
    match (parts.by_ref().take(3).filter(|fits| *fits).count(), parts.next()) {
        (3, None) => text.into_owned(),
        _ => format!("{WRONG_BYTES}{}", text.chars().take(60).collect::<String>()),
    }
}
