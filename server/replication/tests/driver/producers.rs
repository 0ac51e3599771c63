//! Idempotent producers: what they send again is not stored twice, whoever leads.

use flymq_engine::ReplicaFailure;
use flymq_storage::{Appended, StorageError};
use flymq_types::{Acks, Offset, RecordBatch};
use flymq_wire::batch::{BatchBuilder, NewRecord, ProducerFields};

use crate::cluster::{Cluster, until};

const PRODUCER: u64 = 77;

fn produced(sequence: i32, value: &str) -> RecordBatch {
    let mut builder = BatchBuilder::new();
    builder.set_producer(ProducerFields { id: PRODUCER, epoch: 0, base_sequence: sequence });
    builder.push(&NewRecord { value: Some(value.as_bytes()), ..NewRecord::default() }).unwrap();
    RecordBatch::from_producer(builder.build().unwrap()).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_sent_again_gets_the_offsets_of_the_first_time() {
    let cluster = Cluster::new(3).await;
    let leader = cluster.leader().await;
    let handle = cluster.node(leader).handle.clone();
    let first = handle.append(produced(0, "a"), Acks::All).await.unwrap();
    handle.append(produced(1, "b"), Acks::All).await.unwrap();
    for acks in [Acks::None, Acks::Leader, Acks::All] {
        let again = handle.append(produced(0, "a"), acks).await.unwrap();
        assert_eq!(again, Appended { duplicate: true, ..first });
    }
    let gap = handle.append(produced(3, "d"), Acks::All).await.unwrap_err();
    let ReplicaFailure::Storage(StorageError::OutOfOrderSequence { expected: 2, found: 3, .. }) = gap else {
        panic!("{gap}")
    };
    assert_eq!(cluster.equal_logs().await, ["a", "b"]);
}

/// The first one waits for the followers, and so do all that come after it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn batches_sent_again_while_the_first_is_on_its_way_are_one() {
    let cluster = Cluster::new(3).await;
    let leader = cluster.leader().await;
    cluster.isolate(leader);
    let handle = cluster.node(leader).handle.clone();
    let answers: Vec<_> = (0..4).map(|_| handle.append(produced(0, "a"), Acks::All)).collect();
    until("its log has it", || cluster.node(leader).log.end_offset() == Offset(1)).await;
    cluster.heal();
    for (i, answer) in answers.into_iter().enumerate() {
        let answer = answer.await.unwrap();
        assert_eq!((answer.base_offset, answer.duplicate), (Offset(0), i > 0));
    }
    assert_eq!(cluster.equal_logs().await, ["a"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn leaders_are_killed_in_turn_and_nothing_is_stored_twice_or_out_of_order() {
    let mut cluster = Cluster::new(3).await;
    let (mut sequence, mut sent) = (0, Vec::new());
    for _round in 0..4 {
        let leader = cluster.leader().await;
        for _ in 0..10 {
            let value = format!("value {sequence}");
            cluster.node(leader).handle.append(produced(sequence, &value), Acks::All).await.unwrap();
            (sent, sequence) = ([sent, vec![value]].concat(), sequence + 1);
        }
        // Five on their way when the process dies: the producer hears of some of them.
        let dying = cluster.node(leader).handle.clone();
        let under_way: Vec<_> = (sequence..sequence + 5)
            .map(|sequence| dying.append(produced(sequence, &format!("value {sequence}")), Acks::All))
            .collect();
        drop(dying);
        cluster.kill(leader).await;
        cluster.fence(leader).await;
        let next = cluster.leader().await;
        for answer in under_way {
            let value = format!("value {sequence}");
            if answer.await.is_err() {
                let again = cluster.node(next).handle.append(produced(sequence, &value), Acks::All);
                again.await.unwrap();
            }
            (sent, sequence) = ([sent, vec![value]].concat(), sequence + 1);
        }
        cluster.start(leader).await;
        cluster.in_sync(3).await;
    }
    assert_eq!(cluster.equal_logs().await, sent);
}
