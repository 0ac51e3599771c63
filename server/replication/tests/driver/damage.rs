//! A leader that meets damage in what it read well when it wrote it.

#![allow(clippy::disallowed_methods, reason = "the test is the bit rot")]

use std::path::{Path, PathBuf};
use std::time::Duration;

use flymq_engine::meta::{Command, MetaError, MetaStore as _, TopicPartition, TransferLeader};
use flymq_engine::{EngineError, EngineOptions, SubscribeSpec, TopicConfig};
use flymq_types::{Acks, Isolation, NodeId, Offset, PartitionId};

use crate::cluster::until;
use crate::engines::{Engines, read_all, spec, topic};

/// Large enough that a few of them fill a segment.
fn value(number: usize) -> String {
    format!("value-{number:02}-{}", "x".repeat(200_000))
}

/// Three nodes with a topic of two segments, of which the closed one is damaged on a node that then leads. It was not in use
/// when that happened: nothing has met the damage yet.
async fn damaged() -> (Engines, usize, Vec<String>) {
    let mut cluster = Engines::new(EngineOptions::default()).await;
    cluster.create("t", 1, TopicConfig { segment_bytes: Some(1 << 20), ..TopicConfig::default() }).await;
    let leader = cluster.leader("t", 0).await;
    let values: Vec<_> = (0..12).map(value).collect();
    for value in &values {
        cluster.produce(leader, "t", value, Acks::All).await.unwrap();
    }
    let victim = (leader + 1) % 3;
    cluster.kill(victim).await;
    flip(cluster.path(victim), b"value-02");
    cluster.start(victim).await;
    cluster.in_sync("t", 0, 3).await;
    lead(&cluster, victim).await;
    (cluster, victim, values)
}

fn files(at: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(at).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

/// Flips a bit of what follows `text` in a segment.
fn flip(data: &Path, text: &[u8]) {
    for path in files(data).into_iter().filter(|path| path.extension().is_some_and(|end| end == "log")) {
        let mut bytes = std::fs::read(&path).unwrap();
        if let Some(at) = bytes.windows(text.len()).position(|found| found == text) {
            bytes[at + 100] ^= 1;
            return std::fs::write(&path, bytes).unwrap();
        }
    }
    panic!("no segment has it");
}

async fn lead(cluster: &Engines, index: usize) {
    let name = topic("t");
    let at =
        TopicPartition { topic: cluster.store.image().topics[&name].id, name, partition: PartitionId(0) };
    while cluster.leader("t", 0).await != index {
        let partition_epoch = cluster.partition("t", 0).partition_epoch;
        let to = cluster.nodes[index].id.clone();
        let transfer = TransferLeader { at: at.clone(), partition_epoch, to, unclean: false };
        match cluster.store.propose(vec![Command::TransferLeader(transfer)]).await {
            Ok(_) | Err(MetaError::Rejected(_)) => {}
            Err(error) => panic!("{error}"),
        }
    }
    // The metadata names it; it leads once it has heard of that itself.
    let serves = async {
        while let Err(error) = cluster.engine(index).fetch(spec("t", 11)).await {
            assert!(matches!(error, EngineError::NotLeader { .. }), "{error:?}");
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(crate::cluster::DEADLINE, serves).await.expect("it leads");
}

/// Who leads instead, as `read` is told. Whoever comes after the other one has met the damage, and before the next leader is
/// known, is told that nobody does.
async fn named(read: impl AsyncFn() -> Result<(), EngineError>) -> NodeId {
    let told = async {
        loop {
            match read().await.unwrap_err() {
                EngineError::NotLeader { leader: Some(named), .. } => return named,
                EngineError::NotLeader { leader: None, .. } => tokio::task::yield_now().await,
                error => panic!("{error:?}"),
            }
        }
    };
    tokio::time::timeout(crate::cluster::DEADLINE, told).await.expect("it is told who leads")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_read_that_meets_damage_is_told_who_leads_instead_and_nothing_stops() {
    let (cluster, victim, mut values) = damaged().await;
    let engine = cluster.engine(victim).clone();
    let subscribe = || {
        let positions = vec![(PartitionId(0), Offset(2))];
        engine.subscribe(SubscribeSpec { topic: topic("t"), positions, isolation: Isolation::ReadCommitted })
    };
    let fetched = named(async || engine.fetch(spec("t", 2)).await.map(drop));
    let streamed = named(async || subscribe().await.map(drop));
    let (fetched, streamed) = tokio::join!(fetched, streamed);
    for told in [fetched, streamed] {
        assert_ne!(told, cluster.nodes[victim].id);
    }
    let next = cluster.leader("t", 0).await;
    assert_ne!(next, victim);
    values.push("more".to_owned());
    cluster.produce(next, "t", "more", Acks::All).await.unwrap();
    assert_eq!(read_all(cluster.engine(next), "t").await, values);
    // Mended, it is in sync again, and can lead.
    cluster.in_sync("t", 0, 3).await;
    lead(&cluster, victim).await;
    assert_eq!(read_all(cluster.engine(victim), "t").await, values);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_read_that_meets_damage_which_nobody_can_mend_just_now_may_be_tried_again() {
    let (mut cluster, victim, values) = damaged().await;
    for other in (0..3).filter(|other| *other != victim) {
        cluster.kill(other).await;
    }
    let engine = cluster.engine(victim).clone();
    let told = engine.fetch(spec("t", 2)).await.unwrap_err();
    assert!(matches!(told, EngineError::Mending { start: Offset(2), end: Offset(3), .. }), "{told:?}");
    // What is whole can be read all the same.
    assert!(!engine.fetch(spec("t", 3)).await.unwrap().batches.is_empty());
    let other = (victim + 1) % 3;
    let waits = async {
        let patient = async {
            loop {
                match engine.fetch(spec("t", 2)).await {
                    Ok(fetched) => return fetched,
                    Err(EngineError::Mending { .. } | EngineError::NotLeader { .. }) => {
                        tokio::time::sleep(Duration::from_millis(5)).await;
                    }
                    Err(error) => panic!("{error}"),
                }
            }
        };
        tokio::time::timeout(crate::cluster::DEADLINE, patient).await.expect("it is mended")
    };
    let (fetched, ()) = tokio::join!(waits, cluster.start(other));
    assert!(!fetched.batches.is_empty());
    until("it is mended", || cluster.engine(victim).storage_health().damaged.is_empty()).await;
    assert_eq!(read_all(cluster.engine(victim), "t").await, values);
}
