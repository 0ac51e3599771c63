//! Committed offsets: durable, last one wins, gone with their topic.

use std::collections::BTreeMap;
use std::time::Duration;

use flymq_engine::{
    CommittedOffset, Engine, EngineError, GroupMember, GroupState, MemberInfo, OffsetCommit, StartFrom,
};
use flymq_types::{Acks, Isolation, Offset, PartitionId};
use proptest::prelude::*;

use crate::support::*;

fn commit(name: &str, partition: u32, offset: u64) -> OffsetCommit {
    let (topic, partition) = (topic(name), PartitionId(partition));
    OffsetCommit { topic, partition, offset: Offset(offset), metadata: format!("m{offset}") }
}

fn offsets(committed: Vec<CommittedOffset>) -> Vec<(String, u32, u64)> {
    let plain = |c: CommittedOffset| (c.topic.to_string(), c.partition.get(), c.offset.get());
    committed.into_iter().map(plain).collect()
}

fn all(engine: &Engine, name: &str) -> Vec<(String, u32, u64)> {
    offsets(engine.committed(&group(name), None, None).unwrap_or_default())
}

async fn with_topics(node: &Node) -> std::sync::Arc<Engine> {
    let engine = node.open().await;
    engine.create_topic(new_topic("a", 2)).await.unwrap();
    engine.create_topic(new_topic("b", 1)).await.unwrap();
    engine
}

#[tokio::test]
async fn a_commit_survives_a_crash_and_the_last_one_counts() {
    let node = Node::simulated();
    let engine = with_topics(&node).await;
    let g = group("g");
    engine.commit_offsets(&g, vec![commit("a", 0, 6), commit("b", 0, 1)]).await.unwrap();
    engine.commit_offsets(&g, vec![commit("a", 0, 4), commit("a", 1, 9)]).await.unwrap();
    let expected = [("a".to_owned(), 0, 4), ("a".to_owned(), 1, 9), ("b".to_owned(), 0, 1)];
    assert_eq!(all(&engine, "g"), expected);
    drop(engine);
    node.sim.crash_losing_all();
    let engine = node.open().await;
    assert_eq!(all(&engine, "g"), expected);
    let one = engine.committed(&g, Some(&topic("a")), Some(PartitionId(1))).unwrap();
    assert_eq!((one.len(), one[0].metadata.as_str(), one[0].committed_at.as_millis()), (1, "m9", 1_000_000));
}

#[tokio::test]
async fn unknown_things_are_refused() {
    let engine = with_topics(&Node::simulated()).await;
    let g = group("g");
    assert!(matches!(engine.committed(&g, None, None), Err(EngineError::GroupNotFound { .. })));
    assert!(matches!(engine.lag(&g, None, None), Err(EngineError::GroupNotFound { .. })));
    assert!(matches!(engine.describe_group(&g), Err(EngineError::GroupNotFound { .. })));
    assert!(matches!(engine.delete_group(&g, None).await, Err(EngineError::GroupNotFound { .. })));
    assert!(not_found(engine.commit_offsets(&g, vec![commit("x", 0, 0)]).await));
    let both = vec![commit("a", 0, 1), commit("a", 2, 1)];
    let result = engine.commit_offsets(&g, both).await;
    assert!(matches!(result, Err(EngineError::PartitionNotFound { .. })));
    let long = OffsetCommit { metadata: "x".repeat(5_000), ..commit("a", 0, 1) };
    let result = engine.commit_offsets(&g, vec![long]).await;
    assert!(matches!(result, Err(EngineError::InvalidArgument { field: "metadata", .. })));
    assert!(engine.groups(None).is_empty(), "a refused commit makes no group");
}

