//! What becomes of single records under kills, for one node and for three (`docs/reliability.md`, B31): records that fail and go to the
//! dead letters, by a queue's workers and by readers in order; messages that are due later; records that expire.

mod expiry;
mod queue;
mod reader;
mod schedules;

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use flymq_client::{Client, ClientError, FetchSpec, Message, pb};
use rand::{SeedableRng as _, rngs::StdRng};
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{Instant, sleep},
};

use crate::{row::Scenario, transactions::connect};
use expiry::Expiry;
use queue::Queue;
use reader::Reader;
use schedules::Schedules;

/// Topics that are written here, beside those of dead letters.
pub const TOPICS: [&str; 4] = [queue::TOPIC, reader::TOPIC, schedules::TOPIC, expiry::TOPIC];
/// All is settled by then, once nothing is broken any more.
const DEADLINE: Duration = Duration::from_secs(90);
const PAUSE: Duration = Duration::from_millis(20);

/// Makes the topics.
pub async fn prepare(client: &Client) {
    let since = Instant::now();
    for topic in TOPICS {
        while let Err(error) = client.create_topic(topic, 1).await {
            if error.code == pb::ErrorCode::TopicAlreadyExists {
                break;
            }
            assert!(since.elapsed() < DEADLINE, "{error}");
            sleep(PAUSE).await;
        }
    }
}

/// All four kinds at work.
#[derive(Debug)]
pub struct Fates {
    tasks: JoinSet<()>,
    over: watch::Sender<bool>,
    queue: Arc<Queue>,
    reader: Arc<Reader>,
    schedules: Arc<Schedules>,
    expiry: Arc<Expiry>,
}

/// What each task has.
struct Hand {
    client: Client,
    rng: StdRng,
    over: watch::Receiver<bool>,
}

impl Hand {
    fn over(&self) -> bool {
        *self.over.borrow()
    }
}

impl Fates {
    /// The topics are there, and brokers are up.
    pub async fn start(addresses: &str, seed: u64) -> Self {
        let (over, stop) = watch::channel(false);
        let mut fates = Self {
            tasks: JoinSet::new(),
            over,
            queue: Arc::default(),
            reader: Arc::default(),
            schedules: Arc::default(),
            expiry: Arc::default(),
        };
        let mut hands = Vec::new();
        for number in 0..8 {
            let rng = StdRng::seed_from_u64(seed ^ number);
            hands.push(Hand { client: connect(addresses).await, rng, over: stop.clone() });
        }
        let mut hand = || hands.pop().expect("enough hands");
        fates.tasks.spawn(Arc::clone(&fates.queue).write(hand()));
        for number in 0..2 {
            fates.tasks.spawn(Arc::clone(&fates.queue).work(number, hand()));
        }
        fates.tasks.spawn(Arc::clone(&fates.reader).write(hand()));
        fates.tasks.spawn(Arc::clone(&fates.reader).read(hand()));
        fates.tasks.spawn(Arc::clone(&fates.schedules).run(hand()));
        fates.tasks.spawn(Arc::clone(&fates.expiry).write(hand()));
        fates.tasks.spawn(Arc::clone(&fates.expiry).look(hand()));
        fates
    }

    /// Ends the load, waits until everything has its fate, and counts into the scenario.
    pub async fn finish(mut self, client: &Client, scenario: &mut Scenario) {
        self.over.send_replace(true);
        while let Some(task) = self.tasks.join_next().await {
            task.expect("no task panics");
        }
        self.queue.finish(client, scenario).await;
        self.reader.finish(client, scenario).await;
        self.schedules.finish(client, scenario).await;
        self.expiry.finish(scenario);
    }
}

/// Unix time in milliseconds: the brokers' clock too, since all run on one machine.
fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    i64::try_from(since.as_millis()).expect("a time of today")
}

/// Asks until there is an answer that is not "later".
async fn ask<Q: prost::Message, A: prost::Message + Default>(
    client: &Client,
    rpc: &'static str,
    request: &Q,
) -> Result<A, ClientError> {
    let since = Instant::now();
    loop {
        match client.call::<Q, A>(rpc, request).await {
            Err(error) if error.retryable => {
                assert!(since.elapsed() < DEADLINE, "{rpc} hangs: {error}");
                sleep(PAUSE).await;
            }
            answer => return answer,
        }
    }
}

/// Stores one record, which lives for so many milliseconds (0: for ever); whether it is known to be there.
async fn store(client: &Client, topic: &str, value: &str, ttl_ms: i64) -> Result<(), ClientError> {
    let record = pb::Record { value: value.to_owned().into(), ..Default::default() };
    let request = pb::ProduceRequest {
        topic: topic.to_owned(),
        partition: Some(0),
        acks: pb::Acks::All.into(),
        records: vec![record],
        ttl_ms,
        ..Default::default()
    };
    client.call::<_, pb::ProduceResponse>("Produce", &request).await.map(|_| ())
}

/// All records of a topic; none where it is not there.
async fn all(client: &Client, topic: &str) -> Vec<Message> {
    let since = Instant::now();
    let mut spec = FetchSpec { max_messages: 10_000, ..FetchSpec::new(topic, 0, 0) };
    let mut all = Vec::new();
    loop {
        match client.fetch(&spec).await {
            Ok(fetched) => {
                all.extend(fetched.messages);
                if fetched.next_offset == spec.offset {
                    return all;
                }
                spec.offset = fetched.next_offset;
            }
            Err(error) if error.code == pb::ErrorCode::TopicNotFound => return all,
            Err(error) => {
                assert!(since.elapsed() < DEADLINE, "{error}");
                sleep(PAUSE).await;
            }
        }
    }
}

/// How often each value is in a topic.
async fn counted(client: &Client, topic: &str) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    for message in all(client, topic).await {
        *counts.entry(text(&message.value)).or_default() += 1;
    }
    counts
}

fn text(value: &[u8]) -> String {
    String::from_utf8_lossy(value).into_owned()
}
