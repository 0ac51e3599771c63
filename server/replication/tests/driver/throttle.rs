//! A reassignment goes as fast as it may.

use flymq_engine::meta::{Command, MetaStore, Reassign};
use flymq_types::{Acks, NodeId, Offset};

use crate::cluster::{Cluster, batch, until};

/// The records of one batch, and their bytes: more of them than the live records' window, in several ranges.
const RECORDS: u64 = 2_000;
const BATCHES: u64 = 60;

async fn reassign(cluster: &Cluster, replicas: &[NodeId], throttle_bytes_per_s: u64) {
    let reassign = Reassign {
        at: cluster.at.clone(),
        partition_epoch: cluster.partition().partition_epoch,
        replicas: replicas.to_vec(),
        throttle_bytes_per_s,
    };
    cluster.store.propose(vec![Command::Reassign(reassign)]).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_replica_gets_no_more_than_its_share_until_the_throttle_is_lifted() {
    let cluster = Cluster::new(3).await;
    let leader = cluster.leader().await;
    let all: Vec<NodeId> = cluster.nodes.iter().map(|node| node.id.clone()).collect();
    let new = (leader + 1) % 3;
    let two: Vec<NodeId> = all.iter().filter(|id| **id != all[new]).cloned().collect();
    reassign(&cluster, &two, 0).await;
    cluster.in_sync(2).await;
    let handle = cluster.node(leader).handle.clone();
    let value = "x".repeat(60);
    for _ in 0..BATCHES {
        let values = vec![value.as_str(); RECORDS as usize];
        handle.append(batch(&values), Acks::All).await.unwrap();
    }
    let end = Offset(RECORDS * BATCHES);
    let log = cluster.node(new).log.clone();
    assert_eq!(log.end_offset(), Offset::ZERO, "it is no replica");

    // The first range takes its time of the schedule: at a byte per second, days.
    reassign(&cluster, &all, 1).await;
    until("the first range", || log.end_offset() > Offset::ZERO).await;
    let first = log.end_offset();
    for _ in 0..20 {
        cluster.produce(leader, "meanwhile", Acks::All).await.unwrap();
    }
    assert_eq!(log.end_offset(), first, "no second range");
    assert!(first < end && cluster.partition().is_reassigning());

    reassign(&cluster, &all, 0).await;
    cluster.in_sync(3).await;
    assert!(!cluster.partition().is_reassigning());
    let end = Offset(end.get() + 20);
    until("all of it", || log.durable_offset() == end).await;
}
