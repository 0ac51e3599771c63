//! Reads: what is readable, how much at once, and how long polls end.

use std::time::Duration;

use flymq_engine::{EngineError, FetchSpec, StartFrom};
use flymq_types::{Acks, Isolation, Offset, PartitionId, Timestamp};

use crate::support::*;

fn patient(name: &str, partition: u32, offset: u64) -> FetchSpec {
    FetchSpec { max_wait: Duration::from_secs(60), ..spec(name, partition, offset) }
}

#[tokio::test]
async fn a_read_names_the_watermarks_and_the_next_offset() {
    let engine = Node::simulated().open().await;
    append(&engine, "t", 0, "a", Acks::All).await;
    append(&engine, "t", 0, "b", Acks::All).await;
    let read = engine.fetch(spec("t", 0, 1)).await.unwrap();
    assert_eq!(values(&read, 1), [(1, "b".to_owned())]);
    assert_eq!((read.low_watermark, read.high_watermark), (Offset(0), Offset(2)));
    assert_eq!((read.log_end_offset, read.next_offset), (Offset(2), Offset(2)));
    let end = engine.fetch(spec("t", 0, 2)).await.unwrap();
    assert!(end.batches.is_empty() && end.next_offset == Offset(2));
}

#[tokio::test]
async fn offsets_outside_the_log_are_told_from_its_end() {
    let engine = Node::simulated().open().await;
    append(&engine, "t", 0, "a", Acks::All).await;
    match engine.fetch(spec("t", 0, 2)).await {
        Err(EngineError::OffsetOutOfRange { offset: Offset(2), start, end, .. }) => {
            assert_eq!((start, end), (Offset(0), Offset(1)));
        }
        other => panic!("{other:?}"),
    }
    assert!(engine.fetch(spec("t", 0, u64::MAX)).await.is_err());
    let missing = engine.fetch(spec("t", 1, 0)).await;
    assert!(matches!(missing, Err(EngineError::PartitionNotFound { .. })));
}

/// A producer with `acks=leader` has its answer before the record is on disk; a reader who comes then gets it all
/// the same, and only once it is on disk.
#[tokio::test]
async fn a_reader_has_an_acknowledged_record_synced_at_once() {
    let node = Node::simulated();
    let engine = node.open().await;
    append(&engine, "t", 0, "v", Acks::Leader).await;
    assert_eq!(engine.topic(&topic("t")).unwrap().partitions[0].high, Offset(0));
    let read = soon(engine.fetch(spec("t", 0, 0))).await.unwrap();
    assert_eq!(values(&read, 0), [(0, "v".to_owned())]);
    drop(engine);
    node.sim.crash_losing_all();
    assert_eq!(read_all(&*node.open().await, "t", 0).await.len(), 1);
}

#[tokio::test]
async fn a_long_poll_wakes_with_the_record() {
    let engine = Node::simulated().open().await;
    engine.create_topic(new_topic("t", 1)).await.unwrap();
    for acks in [Acks::Leader, Acks::All] {
        let from = engine.topic(&topic("t")).unwrap().partitions[0].log_end.get();
        let reader = tokio::spawn({
            let engine = engine.clone();
            async move { engine.fetch(patient("t", 0, from)).await }
        });
        tokio::task::yield_now().await;
        assert!(!reader.is_finished());
        append(&engine, "t", 0, "v", acks).await;
        let read = soon(reader).await.unwrap().unwrap();
        assert_eq!(values(&read, from), [(from, "v".to_owned())]);
    }
}

#[tokio::test]
async fn a_long_poll_ends_empty_when_its_time_is_over() {
    let engine = Node::simulated().open().await;
    engine.create_topic(new_topic("t", 1)).await.unwrap();
    let short = FetchSpec { max_wait: Duration::from_millis(20), ..spec("t", 0, 0) };
    let read = soon(engine.fetch(short)).await.unwrap();
    assert!(read.batches.is_empty() && read.next_offset == Offset(0));
}

#[tokio::test]
async fn min_bytes_are_waited_for() {
    let engine = Node::simulated().open().await;
    append(&engine, "t", 0, "a", Acks::All).await;
    let one = engine.fetch(spec("t", 0, 0)).await.unwrap().bytes();
    let reader = tokio::spawn({
        let engine = engine.clone();
        async move { engine.fetch(FetchSpec { min_bytes: 3 * one, ..patient("t", 0, 0) }).await }
    });
    append(&engine, "t", 0, "b", Acks::All).await;
    append(&engine, "t", 0, "c", Acks::All).await;
    let read = soon(reader).await.unwrap().unwrap();
    assert_eq!(values(&read, 0).len(), 3);
    let short = FetchSpec { min_bytes: 9 * one, max_wait: Duration::from_millis(1), ..spec("t", 0, 0) };
    assert_eq!(values(&soon(engine.fetch(short)).await.unwrap(), 0).len(), 3, "time wins over min_bytes");
}

#[tokio::test]
async fn max_bytes_bound_a_read_but_one_batch_always_comes() {
    let engine = Node::simulated().open().await;
    for value in ["a", "b", "c"] {
        append(&engine, "t", 0, value, Acks::All).await;
    }
    let all = engine.fetch(spec("t", 0, 0)).await.unwrap().bytes();
    let read = |max_bytes| engine.fetch(FetchSpec { max_bytes, ..spec("t", 0, 0) });
    assert_eq!(read(0).await.unwrap().batches.len(), 1);
    assert_eq!(read(all * 2 / 3).await.unwrap().batches.len(), 2);
    assert_eq!(read(usize::MAX).await.unwrap().batches.len(), 3);
}

#[tokio::test]
async fn deleting_the_topic_ends_a_waiting_read() {
    let engine = Node::simulated().open().await;
    engine.create_topic(new_topic("t", 1)).await.unwrap();
    let reader = tokio::spawn({
        let engine = engine.clone();
        async move { engine.fetch(patient("t", 0, 0)).await }
    });
    tokio::task::yield_now().await;
    engine.delete_topic(&topic("t")).await.unwrap();
    assert!(not_found(soon(reader).await.unwrap()));
}

#[tokio::test]
async fn offsets_are_found_by_meaning() {
    let node = Node::simulated();
    let engine = node.open().await;
    engine.create_topic(new_topic("t", 1)).await.unwrap();
    let find = |at| {
        let engine = engine.clone();
        async move { engine.find_offset(&topic("t"), PartitionId(0), at, Isolation::ReadCommitted).await }
    };
    assert_eq!(find(StartFrom::Latest).await.unwrap(), Offset(0), "an empty partition ends at 0");
    for at in [100, 200, 300] {
        append_at(&engine, "t", at).await;
    }
    assert_eq!(find(StartFrom::Earliest).await.unwrap(), Offset(0));
    assert_eq!(find(StartFrom::Latest).await.unwrap(), Offset(3));
    assert_eq!(find(StartFrom::Committed).await.unwrap(), Offset(0));
    assert_eq!(find(StartFrom::Offset(Offset(3))).await.unwrap(), Offset(3));
    assert!(matches!(
        find(StartFrom::Offset(Offset(4))).await,
        Err(EngineError::OffsetOutOfRange { end: Offset(3), .. })
    ));
    for (time, offset) in [(0, 0), (100, 0), (101, 1), (300, 2), (301, 3)] {
        assert_eq!(find(StartFrom::Timestamp(Timestamp(time))).await.unwrap(), Offset(offset), "{time}");
    }
}
