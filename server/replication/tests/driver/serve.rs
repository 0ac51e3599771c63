//! What engines of a cluster answer.

use std::time::Duration;

use flymq_engine::{EngineError, EngineOptions, StartFrom, SubscribeSpec, TopicConfig};
use flymq_types::{Acks, Isolation, Offset, PartitionId};

use crate::cluster::until;
use crate::engines::{Engines, read_all, spec, topic};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_leader_serves_and_the_others_name_it() {
    let cluster = Engines::new(EngineOptions::default()).await;
    cluster.create("t", 1, TopicConfig::default()).await;
    let leader = cluster.leader("t", 0).await;
    for number in 0..10 {
        cluster.produce(leader, "t", &format!("v{number}"), Acks::All).await.unwrap();
    }
    assert_eq!(read_all(cluster.engine(leader), "t").await.len(), 10);
    let latest = cluster
        .engine(leader)
        .find_offset(&topic("t"), PartitionId(0), StartFrom::Latest, Isolation::ReadCommitted)
        .await;
    assert_eq!(latest.unwrap(), Offset(10));
    for other in (0..3).filter(|other| *other != leader) {
        let names_it = |error: EngineError| match error {
            EngineError::NotLeader { leader: Some(named), .. } => named == cluster.nodes[leader].id,
            _ => false,
        };
        assert!(names_it(cluster.produce(other, "t", "v", Acks::Leader).await.unwrap_err()));
        assert!(names_it(cluster.engine(other).fetch(spec("t", 0)).await.unwrap_err()));
        let latest = cluster
            .engine(other)
            .find_offset(&topic("t"), PartitionId(0), StartFrom::Latest, Isolation::ReadCommitted)
            .await;
        assert!(names_it(latest.unwrap_err()));
        let info = cluster.engine(other).topic(&topic("t")).unwrap().partitions[0].clone();
        assert_eq!(info.log_end, Offset(10), "it has them all the same");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_may_have_been_replaced_does_not_say_that_there_is_nothing() {
    let cluster = Engines::new(EngineOptions::default()).await;
    cluster.create("t", 1, TopicConfig::default()).await;
    let leader = cluster.leader("t", 0).await;
    cluster.produce(leader, "t", "v", Acks::All).await.unwrap();
    let engine = cluster.engine(leader);
    assert!(engine.fetch(spec("t", 1)).await.unwrap().batches.is_empty(), "it is sure");
    cluster.isolate(leader);
    let trusts_itself = async {
        while let Ok(fetched) = engine.fetch(spec("t", 1)).await {
            assert!(fetched.batches.is_empty(), "{fetched:?}");
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), trusts_itself).await.expect("it trusts itself for ever");
    let refused = engine.fetch(spec("t", 1)).await;
    assert!(matches!(refused, Err(EngineError::NotLeader { .. })), "{refused:?}");
    let shown = engine.fetch(spec("t", 0)).await.unwrap();
    assert_eq!(shown.batches.len(), 1, "what is committed stays so, whoever leads");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failover_ends_waits_and_loses_nothing_acknowledged() {
    let mut cluster = Engines::new(EngineOptions::default()).await;
    cluster.create("t", 1, TopicConfig::default()).await;
    let mut acked = Vec::new();
    for round in 0..3 {
        let leader = cluster.leader("t", 0).await;
        for number in 0..10 {
            let value = format!("{round}/{number}");
            cluster.produce(leader, "t", &value, Acks::All).await.unwrap();
            acked.push(value);
        }
        let engine = cluster.engine(leader).clone();
        let mut poll = spec("t", acked.len() as u64);
        poll.max_wait = Duration::from_secs(30);
        let positions = vec![(PartitionId(0), Offset(acked.len() as u64))];
        let spec = SubscribeSpec { topic: topic("t"), positions, isolation: Isolation::ReadCommitted };
        let mut stream = engine.subscribe(spec).await.unwrap();
        // Cut off: nobody tells it anything, and another leads.
        cluster.isolate(leader);
        cluster.fence(leader).await;
        let next = cluster.leader("t", 0).await;
        assert_ne!(next, leader);
        assert_eq!(read_all(cluster.engine(next), "t").await, acked);
        let waits = async { (engine.fetch(poll).await, stream.next(1 << 20).await) };
        let heal = async {
            cluster.heal();
            cluster.unfence(leader).await;
        };
        let ((polled, streamed), ()) = tokio::join!(waits, heal);
        assert!(matches!(polled, Err(EngineError::NotLeader { .. })), "{polled:?}");
        assert!(matches!(streamed, Err(EngineError::NotLeader { .. })), "{streamed:?}");
        drop((engine, stream));
        cluster.in_sync("t", 0, 3).await;
        // And one that dies for good while the next round writes.
        cluster.kill(leader).await;
        cluster.start(leader).await;
        cluster.in_sync("t", 0, 3).await;
    }
    let leader = cluster.leader("t", 0).await;
    assert_eq!(read_all(cluster.engine(leader), "t").await, acked);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn retention_at_the_leader_moves_all_logs() {
    let cluster = Engines::new(EngineOptions::default()).await;
    let config = TopicConfig {
        retention_bytes: Some(100_000),
        segment_bytes: Some(1 << 20),
        ..TopicConfig::default()
    };
    cluster.create("t", 1, config).await;
    let leader = cluster.leader("t", 0).await;
    let value = "x".repeat(200_000);
    for _ in 0..30 {
        cluster.produce(leader, "t", &value, Acks::All).await.unwrap();
    }
    cluster.engine(leader).enforce_retention().await.unwrap();
    let start = |index: usize| cluster.engine(index).topic(&topic("t")).unwrap().partitions[0].low;
    until("old segments are gone", || start(leader) > Offset::ZERO).await;
    until("and everywhere", || (0..3).all(|index| start(index) == start(leader))).await;
    for other in (0..3).filter(|other| *other != leader) {
        assert_eq!(cluster.engine(other).enforce_retention().await.unwrap(), 0, "only the leader decides");
    }
    let low = start(leader);
    let deleted = cluster.engine(leader).delete_records(&topic("t"), PartitionId(0), Offset::MAX).await;
    assert_eq!(deleted.unwrap(), Offset(30));
    assert!(low < Offset(30) && (0..3).all(|index| start(index) == Offset(30)));
}
