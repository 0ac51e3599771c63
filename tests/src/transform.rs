//! Consume, transform, produce (`docs/reliability.md`, B29), for one node and for three: workers read a topic as a group and write what
//! they make of it in transactions, each message once.

use std::{
    collections::BTreeMap,
    sync::Arc,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use flymq_client::{
    Client, ConsumerConfig, FetchSpec, MemberConfig, Message, NewMessage, OffsetReset, TransactionalConfig,
    pb,
};
use tokio::{task::JoinHandle, time::Instant};

use crate::{row::Scenario, transactions::connect};

/// What they read, and what they write.
pub const TOPICS: [&str; 2] = ["raw", "made"];
/// Workers of the group.
pub const WORKERS: usize = 3;
const PARTITIONS: i32 = 4;
/// All is done by then, once nothing is broken any more.
const DEADLINE: Duration = Duration::from_secs(90);

/// Makes the topics.
pub async fn prepare(client: &Client) {
    for topic in TOPICS {
        while client.create_topic(topic, PARTITIONS).await.is_err() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

/// The group at its work.
#[derive(Debug)]
pub struct Workers {
    addresses: String,
    messages: u64,
    done: Arc<AtomicU64>,
    lives: Vec<JoinHandle<()>>,
}

impl Workers {
    /// Writes so many messages, and sets the workers to them.
    pub async fn start(client: &Client, addresses: &str, messages: u64) -> Self {
        for number in 0..messages {
            let stored = client.produce(TOPICS[0], NewMessage::keyed(number.to_string(), number.to_string()));
            stored.await.expect("nothing is broken yet");
        }
        let (addresses, done) = (addresses.to_owned(), Arc::default());
        let mut workers = Self { addresses, messages, done, lives: Vec::new() };
        workers.lives = (0..WORKERS).map(|number| workers.live(number)).collect();
        workers
    }

    fn live(&self, number: usize) -> JoinHandle<()> {
        tokio::spawn(work(self.addresses.clone(), number, Arc::clone(&self.done)))
    }

    /// Ends a worker without a word to its group, in the middle of whatever it does.
    pub fn die(&self, number: usize) {
        self.lives[number].abort();
    }

    /// It comes back under the same name.
    pub fn come_back(&mut self, number: usize) {
        self.lives[number] = self.live(number);
    }

    /// Waits until there is something of each message, and counts into the scenario what is there.
    pub async fn finish(self, client: &Client, scenario: &mut Scenario) {
        let since = Instant::now();
        let mut count = made(client).await;
        while (count.len() as u64) < self.messages && since.elapsed() < DEADLINE {
            tokio::time::sleep(Duration::from_millis(200)).await;
            count = made(client).await;
        }
        self.lives.iter().for_each(JoinHandle::abort);
        let expected = (0..self.messages).map(|number| number.to_string());
        let missing =
            expected.filter(|text| !count.contains_key(text)).inspect(|text| scenario.lost(text)).count();
        let more = count.values().filter(|times| **times != 1).count();
        for (text, times) in count.iter().filter(|(_, times)| **times != 1) {
            scenario.violated(&format!("{text} was made {times} times"));
        }
        scenario.read(count.values().sum());
        let told = self.done.load(Relaxed);
        scenario.note(format!(
            "{} messages, {told} of them told as done; missing {missing}, made more than once {more}",
            self.messages
        ));
    }
}

/// One life of a worker.
async fn work(addresses: String, number: usize, done: Arc<AtomicU64>) {
    let client = connect(&addresses).await;
    let config = TransactionalConfig::new(format!("worker-{number}"));
    let mut producer = loop {
        match client.transactional_producer(config.clone()).await {
            Ok(producer) => break producer,
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    };
    let member = MemberConfig { session_timeout: Duration::from_secs(3), ..MemberConfig::default() };
    let mut config =
        ConsumerConfig::new([TOPICS[0]], Some("mill")).reset(OffsetReset::Earliest).as_member(member);
    config.enable_auto_commit = false;
    let mut consumer = client.consumer(config).expect("it can be a member");
    loop {
        let Ok(messages) = consumer.poll(Duration::from_millis(200), 10).await else {
            tokio::time::sleep(Duration::from_millis(20)).await;
            continue;
        };
        if messages.is_empty() {
            continue;
        }
        let make = |message: &Message| {
            let text = String::from_utf8_lossy(&message.value).into_owned();
            vec![(TOPICS[1].to_owned(), NewMessage::keyed(text.clone(), text))]
        };
        match producer.transform_polled(&mut consumer, &messages, make).await {
            Ok(()) => drop(done.fetch_add(messages.len() as u64, Relaxed)),
            Err(error) if error.code == pb::ErrorCode::ProducerFenced => {
                while producer.init().await.is_err() {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
            Err(_) => {}
        }
    }
}

async fn made(client: &Client) -> BTreeMap<String, u64> {
    let mut count = BTreeMap::new();
    for partition in 0..PARTITIONS {
        let mut spec = FetchSpec { max_messages: 10_000, ..FetchSpec::new(TOPICS[1], partition, 0) };
        // Who has no leader just now is read next time.
        while let Ok(fetched) = client.fetch(&spec).await {
            for message in fetched.messages {
                *count.entry(String::from_utf8_lossy(&message.value).into_owned()).or_default() += 1;
            }
            if fetched.next_offset == spec.offset {
                break;
            }
            spec.offset = fetched.next_offset;
        }
    }
    count
}
