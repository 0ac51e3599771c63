//! Transactions on one node: all of it or nothing, whatever stops in between.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use flymq_engine::{
    Engine, EngineError, OffsetCommit, Outcome, Phase, StartFrom, Target, TransactionHandle,
    TransactionTimeout,
};
use flymq_types::{BatchFlags, Offset, PartitionId, TransactionalId};
use flymq_wire::batch::{BatchBuilder, NO_SEQUENCE, NewRecord, ProducerFields};

use crate::support::*;

fn id(name: &str) -> TransactionalId {
    TransactionalId::new(name).unwrap()
}

fn timeout(ms: Option<u32>) -> TransactionTimeout {
    TransactionTimeout { field: "timeout_ms", ms }
}

/// A batch of the transaction, numbered where `sequence` says so.
fn part_of(transaction: &TransactionHandle, sequence: i32, value: &str) -> Bytes {
    let TransactionHandle { producer_id: id, epoch, .. } = *transaction;
    let mut builder = BatchBuilder::new();
    builder.set_producer(ProducerFields { id, epoch, base_sequence: sequence });
    builder.add_flags(BatchFlags::TRANSACTIONAL);
    builder.push(&NewRecord { value: Some(value.as_bytes()), ..NewRecord::default() }).unwrap();
    builder.build().unwrap()
}

async fn begin(engine: &Engine, name: &str) -> TransactionHandle {
    let producer = engine.init_transactional_producer(&id(name), timeout(None)).await.unwrap();
    engine.begin_transaction(&id(name), producer, timeout(None)).await.unwrap()
}

/// The producer's transaction behind one that ended with this epoch.
async fn next(engine: &Engine, before: &TransactionHandle, epoch: u16) -> TransactionHandle {
    let producer = (before.producer_id, epoch);
    engine.begin_transaction(&before.id, producer, timeout(None)).await.unwrap()
}

async fn write(
    engine: &Engine,
    transaction: &TransactionHandle,
    partition: u32,
    value: &str,
) -> Result<(), EngineError> {
    let batch = part_of(transaction, NO_SEQUENCE, value);
    let target = Target::Partition(PartitionId(partition));
    engine.append_in_transaction(transaction, &topic("t"), target, batch).await.map(drop)
}

async fn shown(engine: &Engine, partition: u32) -> Vec<String> {
    read_all(engine, "t", partition).await.into_iter().map(|(_, value)| value).collect()
}

fn commit_of(offset: u64) -> Vec<OffsetCommit> {
    vec![OffsetCommit {
        topic: topic("t"),
        partition: PartitionId(0),
        offset: Offset(offset),
        metadata: String::new(),
    }]
}

fn committed(engine: &Engine) -> Option<u64> {
    let offsets = engine.committed(&group("g"), None, None).ok()?;
    offsets.first().map(|offset| offset.offset.get())
}

async fn engine_of(node: &Node) -> Arc<Engine> {
    let engine = node.open().await;
    if engine.topic(&topic("t")).is_err() {
        engine.create_topic(new_topic("t", 2)).await.unwrap();
    }
    engine
}

#[tokio::test]
async fn what_is_committed_is_seen_together_and_what_is_aborted_never() {
    let node = Node::simulated();
    let engine = engine_of(&node).await;
    let first = begin(&engine, "tx").await;
    for partition in [0, 1] {
        write(&engine, &first, partition, "a").await.unwrap();
    }
    engine.commit_offsets_in_transaction(&first, &group("g"), None, commit_of(7)).await.unwrap();
    assert!(shown(&engine, 0).await.is_empty() && shown(&engine, 1).await.is_empty());
    assert_eq!(committed(&engine), None);
    let epoch = engine.end_transaction(&first, Outcome::Commit).await.unwrap();
    assert_eq!((shown(&engine, 0).await, shown(&engine, 1).await), (vec!["a".into()], vec!["a".into()]));
    assert_eq!((epoch, committed(&engine)), (1, Some(7)));

    let second = next(&engine, &first, epoch).await;
    write(&engine, &second, 0, "b").await.unwrap();
    engine.commit_offsets_in_transaction(&second, &group("g"), None, commit_of(9)).await.unwrap();
    assert_eq!(engine.end_transaction(&second, Outcome::Abort).await.unwrap(), 2);
    assert_eq!((shown(&engine, 0).await, committed(&engine)), (vec!["a".into()], Some(7)));
    // Again is as good as once; the other end is refused.
    assert_eq!(engine.end_transaction(&second, Outcome::Abort).await.unwrap(), 2);
    let other = engine.end_transaction(&second, Outcome::Commit).await;
    assert!(matches!(other, Err(EngineError::TransactionState { .. })), "{other:?}");
}

