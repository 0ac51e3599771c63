//! Where batches go, what acknowledgements promise, and what is refused.

use std::sync::Arc;

use flymq_engine::{EngineError, Target, TopicChange};
use flymq_types::{Acks, BatchError, Offset, PartitionId, partition_for_key};

use crate::support::*;

#[tokio::test]
async fn routes_by_partition_key_and_turn() {
    let engine = Node::simulated().open().await;
    engine.create_topic(new_topic("t", 3)).await.unwrap();
    let name = topic("t");
    let append = |target| engine.append(&name, target, batch(&["v"]), Acks::Leader);
    for turn in 0..7 {
        assert_eq!(append(Target::RoundRobin).await.unwrap().partition, PartitionId(turn % 3));
    }
    for key in ["a", "foobar", "x"] {
        let target = Target::Key(key.into());
        let expected = partition_for_key(key.as_bytes(), 3);
        assert_eq!(append(target).await.unwrap().partition, expected);
        assert_eq!(engine.partition_for(&name, Some(key.as_bytes())).await.unwrap(), expected);
    }
    assert_eq!(append(Target::Partition(PartitionId(2))).await.unwrap().partition, PartitionId(2));
    let missing = append(Target::Partition(PartitionId(3))).await;
    assert!(matches!(missing, Err(EngineError::PartitionNotFound { partitions: 3, .. })));
}

#[tokio::test]
async fn an_unknown_topic_is_created_where_that_is_on() {
    let mut node = Node::simulated();
    node.options.default_partitions = 2;
    let engine = node.open().await;
    let appended = append(&engine, "new", 1, "v", Acks::Leader).await;
    assert_eq!((appended.base_offset, engine.topic(&topic("new")).unwrap().partitions.len()), (Offset(0), 2));
    drop(engine);
    node.options.auto_create = false;
    let engine = node.open().await;
    let target = Target::RoundRobin;
    assert!(not_found(engine.append(&topic("other"), target, batch(&["v"]), Acks::All).await));
    assert!(not_found(engine.partition_for(&topic("other"), None).await));
    assert!(not_found(engine.fetch(spec("other", 0, 0)).await));
}

#[tokio::test]
async fn many_producers_create_one_topic() {
    let engine = Node::simulated().open().await;
    let produce = (0..20).map(|_| append(&engine, "t", 0, "v", Acks::Leader));
    let mut offsets: Vec<_> =
        futures::future::join_all(produce).await.into_iter().map(|a| a.base_offset.get()).collect();
    offsets.sort_unstable();
    assert_eq!(offsets, (0..20).collect::<Vec<_>>());
    assert_eq!(engine.list_topics(true).len(), 1);
}

#[tokio::test]
async fn acks_all_is_on_disk_and_leader_need_not_be() {
    let node = Node::simulated();
    let engine = node.open().await;
    append(&engine, "t", 0, "all", Acks::All).await;
    append(&engine, "t", 0, "leader", Acks::Leader).await;
    let info = engine.topic(&topic("t")).unwrap().partitions.remove(0);
    assert_eq!((info.low, info.high, info.log_end), (Offset(0), Offset(1), Offset(2)));
    node.sim.crash_losing_all();
    drop(engine);
    let engine = node.open().await;
    assert_eq!(read_all(&engine, "t", 0).await, [(0, "all".to_owned())]);
}

#[tokio::test]
async fn too_few_replicas_refuse_acks_all_alone() {
    let engine = Node::simulated().open().await;
    engine.create_topic(new_topic("t", 1)).await.unwrap();
    let two = TopicChange { min_insync_replicas: Some(2), ..TopicChange::default() };
    let refused = engine.alter_topic(&topic("t"), two).await;
    assert!(matches!(refused, Err(EngineError::InvalidArgument { field: "min_insync_replicas", .. })));
    append(&engine, "t", 0, "v", Acks::All).await;
}

#[tokio::test]
async fn a_bad_batch_is_refused_before_the_topic_exists() {
    let engine = Node::simulated().open().await;
    let mut bad = batch(&["v"]).to_vec();
    bad[100] ^= 1;
    let result = engine.append(&topic("t"), Target::RoundRobin, bad.into(), Acks::All).await;
    assert!(matches!(result, Err(EngineError::InvalidBatch(BatchError::PayloadCrc { .. }))));
    assert!(engine.list_topics(true).is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_producers_keep_their_own_order() {
    const PRODUCERS: usize = 8;
    const EACH: usize = 100;
    let node = Node::real();
    let engine = node.open().await;
    engine.create_topic(new_topic("t", 1)).await.unwrap();
    let tasks = (0..PRODUCERS).map(|producer| {
        let engine = engine.clone();
        tokio::spawn(async move {
            for n in 0..EACH {
                let acks = if n % 3 == 0 { Acks::All } else { Acks::Leader };
                append(&engine, "t", 0, &format!("{producer} {n}"), acks).await;
            }
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.unwrap();
    }
    let all = read_all(&engine, "t", 0).await;
    assert_eq!(all.len(), PRODUCERS * EACH);
    assert!(all.iter().enumerate().all(|(at, (offset, _))| at as u64 == *offset), "dense");
    for producer in 0..PRODUCERS {
        let prefix = format!("{producer} ");
        let own = all.iter().filter_map(|(_, value)| value.strip_prefix(&prefix));
        assert!(own.eq((0..EACH).map(|n| n.to_string())), "producer {producer}");
    }
}

#[tokio::test]
async fn a_failing_disk_never_acknowledges() {
    let node = Node::simulated();
    let engine = node.open().await;
    append(&engine, "t", 0, "good", Acks::All).await;
    node.sim.fail(flymq_storage::FaultOp::Fdatasync, 1, 5);
    let target = Target::Partition(PartitionId(0));
    let failed = soon(engine.append(&topic("t"), target.clone(), batch(&["bad"]), Acks::All)).await;
    assert!(matches!(failed, Err(EngineError::StorageFailed { .. })), "{failed:?}");
    let later = engine.append(&topic("t"), target, batch(&["later"]), Acks::Leader).await;
    assert!(matches!(later, Err(EngineError::StorageFailed { .. })), "{later:?}");
    let read = engine.fetch(spec("t", 0, 0)).await.unwrap();
    assert_eq!(values(&read, 0), [(0, "good".to_owned())], "what was durable can be read");
    append(&engine, "other", 0, "goes on", Acks::All).await;
}

#[tokio::test]
async fn nothing_goes_after_a_shutdown() {
    let node = Node::simulated();
    let engine = node.open().await;
    append(&engine, "t", 0, "leader", Acks::Leader).await;
    let waiting = {
        let engine = Arc::clone(&engine);
        tokio::spawn(async move {
            engine
                .fetch(flymq_engine::FetchSpec {
                    max_wait: std::time::Duration::from_secs(60),
                    ..spec("t", 0, 1)
                })
                .await
        })
    };
    until("the reader waits", || Arc::strong_count(&engine) == 2).await;
    tokio::task::yield_now().await;
    soon(engine.shutdown()).await;
    assert!(matches!(soon(waiting).await.unwrap(), Err(EngineError::ShuttingDown)));
    let target = Target::RoundRobin;
    let refused = engine.append(&topic("t"), target, batch(&["v"]), Acks::Leader).await;
    assert!(matches!(refused, Err(EngineError::ShuttingDown)));
    node.sim.crash_losing_all();
    drop(engine);
    let engine = node.open().await;
    assert_eq!(read_all(&engine, "t", 0).await.len(), 1, "a shutdown syncs");
}
