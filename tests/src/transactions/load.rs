//! Clients that send, poll and run transactions by chance; requests of theirs also come late, twice, and from producers that
//! were replaced.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use bytes::Bytes;
use flymq_client::{Client, ClientConfig, ClientError, FetchSpec, pb};
use flymq_wire::batch::{BatchBuilder, BatchFlags, NewRecord, ProducerFields};
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{Instant, sleep},
};

use super::{
    checker::{End, Key, Unit},
    zombie::Zombie,
};

/// What they write to: topics of two partitions each.
pub const TOPICS: [&str; 2] = ["txn-a", "txn-b"];
pub const PARTITIONS: i32 = 2;
/// Of which they commit offsets with their transactions, each client as a group of its own.
pub const OFFSETS: &str = "txn-offsets";
pub const CLIENTS: u32 = 6;
/// A call that has no definite answer for so long hangs.
const STUCK: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(20);

/// What is done beside.
#[derive(Debug, Clone, Copy)]
pub struct Style {
    /// One of so many transactions is aborted.
    pub abort_one_of: u32,
    /// The share of requests that come once more, later.
    pub late: f64,
    /// By so much at most.
    pub late_by: Duration,
    /// The share of transactions whose producer is replaced before their end, and goes on.
    pub replaced: f64,
}

/// What they counted.
#[derive(Debug, Default)]
pub struct Counts {
    pub late: AtomicU64,
    pub late_taken: AtomicU64,
    /// What producers that were replaced have asked for, and how much of it was not refused.
    pub zombie_records: AtomicU64,
    pub zombie_offsets: AtomicU64,
    pub zombie_begins: AtomicU64,
    pub zombie_ends: AtomicU64,
    pub zombie_taken: AtomicU64,
    /// What they have written: nobody may find it in a log.
    pub zombie_values: Mutex<HashSet<String>>,
}

/// Clients at work.
#[derive(Debug)]
pub struct Load {
    tasks: JoinSet<(Vec<Unit>, u64)>,
    over: watch::Sender<bool>,
    pub counts: Arc<Counts>,
}

struct One {
    client: Client,
    id: u32,
    rng: StdRng,
    style: Style,
    counts: Arc<Counts>,
    over: watch::Receiver<bool>,
    /// Producer id and epoch of the next transaction.
    producer: (u64, u32),
    positions: HashMap<Key, u64>,
    units: Vec<Unit>,
    numbers: u64,
    /// What its last committed transaction has committed; none while that is not known.
    offset: u64,
    late: Arc<Mutex<JoinSet<()>>>,
}

pub(super) struct Open {
    pub transaction_id: String,
    pub producer: (u64, u32),
    pub sequences: HashMap<Key, i32>,
}

impl Load {
    /// Topics that are there already, at brokers that are up.
    pub async fn start(addresses: &str, style: Style, seed: u64) -> Self {
        let (over, stop) = watch::channel(false);
        let counts = Arc::new(Counts::default());
        let mut tasks = JoinSet::new();
        for id in 0..CLIENTS {
            let client = connect(addresses).await;
            let rng = StdRng::seed_from_u64(seed ^ u64::from(id));
            let (counts, over) = (Arc::clone(&counts), stop.clone());
            let one = One {
                client,
                id,
                rng,
                style,
                counts,
                over,
                producer: (0, 0),
                positions: HashMap::new(),
                units: Vec::new(),
                numbers: 0,
                offset: 0,
                late: Arc::default(),
            };
            tasks.spawn(one.run());
        }
        Self { tasks, over, counts }
    }

    /// Ends what they do, late copies too: all units in the order of each client, and by client the offset that it has committed.
    pub async fn stop(mut self) -> (Vec<Unit>, BTreeMap<u32, u64>) {
        self.over.send_replace(true);
        let (mut units, mut offsets) = (Vec::new(), BTreeMap::new());
        while let Some(client) = self.tasks.join_next().await {
            let (of_one, offset) = client.expect("no client panics");
            if let Some(first) = of_one.first() {
                offsets.insert(first.client, offset);
            }
            units.extend(of_one);
        }
        (units, offsets)
    }
}

