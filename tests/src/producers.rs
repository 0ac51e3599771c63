//! Idempotent producers whose answers are lost, for one node and for three (`docs/reliability.md`, B25): what each was told, and that
//! everything is stored once and in order.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use flymq_client::{Acks, Client, ClientConfig, FetchSpec, NewMessage, ProducerConfig, pb};
use rand::{Rng as _, rngs::StdRng};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep},
};

use crate::{
    chaos_proxy::{ChaosProxy, Weather},
    row::{Scenario, grouped},
};

pub const TOPIC: &str = "once";
const PARTITIONS: i32 = 3;
/// Of these, the last two make calls that store and wait; the others send in batches.
const PRODUCERS: usize = 6;
const BATCHING: usize = 4;
/// Longer than anything is broken here.
const PATIENCE: Duration = Duration::from_secs(120);
const PAUSE: Duration = Duration::from_millis(50);
/// Messages of a producer that wait for their answers, at most.
const WINDOW: usize = 400;

/// Makes the topic.
pub async fn prepare(client: &Client) {
    let since = Instant::now();
    while let Err(error) = client.create_topic(TOPIC, PARTITIONS).await {
        if error.code == pb::ErrorCode::TopicAlreadyExists {
            return;
        }
        assert!(since.elapsed() < PATIENCE, "{error}");
        sleep(PAUSE).await;
    }
}

/// What a producer was told.
#[derive(Debug, Default)]
struct Told {
    number: usize,
    /// Numbers of the messages whose deliveries succeeded are all below this; in each partition in order.
    stored: u64,
    failed: Vec<String>,
}

/// Producers at work.
#[derive(Debug)]
pub struct Producers {
    tasks: JoinSet<Told>,
    over: Arc<AtomicBool>,
}

impl Producers {
    /// Through proxies, which are what the brokers advertise.
    pub async fn start(addresses: &str) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let mut tasks = JoinSet::new();
        for number in 0..PRODUCERS {
            let calls = number >= BATCHING;
            let config = ClientConfig {
                request_timeout: if calls { PATIENCE } else { Duration::from_secs(3) },
                max_retries: if calls { u32::MAX } else { 3 },
                connect_timeout: Duration::from_secs(1),
                ..ClientConfig::parse(addresses).expect("addresses")
            };
            let client = Client::with_config(config).await.expect("nothing is broken yet");
            let over = Arc::clone(&over);
            if calls {
                tasks.spawn(call(client, number, over));
            } else {
                tasks.spawn(produce(client, number, over));
            }
        }
        Self { tasks, over }
    }

    /// Ends them, reads everything, and counts into the scenario. `client` does not go through the proxies.
    pub async fn finish(mut self, client: &Client, proxies: &[ChaosProxy], scenario: &mut Scenario) {
        proxies.iter().for_each(|proxy| proxy.set(Weather::default()));
        self.over.store(true, Relaxed);
        let mut all = Vec::new();
        while let Some(told) = self.tasks.join_next().await {
            all.push(told.expect("no producer panics"));
        }
        let (mut times, mut disorder) = (BTreeMap::new(), 0);
        for partition in 0..PARTITIONS {
            let mut last = [None; PRODUCERS];
            for (producer, number) in read(client, partition).await {
                *times.entry((producer, number)).or_insert(0_u64) += 1;
                if last[producer].is_some_and(|last| number <= last) {
                    disorder += 1;
                }
                last[producer] = Some(number);
            }
        }
        let twice = times.values().filter(|times| **times > 1).count();
        let mut stored = 0;
        for told in &all {
            stored += told.stored;
            told.failed.iter().for_each(|error| scenario.violated(error));
            for number in (0..told.stored).filter(|number| !times.contains_key(&(told.number, *number))) {
                scenario.lost(&format!("message {number} of producer {}", told.number));
            }
        }
        (0..twice).for_each(|_| scenario.violated("a message is there twice"));
        (0..disorder).for_each(|_| scenario.violated("a message is out of order"));
        let eaten: u64 = proxies.iter().map(ChaosProxy::eaten).sum();
        assert!(stored > 1_000 && eaten > 0, "no load, or no fault: {stored} stored, {eaten} answers lost");
        scenario.read(times.len() as u64);
        scenario.note(format!(
            "{} messages of {BATCHING} idempotent producers, five batches of a partition on their way, and of {} that call and wait; {} chunks of answers lost; duplicates {twice}, \
             out of order {disorder}, refused {}",
            grouped(stored),
            PRODUCERS - BATCHING,
            grouped(eaten),
            all.iter().map(|told| told.failed.len()).sum::<usize>()
        ));
    }
}

