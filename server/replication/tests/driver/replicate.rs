//! Records get to all replicas, and acknowledgements mean what they say.

use flymq_engine::ReplicaFailure;
use flymq_types::{Acks, Offset};

use crate::cluster::{Cluster, batch, until, values_of};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_all_acknowledge_is_on_every_disk() {
    let cluster = Cluster::new(3).await;
    let leader = cluster.leader().await;
    let values = cluster.produce_all(leader, 50).await;
    for node in &cluster.nodes {
        let log = &node.running.as_ref().unwrap().log;
        assert_eq!(log.durable_offset(), Offset(50), "{}", node.id);
        assert_eq!(values_of(log), values);
    }
    until("the watermark", || cluster.node(leader).listener.0.lock().high == Offset(50)).await;
    assert_eq!(cluster.equal_logs().await, values);
    let epochs = cluster.node(leader).log.epochs();
    assert_eq!(epochs.len(), 1, "{epochs:?}");
}

/// Many at once: the order of the calls is the order in the log, whatever is waited for.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn appends_keep_the_order_of_their_calls() {
    let cluster = Cluster::new(3).await;
    let leader = cluster.node(cluster.leader().await).clone();
    let values: Vec<String> = (0..500).map(|_| cluster.value()).collect();
    let acks = [Acks::Leader, Acks::All, Acks::None];
    let answers: Vec<_> = values
        .iter()
        .zip(acks.into_iter().cycle())
        .map(|(value, acks)| leader.handle.append(batch(&[value]), acks))
        .collect();
    for (offset, answer) in answers.into_iter().enumerate() {
        assert_eq!(answer.await.unwrap().base_offset, Offset(offset as u64));
    }
    assert_eq!(cluster.equal_logs().await, values);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_follower_takes_no_records() {
    let cluster = Cluster::new(3).await;
    let follower = (cluster.leader().await + 1) % 3;
    let refused = cluster.produce(follower, "v", Acks::Leader).await;
    assert!(matches!(refused, Err(ReplicaFailure::NotLeader)), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn too_few_in_sync_refuse_all_before_anything_is_appended_and_leader_goes_on() {
    let mut cluster = Cluster::new(3).await;
    let leader = cluster.leader().await;
    let kept = cluster.produce_all(leader, 5).await;
    let others = [(leader + 1) % 3, (leader + 2) % 3];
    for other in others {
        cluster.kill(other).await;
    }
    // They die unseen by the metadata group: the leader finds out by itself, with what nobody acknowledges.
    let lost = cluster.value();
    let lagging = cluster.node(leader).handle.append(batch(&[&lost]), Acks::Leader);
    lagging.await.unwrap();
    cluster.in_sync(1).await;
    let value = cluster.value();
    let refused = cluster.produce(leader, &value, Acks::All).await;
    let few = matches!(refused, Err(ReplicaFailure::NotEnoughReplicas { in_sync: 1, required: 2 }));
    assert!(few, "{refused:?}");
    assert_eq!(cluster.node(leader).log.end_offset(), Offset(6), "nothing was appended");
    let high = cluster.node(leader).listener.0.lock().high;
    assert_eq!(high, Offset(5), "what only one has is not committed");
    for other in others {
        cluster.fence(other).await;
        cluster.start(other).await;
    }
    cluster.in_sync(3).await;
    let last = cluster.produce_all(cluster.leader().await, 1).await;
    assert_eq!(cluster.equal_logs().await, [kept, vec![lost], last].concat());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_follower_that_was_away_catches_up_and_joins_again() {
    let cluster = Cluster::new(3).await;
    let leader = cluster.leader().await;
    let away = (leader + 1) % 3;
    let mut values = cluster.produce_all(leader, 3).await;
    cluster.isolate(away);
    values.extend(cluster.produce_all(leader, 1).await);
    cluster.in_sync(2).await;
    // More than one range.
    let big = "x".repeat(100_000);
    for _ in 0..40 {
        cluster.produce(leader, &big, Acks::Leader).await.unwrap();
        values.push(big.clone());
    }
    cluster.heal();
    cluster.in_sync(3).await;
    assert_eq!(cluster.equal_logs().await, values);
}

/// What the leader deletes, all delete; a replica that comes later begins where the leader does.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deleted_records_go_everywhere_and_an_empty_disk_begins_behind_them() {
    let mut cluster = Cluster::new(3).await;
    let leader = cluster.leader().await;
    for _ in 0..5 {
        let three = [cluster.value(), cluster.value(), cluster.value()];
        let batch = batch(&[&three[0], &three[1], &three[2]]);
        cluster.node(leader).handle.append(batch, Acks::All).await.unwrap();
    }
    let above = cluster.node(leader).handle.delete_records(Offset(16)).await;
    assert!(matches!(above, Err(ReplicaFailure::NotCommitted { .. })), "{above:?}");
    // In the middle of a batch.
    let start = cluster.node(leader).handle.delete_records(Offset(7)).await.unwrap();
    assert_eq!(start, Offset(7));
    for node in &cluster.nodes {
        assert_eq!(node.running.as_ref().unwrap().log.start_offset(), Offset(7), "{}", node.id);
    }
    let empty = (leader + 1) % 3;
    cluster.kill(empty).await;
    cluster.fence(empty).await;
    cluster.wipe(empty);
    cluster.start(empty).await;
    cluster.in_sync(3).await;
    cluster.produce_all(cluster.leader().await, 2).await;
    cluster.equal_logs().await;
    assert_eq!(cluster.node(empty).log.start_offset(), Offset(7));
    assert_eq!(cluster.node(empty).log.durable_offset(), Offset(17));
}