/// A client that repeats nothing itself.
pub async fn connect(addresses: &str) -> Client {
    let config = ClientConfig {
        max_retries: 0,
        request_timeout: Duration::from_secs(5),
        connect_timeout: Duration::from_secs(1),
        ..ClientConfig::parse(addresses).expect("addresses")
    };
    let since = Instant::now();
    loop {
        match Client::with_config(config.clone()).await {
            Ok(client) => return client,
            Err(error) => assert!(since.elapsed() < STUCK, "no node answers: {error}"),
        }
        sleep(PAUSE).await;
    }
}

/// The partitions that are written.
pub fn keys() -> impl Iterator<Item = Key> {
    TOPICS.iter().flat_map(|topic| (0..PARTITIONS).map(|partition| ((*topic).to_owned(), partition)))
}

/// The group of a client.
pub fn group(id: u32) -> String {
    format!("txn-group-{id}")
}

/// What a client commits for its group with a transaction.
pub(super) fn offsets(transaction_id: &str, id: u32, offset: u64) -> pb::CommitOffsetsInTransactionRequest {
    pb::CommitOffsetsInTransactionRequest {
        transaction_id: transaction_id.to_owned(),
        group: group(id),
        offsets: vec![pb::PartitionOffset { topic: OFFSETS.to_owned(), offset, ..Default::default() }],
        ..Default::default()
    }
}

/// Asks until there is an answer that is not "later".
pub(super) async fn ask<Q: prost::Message, A: prost::Message + Default>(
    client: &Client,
    rpc: &'static str,
    request: &Q,
) -> Result<A, ClientError> {
    let since = Instant::now();
    loop {
        match client.call::<Q, A>(rpc, request).await {
            Err(error) if error.retryable => {
                assert!(since.elapsed() < STUCK, "{rpc} hangs: {error}");
                sleep(PAUSE).await;
            }
            answer => return answer,
        }
    }
}

impl One {
    async fn run(mut self) -> (Vec<Unit>, u64) {
        self.init().await;
        while !*self.over.borrow() {
            match self.rng.random_range(0..10) {
                0 | 1 => self.poll_alone().await,
                2 => self.send_alone().await,
                _ => self.transaction().await,
            }
        }
        let mut late = std::mem::take(&mut *self.late.lock().expect("nobody panics"));
        while let Some(ended) = late.join_next().await {
            ended.expect("what comes late gets an answer, and does not hang");
        }
        (self.units, self.offset)
    }

    async fn ask<Q: prost::Message, A: prost::Message + Default>(
        &self,
        rpc: &'static str,
        request: &Q,
    ) -> Result<A, ClientError> {
        ask(&self.client, rpc, request).await
    }