/// Found by thinking through B29: the next owner of a partition began at the offset before a transaction that was about to be committed,
/// and did its work again.
#[tokio::test]
async fn whoever_goes_on_from_an_offset_waits_for_the_transaction_that_moves_it() {
    let node = Node::simulated();
    let engine = engine_of(&node).await;
    engine.commit_offsets(&group("g"), commit_of(3)).await.unwrap();
    let open = begin(&engine, "tx").await;
    engine.commit_offsets_in_transaction(&open, &group("g"), None, commit_of(7)).await.unwrap();
    let asks = |engine: Arc<Engine>| async move {
        let name = topic("t");
        engine.stable_committed(&group("g"), Some(&name), Some(PartitionId(0))).await
    };
    let asked = tokio::spawn(asks(Arc::clone(&engine)));
    // Other partitions, and whoever only looks, need not wait.
    let other = engine.stable_committed(&group("g"), Some(&topic("t")), Some(PartitionId(1))).await;
    assert!(other.unwrap().is_empty());
    assert_eq!(committed(&engine), Some(3));
    assert!(!asked.is_finished());
    engine.end_transaction(&open, Outcome::Commit).await.unwrap();
    assert_eq!(asked.await.unwrap().unwrap()[0].offset, Offset(7));

    let open = begin(&engine, "tx").await;
    engine.commit_offsets_in_transaction(&open, &group("g"), None, commit_of(9)).await.unwrap();
    let late = asks(Arc::clone(&engine)).await;
    assert!(matches!(late, Err(EngineError::OffsetsPending { .. })), "{late:?}");
    let reset = engine.reset_offsets(&group("g"), &topic("t"), &[], StartFrom::Earliest).await;
    for refused in [engine.delete_group(&group("g"), None).await, reset.map(drop)] {
        assert!(
            matches!(refused, Err(EngineError::GroupInTransaction { .. })),
            "its commit undid it: {refused:?}"
        );
    }
    engine.end_transaction(&open, Outcome::Abort).await.unwrap();
    assert_eq!(asks(Arc::clone(&engine)).await.unwrap()[0].offset, Offset(7));
}

#[tokio::test]
async fn transactional_ids_are_bounded() {
    let mut node = Node::simulated();
    node.options.limits.transactional_ids = 2;
    let engine = engine_of(&node).await;
    let first = begin(&engine, "one").await;
    begin(&engine, "two").await;
    let third = engine.init_transactional_producer(&id("three"), timeout(None)).await;
    assert!(
        matches!(third, Err(EngineError::LimitReached { what: "transactional ids", limit: 2 })),
        "{third:?}"
    );
    // Those that are known go on.
    engine.end_transaction(&first, Outcome::Commit).await.unwrap();
    begin(&engine, "one").await;
}

/// The fault of Kafka before KIP-890.
#[tokio::test]
async fn what_comes_late_of_a_transaction_does_nothing_to_the_next_one() {
    let node = Node::simulated();
    let engine = engine_of(&node).await;
    let first = begin(&engine, "tx").await;
    write(&engine, &first, 0, "a").await.unwrap();
    let epoch = engine.end_transaction(&first, Outcome::Commit).await.unwrap();
    let second = next(&engine, &first, epoch).await;
    write(&engine, &second, 0, "b").await.unwrap();
    assert_eq!(engine.end_transaction(&first, Outcome::Commit).await.unwrap(), 1);
    assert_eq!(shown(&engine, 0).await, ["a"], "the second one is open");
    assert!(write(&engine, &first, 0, "late").await.is_err());
    assert!(write(&engine, &first, 1, "late").await.is_err());
    let late = engine.commit_offsets_in_transaction(&first, &group("g"), None, commit_of(1)).await;
    assert!(late.is_err());
    engine.end_transaction(&second, Outcome::Commit).await.unwrap();
    assert_eq!((shown(&engine, 0).await, committed(&engine)), (vec!["a".into(), "b".into()], None));
}

