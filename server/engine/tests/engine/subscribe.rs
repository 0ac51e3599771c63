//! Streams over several partitions.

use std::collections::BTreeMap;

use flymq_engine::{EngineError, SubscribeSpec};
use flymq_types::{Acks, Isolation, Offset, PartitionId};

use crate::support::*;

fn stream(positions: &[(u32, u64)]) -> SubscribeSpec {
    let positions = positions.iter().map(|(partition, offset)| (PartitionId(*partition), Offset(*offset)));
    SubscribeSpec { topic: topic("t"), positions: positions.collect(), isolation: Isolation::ReadCommitted }
}

#[tokio::test]
async fn partitions_take_turns_and_each_keeps_its_order() {
    let engine = Node::simulated().open().await;
    engine.create_topic(new_topic("t", 3)).await.unwrap();
    for n in 0..10 {
        for partition in 0..3 {
            append(&engine, "t", partition, &n.to_string(), Acks::All).await;
        }
    }
    let mut stream = engine.subscribe(stream(&[(0, 0), (1, 5), (2, 0)])).await.unwrap();
    let mut seen = BTreeMap::<u32, Vec<u64>>::new();
    let mut turns = Vec::new();
    for _ in 0..25 {
        let pulled = soon(stream.next(1)).await.unwrap();
        assert_eq!(pulled.fetched.batches.len(), 1, "one batch at a time where a byte is asked for");
        let partition = pulled.partition.get();
        turns.push(partition);
        seen.entry(partition).or_default().extend(values(&pulled.fetched, 0).into_iter().map(|(at, _)| at));
    }
    assert_eq!(seen[&0], (0..10).collect::<Vec<_>>());
    assert_eq!(seen[&1], (5..10).collect::<Vec<_>>());
    assert_eq!(seen[&2], (0..10).collect::<Vec<_>>());
    let mut first: Vec<_> = turns[..9].to_vec();
    first.sort_unstable();
    assert_eq!(first, [0, 0, 0, 1, 1, 1, 2, 2, 2], "fair: {turns:?}");
    assert!(stream.positions().all(|(_, position)| position == Offset(10)));
}

#[tokio::test]
async fn a_waiting_stream_wakes_and_survives_being_dropped_while_it_waits() {
    let engine = Node::simulated().open().await;
    engine.create_topic(new_topic("t", 100)).await.unwrap();
    let all: Vec<_> = (0..100).map(|partition| (partition, 0)).collect();
    let mut stream = engine.subscribe(stream(&all)).await.unwrap();
    for partition in [7, 93, 7] {
        {
            let wait = stream.next(1 << 20);
            assert!(futures::FutureExt::now_or_never(wait).is_none());
        }
        append(&engine, "t", partition, "v", Acks::Leader).await;
        let pulled = soon(stream.next(1 << 20)).await.unwrap();
        assert_eq!((pulled.partition, pulled.fetched.batches.len()), (PartitionId(partition), 1));
    }
}

#[tokio::test]
async fn a_stream_ends_with_its_topic() {
    let engine = Node::simulated().open().await;
    engine.create_topic(new_topic("t", 2)).await.unwrap();
    let mut waiting = engine.subscribe(stream(&[(0, 0), (1, 0)])).await.unwrap();
    let task = tokio::spawn(async move { waiting.next(1).await });
    tokio::task::yield_now().await;
    engine.delete_topic(&topic("t")).await.unwrap();
    assert!(matches!(soon(task).await.unwrap(), Err(EngineError::TopicNotFound { .. })));
}

#[tokio::test]
async fn bad_streams_are_refused() {
    let engine = Node::simulated().open().await;
    assert!(not_found(engine.subscribe(stream(&[(0, 0)])).await));
    engine.create_topic(new_topic("t", 1)).await.unwrap();
    for bad in [&[][..], &[(0, 0), (0, 1)]] {
        let result = engine.subscribe(stream(bad)).await;
        assert!(matches!(result, Err(EngineError::InvalidArgument { .. })));
    }
    let result = engine.subscribe(stream(&[(1, 0)])).await;
    assert!(matches!(result, Err(EngineError::PartitionNotFound { .. })));
    let result = engine.subscribe(stream(&[(0, 1)])).await;
    assert!(matches!(result, Err(EngineError::OffsetOutOfRange { .. })));
}
