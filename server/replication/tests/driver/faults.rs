//! Disks that fail.

use flymq_engine::ReplicaFailure;
use flymq_storage::{FaultOp, StorageError};
use flymq_types::{Acks, Offset};

use crate::cluster::{Cluster, until};

/// EIO.
const EIO: i32 = 5;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_whose_fsync_fails_gives_up_and_another_leads() {
    let cluster = Cluster::simulated(3).await;
    let old = cluster.leader().await;
    let mut acked = cluster.produce_all(old, 10).await;
    cluster.nodes[old].disk.as_ref().unwrap().fail(FaultOp::Fdatasync, 1, EIO);
    let value = cluster.value();
    let answer = cluster.produce(old, &value, Acks::All).await;
    assert!(matches!(answer, Err(ReplicaFailure::Storage(_))), "{answer:?}");
    until("it gives up", || cluster.node(old).listener.0.lock().failed).await;
    until("another leads", || {
        let leader = cluster.partition().leader.clone();
        leader.is_some_and(|leader| leader != cluster.nodes[old].id)
    })
    .await;
    let new = cluster.leader().await;
    acked.extend(cluster.produce_all(new, 10).await);
    let refused = cluster.produce(old, "v", Acks::Leader).await;
    assert!(matches!(refused, Err(ReplicaFailure::Storage(_))), "{refused:?}");
    let there = crate::cluster::values_of(&cluster.node(new).log);
    assert!(acked.iter().all(|value| there.contains(value)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_follower_whose_fsync_fails_leaves_and_comes_back_with_its_process() {
    let mut cluster = Cluster::simulated(3).await;
    let leader = cluster.leader().await;
    let mut acked = cluster.produce_all(leader, 10).await;
    let broken = (leader + 1) % 3;
    cluster.nodes[broken].disk.as_ref().unwrap().fail(FaultOp::Fdatasync, 1, EIO);
    // The leader goes on once it has left.
    acked.extend(cluster.produce_all(leader, 10).await);
    cluster.in_sync(2).await;
    assert!(cluster.node(broken).listener.0.lock().failed);
    cluster.kill(broken).await;
    cluster.fence(broken).await;
    cluster.start(broken).await;
    cluster.in_sync(3).await;
    acked.extend(cluster.produce_all(leader, 1).await);
    assert_eq!(cluster.equal_logs().await, acked);
}

/// A bit of a log flips while its node is down: once a read has met it, the others mend it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn damaged_records_are_mended_by_the_others() {
    let mut cluster = Cluster::simulated(3).await;
    let leader = cluster.leader().await;
    let values = cluster.produce_all(leader, 40).await;
    for victim in [(leader + 1) % 3, leader] {
        cluster.kill(victim).await;
        cluster.fence(victim).await;
        let disk = cluster.nodes[victim].disk.clone().unwrap();
        let segment = disk.files().into_iter().find(|path| path.extension().is_some_and(|end| end == "log"));
        disk.tamper(&segment.unwrap(), |bytes| {
            let value = bytes.windows(8).position(|bytes| bytes == b"value 20").expect("it is there");
            bytes[value] ^= 1;
        })
        .unwrap();
        cluster.start(victim).await;
        let node = cluster.node(victim);
        let read = node.log.read_raw(Offset(20), 1);
        assert!(matches!(read, Err(StorageError::Corrupt { .. })), "{read:?}");
        node.handle.damage_met();
        until("it is mended", || cluster.node(victim).log.damaged().is_empty()).await;
        cluster.in_sync(3).await;
        assert_eq!(cluster.equal_logs().await, values);
    }
}