    /// Sends a copy of the request later, by chance.
    fn once_more<Q: prost::Message + 'static, A: prost::Message + Default>(
        &mut self,
        rpc: &'static str,
        request: Q,
    ) {
        if !self.rng.random_bool(self.style.late) {
            return;
        }
        let longest = u64::try_from(self.style.late_by.as_millis()).expect("some seconds").max(1);
        let wait = Duration::from_millis(self.rng.random_range(0..longest));
        let (client, counts) = (self.client.clone(), Arc::clone(&self.counts));
        self.late.lock().expect("nobody panics").spawn(async move {
            sleep(wait).await;
            counts.late.fetch_add(1, Relaxed);
            if client.call::<Q, A>(rpc, &request).await.is_ok() {
                counts.late_taken.fetch_add(1, Relaxed);
            }
        });
    }

    async fn init(&mut self) {
        let request = pb::InitProducerRequest {
            transactional_id: format!("txn-client-{}", self.id),
            transaction_timeout_ms: 0,
        };
        let given: pb::InitProducerResponse = self.ask("InitProducer", &request).await.expect("a producer");
        self.producer = (given.producer_id, given.producer_epoch);
    }

    fn begin(&self, (producer_id, producer_epoch): (u64, u32)) -> pb::BeginTransactionRequest {
        let transactional_id = format!("txn-client-{}", self.id);
        pb::BeginTransactionRequest { transactional_id, producer_id, producer_epoch, timeout_ms: 0 }
    }

    async fn transaction(&mut self) {
        let request = self.begin(self.producer);
        let begun = match self.ask::<_, pb::BeginTransactionResponse>("BeginTransaction", &request).await {
            Ok(begun) => begun,
            // Aborted by its timeout, or used up.
            Err(_) => return self.init().await,
        };
        self.producer.1 = begun.producer_epoch;
        let mut open =
            Open { transaction_id: begun.transaction_id, producer: self.producer, sequences: HashMap::new() };
        let mut unit = Unit { client: self.id, end: End::Unknown, sent: Vec::new(), polled: Vec::new() };
        let mut sound = true;
        for _ in 0..self.rng.random_range(1..5) {
            if self.rng.random_range(0..4) == 0 {
                self.poll(&mut unit).await;
            } else if sound {
                sound = self.send(&mut open, &mut unit).await.is_ok();
            }
        }
        let next_offset = self.offset + 1;
        let with_offset = sound && self.rng.random_bool(0.5);
        if with_offset {
            sound = self.send_offset(&open, next_offset).await.is_ok();
        }
        if self.rng.random_bool(self.style.replaced) {
            self.replace(open, &mut unit).await;
        } else {
            let commit = sound && !self.rng.random_ratio(1, self.style.abort_one_of);
            unit.end = self.end(&open, commit).await;
            if unit.end == End::Committed && with_offset {
                self.offset = next_offset;
            }
        }
        self.units.push(unit);
    }

    async fn send(&mut self, open: &mut Open, unit: &mut Unit) -> Result<(), ClientError> {
        let (key, value) = (self.any_key(), self.next_value());
        unit.sent.push((key.clone(), value.clone()));
        let sequence = open.sequences.entry(key.clone()).or_default();
        let request = in_transaction(open.producer, &open.transaction_id, &key, *sequence, &value);
        *sequence += 1;
        self.once_more::<_, pb::ProduceInTransactionResponse>("ProduceInTransaction", request.clone());
        self.ask::<_, pb::ProduceInTransactionResponse>("ProduceInTransaction", &request).await.map(drop)
    }

    async fn send_offset(&mut self, open: &Open, offset: u64) -> Result<(), ClientError> {
        let request = offsets(&open.transaction_id, self.id, offset);
        let rpc = "CommitOffsetsInTransaction";
        self.once_more::<_, pb::CommitOffsetsInTransactionResponse>(rpc, request.clone());
        self.ask::<_, pb::CommitOffsetsInTransactionResponse>(rpc, &request).await.map(drop)
    }

    /// A refusal of the end says that the transaction was aborted: nobody else commits it.
    async fn end(&mut self, open: &Open, commit: bool) -> End {
        let transaction_id = open.transaction_id.clone();
        let (next, end) = if commit {
            let request = pb::CommitTransactionRequest { transaction_id, producer_epoch: 0 };
            self.once_more::<_, pb::CommitTransactionResponse>("CommitTransaction", request.clone());
            let done = self.ask::<_, pb::CommitTransactionResponse>("CommitTransaction", &request).await;
            (done.map(|reply| reply.producer_epoch), End::Committed)
        } else {
            let request = pb::AbortTransactionRequest { transaction_id, producer_epoch: 0 };
            self.once_more::<_, pb::AbortTransactionResponse>("AbortTransaction", request.clone());
            let done = self.ask::<_, pb::AbortTransactionResponse>("AbortTransaction", &request).await;
            (done.map(|reply| reply.producer_epoch), End::Aborted)
        };
        match next {
            Ok(epoch) => {
                self.producer.1 = epoch;
                end
            }
            Err(_) => {
                self.init().await;
                End::Aborted
            }
        }
    }

    /// Another process takes the id; this one does not know, and goes on.
    async fn replace(&mut self, mut open: Open, unit: &mut Unit) {
        self.init().await;
        unit.end = End::Aborted;
        for _ in 0..2 {
            let (key, value) = (self.any_key(), self.next_value());
            unit.sent.push((key.clone(), value.clone()));
            self.counts.zombie_values.lock().expect("nobody panics").insert(value.clone());
            let sequence = open.sequences.entry(key.clone()).or_default();
            let zombie = Zombie {
                client: self.client.clone(),
                counts: Arc::clone(&self.counts),
                record: in_transaction(open.producer, &open.transaction_id, &key, *sequence, &value),
                id: self.id,
                begin: self.begin(open.producer),
                commit: self.rng.random_bool(0.5),
            };
            *sequence += 1;
            let wait = Duration::from_millis(self.rng.random_range(0..300));
            self.late.lock().expect("nobody panics").spawn(zombie.act(wait));
        }
    }

    async fn send_alone(&mut self) {
        let (key, value) = (self.any_key(), self.next_value());
        let record = pb::Record { value: Bytes::from(value.clone()), ..Default::default() };
        let request = pb::ProduceRequest {
            topic: key.0.clone(),
            partition: Some(key.1),
            acks: pb::Acks::All.into(),
            records: vec![record],
            ..Default::default()
        };
        let end = match self.client.call::<_, pb::ProduceResponse>("Produce", &request).await {
            Ok(_) => End::Committed,
            Err(error) if error.side_effects => End::Unknown,
            Err(_) => End::Aborted,
        };
        self.units.push(Unit { client: self.id, end, sent: vec![(key, value)], polled: Vec::new() });
    }

    async fn poll_alone(&mut self) {
        let mut unit = Unit { client: self.id, end: End::Committed, sent: Vec::new(), polled: Vec::new() };
        self.poll(&mut unit).await;
        self.units.push(unit);
    }

    async fn poll(&mut self, unit: &mut Unit) {
        let key = self.any_key();
        let position = self.positions.entry(key.clone()).or_default();
        let spec = FetchSpec { max_messages: 50, ..FetchSpec::new(key.0.as_str(), key.1, *position) };
        // Who gets no answer has read nothing.
        let Ok(fetched) = self.client.fetch(&spec).await else { return };
        *position = fetched.next_offset;
        for message in fetched.messages {
            let value = String::from_utf8_lossy(&message.value).into_owned();
            unit.polled.push((key.clone(), message.offset, value));
        }
    }

    fn any_key(&mut self) -> Key {
        let topic = TOPICS[self.rng.random_range(0..TOPICS.len())];
        (topic.to_owned(), self.rng.random_range(0..PARTITIONS))
    }

    fn next_value(&mut self) -> String {
        self.numbers += 1;
        format!("{}/{}", self.id, self.numbers)
    }
}

pub(super) fn in_transaction(
    (producer_id, epoch): (u64, u32),
    transaction_id: &str,
    (topic, partition): &Key,
    base_sequence: i32,
    value: &str,
) -> pb::ProduceInTransactionRequest {
    let epoch = u16::try_from(epoch).expect("epochs are that short");
    let mut builder = BatchBuilder::new();
    builder.set_producer(ProducerFields { id: producer_id, epoch, base_sequence });
    builder.add_flags(BatchFlags::TRANSACTIONAL);
    builder.push(&NewRecord { value: Some(value.as_bytes()), ..NewRecord::default() }).expect("small");
    pb::ProduceInTransactionRequest {
        transaction_id: transaction_id.to_owned(),
        topic: topic.clone(),
        partition: Some(*partition),
        records: Vec::new(),
        batch: builder.build().expect("one record"),
    }
}
