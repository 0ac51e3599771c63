//! Transactions over changes of leadership: every replica knows the same of them.

use std::time::Duration;

use flymq_engine::{EngineError, EngineOptions, FetchSpec, Target, TopicConfig};
use flymq_types::{Acks, BatchFlags, Isolation, Marker, Offset, Outcome, PartitionId, ProducerId};
use flymq_wire::batch::{BatchBuilder, NewRecord, ProducerFields};

use crate::cluster::until;
use crate::engines::{Engines, spec, topic};

const P0: PartitionId = PartitionId(0);

async fn send(
    cluster: &Engines,
    leader: usize,
    (id, epoch, base_sequence): (u64, u16, i32),
    value: &str,
) -> Result<Offset, EngineError> {
    let mut builder = BatchBuilder::new();
    builder.set_producer(ProducerFields { id, epoch, base_sequence }).add_flags(BatchFlags::TRANSACTIONAL);
    builder.push(&NewRecord { value: Some(value.as_bytes()), ..NewRecord::default() }).unwrap();
    let (engine, bytes) = (cluster.engine(leader), builder.build().unwrap());
    Ok(engine.append(&topic("t"), Target::Partition(P0), bytes, Acks::All).await?.base_offset)
}

async fn end(
    cluster: &Engines,
    leader: usize,
    (id, epoch): (u64, u16),
    outcome: Outcome,
) -> Result<Offset, EngineError> {
    let marker = Marker { producer_id: id, producer_epoch: epoch, coordinator_epoch: 3, outcome };
    cluster.engine(leader).write_marker(&topic("t"), P0, marker).await
}

/// What readers of this isolation see. A leader that is new does not know at once how much is committed, and says so.
async fn read(cluster: &Engines, leader: usize, isolation: Isolation) -> Vec<String> {
    let (mut all, mut offset) = (Vec::new(), 0);
    let reading = async {
        loop {
            let fetched =
                match cluster.engine(leader).fetch(FetchSpec { isolation, ..spec("t", offset) }).await {
                    Err(EngineError::CommitUnknown { .. }) => {
                        tokio::task::yield_now().await;
                        continue;
                    }
                    fetched => fetched.unwrap(),
                };
            if fetched.batches.is_empty() {
                return;
            }
            for record in fetched.batches.iter().flat_map(|batch| batch.records().unwrap()) {
                all.push(String::from_utf8(record.unwrap().value.unwrap().to_vec()).unwrap());
            }
            offset = fetched.next_offset.get();
        }
    };
    tokio::time::timeout(Duration::from_secs(60), reading).await.expect("hangs");
    all
}

fn stable(cluster: &Engines, index: usize) -> u64 {
    cluster.engine(index).last_stable_offset(&topic("t"), P0).unwrap().get()
}

fn open(cluster: &Engines, index: usize, id: u64, epoch: u16) -> bool {
    let id = ProducerId::from_wire(id).unwrap();
    cluster.engine(index).has_open_transaction(&topic("t"), P0, id, epoch).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_dies_in_the_middle_of_a_transaction_and_the_next_one_knows_all_of_it() {
    let mut cluster = Engines::new(EngineOptions::default()).await;
    cluster.create("t", 1, TopicConfig::default()).await;
    let first = cluster.leader("t", 0).await;
    send(&cluster, first, (7, 0, 0), "aborted").await.unwrap();
    send(&cluster, first, (8, 0, 0), "committed 8").await.unwrap();
    end(&cluster, first, (7, 1), Outcome::Abort).await.unwrap();
    send(&cluster, first, (7, 1, 0), "committed 7").await.unwrap();
    cluster.produce(first, "t", "plain", Acks::All).await.unwrap();
    assert_eq!(stable(&cluster, first), 1);
    for other in (0..3).filter(|other| *other != first) {
        until("it knows what is committed", || stable(&cluster, other) == 1).await;
        assert!(open(&cluster, other, 7, 1) && open(&cluster, other, 8, 0) && !open(&cluster, other, 7, 0));
    }
    cluster.kill(first).await;
    cluster.fence(first).await;
    let second = cluster.leader("t", 0).await;
    assert_eq!(stable(&cluster, second), 1);
    assert!(open(&cluster, second, 7, 1) && open(&cluster, second, 8, 0));
    assert!(read(&cluster, second, Isolation::ReadCommitted).await.is_empty());
    let late = send(&cluster, second, (7, 0, 1), "late").await.unwrap_err();
    assert!(matches!(late, EngineError::ProducerFenced { .. }), "{late}");
    send(&cluster, second, (7, 1, 1), "committed 7, too").await.unwrap();
    end(&cluster, second, (8, 1), Outcome::Commit).await.unwrap();
    assert_eq!(stable(&cluster, second), 3);
    assert_eq!(read(&cluster, second, Isolation::ReadCommitted).await, ["committed 8"]);
    cluster.start(first).await;
    cluster.unfence(first).await;
    cluster.in_sync("t", 0, 3).await;
    let marker = end(&cluster, second, (7, 2), Outcome::Commit).await.unwrap();
    let all = ["committed 8", "committed 7", "plain", "committed 7, too"];
    assert_eq!(read(&cluster, second, Isolation::ReadCommitted).await, all);
    until("all know the end", || (0..3).all(|index| stable(&cluster, index) == marker.get() + 1)).await;
    cluster.kill(second).await;
    cluster.fence(second).await;
    let third = cluster.leader("t", 0).await;
    until("it is committed", || stable(&cluster, third) == marker.get() + 1).await;
    assert_eq!(read(&cluster, third, Isolation::ReadCommitted).await, all);
    let uncommitted = read(&cluster, third, Isolation::ReadUncommitted).await;
    assert_eq!(uncommitted.len(), 5, "what was aborted, too, and no marker");
}

/// The marker stands in the leader's log and nowhere else: what it ends is not read before it is committed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_marker_ends_is_read_once_it_is_committed() {
    let cluster = Engines::new(EngineOptions::default()).await;
    cluster.create("t", 1, TopicConfig::default()).await;
    let leader = cluster.leader("t", 0).await;
    send(&cluster, leader, (7, 0, 0), "a").await.unwrap();
    cluster.isolate(leader);
    let marker = end(&cluster, leader, (7, 1), Outcome::Commit);
    let mut marker = std::pin::pin!(marker);
    let appended = async {
        until("it is appended", || !open(&cluster, leader, 7, 0)).await;
        assert_eq!(stable(&cluster, leader), 0);
    };
    tokio::select! {
        biased;
        ended = &mut marker => panic!("{ended:?}"),
        () = appended => {}
    }
    cluster.heal();
    // This node may have been replaced meanwhile: then it is sent again.
    if marker.await.is_err() {
        let leader = cluster.leader("t", 0).await;
        end(&cluster, leader, (7, 1), Outcome::Commit).await.unwrap();
    }
    let leader = cluster.leader("t", 0).await;
    assert_eq!(read(&cluster, leader, Isolation::ReadCommitted).await, ["a"]);
}
