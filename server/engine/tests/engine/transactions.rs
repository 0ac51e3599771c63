//! The partition's side of transactions: what readers see, whatever happens to the node meanwhile.

use std::sync::Arc;
use std::time::Duration;

use flymq_engine::{Engine, EngineError, FetchSpec, StartFrom, SubscribeSpec, Target};
use flymq_types::{Acks, BatchFlags, Isolation, Marker, Offset, Outcome, PartitionId, ProducerId};
use flymq_wire::batch::{BatchBuilder, NewRecord, ProducerFields};

use crate::support::*;

const P0: PartitionId = PartitionId(0);

async fn send(
    engine: &Engine,
    (id, epoch, base_sequence): (u64, u16, i32),
    value: &str,
) -> Result<Offset, EngineError> {
    let mut builder = BatchBuilder::new();
    builder.set_producer(ProducerFields { id, epoch, base_sequence }).add_flags(BatchFlags::TRANSACTIONAL);
    builder.push(&NewRecord { value: Some(value.as_bytes()), ..NewRecord::default() }).unwrap();
    let appended =
        engine.append(&topic("t"), Target::Partition(P0), builder.build().unwrap(), Acks::All).await;
    Ok(appended?.base_offset)
}

async fn end(engine: &Engine, id: u64, epoch: u16, outcome: Outcome) -> Result<Offset, EngineError> {
    let marker = Marker { producer_id: id, producer_epoch: epoch, coordinator_epoch: 3, outcome };
    engine.write_marker(&topic("t"), P0, marker).await
}

fn uncommitted(offset: u64) -> FetchSpec {
    FetchSpec { isolation: Isolation::ReadUncommitted, ..spec("t", 0, offset) }
}

fn stable(engine: &Engine) -> u64 {
    engine.last_stable_offset(&topic("t"), P0).unwrap().get()
}

fn open(engine: &Engine, id: u64, epoch: u16) -> bool {
    let id = ProducerId::from_wire(id).unwrap();
    engine.has_open_transaction(&topic("t"), P0, id, epoch).unwrap()
}

async fn latest(engine: &Engine, isolation: Isolation) -> u64 {
    engine.find_offset(&topic("t"), P0, StartFrom::Latest, isolation).await.unwrap().get()
}

/// Offsets: 0 plain · 1 a (7) · 2 plain · 3 b (8) · 4 c (7) · 5 abort of 7 · 6 plain · 7 commit of 8 · 8 d (7, open) · 9 plain.
async fn history(engine: &Engine) {
    append(engine, "t", 0, "plain 0", Acks::All).await;
    send(engine, (7, 0, 0), "a").await.unwrap();
    append(engine, "t", 0, "plain 2", Acks::All).await;
    send(engine, (8, 4, 0), "b").await.unwrap();
    send(engine, (7, 0, 1), "c").await.unwrap();
    assert_eq!(end(engine, 7, 1, Outcome::Abort).await.unwrap(), Offset(5));
    append(engine, "t", 0, "plain 6", Acks::All).await;
    assert_eq!(stable(engine), 3);
    end(engine, 8, 5, Outcome::Commit).await.unwrap();
    assert_eq!(stable(engine), 8);
    send(engine, (7, 1, 0), "d").await.unwrap();
    append(engine, "t", 0, "plain 9", Acks::All).await;
}

