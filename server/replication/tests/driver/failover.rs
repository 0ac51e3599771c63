//! Leaders die, and nothing that was acknowledged is lost.

use flymq_engine::ReplicaFailure;
use flymq_types::{Acks, Offset};

use crate::cluster::{Cluster, batch, until, values_of};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn leaders_are_killed_in_turn_and_nothing_acknowledged_is_lost() {
    let mut cluster = Cluster::new(3).await;
    let mut acked = Vec::new();
    for round in 0..4 {
        let leader = cluster.leader().await;
        acked.extend(cluster.produce_all(leader, 20).await);
        // On their way when the process dies.
        let dying = cluster.node(leader).clone();
        let values: Vec<_> = (0..30).map(|_| cluster.value()).collect();
        let under_way: Vec<_> =
            values.iter().map(|value| dying.handle.append(batch(&[value]), Acks::All)).collect();
        drop(dying);
        cluster.kill(leader).await;
        for (value, answer) in values.into_iter().zip(under_way) {
            if answer.await.is_ok() {
                acked.push(value);
            }
        }
        cluster.fence(leader).await;
        let next = cluster.leader().await;
        assert_ne!(next, leader, "round {round}");
        let there = values_of(&cluster.node(next).log);
        assert!(acked.iter().all(|value| there.contains(value)), "round {round}: a value is lost");
        acked.extend(cluster.produce_all(next, 5).await);
        cluster.start(leader).await;
        cluster.in_sync(3).await;
    }
    let there = cluster.equal_logs().await;
    assert!(acked.iter().all(|value| there.contains(value)));
    let mut once = there.clone();
    once.sort_unstable();
    once.dedup();
    assert_eq!(once.len(), there.len(), "no record is there twice");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_is_cut_off_acknowledges_nothing_to_all_and_cuts_its_own_tail() {
    let cluster = Cluster::new(3).await;
    let old = cluster.leader().await;
    let mut kept = cluster.produce_all(old, 10).await;
    cluster.isolate(old);
    let lost: Vec<_> = (0..10).map(|_| cluster.value()).collect();
    let answers: Vec<_> =
        lost.iter().map(|value| cluster.node(old).handle.append(batch(&[value]), Acks::All)).collect();
    until("its log has them", || cluster.node(old).log.end_offset() == Offset(20)).await;
    cluster.fence(old).await;
    let new = cluster.leader().await;
    assert_ne!(new, old);
    kept.extend(cluster.produce_all(new, 7).await);
    assert_eq!(cluster.node(old).listener.0.lock().high, Offset(10), "it commits nothing");
    // It trusts itself less once its session is half over.
    let node = cluster.node(old);
    until("it is not sure any more", || !node.handle.is_sure()).await;
    let refused = cluster.produce(old, "v", Acks::Leader).await;
    assert!(matches!(refused, Err(ReplicaFailure::NotLeader)), "{refused:?}");
    cluster.heal();
    for answer in answers {
        let answer = answer.await;
        assert!(matches!(answer, Err(ReplicaFailure::LeadershipLost)), "{answer:?}");
    }
    cluster.unfence(old).await;
    cluster.in_sync(3).await;
    let there = cluster.equal_logs().await;
    assert_eq!(there, kept, "its tail is cut, and nothing else");
    until("it follows", || cluster.node(old).listener.0.lock().leads.is_none()).await;
}

/// All die at once, and come back one by one: what was acknowledged is there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_die_and_come_back() {
    let mut cluster = Cluster::simulated(3).await;
    let leader = cluster.leader().await;
    let acked = cluster.produce_all(leader, 30).await;
    for index in 0..3 {
        let disk = cluster.nodes[index].disk.clone().unwrap();
        disk.crash_losing_all();
        cluster.kill(index).await;
        cluster.fence(index).await;
    }
    assert!(cluster.partition().leader.is_none());
    for index in 0..3 {
        cluster.start(index).await;
    }
    cluster.in_sync(3).await;
    let more = cluster.produce_all(cluster.leader().await, 3).await;
    assert_eq!(cluster.equal_logs().await, [acked, more].concat());
}

/// The session may end while a batch is written: it is in the log, and to say that it is not would have it sent again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_that_was_appended_is_not_refused_afterwards() {
    let cluster = Cluster::simulated(3).await;
    let leader = cluster.leader().await;
    cluster.node(leader).clock.hurry();
    let answer = cluster.produce(leader, "v", Acks::Leader).await;
    assert!(answer.is_ok(), "{answer:?}");
    assert_eq!(cluster.node(leader).log.end_offset(), Offset(1));
}
