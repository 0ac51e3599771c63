//! Many partitions, many waiters.

use std::time::Duration;

use flymq_engine::FetchSpec;
use flymq_types::{Acks, Offset};
use futures::StreamExt;

use crate::support::*;

const PARTITIONS: u32 = 1_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_partitions_are_made_written_and_opened_again() {
    let node = Node::real();
    let engine = node.open().await;
    engine.create_topic(new_topic("t", PARTITIONS)).await.unwrap();
    let appends = futures::stream::iter(0..PARTITIONS).for_each_concurrent(64, |partition| {
        let engine = &engine;
        async move {
            append(engine, "t", partition, &partition.to_string(), Acks::Leader).await;
        }
    });
    appends.await;
    engine.shutdown().await;
    drop(engine);
    let engine = node.open().await;
    let info = engine.topic(&topic("t")).unwrap();
    assert_eq!(info.partitions.len(), PARTITIONS as usize);
    assert!(info.partitions.iter().all(|partition| partition.high == Offset(1)));
    for partition in (0..PARTITIONS).step_by(97) {
        assert_eq!(read_all(&engine, "t", partition).await, [(0, partition.to_string())]);
    }
    append(&engine, "t", 999, "more", Acks::All).await;
}

#[tokio::test]
async fn ten_thousand_readers_wait_and_only_those_served_wake() {
    let engine = Node::simulated().open().await;
    engine.create_topic(new_topic("t", PARTITIONS)).await.unwrap();
    let readers = (0..10 * PARTITIONS).map(|n| {
        let engine = engine.clone();
        tokio::spawn(async move {
            let wait = Duration::from_secs(60);
            let read =
                engine.fetch(FetchSpec { max_wait: wait, ..spec("t", n % PARTITIONS, 0) }).await.unwrap();
            values(&read, 0).len()
        })
    });
    let mut readers: Vec<_> = readers.collect();
    tokio::task::yield_now().await;
    append(&engine, "t", 5, "v", Acks::All).await;
    let served: Vec<_> = readers.iter_mut().skip(5).step_by(PARTITIONS as usize).collect();
    for reader in served {
        assert_eq!(soon(reader).await.unwrap(), 1);
    }
    let waiting = readers.iter().filter(|reader| !reader.is_finished()).count();
    assert_eq!(waiting, 10 * PARTITIONS as usize - 10);
    engine.delete_topic(&topic("t")).await.unwrap();
    until("the others end", || readers.iter().all(|reader| reader.is_finished())).await;
}