#[tokio::test]
async fn reset_goes_where_it_is_told() {
    let engine = with_topics(&Node::simulated()).await;
    let g = group("g");
    for at in [100, 200, 300] {
        append_at(&engine, "a", at).await;
    }
    let reset = |to| {
        let (engine, g) = (engine.clone(), g.clone());
        async move { engine.reset_offsets(&g, &topic("a"), &[PartitionId(0)], to).await.map(offsets) }
    };
    let at = |offset| vec![("a".to_owned(), 0, offset)];
    assert_eq!(reset(StartFrom::Latest).await.unwrap(), at(3));
    assert_eq!(reset(StartFrom::Earliest).await.unwrap(), at(0));
    assert_eq!(reset(StartFrom::Offset(Offset(2))).await.unwrap(), at(2));
    assert_eq!(reset(StartFrom::Timestamp(flymq_types::Timestamp(150))).await.unwrap(), at(1));
    assert!(matches!(reset(StartFrom::Offset(Offset(9))).await, Err(EngineError::OffsetOutOfRange { .. })));
    assert_eq!(all(&engine, "g"), at(1));
    engine.reset_offsets(&g, &topic("a"), &[], StartFrom::Latest).await.unwrap();
    assert_eq!(all(&engine, "g"), [("a".to_owned(), 0, 3), ("a".to_owned(), 1, 0)]);
    for (name, expected) in [("g", 3), ("new", 0)] {
        let (group, from) = (group(name), StartFrom::Committed);
        let start = engine
            .start_offset(Some(&group), &topic("a"), PartitionId(0), from, Isolation::ReadCommitted)
            .await
            .unwrap();
        assert_eq!(start, Offset(expected), "{name}");
    }
}

#[tokio::test]
async fn lag_counts_records_and_time() {
    let node = Node::simulated();
    let engine = with_topics(&node).await;
    let g = group("g");
    for _ in 0..5 {
        append(&engine, "a", 0, "v", Acks::All).await;
    }
    engine.commit_offsets(&g, vec![commit("a", 0, 2), commit("a", 1, 0)]).await.unwrap();
    node.clock.advance(Duration::from_millis(70));
    let lag = engine.lag(&g, Some(&topic("a")), None).unwrap();
    assert_eq!((lag[0].committed, lag[0].latest, lag[0].lag, lag[0].lag_ms), (Offset(2), Offset(5), 3, 70));
    assert_eq!((lag[1].lag, lag[1].lag_ms), (0, 0));
    engine.commit_offsets(&g, vec![commit("a", 0, 99)]).await.unwrap();
    assert_eq!(engine.lag(&g, None, None).unwrap()[0].lag, 0, "never below zero");
    engine.commit_offsets(&g, vec![commit("a", 0, 4)]).await.unwrap();
    assert_eq!(engine.lag(&g, None, Some(PartitionId(0))).unwrap()[0].lag, 1);
}

#[tokio::test]
async fn members_make_a_group_and_keep_it() {
    let engine = with_topics(&Node::simulated()).await;
    let g = group("g");
    let member = MemberInfo {
        member_id: "127.0.0.1:5".to_owned(),
        client_id: "c".to_owned(),
        host: "127.0.0.1".to_owned(),
        topic: topic("b"),
    };
    let guard = engine.join_member(&g, member.clone()).unwrap();
    assert_eq!(engine.committed(&g, None, None).unwrap(), []);
    engine.commit_offsets(&g, vec![commit("a", 0, 1)]).await.unwrap();
    let described = engine.describe_group(&g).unwrap();
    assert_eq!(
        (described.state, &described.members[..]),
        (GroupState::Stable, &[GroupMember::from(member)][..])
    );
    assert_eq!(engine.groups(None)[0].topics, [topic("a"), topic("b")]);
    assert_eq!(engine.groups(Some(&topic("b"))).len(), 1);
    let kept = engine.delete_group(&g, None).await;
    assert!(matches!(kept, Err(EngineError::GroupNotEmpty { members: 1, .. })));
    drop(guard);
    assert_eq!(engine.describe_group(&g).unwrap().state, GroupState::Empty);
    assert!(engine.groups(Some(&topic("b"))).is_empty());
    engine.delete_group(&g, None).await.unwrap();
    assert!(engine.groups(None).is_empty());
}

