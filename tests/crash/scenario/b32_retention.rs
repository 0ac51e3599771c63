//! B32: old segments go while readers are in them, and the broker is killed in the middle of it.

use std::{
    sync::Arc,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use flymq_client::{Client, ClientError, FetchSpec, pb::ErrorCode};
use rand::Rng as _;
use tokio::task::JoinSet;

use crate::{
    checker::{Fault, WRONG_BYTES},
    effort,
    load::{self, PARTITIONS, TOPIC, Writers, unpadded},
    row::Scenario,
    run::Run,
};

/// How long the broker lives under load, ms.
const LIFE_MS: std::ops::Range<u64> = 400..1_500;

/// What readers at the old end of the log met.
#[derive(Debug, Default)]
struct Trailing {
    records: AtomicU64,
    /// The log's start had moved past them.
    overtaken: AtomicU64,
    wrong: std::sync::Mutex<Vec<String>>,
}

#[tokio::test(flavor = "multi_thread")]
async fn b32_retention_never_disturbs_a_reader() {
    let _alone = super::alone().await;
    let fault = "Retention under readers at the log's old end, with `kill -9` in the middle";
    let Some(mut scenario) = Scenario::begin("B32", fault, "kills") else { return };
    let (cycles, mut rng) = (effort::cycles(4, 80), effort::rng("B32"));
    let dir = tempfile::tempdir().expect("a directory");
    let mut run = Run::new("b32", &dir.path().join("data"), Fault::Kill);
    run.launch.set("SEGMENT_BYTES", "64KiB");
    run.launch.set("RETENTION_BYTES", "512KiB");
    run.launch.set("TTL_CLEANUP_INTERVAL", "1");
    let trailing = Arc::new(Trailing::default());
    for cycle in 0..cycles {
        let broker = run.start(&mut scenario).await;
        run.look(&broker, cycle.is_multiple_of(5)).await;
        let clients = run.load(&broker, Writers::All).await;
        let mut readers = JoinSet::new();
        for partition in 0..PARTITIONS {
            readers.spawn(trail(load::connect(&broker.native).await, partition, Arc::clone(&trailing)));
        }
        // The moment of the kill is chance: nothing is waited for.
        tokio::time::sleep(Duration::from_millis(rng.random_range(LIFE_MS))).await;
        if broker.log().iter().any(|line| line.contains("panicked")) {
            scenario.violated(&broker.log().join("\n"));
        }
        broker.kill();
        run.ended(clients).await;
        while let Some(reader) = readers.join_next().await {
            reader.expect("no reader panics");
        }
        scenario.cycle(cycles);
    }
    let broker = run.start(&mut scenario).await;
    run.look(&broker, true).await;
    let start = starts(&load::connect(&broker.native).await).await;
    assert!(start > 0, "retention removed nothing");
    for wrong in trailing.wrong.lock().expect("no reader panics").iter() {
        scenario.wrong_bytes(wrong);
    }
    let (records, overtaken) = (&trailing.records, &trailing.overtaken);
    scenario.note(format!(
        "{start} records removed, {} read at the old end, {} times overtaken there",
        records.load(Ordering::Relaxed),
        overtaken.load(Ordering::Relaxed)
    ));
    run.finish(&mut scenario);
    scenario.finish();
}

/// Reads the oldest records there are, over and over, until the broker is gone.
async fn trail(client: Client, partition: i32, trailing: Arc<Trailing>) {
    while let Err(error) = oldest(&client, partition, &trailing).await {
        match error.code {
            ErrorCode::OffsetOutOfRange => {
                trailing.overtaken.fetch_add(1, Ordering::Relaxed);
            }
            ErrorCode::CorruptData => {
                trailing.wrong.lock().expect("no reader panics").push(error.to_string());
            }
            _the_broker_is_gone => return,
        }
    }
}

/// From the start of the log on, for ever.
async fn oldest(client: &Client, partition: i32, trailing: &Trailing) -> Result<(), ClientError> {
    let topic = client.topic(TOPIC).await?;
    let low = topic.partitions.iter().find(|p| p.partition == partition).map_or(0, |p| p.low_watermark);
    let mut spec = FetchSpec::new(TOPIC, partition, low);
    spec.max_bytes = 8 << 10;
    spec.max_wait = Duration::from_millis(50);
    loop {
        let page = client.fetch(&spec).await?;
        for message in &page.messages {
            let value = unpadded(&message.value);
            if value.starts_with(WRONG_BYTES) {
                let text = format!("{partition}@{}: {value}", message.offset);
                trailing.wrong.lock().expect("no reader panics").push(text);
            }
        }
        trailing.records.fetch_add(page.messages.len() as u64, Ordering::Relaxed);
        spec.offset = page.next_offset;
    }
}

async fn starts(client: &Client) -> u64 {
    let topic = client.topic(TOPIC).await.expect("the topic is there");
    topic.partitions.iter().map(|partition| partition.low_watermark).sum()
}