async fn check(engine: &Engine) {
    assert_eq!(stable(engine), 8);
    assert!(open(engine, 7, 1) && !open(engine, 7, 0) && !open(engine, 8, 4) && !open(engine, 8, 5));
    let of = |values: &[(u64, &str)]| values.iter().map(|(at, v)| (*at, (*v).to_owned())).collect::<Vec<_>>();
    let seen = read_all(engine, "t", 0).await;
    assert_eq!(seen, of(&[(0, "plain 0"), (2, "plain 2"), (3, "b"), (6, "plain 6")]));
    let fetched = engine.fetch(spec("t", 0, 4)).await.unwrap();
    assert_eq!((fetched.batches.len(), fetched.next_offset), (1, Offset(8)), "over what is left out");
    assert_eq!((fetched.high_watermark, fetched.log_end_offset), (Offset(10), Offset(10)));
    let all = values(&engine.fetch(uncommitted(0)).await.unwrap(), 0);
    let offsets: Vec<_> = all.iter().map(|(at, _)| *at).collect();
    assert_eq!(offsets, [0, 1, 2, 3, 4, 6, 8, 9], "all but the markers");
    assert_eq!(latest(engine, Isolation::ReadCommitted).await, 8);
    assert_eq!(latest(engine, Isolation::ReadUncommitted).await, 10);
    let back = engine.find_offset_back(&topic("t"), P0, 2, Isolation::ReadCommitted).await.unwrap();
    assert_eq!(back, Offset(3), "what was aborted and markers do not count");
}

#[tokio::test]
async fn committed_readers_see_what_was_committed_and_nothing_else() {
    let node = Node::simulated();
    let engine = node.open().await;
    history(&engine).await;
    check(&engine).await;
    drop(engine);
    node.sim.crash_losing_all();
    let engine = node.open().await;
    check(&engine).await;
    end(&engine, 7, 2, Outcome::Commit).await.unwrap();
    assert_eq!(stable(&engine), 11);
    let rest = values(&engine.fetch(spec("t", 0, 8)).await.unwrap(), 8);
    assert_eq!(rest, [(8, "d".to_owned()), (9, "plain 9".to_owned())]);
}

#[tokio::test]
async fn a_marker_fences_what_comes_late() {
    let engine = Node::simulated().open().await;
    send(&engine, (7, 0, 0), "a").await.unwrap();
    end(&engine, 7, 1, Outcome::Commit).await.unwrap();
    let late = send(&engine, (7, 0, 1), "late").await.unwrap_err();
    assert!(matches!(late, EngineError::ProducerFenced { epoch: 0, current: 1, .. }), "{late}");
    let again = send(&engine, (7, 0, 0), "a").await.unwrap_err();
    assert!(matches!(again, EngineError::ProducerFenced { .. }), "also what is stored: {again}");
    let gap = send(&engine, (7, 1, 1), "b").await.unwrap_err();
    assert!(matches!(gap, EngineError::OutOfOrderSequence { expected: 0, .. }), "{gap}");
    send(&engine, (7, 1, 0), "b").await.unwrap();
    let old = end(&engine, 7, 0, Outcome::Abort).await.unwrap_err();
    assert!(matches!(old, EngineError::ProducerFenced { .. }), "{old}");
    assert!(open(&engine, 7, 1), "an old marker ends nothing");
    // A producer that was never here is fenced by its marker alone.
    end(&engine, 9, 5, Outcome::Abort).await.unwrap();
    assert!(matches!(send(&engine, (9, 4, 0), "late").await, Err(EngineError::ProducerFenced { .. })));
}

#[tokio::test]
async fn a_coordinator_that_was_replaced_ends_nothing() {
    let engine = Node::simulated().open().await;
    send(&engine, (7, 0, 0), "a").await.unwrap();
    end(&engine, 7, 1, Outcome::Commit).await.unwrap();
    send(&engine, (7, 1, 0), "b").await.unwrap();
    let marker = Marker { producer_id: 7, producer_epoch: 2, coordinator_epoch: 2, outcome: Outcome::Abort };
    let refused = engine.write_marker(&topic("t"), P0, marker).await.unwrap_err();
    assert!(matches!(refused, EngineError::CoordinatorFenced { given: 2, current: 3, .. }), "{refused}");
    assert!(open(&engine, 7, 1));
    // The same marker twice: the second ends nothing.
    assert_eq!(end(&engine, 7, 2, Outcome::Commit).await.unwrap(), Offset(3));
    end(&engine, 7, 2, Outcome::Commit).await.unwrap();
    assert_eq!(read_all(&engine, "t", 0).await.len(), 2);
}

