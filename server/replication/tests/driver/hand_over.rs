//! Leaderships that move though nothing has failed.

use flymq_engine::ReplicaFailure;
use flymq_engine::meta::{
    Command, DrainBroker, ElectPreferred, MetaError, MetaStore as _, Reassign, TransferLeader,
};
use flymq_types::Acks;

use crate::cluster::{Cluster, batch, until};

/// The node of that number is to be drained.
fn drain(cluster: &Cluster, index: usize) -> Command {
    let id = cluster.nodes[index].id.clone();
    let broker_epoch = cluster.store.image().cluster.node(&id).unwrap().broker_epoch;
    Command::DrainBroker(DrainBroker { id, broker_epoch, hand_over: true })
}

/// Proposes what is made from the newest metadata.
async fn propose(cluster: &Cluster, command: impl Fn(&Cluster) -> Command) {
    loop {
        match cluster.store.propose(vec![command(cluster)]).await {
            Ok(_applied) => return,
            Err(MetaError::Rejected(_)) => tokio::task::yield_now().await,
            Err(error) => panic!("{error}"),
        }
    }
}

/// Whoever leads acknowledges records that the others do not get; then its leadership is to move, more records come, and the
/// others get through again. Whatever was acknowledged is there afterwards, once.
async fn move_loses_nothing(cluster: &Cluster, command: impl Fn(&Cluster) -> Command) {
    let old = cluster.leader().await;
    let mut kept = cluster.produce_all(old, 5).await;
    for other in (0..3).filter(|other| *other != old) {
        cluster.links.cut(cluster.node(old).broker, cluster.node(other).broker);
    }
    for _ in 0..10 {
        let value = cluster.value();
        cluster.produce(old, &value, Acks::Leader).await.expect("the leader has it");
        kept.push(value);
    }
    propose(cluster, &command).await;
    let late: Vec<_> = (0..6).map(|_| cluster.value()).collect();
    let acks = [Acks::Leader, Acks::All];
    let answers: Vec<_> = late
        .iter()
        .zip(acks.into_iter().cycle())
        .map(|(value, acks)| cluster.node(old).handle.append(batch(&[value]), acks))
        .collect();
    cluster.heal();
    let mut again = Vec::new();
    for (value, answer) in late.into_iter().zip(answers) {
        match answer.await {
            // It came before the leader knew, or after it had given up.
            Ok(_appended) => kept.push(value),
            Err(ReplicaFailure::NotLeader | ReplicaFailure::NotEnoughReplicas { .. }) => again.push(value),
            Err(other) => panic!("{other}"),
        }
    }
    // Where the machine is slow the others have left the in-sync set meanwhile, and the wish with them.
    let moved = async {
        while cluster.leader().await == old {
            propose(cluster, &command).await;
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(crate::cluster::DEADLINE, moved).await.expect("it moves");
    let new = cluster.leader().await;
    for value in again {
        cluster.produce(new, &value, Acks::All).await.expect("the next leader takes it");
        kept.push(value);
    }
    let there = cluster.equal_logs().await;
    assert_eq!(there, kept, "all of it, in order, once");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn draining_loses_nothing_that_only_the_leader_has() {
    let cluster = Cluster::new(3).await;
    let old = cluster.leader().await;
    move_loses_nothing(&cluster, |cluster| drain(cluster, old)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn balancing_loses_nothing_that_only_the_leader_has() {
    let cluster = Cluster::new(3).await;
    let second = cluster.partition().replicas[1].clone();
    propose(&cluster, |cluster| {
        let (at, partition_epoch) = (cluster.at.clone(), cluster.partition().partition_epoch);
        Command::TransferLeader(TransferLeader { at, partition_epoch, to: second.clone(), unclean: false })
    })
    .await;
    let back =
        |_: &Cluster| Command::ElectPreferred(ElectPreferred { partitions: Vec::new(), hand_over: true });
    move_loses_nothing(&cluster, back).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reassigning_loses_nothing_that_only_the_leader_has() {
    let cluster = Cluster::new(3).await;
    let old = cluster.leader().await;
    let without = |cluster: &Cluster| {
        let (at, partition_epoch) = (cluster.at.clone(), cluster.partition().partition_epoch);
        let left = cluster.nodes.iter().map(|node| node.id.clone());
        let replicas = left.filter(|id| *id != cluster.nodes[old].id).collect();
        Command::Reassign(Reassign { at, partition_epoch, replicas, throttle_bytes_per_s: 0 })
    };
    // The old leader keeps a log here that nothing follows any more: the two others are compared.
    let moved = async {
        let mut kept = cluster.produce_all(old, 5).await;
        for other in (0..3).filter(|other| *other != old) {
            cluster.links.cut(cluster.node(old).broker, cluster.node(other).broker);
        }
        for _ in 0..10 {
            let value = cluster.value();
            cluster.produce(old, &value, Acks::Leader).await.expect("the leader has it");
            kept.push(value);
        }
        propose(&cluster, without).await;
        assert_eq!(cluster.partition().leader.as_ref(), Some(&cluster.nodes[old].id), "it goes last");
        cluster.heal();
        until("the reassignment is done", || !cluster.partition().is_reassigning()).await;
        let new = cluster.leader().await;
        assert_ne!(new, old);
        let there = crate::cluster::values_of(&cluster.node(new).log);
        assert_eq!(there, kept);
        cluster.produce_all(new, 3).await;
    };
    tokio::time::timeout(crate::cluster::DEADLINE, moved).await.expect("it moves");
}

/// The next leader does not get what it lacks: it leaves the in-sync set, and the old one goes on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hand_over_to_one_that_is_cut_off_ends() {
    let cluster = Cluster::new(3).await;
    let old = cluster.leader().await;
    for other in (0..3).filter(|other| *other != old) {
        cluster.isolate(other);
    }
    cluster.produce(old, &cluster.value(), Acks::Leader).await.expect("the leader has it");
    propose(&cluster, |cluster| drain(cluster, old)).await;
    let waits = cluster.node(old).handle.append(batch(&["v"]), Acks::Leader);
    let answer = tokio::time::timeout(crate::cluster::DEADLINE, waits).await.expect("it ends");
    assert!(answer.is_ok(), "{answer:?}");
    assert_eq!(cluster.partition().leader.as_ref(), Some(&cluster.nodes[old].id));
}
