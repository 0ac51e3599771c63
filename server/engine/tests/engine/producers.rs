//! Idempotent producers: ids are unique for ever, batches that come again are not stored twice.

use std::collections::BTreeSet;

use bytes::Bytes;
use flymq_engine::{Appended, Engine, EngineError, Target};
use flymq_types::{Acks, Offset, PartitionId};
use flymq_wire::batch::{BatchBuilder, NewRecord, ProducerFields, ServerFields, stamp_header};

use crate::support::*;

fn produced(producer: (u64, u16, i32), values: &[&str]) -> Bytes {
    let (id, epoch, base_sequence) = producer;
    let mut builder = BatchBuilder::new();
    builder.set_producer(ProducerFields { id, epoch, base_sequence });
    for value in values {
        builder.push(&NewRecord { value: Some(value.as_bytes()), ..NewRecord::default() }).unwrap();
    }
    builder.build().unwrap()
}

async fn send(
    engine: &Engine,
    producer: (u64, u16, i32),
    value: &str,
    acks: Acks,
) -> Result<Appended, EngineError> {
    let target = Target::Partition(PartitionId(0));
    engine.append(&topic("t"), target, produced(producer, &[value]), acks).await
}

#[tokio::test]
async fn no_id_is_given_twice_not_even_after_a_crash() {
    let node = Node::simulated();
    let mut seen = BTreeSet::new();
    for _ in 0..3 {
        let engine = node.open().await;
        for _ in 0..1_100 {
            let id = engine.new_producer().await.unwrap();
            assert!(id > 0 && seen.insert(id), "{id} was given before");
        }
        drop(engine);
        node.sim.crash_losing_all();
    }
}

#[tokio::test]
async fn a_batch_that_comes_again_is_answered_as_the_first_time() {
    let node = Node::simulated();
    let engine = node.open().await;
    let id = engine.new_producer().await.unwrap();
    let first = send(&engine, (id, 0, 0), "a", Acks::All).await.unwrap();
    let again = send(&engine, (id, 0, 0), "a", Acks::Leader).await.unwrap();
    assert_eq!(again, Appended { duplicate: true, ..first });
    send(&engine, (id, 0, 1), "b", Acks::Leader).await.unwrap();
    // What is on the disk by then is what the first one would have waited for.
    let waited = send(&engine, (id, 0, 1), "b", Acks::All).await.unwrap();
    assert_eq!((waited.base_offset, waited.duplicate), (Offset(1), true));
    assert_eq!(engine.stats().produced, 2, "what is not stored again is not counted again");
    drop(engine);
    node.sim.crash_losing_all();
    let engine = node.open().await;
    assert_eq!(send(&engine, (id, 0, 1), "b", Acks::All).await.unwrap().base_offset, Offset(1));
    let fetched = engine.fetch(spec("t", 0, 0)).await.unwrap();
    assert_eq!(values(&fetched, 0), [(0, "a".to_owned()), (1, "b".to_owned())]);
}

#[tokio::test]
async fn gaps_strangers_and_old_epochs_are_refused_and_nothing_is_stored() {
    let engine = Node::simulated().open().await;
    send(&engine, (7, 3, 0), "a", Acks::All).await.unwrap();
    let refused = |sequence| send(&engine, sequence, "no", Acks::All);
    let gap = refused((7, 3, 2)).await.unwrap_err();
    assert!(matches!(gap, EngineError::OutOfOrderSequence { expected: 1, sequence: 2, .. }), "{gap}");
    let old = refused((7, 2, 0)).await.unwrap_err();
    assert!(matches!(old, EngineError::ProducerFenced { epoch: 2, current: 3, .. }), "{old}");
    let stranger = refused((8, 0, 5)).await.unwrap_err();
    assert!(matches!(stranger, EngineError::UnknownProducer { producer: 8, sequence: 5, .. }), "{stranger}");
    let unnumbered = refused((8, 0, -1)).await.unwrap_err();
    assert!(matches!(unnumbered, EngineError::InvalidBatch(_)), "{unnumbered}");
    let info = engine.topic(&topic("t")).unwrap();
    assert_eq!(info.partitions[0].log_end, Offset(1));
    send(&engine, (7, 4, 0), "a new epoch begins at 0", Acks::All).await.unwrap();
}

/// Ids in a backup are those of another time, and perhaps of another cluster.
#[tokio::test]
async fn a_restored_topic_knows_no_producers() {
    let node = Node::simulated();
    let engine = node.open().await;
    let backup = "20260101T000000Z-0badcafe:1";
    let restore = Some(flymq_engine::RestoreTopic { backup: backup.into(), first_offsets: vec![Offset(40)] });
    engine.create_topic(flymq_engine::NewTopic { restore, ..new_topic("t", 1) }).await.unwrap();
    let mut stored = produced((7, 2, 900), &["kept"]).to_vec();
    stamp_header(&mut stored, &ServerFields { base_offset: 40, ..ServerFields::default() }).unwrap();
    engine.restore_records(&topic("t"), PartitionId(0), backup, vec![stored.into()]).await.unwrap();
    engine.finish_restore(&topic("t"), backup).await.unwrap();
    assert_eq!(send(&engine, (7, 0, 0), "new", Acks::All).await.unwrap().base_offset, Offset(41));
    let fetched = engine.fetch(spec("t", 0, 40)).await.unwrap();
    assert_eq!(values(&fetched, 40), [(40, "kept".to_owned()), (41, "new".to_owned())]);
}