#[tokio::test]
async fn who_waits_is_woken_when_the_transaction_ends() {
    let engine = Node::simulated().open().await;
    send(&engine, (7, 0, 0), "a").await.unwrap();
    let positions = vec![(P0, Offset(0))];
    let isolation = Isolation::ReadCommitted;
    let mut stream =
        engine.subscribe(SubscribeSpec { topic: topic("t"), positions, isolation }).await.unwrap();
    let (polling, waiting): (Arc<Engine>, _) = (engine.clone(), Duration::from_secs(20));
    let poll =
        tokio::spawn(async move { polling.fetch(FetchSpec { max_wait: waiting, ..spec("t", 0, 0) }).await });
    let pulled = tokio::spawn(async move { stream.next(1 << 20).await });
    // What comes meanwhile does not pass what is open.
    append(&engine, "t", 0, "plain", Acks::All).await;
    let at_once = tokio::time::timeout(Duration::from_secs(1), engine.fetch(spec("t", 0, 0))).await;
    assert!(at_once.expect("a read that does not wait waits for no transaction").unwrap().batches.is_empty());
    assert!(!poll.is_finished() && !pulled.is_finished());
    end(&engine, 7, 1, Outcome::Commit).await.unwrap();
    let expected = [(0, "a".to_owned()), (1, "plain".to_owned())];
    assert_eq!(values(&soon(poll).await.unwrap().unwrap(), 0), expected);
    assert_eq!(values(&soon(pulled).await.unwrap().unwrap().fetched, 0), expected);
}

#[tokio::test]
async fn a_reader_waits_on_behind_an_aborted_transaction() {
    let engine = Node::simulated().open().await;
    send(&engine, (7, 0, 0), "a").await.unwrap();
    let polling = engine.clone();
    let poll = tokio::spawn(async move {
        polling.fetch(FetchSpec { max_wait: Duration::from_secs(20), ..spec("t", 0, 0) }).await
    });
    end(&engine, 7, 1, Outcome::Abort).await.unwrap();
    append(&engine, "t", 0, "plain", Acks::All).await;
    let fetched = soon(poll).await.unwrap().unwrap();
    assert_eq!(values(&fetched, 0), [(2, "plain".to_owned())]);
    assert_eq!(fetched.next_offset, Offset(3));
}

#[tokio::test]
async fn deleting_what_is_open_lets_readers_go_on() {
    let engine = Node::simulated().open().await;
    send(&engine, (7, 0, 0), "a").await.unwrap();
    append(&engine, "t", 0, "plain", Acks::All).await;
    engine.delete_records(&topic("t"), P0, Offset(1)).await.unwrap();
    assert_eq!(stable(&engine), 1, "it is still open");
    end(&engine, 7, 1, Outcome::Abort).await.unwrap();
    assert_eq!(read_all_from(&engine, 1).await, [(1, "plain".to_owned())]);
}

async fn read_all_from(engine: &Engine, offset: u64) -> Vec<(u64, String)> {
    values(&engine.fetch(spec("t", 0, offset)).await.unwrap(), offset)
}

#[tokio::test]
async fn a_transactional_batch_names_its_producer() {
    let engine = Node::simulated().open().await;
    let mut builder = BatchBuilder::new();
    builder.add_flags(BatchFlags::TRANSACTIONAL);
    builder.push(&NewRecord { value: Some(b"v"), ..NewRecord::default() }).unwrap();
    let target = Target::Partition(P0);
    let refused = engine.append(&topic("t"), target.clone(), builder.build().unwrap(), Acks::All).await;
    assert!(matches!(refused, Err(EngineError::InvalidBatch(_))), "{refused:?}");
    let marker = Marker { producer_id: 7, producer_epoch: 2, coordinator_epoch: 2, outcome: Outcome::Abort };
    let forged = engine.append(&topic("t"), target, marker.encode(0).unwrap(), Acks::All).await;
    assert!(matches!(forged, Err(EngineError::InvalidBatch(_))), "{forged:?}");
}