#[tokio::test]
async fn who_is_replaced_writes_and_commits_nothing_more() {
    let node = Node::simulated();
    let engine = engine_of(&node).await;
    let zombie = begin(&engine, "tx").await;
    write(&engine, &zombie, 0, "old").await.unwrap();
    let new = begin(&engine, "tx").await;
    assert_eq!((new.producer_id, new.epoch), (zombie.producer_id, 2));
    for refused in [
        write(&engine, &zombie, 0, "old").await,
        write(&engine, &zombie, 1, "old").await,
        engine.end_transaction(&zombie, Outcome::Commit).await.map(drop),
        engine.commit_offsets_in_transaction(&zombie, &group("g"), None, commit_of(1)).await,
    ] {
        let fenced = matches!(
            refused,
            Err(EngineError::TransactionFenced { .. } | EngineError::ProducerFenced { .. })
        );
        assert!(fenced, "{refused:?}");
    }
    write(&engine, &new, 0, "new").await.unwrap();
    engine.end_transaction(&new, Outcome::Commit).await.unwrap();
    assert_eq!(shown(&engine, 0).await, ["new"]);
}

#[tokio::test]
async fn an_open_transaction_goes_on_after_a_crash_and_its_timeout_ends_it() {
    let node = Node::simulated();
    let engine = engine_of(&node).await;
    let open = begin(&engine, "tx").await;
    write(&engine, &open, 0, "a").await.unwrap();
    engine.commit_offsets_in_transaction(&open, &group("g"), None, commit_of(7)).await.unwrap();
    drop(engine);
    node.sim.crash_losing_all();

    let engine = engine_of(&node).await;
    assert_eq!(engine.open_transactions().len(), 1);
    write(&engine, &open, 1, "b").await.unwrap();
    engine.end_transaction(&open, Outcome::Commit).await.unwrap();
    assert_eq!((shown(&engine, 0).await, committed(&engine)), (vec!["a".into()], Some(7)));

    let late = next(&engine, &open, 1).await;
    write(&engine, &late, 0, "c").await.unwrap();
    node.clock.advance(Duration::from_millis(60_001));
    soon(async {
        while engine.open_transactions().iter().any(|open| open.phase == Phase::Ongoing) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    let fenced = engine.end_transaction(&late, Outcome::Commit).await;
    assert!(matches!(fenced, Err(EngineError::TransactionFenced { .. })), "{fenced:?}");
    assert_eq!(shown(&engine, 0).await, ["a"]);
}

/// A commit that stops anywhere, over and over, is a commit or none, and the producer is told which.
#[tokio::test]
async fn a_commit_that_a_crash_interrupts_is_whole_after_the_restart() {
    for operations in 0..200 {
        let node = Node::simulated();
        let engine = engine_of(&node).await;
        let transaction = begin(&engine, "tx").await;
        for partition in [0, 1] {
            write(&engine, &transaction, partition, "a").await.unwrap();
        }
        engine.commit_offsets_in_transaction(&transaction, &group("g"), None, commit_of(7)).await.unwrap();
        node.sim.stop_after(operations);
        // It may wait for ever: its disk has stopped.
        let ending = engine.end_transaction(&transaction, Outcome::Commit);
        let told = matches!(tokio::time::timeout(Duration::from_millis(50), ending).await, Ok(Ok(_)));
        node.sim.crash_losing_all();
        engine.shutdown().await;
        drop(engine);
        let engine = engine_of(&node).await;
        let ended = soon(engine.end_transaction(&transaction, Outcome::Commit)).await;
        assert_eq!(ended.unwrap(), 1, "after {operations} operations of the disk");
        let all = (shown(&engine, 0).await, shown(&engine, 1).await, committed(&engine));
        assert_eq!(all, (vec!["a".into()], vec!["a".into()], Some(7)), "after {operations} operations");
        if told {
            return;
        }
    }
    panic!("it was never told");
}

/// As above, and its producer never asks again: another one begins under the id.
#[tokio::test]
async fn a_commit_that_a_crash_interrupts_is_all_of_it_or_nothing_for_the_next_producer() {
    let mut whole = 0;
    for operations in 0..200 {
        let node = Node::simulated();
        let engine = engine_of(&node).await;
        let transaction = begin(&engine, "tx").await;
        for partition in [0, 1] {
            write(&engine, &transaction, partition, "a").await.unwrap();
        }
        node.sim.stop_after(operations);
        // It may wait for ever: its disk has stopped.
        let ending = engine.end_transaction(&transaction, Outcome::Commit);
        let told = matches!(tokio::time::timeout(Duration::from_millis(50), ending).await, Ok(Ok(_)));
        node.sim.crash_losing_all();
        engine.shutdown().await;
        drop(engine);
        let engine = engine_of(&node).await;
        soon(begin(&engine, "tx")).await;
        let (one, other) = (shown(&engine, 0).await, shown(&engine, 1).await);
        assert_eq!(one, other, "after {operations} operations of the disk");
        whole += usize::from(!one.is_empty());
        if told {
            assert_eq!(one, ["a"], "it was told");
            assert!(whole > 1, "none was stopped between Prepare and the answer");
            return;
        }
    }
    panic!("it was never told");
}

#[tokio::test]
async fn bad_input_is_refused_by_name() {
    let node = Node::simulated();
    let engine = engine_of(&node).await;
    let refused = engine.init_transactional_producer(&id("tx"), timeout(Some(3_600_001))).await;
    assert!(matches!(refused, Err(EngineError::InvalidArgument { field: "timeout_ms", .. })));
    let unknown = TransactionHandle { id: id("tx"), producer_id: 1, epoch: 0 };
    let refused = engine.end_transaction(&unknown, Outcome::Commit).await;
    assert!(matches!(refused, Err(EngineError::TransactionNotFound { .. })), "{refused:?}");
    let transaction = begin(&engine, "tx").await;
    let target = Target::Partition(PartitionId(0));
    let other = TransactionHandle { epoch: 9, ..transaction.clone() };
    let batch = part_of(&other, 0, "a");
    let refused = engine.append_in_transaction(&transaction, &topic("t"), target, batch).await;
    assert!(matches!(refused, Err(EngineError::InvalidArgument { field: "batch", .. })), "{refused:?}");
    assert!(write(&engine, &other, 0, "a").await.is_err(), "an epoch that never was");
}

#[tokio::test]
async fn whoever_has_read_everything_is_not_behind() {
    let node = Node::simulated();
    let engine = engine_of(&node).await;
    let lag = |engine: &Engine| engine.lag(&group("g"), None, None).unwrap()[0].lag;
    let first = begin(&engine, "tx").await;
    write(&engine, &first, 0, "a").await.unwrap();
    engine.commit_offsets(&group("g"), commit_of(0)).await.unwrap();
    assert_eq!(lag(&engine), 1, "of an open transaction, too");
    let epoch = engine.end_transaction(&first, Outcome::Commit).await.unwrap();
    engine.commit_offsets(&group("g"), commit_of(1)).await.unwrap();
    assert_eq!(lag(&engine), 0, "behind the commit is the marker");
    let second = next(&engine, &first, epoch).await;
    write(&engine, &second, 0, "b").await.unwrap();
    engine.end_transaction(&second, Outcome::Abort).await.unwrap();
    let behind = engine.lag(&group("g"), None, None).unwrap();
    assert_eq!((behind[0].lag, behind[0].lag_ms), (0, 0), "what was aborted is read by nobody");
    let third = begin(&engine, "other").await;
    write(&engine, &third, 0, "c").await.unwrap();
    engine.end_transaction(&third, Outcome::Commit).await.unwrap();
    assert_eq!(lag(&engine), 2, "c and its marker");
}
