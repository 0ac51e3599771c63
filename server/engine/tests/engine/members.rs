//! Members of groups: given partitions, durable, fenced.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use flymq_engine::{
    Assigned, Assignor, CommitAs, DeadLetterConfig, Engine, EngineError, GroupState, Heartbeat, JoinGroup,
    NewTopic, OFFSETS_TOPIC, OffsetCommit, StartFrom, TopicConfig, TopicFilters,
};
use flymq_types::{Offset, PartitionId, Patterns, TopicName};

use crate::support::*;

/// Longer than any test takes.
const LONG: Duration = Duration::from_secs(60);

fn join(id: &str, filters: &[&str]) -> JoinGroup {
    JoinGroup {
        member_id: Some(id.to_owned()),
        instance_id: None,
        client_id: "c".to_owned(),
        host: "h".to_owned(),
        filters: TopicFilters::new(filters.iter().copied()).unwrap(),
        assignor: Assignor::default(),
        session: None,
        rebalance: None,
    }
}

/// A member's process.
#[derive(Debug, Clone)]
struct Member {
    engine: Arc<Engine>,
    id: String,
    told: Assigned,
}

impl Member {
    async fn join(engine: &Arc<Engine>, id: &str, filters: &[&str]) -> Self {
        let told = engine.join_group(&group("g"), join(id, filters)).await.unwrap();
        Self { engine: engine.clone(), id: id.to_owned(), told }
    }

    fn owned(&self) -> BTreeSet<(TopicName, PartitionId)> {
        let all = self.told.assignment.iter();
        all.flat_map(|(topic, numbers)| numbers.iter().map(|number| (topic.clone(), *number))).collect()
    }

    async fn try_beat(&mut self, max_wait: Duration) -> Result<(), EngineError> {
        let heartbeat = Heartbeat {
            member_id: self.id.clone(),
            epoch: self.told.epoch,
            generation: self.told.generation,
            owned: self.owned(),
            max_wait,
        };
        self.told = self.engine.heartbeat(&group("g"), heartbeat).await?;
        Ok(())
    }

    async fn beat(&mut self) {
        self.try_beat(Duration::ZERO).await.unwrap();
    }

    async fn commit(&self, partition: u32, offset: u64) -> Result<(), EngineError> {
        let member = CommitAs { member_id: self.id.clone(), generation: self.told.generation };
        let commit = OffsetCommit {
            topic: topic("t"),
            partition: PartitionId(partition),
            offset: Offset(offset),
            metadata: String::new(),
        };
        self.engine.commit_as_member(&group("g"), &member, vec![commit]).await
    }
}

fn state(engine: &Engine) -> (GroupState, u64, usize) {
    let group = engine.describe_group(&group("g")).unwrap();
    (group.state, group.generation, group.members.len())
}

#[tokio::test]
async fn members_share_the_partitions_and_survive_a_crash() {
    let node = Node::simulated();
    let engine = node.open().await;
    engine.create_topic(new_topic("t", 6)).await.unwrap();
    let mut a = Member::join(&engine, "a", &["t"]).await;
    assert_eq!((a.owned().len(), a.told.generation), (6, 1));
    let mut b = Member::join(&engine, "b", &["#"]).await;
    assert_eq!(state(&engine), (GroupState::Rebalancing, 2, 2));
    for _ in 0..2 {
        a.beat().await;
        b.beat().await;
    }
    b.beat().await;
    assert_eq!((a.owned().len(), b.owned().len()), (3, 3));
    assert_eq!(state(&engine), (GroupState::Stable, 2, 2));
    let summary = engine.groups(Some(&topic("t")));
    assert_eq!((summary[0].members, &summary[0].topics[..]), (2, &[topic("t")][..]));

    let [before_a, before_b] = [a.told.clone(), b.told.clone()];
    drop((engine, a, b));
    node.sim.crash_losing_all();
    let engine = node.open().await;
    let with = |id: &str, told: &Assigned| {
        let (engine, id, told) = (engine.clone(), id.to_owned(), told.clone());
        Member { engine, id, told }
    };
    let (mut a, mut b) = (with("a", &before_a), with("b", &before_b));
    a.beat().await;
    b.beat().await;
    assert_eq!((&a.told, &b.told), (&before_a, &before_b), "they go on as they were");
    assert_eq!(state(&engine), (GroupState::Stable, 2, 2));
    assert!(matches!(engine.delete_group(&group("g"), None).await, Err(EngineError::GroupNotEmpty { .. })));
    let reset = engine.reset_offsets(&group("g"), &topic("t"), &[], StartFrom::Latest).await;
    assert!(matches!(reset, Err(EngineError::GroupNotEmpty { members: 2, .. })), "{reset:?}");

    // One is silent for its session, the other goes on.
    for _ in 0..6 {
        node.clock.advance(Duration::from_secs(2));
        a.beat().await;
    }
    assert_eq!((a.owned().len(), state(&engine)), (6, (GroupState::Stable, 3, 1)));
    assert!(matches!(b.try_beat(Duration::ZERO).await, Err(EngineError::UnknownMember { .. })));
    engine.leave_group(&group("g"), "a").await.unwrap();
    assert_eq!(state(&engine), (GroupState::Empty, 4, 0));
    drop((engine, a, b));
    node.sim.crash_losing_all();
    let engine = node.open().await;
    assert_eq!(state(&engine), (GroupState::Empty, 4, 0), "the generation never goes back");
    engine.delete_group(&group("g"), None).await.unwrap();
    assert!(engine.groups(None).is_empty());
    drop(engine);
    node.sim.crash_losing_all();
    assert!(node.open().await.groups(None).is_empty());
}

