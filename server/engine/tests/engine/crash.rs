//! Power cuts under load: what was acknowledged stays, what was read stays, offsets are never given twice.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use flymq_engine::{Engine, EngineError, FetchSpec, Target};
use flymq_types::{Acks, PartitionId, SeededRng};
use parking_lot::Mutex;

use crate::support::*;

/// What the outside world knows of a partition: offset → value.
#[derive(Default)]
struct Known {
    acknowledged: Mutex<BTreeMap<u64, String>>,
    read: Mutex<BTreeMap<u64, String>>,
}

fn learn(book: &Mutex<BTreeMap<u64, String>>, offset: u64, value: &str) {
    let before = book.lock().insert(offset, value.to_owned());
    assert!(
        before.as_ref().is_none_or(|before| before == value),
        "offset {offset}: {before:?}, then {value}"
    );
}

async fn produce(engine: Arc<Engine>, known: Arc<Known>, producer: u64, run: u64, count: Arc<AtomicU64>) {
    for n in 0.. {
        let acks = if (n + producer).is_multiple_of(2) { Acks::All } else { Acks::Leader };
        let value = format!("{run} {producer} {n}");
        let target = Target::Partition(PartitionId(0));
        match engine.append(&topic("t"), target, batch(&[&value]), acks).await {
            Ok(appended) if acks == Acks::All => {
                learn(&known.acknowledged, appended.base_offset.get(), &value);
                count.fetch_add(1, Ordering::Relaxed);
            }
            Ok(_) => {}
            Err(_) => return,
        }
        tokio::task::yield_now().await;
    }
}

async fn consume(engine: Arc<Engine>, known: Arc<Known>) {
    let mut offset = 0;
    loop {
        let wait = std::time::Duration::from_secs(5);
        let Ok(read) = engine.fetch(FetchSpec { max_wait: wait, ..spec("t", 0, offset) }).await else {
            return;
        };
        for (at, value) in values(&read, offset) {
            learn(&known.read, at, &value);
        }
        offset = read.next_offset.get();
    }
}

/// Every record that can be read. A power cut can leave a hole between batches that were never synced; storage
/// does not cut there but names the range, and records around it are read.
async fn survivors(engine: &Engine) -> BTreeMap<u64, String> {
    let (mut there, mut offset) = (BTreeMap::new(), 0);
    loop {
        match engine.fetch(spec("t", 0, offset)).await {
            Ok(read) if read.batches.is_empty() => return there,
            Ok(read) => {
                there.extend(values(&read, offset));
                offset = read.next_offset.get();
            }
            Err(EngineError::CorruptData { end, .. }) => offset = end.get(),
            Err(error) => panic!("{error}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_acknowledged_or_read_survives_every_power_cut() {
    for seed in 0..12 {
        let node = Node::simulated().sync_interval(std::time::Duration::from_millis(2));
        let rng = SeededRng::new(seed);
        let known = Arc::new(Known::default());
        node.open().await.create_topic(new_topic("t", 1)).await.unwrap();
        for run in 0..3 {
            let engine = node.open().await;
            let acknowledged = Arc::new(AtomicU64::new(0));
            let mut tasks = vec![tokio::spawn(consume(engine.clone(), known.clone()))];
            tasks.extend((0..4).map(|producer| {
                tokio::spawn(produce(engine.clone(), known.clone(), producer, run, acknowledged.clone()))
            }));
            let enough = 10 + seed * 7;
            until("acknowledgements come", || acknowledged.load(Ordering::Relaxed) >= enough).await;
            node.sim.crash(&rng);
            // Whatever the dying process still answers is not heard: its disk is gone, so nothing can be.
            engine.shutdown().await;
            for task in tasks {
                soon(task).await.unwrap();
            }
            drop(engine);
            let engine = node.open().await;
            let there = survivors(&engine).await;
            for (what, book) in [("acknowledged", &known.acknowledged), ("read", &known.read)] {
                for (offset, value) in &*book.lock() {
                    assert_eq!(there.get(offset), Some(value), "seed {seed}, run {run}: {what} at {offset}");
                }
            }
        }
    }
}
