//! Transactions while coordinators and leaders die: each input has one output.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use flymq_client::{Client, FetchSpec, NewMessage, TransactionalConfig, pb::ErrorCode};

use crate::{
    clients::{native, runtime},
    nodes::{Cluster, eventually},
};

const MESSAGES: u64 = 400;

/// Reads `t`, and writes what it makes of it to `out`, a few messages in each transaction.
async fn transform(client: Client, done: Arc<AtomicU64>) -> Vec<ErrorCode> {
    let mut failures = Vec::new();
    let mut producer = loop {
        match client.transactional_producer(TransactionalConfig::new("mill")).await {
            Ok(producer) => break producer,
            Err(error) => failures.push(error.code),
        }
    };
    loop {
        let Ok(offsets) = client.committed("g", "t").await else { continue };
        let at = offsets.first().map_or(0, |offset| offset.offset);
        done.store(at, Ordering::Relaxed);
        if at == MESSAGES {
            return failures;
        }
        let spec = FetchSpec { max_messages: 5, ..FetchSpec::new("t", 0, at) };
        let Ok(fetched) = client.fetch(&spec).await else { continue };
        let transformed = producer.transform("g", &fetched.messages, |message| {
            let text = String::from_utf8_lossy(&message.value).into_owned();
            vec![("out".to_owned(), NewMessage::keyed(text.clone(), format!("made of {text}")))]
        });
        if let Err(error) = transformed.await {
            failures.push(error.code);
            if error.code == ErrorCode::ProducerFenced {
                while producer.init().await.is_err() {}
            }
        }
    }
}

async fn shown(client: &Client, topic: &str, partitions: i32) -> Vec<String> {
    let mut all = Vec::new();
    for partition in 0..partitions {
        let mut offset = 0;
        loop {
            let fetched = client.fetch(&FetchSpec::new(topic, partition, offset)).await.expect("readable");
            all.extend(fetched.messages.iter().map(|m| String::from_utf8_lossy(&m.value).into_owned()));
            if fetched.next_offset == offset {
                break;
            }
            offset = fetched.next_offset;
        }
    }
    all.sort_unstable();
    all
}

#[test]
fn what_is_read_is_transformed_exactly_once_over_the_death_of_coordinators_and_leaders() {
    let mut cluster = Cluster::start(3);
    cluster.create_topic("t", 1);
    cluster.create_topic("out", 3);
    (0..3).for_each(|partition| cluster.in_sync("out", partition, 3));
    cluster.in_sync("t", 0, 3);
    let runtime = runtime();
    let client = runtime.block_on(Client::with_config(native(&cluster, 0))).expect("connected");
    runtime.block_on(async {
        for number in 0..MESSAGES {
            client.produce("t", NewMessage::value(number.to_string())).await.expect("stored");
        }
    });
    let done = Arc::new(AtomicU64::new(0));
    let transforming = runtime.spawn(transform(client.clone(), Arc::clone(&done)));
    let some_more = || {
        let now = done.load(Ordering::Relaxed);
        eventually("it goes on", || {
            (done.load(Ordering::Relaxed) > (now + 20).min(MESSAGES - 1)).then_some(())
        });
    };
    for (topic, partition) in [("__transactions", 0), ("out", 0), ("__consumer_offsets", 0)] {
        some_more();
        let leader = cluster.leader(topic, partition);
        cluster.kill(leader);
        some_more();
        cluster.restart(leader);
        (0..3).for_each(|partition| cluster.in_sync("out", partition, 3));
        cluster.in_sync("__transactions", 0, 3);
    }
    let failures = runtime.block_on(async {
        tokio::time::timeout(Duration::from_secs(60), transforming).await.expect("it ends").expect("it works")
    });
    let mut expected: Vec<String> = (0..MESSAGES).map(|number| format!("made of {number}")).collect();
    expected.sort_unstable();
    assert_eq!(runtime.block_on(shown(&client, "out", 3)), expected, "{failures:?}");
    eprintln!("{MESSAGES} messages, 3 kills of three nodes, failures that the producer saw: {failures:?}");
}
