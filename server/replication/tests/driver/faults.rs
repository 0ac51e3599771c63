//! Disks that fail.

use flymq_engine::ReplicaFailure;
use flymq_storage::{FaultOp, StorageError};
use flymq_types::{Acks, Offset};
use futures::FutureExt;

use crate::cluster::{Cluster, batch, until};

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

/// The other nodes have the record in their page cache, and their disks do not take it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_on_no_other_disk_is_not_acknowledged_by_all() {
    let cluster = Cluster::simulated(3).await;
    let leader = cluster.leader().await;
    cluster.produce_all(leader, 10).await;
    let others = [(leader + 1) % 3, (leader + 2) % 3];
    for other in others {
        cluster.nodes[other].disk.as_ref().unwrap().fail(FaultOp::Fdatasync, 1, EIO);
    }
    let mut waits = cluster.node(leader).handle.append(batch(&[&cluster.value()]), Acks::All);
    let mut answer = None;
    until("both leave, or it is acknowledged", || {
        answer = answer.take().or_else(|| (&mut waits).now_or_never());
        answer.is_some() || cluster.partition().isr.len() == 1
    })
    .await;
    assert!(answer.is_none(), "{answer:?}");
    for other in others {
        let node = cluster.node(other);
        assert!(node.listener.0.lock().failed);
        assert_eq!((node.log.end_offset(), node.log.durable_offset()), (Offset(11), Offset(10)));
    }
    let known = || cluster.node(leader).set.status()[0].in_sync.len() == 1;
    until("the leader knows that it is alone", known).await;
    assert!(waits.now_or_never().is_none(), "what only one has is not committed");
    assert_eq!(cluster.node(leader).listener.0.lock().high, Offset(10));
}

/// A disk goes back to an earlier state, as with the snapshot of a virtual machine, and its node is the only one that may
/// lead. The others know that more is committed and keep it, so that one of them can lead with it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_known_to_be_committed_is_not_cut_off_for_a_leader_that_lost_it() {
    // Its log is to be cut, or begins anew.
    a_disk_goes_back_to(5).await;
    a_disk_goes_back_to(0).await;
}

async fn a_disk_goes_back_to(records: usize) {
    let mut cluster = Cluster::simulated(3).await;
    let leader = cluster.leader().await;
    let (back, other) = ((leader + 1) % 3, (leader + 2) % 3);
    let mut acked = cluster.produce_all(leader, records).await;
    let earlier = cluster.nodes[back].disk.as_ref().unwrap().fork();
    earlier.crash_losing_all();
    acked.extend(cluster.produce_all(leader, 10 - records).await);
    let knows = |index: usize| cluster.node(index).handle.high_watermark() == Offset(10);
    until("all know that", || (0..3).all(knows)).await;
    cluster.isolate(leader);
    cluster.isolate(other);
    cluster.kill(back).await;
    // The last one stays in sync, as the name of who knew.
    for gone in [leader, other, back] {
        cluster.fence(gone).await;
    }
    cluster.nodes[back].disk = Some(earlier);
    cluster.start(back).await;
    assert_eq!(cluster.leader().await, back);
    assert_eq!(cluster.node(back).log.end_offset(), Offset(records as u64));
    cluster.heal();
    for keeper in [leader, other] {
        cluster.unfence(keeper).await;
        let node = cluster.node(keeper);
        let refuses = || node.set.status()[0].refused.is_some();
        until("it was asked to cut", || refuses() || node.log.end_offset() != Offset(10)).await;
        assert_eq!(node.log.end_offset(), Offset(10), "committed records are cut off");
    }
    // The second to leave was eligible from then on.
    cluster.fence(back).await;
    assert_eq!(cluster.leader().await, other);
    cluster.unfence(back).await;
    cluster.in_sync(3).await;
    acked.extend(cluster.produce_all(other, 1).await);
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

/// The list of epochs is lost with the header of the batch that began one: what is rebuilt lacks it, and the range is
/// mended all the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn damaged_records_are_mended_where_the_list_of_epochs_is_lost_as_well() {
    let mut cluster = Cluster::simulated(3).await;
    let first = cluster.leader().await;
    let mut values = cluster.produce_all(first, 20).await;
    cluster.kill(first).await;
    cluster.fence(first).await;
    let second = cluster.leader().await;
    values.extend(cluster.produce_all(second, 20).await);
    cluster.start(first).await;
    cluster.in_sync(3).await;
    let victim = (0..3).find(|node| *node != second).expect("two follow");
    cluster.kill(victim).await;
    cluster.fence(victim).await;
    let disk = cluster.nodes[victim].disk.clone().unwrap();
    let of_kind = |kind: &str| {
        disk.files()
            .into_iter()
            .find(|path| path.file_name().is_some_and(|name| name.to_string_lossy().ends_with(kind)))
    };
    disk.tamper(&of_kind("epochs").expect("it is there"), |bytes| bytes[20] ^= 1).unwrap();
    // From its beginning: the checkpoint knows nothing.
    disk.tamper(&of_kind("checkpoint").expect("it is there"), |bytes| bytes.fill(0)).unwrap();
    disk.tamper(&of_kind(".log").expect("it is there"), |bytes| {
        let value = bytes.windows(8).position(|bytes| bytes == b"value 20").expect("it is there");
        let header = bytes[..value].windows(4).rposition(|bytes| bytes == b"FQB1").expect("a batch");
        bytes[header + 40] ^= 1;
    })
    .unwrap();
    cluster.start(victim).await;
    assert!(!cluster.node(victim).log.damaged().is_empty());
    until("it is mended", || cluster.node(victim).log.damaged().is_empty()).await;
    cluster.in_sync(3).await;
    assert_eq!(cluster.equal_logs().await, values);
    assert_eq!(cluster.node(victim).log.epochs(), cluster.node(second).log.epochs());
}