#[tokio::test]
async fn commits_are_fenced() {
    let engine = Node::simulated().open().await;
    engine.create_topic(new_topic("t", 2)).await.unwrap();
    let mut a = Member::join(&engine, "a", &["t"]).await;
    a.commit(0, 5).await.unwrap();
    a.commit(1, 7).await.unwrap();
    let mut b = Member::join(&engine, "b", &["t"]).await;
    a.commit(1, 8).await.unwrap();
    assert!(matches!(b.commit(1, 9).await, Err(EngineError::NotOwner { given: None, .. })));
    a.beat().await;
    a.commit(1, 9).await.unwrap();
    a.beat().await;
    b.beat().await;
    assert!(matches!(a.commit(1, 10).await, Err(EngineError::NotOwner { .. })));
    b.commit(1, 11).await.unwrap();
    a.commit(0, 6).await.unwrap();
    let both = engine.committed(&group("g"), None, None).unwrap();
    assert_eq!(both.iter().map(|c| c.offset.get()).collect::<Vec<_>>(), [6, 11]);

    let stranger = Member { id: "x".to_owned(), ..a.clone() };
    assert!(matches!(stranger.commit(0, 1).await, Err(EngineError::UnknownMember { .. })));
    let ahead = Member { told: Assigned { generation: 99, ..a.told.clone() }, ..a.clone() };
    assert!(matches!(ahead.commit(0, 1).await, Err(EngineError::StaleGeneration { .. })));
    let at = OffsetCommit {
        topic: topic("t"),
        partition: PartitionId(0),
        offset: Offset(1),
        metadata: String::new(),
    };
    engine.commit_offsets(&group("g"), vec![at]).await.expect("callers without membership commit as ever");
}

#[tokio::test]
async fn who_waits_is_told_at_once() {
    let engine = Node::simulated().open().await;
    engine.create_topic(new_topic("t", 2)).await.unwrap();
    let mut a = Member::join(&engine, "a", &["t"]).await;
    let waiting = tokio::spawn(async move {
        a.try_beat(LONG).await.unwrap();
        let told = a.owned().len();
        a.try_beat(Duration::ZERO).await.unwrap();
        (told, a)
    });
    let mut b = Member::join(&engine, "b", &["t"]).await;
    assert_eq!(b.owned().len(), 0);
    soon(b.try_beat(LONG)).await.unwrap();
    assert_eq!(b.owned().len(), 1);
    let (told, mut a) = soon(waiting).await.unwrap();
    assert_eq!(told, 1);

    // The topic goes.
    let waiting = tokio::spawn(async move {
        a.try_beat(LONG).await.unwrap();
        a
    });
    b.beat().await;
    engine.delete_topic(&topic("t")).await.unwrap();
    a = soon(waiting).await.unwrap();
    assert!(a.owned().is_empty());

    let waiting = tokio::spawn(async move { a.try_beat(LONG).await });
    let stopping = engine.clone();
    while !waiting.is_finished() {
        stopping.shutdown().await;
        tokio::task::yield_now().await;
    }
    let ended = soon(waiting).await.unwrap();
    assert!(matches!(ended, Err(EngineError::ShuttingDown)), "{ended:?}");
}

#[tokio::test]
async fn many_join_at_once_and_settle() {
    const MEMBERS: usize = 40;
    let engine = Node::simulated().open().await;
    engine.create_topic(new_topic("t", 400)).await.unwrap();
    let members = (0..MEMBERS).map(|number| {
        let engine = engine.clone();
        tokio::spawn(async move {
            let mut member = Member::join(&engine, &format!("m{number}"), &["t"]).await;
            while member.owned().len() != 400 / MEMBERS || state(&engine).0 != GroupState::Stable {
                member.try_beat(Duration::from_millis(50)).await.unwrap();
            }
            member.owned()
        })
    });
    let members: Vec<_> = members.collect();
    let mut all = BTreeSet::new();
    for member in members {
        all.extend(soon(member).await.unwrap());
    }
    assert_eq!(all.len(), 400);
    let log = engine.topic(&topic(OFFSETS_TOPIC)).unwrap().partitions.remove(0);
    assert!(log.log_end < Offset(2_000), "steady heartbeats write nothing: {log:?}");
}