async fn produce(client: Client, number: usize, over: Arc<AtomicBool>) -> Told {
    let producer = client.producer(ProducerConfig {
        enable_idempotence: true,
        batch_messages: 7,
        retries: u32::MAX,
        retry_backoff: Duration::from_millis(10),
        delivery_timeout: PATIENCE,
        ..ProducerConfig::default()
    });
    let mut told = Told { number, ..Told::default() };
    let mut next = 0_u64;
    while !over.load(Relaxed) {
        let mut deliveries = Vec::with_capacity(WINDOW);
        for _ in 0..WINDOW {
            let partition = i32::try_from(next % 3).expect("small");
            let value = format!("{number}/{next}/{:0>300}", "");
            let message = NewMessage::value(value).to_partition(partition);
            deliveries.push(producer.send(TOPIC, message).await.expect("it is not closed"));
            next += 1;
        }
        for delivery in deliveries {
            if let Err(error) = delivery.await {
                told.failed.push(format!("producer {number}: {error}"));
            }
        }
        if !told.failed.is_empty() {
            break;
        }
        told.stored = next;
    }
    told
}

/// One call after the other, of one message or of some.
async fn call(client: Client, number: usize, over: Arc<AtomicBool>) -> Told {
    let mut told = Told { number, ..Told::default() };
    while !over.load(Relaxed) && told.failed.is_empty() {
        let partition = i32::try_from(told.stored % 3).expect("small");
        let message = |next| NewMessage::value(format!("{number}/{next}/")).to_partition(partition);
        let some = told.stored % 5 + 1;
        let messages = (told.stored..told.stored + some).map(message).collect();
        match client.produce_batch(TOPIC, messages, Acks::All).await {
            Ok(_) => told.stored += some,
            Err(error) => told.failed.push(format!("producer {number}: {error}")),
        }
    }
    told
}

/// Who sent it, and its number, in the order of the partition.
async fn read(client: &Client, partition: i32) -> Vec<(usize, u64)> {
    let since = Instant::now();
    let mut spec = FetchSpec { max_messages: 10_000, ..FetchSpec::new(TOPIC, partition, 0) };
    let mut all = Vec::new();
    loop {
        let fetched = match client.fetch(&spec).await {
            Ok(fetched) => fetched,
            Err(error) => {
                assert!(since.elapsed() < PATIENCE, "{error}");
                sleep(PAUSE).await;
                continue;
            }
        };
        for message in fetched.messages {
            let text = String::from_utf8_lossy(&message.value).into_owned();
            let mut parts = text.split('/').map(|part| part.parse::<u64>().expect("as it was sent"));
            let (producer, number) = (parts.next().expect("a producer"), parts.next().expect("a number"));
            all.push((usize::try_from(producer).expect("small"), number));
        }
        if fetched.next_offset == spec.offset {
            return all;
        }
        spec.offset = fetched.next_offset;
    }
}

/// A proxy in front of each client port, at an address of its own.
pub async fn proxies(targets: &[String]) -> Vec<ChaosProxy> {
    let mut proxies = Vec::new();
    for target in targets {
        let near = SocketAddr::from(([127, 0, 0, 1], 0));
        proxies.push(ChaosProxy::start(near, target.clone()).await.expect("a port"));
    }
    proxies
}

/// Loses answers of one of them for a while: nothing comes back, then the connections are cut.
pub async fn lose_answers(proxies: &[ChaosProxy], rng: &mut StdRng) {
    let proxy = &proxies[rng.random_range(0..proxies.len())];
    proxy.set(Weather { stalled: true, ..Weather::default() });
    sleep(Duration::from_millis(rng.random_range(20..400))).await;
    proxy.reset();
    proxy.set(Weather::default());
}