#[tokio::test]
async fn a_topics_offsets_go_with_it() {
    let node = Node::simulated();
    let engine = with_topics(&node).await;
    let g = group("g");
    engine.commit_offsets(&g, vec![commit("a", 0, 5), commit("b", 0, 7)]).await.unwrap();
    engine.delete_topic(&topic("a")).await.unwrap();
    engine.create_topic(new_topic("a", 2)).await.unwrap();
    assert_eq!(all(&engine, "g"), [("b".to_owned(), 0, 7)]);
    engine.delete_group(&g, Some(&topic("b"))).await.unwrap();
    drop(engine);
    node.sim.crash_losing_all();
    let engine = node.open().await;
    assert!(all(&engine, "g").is_empty() && engine.groups(None).is_empty());
}

#[tokio::test]
async fn a_commit_counts_although_its_caller_went_away() {
    let node = Node::simulated();
    let engine = with_topics(&node).await;
    let g = group("g");
    engine.commit_offsets(&g, vec![commit("a", 0, 1)]).await.unwrap();
    // Polled once: appended, and then dropped before the answer.
    let _ = futures::FutureExt::now_or_never(engine.commit_offsets(&g, vec![commit("a", 0, 2)]));
    engine.commit_offsets(&g, vec![commit("a", 1, 3)]).await.unwrap();
    let expected = [("a".to_owned(), 0, 2), ("a".to_owned(), 1, 3)];
    assert_eq!(all(&engine, "g"), expected);
    drop(engine);
    node.sim.crash_losing_all();
    assert_eq!(all(&*node.open().await, "g"), expected);
}

#[tokio::test]
async fn the_log_of_offsets_stays_short() {
    const PARTITIONS: u32 = 300;
    let mut node = Node::simulated();
    node.options.offsets_checkpoint_bytes = 1 << 20;
    let engine = node.open().await;
    engine.create_topic(new_topic("t", PARTITIONS)).await.unwrap();
    let info =
        |engine: &Engine| engine.topic(&topic(flymq_engine::OFFSETS_TOPIC)).unwrap().partitions.remove(0);
    engine.commit_offsets(&group("old"), vec![commit("t", 7, 70)]).await.unwrap();
    engine.commit_offsets(&group("gone"), vec![commit("t", 7, 70)]).await.unwrap();
    engine.delete_group(&group("gone"), None).await.unwrap();
    for round in 0..12 {
        let large = |n| OffsetCommit { metadata: "m".repeat(4_000), ..commit("t", n, round) };
        engine.commit_offsets(&group("g"), (0..PARTITIONS).map(large).collect()).await.unwrap();
    }
    let kept = info(&engine);
    assert!(kept.low == Offset(0) && kept.bytes < 6 << 20, "{kept:?}");
    drop(engine);
    node.sim.crash_losing_all();
    let engine = node.open().await;
    assert_eq!(all(&engine, "g"), (0..PARTITIONS).map(|n| ("t".to_owned(), n, 11)).collect::<Vec<_>>());
    assert_eq!(all(&engine, "old"), [("t".to_owned(), 7, 70)]);
    assert_eq!(engine.groups(None).len(), 2);
}

