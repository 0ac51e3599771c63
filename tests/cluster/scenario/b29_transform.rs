//! B29: three workers read a topic as a group, and write what they make of it in transactions, while nodes are killed and workers
//! die and come back: each message has one result.

use std::{
    collections::BTreeMap,
    sync::Arc,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use flymq_client::{
    Client, ConsumerConfig, FetchSpec, MemberConfig, NewMessage, OffsetReset, TransactionalConfig, pb,
};
use flymq_tests::transactions::TIMEOUT_S;
use rand::Rng as _;
use tokio::{task::JoinHandle, time::Instant};

use super::{a_while, alone, begin};
use crate::{
    cluster::{Cluster, connect},
    effort, look,
    net::Net,
};

const PARTITIONS: i32 = 4;
const WORKERS: usize = 3;
/// All is done by then, once nothing is broken any more.
const DEADLINE: Duration = Duration::from_secs(90);

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
        ConsumerConfig::new(["raw"], Some("mill")).reset(OffsetReset::Earliest).as_member(member);
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
        let make = |message: &flymq_client::Message| {
            let text = String::from_utf8_lossy(&message.value).into_owned();
            vec![("made".to_owned(), NewMessage::keyed(text.clone(), text))]
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
        let mut spec = FetchSpec { max_messages: 10_000, ..FetchSpec::new("made", partition, 0) };
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

#[tokio::test(flavor = "multi_thread")]
async fn b29_what_a_group_transforms_is_there_exactly_once() {
    let _alone = alone().await;
    let fault =
        "consume, transform, produce by a group of three: nodes are killed, workers die and come back";
    let Some(mut scenario) = begin("B29", fault, "kills") else { return };
    let (cycles, mut rng) = (effort::cycles(3, 60), effort::rng("B29"));
    let dir = tempfile::tempdir().expect("a directory");
    let mut cluster =
        Cluster::new(dir.path(), Net::new().ok()).with("TRANSACTION_TIMEOUT", &TIMEOUT_S.to_string());
    scenario.started(cluster.start(&[1]).await);
    scenario.started(cluster.start(&[2, 3]).await);
    let client = cluster.connect().await;
    for topic in ["raw", "made"] {
        while client.create_topic(topic, PARTITIONS).await.is_err() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        look::whole_topic(&client, topic).await;
    }
    let messages = 400 * cycles;
    for number in 0..messages {
        let stored = client.produce("raw", NewMessage::keyed(number.to_string(), number.to_string()));
        stored.await.expect("nothing is broken yet");
    }
    let done = Arc::new(AtomicU64::new(0));
    let start = |addresses: String, number| tokio::spawn(work(addresses, number, Arc::clone(&done)));
    let mut workers: Vec<JoinHandle<()>> =
        (0..WORKERS).map(|number| start(cluster.addresses(), number)).collect();
    for cycle in 0..cycles {
        a_while(&mut rng).await;
        let victim = rng.random_range(1..=3);
        cluster.kill(victim);
        let number = rng.random_range(0..WORKERS);
        if cycle % 2 == 0 {
            // Without a word to its group, in the middle of whatever it does.
            workers[number].abort();
        }
        a_while(&mut rng).await;
        scenario.started(cluster.start(&[victim]).await);
        if cycle % 2 == 0 {
            workers[number] = start(cluster.addresses(), number);
        }
        for topic in ["raw", "made", "__transactions", "__consumer_offsets"] {
            look::whole_topic(&client, topic).await;
        }
        scenario.cycle(cycles);
    }
    let since = Instant::now();
    let mut count = made(&client).await;
    while (count.len() as u64) < messages && since.elapsed() < DEADLINE {
        tokio::time::sleep(Duration::from_millis(200)).await;
        count = made(&client).await;
    }
    workers.iter().for_each(JoinHandle::abort);
    let expected: Vec<String> = (0..messages).map(|number| number.to_string()).collect();
    expected.iter().filter(|text| !count.contains_key(*text)).for_each(|text| scenario.lost(text));
    for (text, times) in count.iter().filter(|(_, times)| **times != 1) {
        scenario.violated(&format!("{text} was made {times} times"));
    }
    scenario.read(count.values().sum());
    scenario
        .note(format!("{messages} messages, {} of them told as done, each made once", done.load(Relaxed)));
    scenario.finish();
}
