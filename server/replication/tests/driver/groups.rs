//! A group's offsets move with the leadership of their partition.

use std::time::Duration;

use flymq_engine::meta::MetaStore;
use flymq_engine::{
    CommitAs, EngineError, EngineOptions, Heartbeat, NewTopic, OFFSETS_TOPIC, OffsetCommit, StartFrom,
    Target, TopicConfig,
};
use flymq_storage::LogConfig;
use flymq_types::{Acks, GroupId, Isolation, Offset, PartitionId};

use crate::cluster::until;
use crate::engines::{Engines, bytes_of, read_all, topic};

fn group() -> GroupId {
    GroupId::new("g").unwrap()
}

fn commit(offset: u64) -> Vec<OffsetCommit> {
    let (topic, partition) = (topic("t"), PartitionId(0));
    vec![OffsetCommit { topic, partition, offset: Offset(offset), metadata: format!("at {offset}") }]
}

/// Commits through the coordinator, whoever that is at the moment.
async fn commit_somewhere(cluster: &Engines, offset: u64) -> usize {
    commit_at(cluster, &[0, 1, 2], offset).await
}

/// Commits through the coordinator, which is one of these nodes.
async fn commit_at(cluster: &Engines, nodes: &[usize], offset: u64) -> usize {
    loop {
        for &index in nodes {
            let Some(running) = &cluster.nodes[index].running else { continue };
            match running.engine.commit_offsets(&group(), commit(offset)).await {
                Ok(()) => return index,
                Err(EngineError::NotCoordinator { .. }) => {}
                Err(error) => panic!("{error}"),
            }
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn offsets_move_to_the_next_coordinator() {
    let mut cluster = Engines::new(EngineOptions::default()).await;
    cluster.create("t", 1, TopicConfig::default()).await;
    let leader = cluster.leader("t", 0).await;
    for _ in 0..20 {
        cluster.produce(leader, "t", "v", Acks::All).await.unwrap();
    }
    for round in 1..4 {
        let offset = round * 5;
        let first = commit_somewhere(&cluster, offset).await;
        let there = cluster.engine(first).committed(&group(), None, None).unwrap();
        assert_eq!((there.len(), there[0].offset), (1, Offset(offset)));
        for other in (0..3).filter(|other| *other != first) {
            let refused = cluster.engine(other).committed(&group(), None, None);
            let Err(EngineError::NotCoordinator { node, .. }) = refused else { panic!("{refused:?}") };
            assert_eq!(node.as_ref(), Some(&cluster.nodes[first].id));
            assert!(cluster.engine(other).groups(None).is_empty(), "it knows only its own");
        }
        let (name, from) = (topic("t"), StartFrom::Committed);
        let start = cluster
            .engine(first)
            .start_offset(Some(&group()), &name, PartitionId(0), from, Isolation::ReadCommitted)
            .await;
        assert_eq!(start.unwrap(), Offset(offset));
        cluster.kill(first).await;
        let second = cluster.leader(OFFSETS_TOPIC, 0).await;
        assert_ne!(second, first);
        until("it has read them", || cluster.engine(second).committed(&group(), None, None).is_ok()).await;
        let there = cluster.engine(second).committed(&group(), None, None).unwrap();
        assert_eq!(
            (there[0].offset, there[0].metadata.as_str()),
            (Offset(offset), format!("at {offset}").as_str())
        );
        cluster.start(first).await;
        cluster.in_sync(OFFSETS_TOPIC, 0, 3).await;
        cluster.in_sync("t", 0, 3).await;
    }
    let keeper = cluster.leader(OFFSETS_TOPIC, 0).await;
    let lag = cluster.engine(keeper).lag(&group(), None, None).unwrap();
    assert_eq!((lag[0].committed, lag[0].lag), (Offset(15), 5));
    let reset = cluster.engine(keeper).reset_offsets(&group(), &topic("t"), &[], StartFrom::Latest).await;
    assert_eq!(reset.unwrap()[0].offset, Offset(20));
}

/// A node that has not heard of `__consumer_offsets` does not say that there is no group: a reader would begin anew.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_knows_of_no_group_does_not_answer_for_any() {
    let cluster = Engines::new(EngineOptions::default()).await;
    cluster.create("t", 1, TopicConfig::default()).await;
    let leader = cluster.leader("t", 0).await;
    cluster.produce(leader, "t", "v", Acks::All).await.unwrap();
    let late = 2;
    cluster.in_sync("t", 0, 3).await;
    cluster.nodes[late].running.as_ref().unwrap().meta.cut();
    cluster.fence(late).await;
    let keeper = commit_at(&cluster, &[0, 1], 1).await;
    let engine = cluster.engine(late);
    let (name, from) = (topic("t"), StartFrom::Committed);
    let of = group();
    let start = || engine.start_offset(Some(&of), &name, PartitionId(0), from, Isolation::ReadCommitted);
    let member = CommitAs { member_id: "m".to_owned(), generation: 1 };
    let heartbeat = || Heartbeat {
        member_id: "m".to_owned(),
        epoch: 1,
        generation: 1,
        owned: Default::default(),
        max_wait: Duration::ZERO,
    };
    let answers = [
        start().await.map(drop),
        engine.stable_committed(&group(), None, None).await.map(drop),
        engine.heartbeat(&group(), heartbeat()).await.map(drop),
        engine.commit_as_member(&group(), &member, commit(1)).await,
        engine.delete_group(&group(), None).await,
    ];
    for answer in answers {
        assert!(matches!(answer, Err(EngineError::NotCoordinator { node: None, .. })), "{answer:?}");
    }
    cluster.heal();
    cluster.unfence(late).await;
    let Err(EngineError::NotCoordinator { node, .. }) = start().await else { panic!("another one keeps it") };
    assert_eq!(node.as_ref(), Some(&cluster.nodes[keeper].id));
}

/// The log of offsets stays short on all nodes, and whoever reads it from its new beginning knows everything.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_summary_keeps_the_log_of_offsets_short() {
    let options = EngineOptions { offsets_checkpoint_bytes: 4_000, ..EngineOptions::default() };
    let mut cluster = Engines::new(options).await;
    cluster.create("t", 1, TopicConfig::default()).await;
    let first = commit_somewhere(&cluster, 0).await;
    for offset in 1..200 {
        assert_eq!(commit_somewhere(&cluster, offset).await, first);
    }
    let info =
        |index: usize| cluster.engine(index).topic(&topic(OFFSETS_TOPIC)).unwrap().partitions[0].clone();
    until("records are deleted everywhere", || (0..3).all(|index| info(index).low > Offset(100))).await;
    assert!(info(first).high.get() - info(first).low.get() < 100, "{:?}", info(first));
    cluster.kill(first).await;
    let second = cluster.leader(OFFSETS_TOPIC, 0).await;
    until("it has read them", || cluster.engine(second).committed(&group(), None, None).is_ok()).await;
    let there = cluster.engine(second).committed(&group(), None, None).unwrap();
    assert_eq!((there.len(), there[0].offset), (1, Offset(199)));
}

/// A broker without cluster forms one: its partitions get replicas, also the log of offsets, which had been cleaned.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn partitions_from_before_the_cluster_get_replicas() {
    let options = EngineOptions { offsets_checkpoint_bytes: 1 << 20, ..EngineOptions::default() };
    let (mut cluster, alone) = Engines::alone(options).await;
    alone
        .create_topic(NewTopic {
            name: topic("t"),
            partitions: Some(1),
            config: TopicConfig::default(),
            restore: None,
        })
        .await
        .unwrap();
    for _ in 0..10 {
        alone.append(&topic("t"), Target::Partition(PartitionId(0)), bytes_of("v"), Acks::All).await.unwrap();
    }
    let long = "x".repeat(4_000);
    for offset in 0..700 {
        let mut commit = commit(offset % 10);
        commit[0].metadata.clone_from(&long);
        alone.commit_offsets(&group(), commit).await.unwrap();
    }
    let offsets = alone.topic(&topic(OFFSETS_TOPIC)).unwrap().id;
    alone.shutdown().await;
    drop(alone);
    {
        let data = cluster.open_data(0);
        let (log, _) = data.open_log(offsets, PartitionId(0), LogConfig::default()).unwrap();
        let segments = log.export().unwrap().segments;
        assert!(segments.iter().any(|segment| segment.span().cleaned), "the test needs a cleaned segment");
    }
    for index in 0..3 {
        cluster.start(index).await;
    }
    let all: Vec<_> = cluster.nodes.iter().map(|node| node.id.clone()).collect();
    for name in ["t", OFFSETS_TOPIC] {
        cluster.leader(name, 0).await;
        let at = cluster.store.image().topics[&topic(name)].partition_id(0);
        cluster.reassign(at, all.clone()).await;
        cluster.in_sync(name, 0, 3).await;
    }
    cluster.kill(0).await;
    let second = cluster.leader(OFFSETS_TOPIC, 0).await;
    until("it has read them", || cluster.engine(second).committed(&group(), None, None).is_ok()).await;
    let there = cluster.engine(second).committed(&group(), None, None).unwrap();
    assert_eq!((there.len(), there[0].offset, there[0].metadata.len()), (1, Offset(9), 4_000));
    let leader = cluster.leader("t", 0).await;
    assert_eq!(read_all(cluster.engine(leader), "t").await.len(), 10);
}