/// 100,000 commits of 200 keys, and what a restart reads of them.
#[tokio::test]
async fn a_hundred_thousand_commits_leave_a_small_log() {
    const PARTITIONS: u32 = 200;
    let mut node = Node::simulated();
    node.options.offsets_checkpoint_bytes = 1 << 20;
    let engine = node.open().await;
    engine.create_topic(new_topic("t", PARTITIONS)).await.unwrap();
    for round in 0..500 {
        let commits = (0..PARTITIONS).map(|n| commit("t", n, round)).collect();
        engine.commit_offsets(&group("g"), commits).await.unwrap();
    }
    let kept = engine.topic(&topic(flymq_engine::OFFSETS_TOPIC)).unwrap().partitions.remove(0);
    assert_eq!(kept.log_end, Offset(100_000), "offsets of the log itself are dense and stay");
    assert!(kept.bytes < 3 << 20, "{kept:?}");
    let expected: Vec<_> = (0..PARTITIONS).map(|n| ("t".to_owned(), n, 499)).collect();
    drop(engine);
    node.sim.crash_losing_all();
    assert_eq!(all(&*node.open().await, "g"), expected);
}

#[derive(Debug, Clone)]
enum Step {
    Commit { group: u8, partitions: Vec<(u8, u64)> },
    DeleteGroup { group: u8 },
    RecreateTopic { topic: u8 },
    Crash,
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    let partitions = prop::collection::vec((0..4u8, 0..1_000u64), 1..4);
    prop_oneof![
        8 => (0..3u8, partitions).prop_map(|(group, partitions)| Step::Commit { group, partitions }),
        1 => (0..3u8).prop_map(|group| Step::DeleteGroup { group }),
        1 => (0..2u8).prop_map(|topic| Step::RecreateTopic { topic }),
        1 => Just(Step::Crash),
        1 => Just(Step::Restart),
    ]
}

/// What a group's offsets have to be: by (topic, partition).
type Model = BTreeMap<u8, BTreeMap<(String, u32), u64>>;

/// Partition `n` of the steps is topic `n / 2`, partition `n % 2`.
fn place(n: u8) -> (String, u32) {
    (format!("t{}", n / 2), u32::from(n % 2))
}

async fn run(steps: Vec<Step>) {
    let mut node = Node::simulated();
    node.options.offsets_checkpoint_bytes = 500;
    let mut engine = node.open().await;
    for n in 0..2 {
        engine.create_topic(new_topic(&format!("t{n}"), 2)).await.unwrap();
    }
    let mut model = Model::new();
    for step in steps {
        let name = |n: u8| format!("g{n}");
        match step {
            Step::Commit { group: n, partitions } => {
                let commits = partitions.iter().map(|(place_of, offset)| {
                    let (name, partition) = place(*place_of);
                    commit(&name, partition, *offset)
                });
                engine.commit_offsets(&group(&name(n)), commits.collect()).await.unwrap();
                let places = partitions.into_iter().map(|(place_of, offset)| (place(place_of), offset));
                model.entry(n).or_default().extend(places);
            }
            Step::DeleteGroup { group: n } => {
                let deleted = engine.delete_group(&group(&name(n)), None).await;
                assert_eq!(deleted.is_ok(), model.remove(&n).is_some());
            }
            Step::RecreateTopic { topic: n } => {
                let gone = format!("t{n}");
                engine.delete_topic(&topic(&gone)).await.unwrap();
                engine.create_topic(new_topic(&gone, 2)).await.unwrap();
                model.values_mut().for_each(|places| places.retain(|(name, _), _| *name != gone));
                model.retain(|_, places| !places.is_empty());
            }
            Step::Crash => {
                drop(engine);
                node.sim.crash_losing_all();
                engine = node.open().await;
            }
            Step::Restart => {
                engine.shutdown().await;
                drop(engine);
                engine = node.open().await;
            }
        }
        for n in 0..3 {
            let expected = model.get(&n).into_iter().flatten();
            let expected: Vec<_> =
                expected.map(|((name, partition), offset)| (name.clone(), *partition, *offset)).collect();
            assert_eq!(all(&engine, &name(n)), expected, "group {n}");
        }
        assert_eq!(engine.groups(None).len(), model.len());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]
    #[test]
    fn offsets_follow_the_model(steps in prop::collection::vec(step(), 1..40)) {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(run(steps));
    }
}