#[tokio::test]
async fn memberships_survive_the_shortening_of_the_log() {
    let mut node = Node::simulated();
    node.options.offsets_checkpoint_bytes = 1 << 20;
    let engine = node.open().await;
    engine.create_topic(new_topic("t", 300)).await.unwrap();
    let member = Member::join(&engine, "a", &["t"]).await;
    for round in 0..12 {
        let large = |n| OffsetCommit {
            topic: topic("t"),
            partition: PartitionId(n),
            offset: Offset(round),
            metadata: "m".repeat(4_000),
        };
        engine.commit_offsets(&group("other"), (0..300).map(large).collect()).await.unwrap();
    }
    let kept = engine.topic(&topic(OFFSETS_TOPIC)).unwrap().partitions.remove(0);
    assert!(kept.bytes < 6 << 20, "{kept:?}");
    let told = member.told.clone();
    drop((engine, member));
    node.sim.crash_losing_all();
    let engine = node.open().await;
    assert_eq!(state(&engine).1, 1);
    let again = engine.join_group(&group("g"), join("a", &["t"])).await.unwrap();
    assert_eq!(again, told, "joining again under the same id changes nothing");
}

#[tokio::test]
async fn bad_joins_are_refused() {
    let engine = Node::simulated().open().await;
    let refused = async |join: JoinGroup| engine.join_group(&group("g"), join).await.unwrap_err();
    let short = refused(JoinGroup { session: Some(Duration::from_millis(1)), ..join("a", &["t"]) }).await;
    assert!(matches!(short, EngineError::InvalidArgument { field: "session_timeout_ms", .. }));
    let long = refused(JoinGroup { rebalance: Some(LONG * 600), ..join("a", &["t"]) }).await;
    assert!(matches!(long, EngineError::InvalidArgument { field: "rebalance_timeout_ms", .. }));
    assert!(engine.groups(None).is_empty());
    let stranger = Heartbeat { member_id: "x".to_owned(), ..Heartbeat::default() };
    let unknown = engine.heartbeat(&group("g"), stranger).await;
    assert!(matches!(unknown, Err(EngineError::UnknownMember { .. })));
    let unknown = engine.leave_group(&group("g"), "x").await;
    assert!(matches!(unknown, Err(EngineError::UnknownMember { .. })));
    // A topic that does not exist yet is no mistake.
    let first = engine.join_group(&group("g"), JoinGroup { member_id: None, ..join("", &["t"]) }).await;
    let first = first.unwrap();
    assert!(first.member_id.len() == 32 && first.assignment.is_empty());
    engine.create_topic(new_topic("t", 1)).await.unwrap();
    let beat = Heartbeat { member_id: first.member_id.to_string(), ..Heartbeat::default() };
    let told = engine.heartbeat(&group("g"), beat).await.unwrap();
    assert_eq!(told.assignment.len(), 1);
}

/// Found by a stranger: a handler that failed read its own dead letters by its pattern, and those of these, until no name was left.
#[tokio::test]
async fn a_pattern_never_means_dead_letters() {
    let node = Node::simulated();
    let engine = node.open().await;
    let letters = DeadLetterConfig { topic: Some(topic("a/graves")), ..DeadLetterConfig::default() };
    let config = TopicConfig { dead_letters: Some(Arc::new(letters)), ..TopicConfig::default() };
    engine.create_topic(NewTopic { config, ..new_topic("a/x", 1) }).await.unwrap();
    for name in ["a/x.dlq", "a/graves", "a/y"] {
        engine.create_topic(new_topic(name, 1)).await.unwrap();
    }
    let of = |member: &Member| -> Vec<String> {
        member.owned().into_iter().map(|(topic, _)| topic.to_string()).collect()
    };
    let mut member = Member::join(&engine, "a", &["a/#"]).await;
    assert_eq!(of(&member), ["a/x", "a/y"]);
    engine.create_topic(new_topic("a/y.dlq", 1)).await.unwrap();
    member.beat().await;
    assert_eq!(of(&member), ["a/x", "a/y"]);
    let mut patterns = Patterns::default();
    patterns.insert("a/+", ()).unwrap();
    assert_eq!(engine.topics_matching(&patterns), [topic("a/x"), topic("a/y")]);
    // By its own name it is read as any topic.
    engine.leave_group(&group("g"), "a").await.unwrap();
    let reader = Member::join(&engine, "b", &["a/x.dlq", "a/graves"]).await;
    assert_eq!(of(&reader), ["a/graves", "a/x.dlq"]);
}
