//! The checks that every [`MetaStore`] has to pass. They panic with what is wrong, so call them from tests.

use std::sync::Arc;

use flymq_types::{
    BrokerEpoch, ClusterId, DirectoryId, IncarnationId, NodeId, Timestamp, TopicId, TopicName,
};
use futures::future::{BoxFuture, join_all};

use super::{
    AlterTopic, Command, CreateTopic, DeleteTopic, FenceBroker, FormCluster, MetaError, MetaStore,
    MetaVersion, NodeAddresses, NodeRejection, NodeRun, RegisterBroker, Rejection, UnfenceBroker,
};
use crate::topic::TopicConfig;

/// A store under test.
pub trait SuiteStore: Send + Sync {
    /// Opens the store; a second call comes after every handle of the first is dropped and stands for a restart.
    fn open(&self) -> BoxFuture<'_, Arc<dyn MetaStore>>;

    /// What happens between two opens: a crash that loses all that is not durable, or nothing.
    fn crash(&self);
}

fn name(text: &str) -> TopicName {
    TopicName::any(text).expect("the suite's names are valid")
}

fn create(id: u8, topic: &str, partitions: u32) -> Command {
    Command::CreateTopic(CreateTopic {
        id: TopicId::from_bytes([id; 16]),
        name: name(topic),
        partitions,
        config: TopicConfig::default(),
        created: Timestamp(1_000),
        restoring: None,
    })
}

fn delete(id: u8, topic: &str) -> Command {
    Command::DeleteTopic(DeleteTopic { id: TopicId::from_bytes([id; 16]), name: name(topic) })
}

fn grow(id: u8, topic: &str, revision: u64, partitions: u32) -> Command {
    let config = TopicConfig { retention_ms: Some(7), ..TopicConfig::default() };
    let id = TopicId::from_bytes([id; 16]);
    Command::AlterTopic(AlterTopic { id, name: name(topic), revision, partitions, config })
}

/// Runs every check on stores made by `store`; each check gets an empty one.
pub async fn meta_store_suite<S: SuiteStore>(store: impl Fn() -> S) {
    applies_in_order_and_survives(&store()).await;
    rejects_as_a_whole(&store()).await;
    serialises_concurrent_proposals(&store()).await;
    watchers_see_the_newest(&store()).await;
    many_proposals_survive(&store()).await;
    keeps_a_cluster(&store()).await;
}

fn node(number: u8) -> NodeId {
    NodeId::new(&format!("node-{number}")).expect("the suite's ids are valid")
}

fn register(number: u8) -> Command {
    Command::RegisterBroker(RegisterBroker {
        cluster: ClusterId::from_bytes([1; 16]),
        id: node(number),
        incarnation: IncarnationId::from_bytes([number; 16]),
        directory: DirectoryId::from_bytes([number; 16]),
        clean: true,
        addresses: NodeAddresses::default(),
        rack: None,
        feature_version: 1,
        run: NodeRun::default(),
    })
}

fn unfence(number: u8) -> Command {
    Command::UnfenceBroker(UnfenceBroker { id: node(number), broker_epoch: BrokerEpoch(number.into()) })
}

fn fence(number: u8, epoch: u64) -> Command {
    Command::FenceBroker(FenceBroker { id: node(number), broker_epoch: BrokerEpoch(epoch) })
}

fn form() -> Command {
    let (cluster, directory) = (ClusterId::from_bytes([1; 16]), DirectoryId::from_bytes([1; 16]));
    Command::FormCluster(FormCluster { cluster, founder: node(1), directory, features: 1 })
}

async fn applies_in_order_and_survives(store: &dyn SuiteStore) {
    let meta = store.open().await;
    assert_eq!(meta.image().version, MetaVersion(0), "a new store is empty");
    let applied = meta.propose(vec![create(1, "a", 1), create(2, "b", 3)]).await.expect("applies");
    assert_eq!((applied.version, applied.replies.len()), (MetaVersion(1), 2));
    assert_eq!(meta.image().topics.len(), 2, "visible when propose returns");
    let old = meta.image();
    meta.propose(vec![grow(2, "b", 0, 5)]).await.expect("applies");
    meta.propose(vec![delete(1, "a")]).await.expect("applies");
    assert_eq!(old.topics.len(), 2, "an image never changes");
    let before = meta.image();
    assert_eq!(meta.barrier().await.expect("is open"), MetaVersion(3));
    drop(meta);
    store.crash();
    let meta = store.open().await;
    assert_eq!(*meta.image(), *before, "the same state after a restart");
    let b = meta.image().topic(&name("b")).cloned().expect("is there");
    assert_eq!((b.partitions.len(), b.config.retention_ms, b.revision), (5, Some(7), 1));
    assert!(meta.image().deleted.contains(&TopicId::from_bytes([1; 16])), "deletion is remembered");
}

async fn rejects_as_a_whole(store: &dyn SuiteStore) {
    let meta = store.open().await;
    meta.propose(vec![create(1, "a", 2)]).await.expect("applies");
    let before = meta.image();
    let cases = [
        (create(2, "a", 1), Rejection::TopicExists { name: name("a") }),
        (create(1, "c", 1), Rejection::TopicIdUsed { name: name("c") }),
        (delete(1, "x"), Rejection::TopicUnknown { name: name("x") }),
        (delete(2, "a"), Rejection::TopicUnknown { name: name("a") }),
        (grow(1, "a", 9, 3), Rejection::Conflict { name: name("a") }),
        (grow(1, "a", 0, 1), Rejection::PartitionsShrink { name: name("a"), current: 2, asked: 1 }),
    ];
    for (command, expected) in cases {
        match meta.propose(vec![create(9, "fine", 1), command]).await {
            Err(MetaError::Rejected(rejection)) => assert_eq!(rejection, expected),
            other => panic!("expected {expected:?}, got {other:?}"),
        }
        assert_eq!(*meta.image(), *before, "nothing of a rejected proposal applies");
    }
    drop(meta);
    store.crash();
    assert_eq!(*store.open().await.image(), *before);
}

async fn serialises_concurrent_proposals(store: &dyn SuiteStore) {
    let meta = store.open().await;
    let same = (0..8).map(|id| meta.propose(vec![create(id, "one", 1)]));
    let won = join_all(same).await.into_iter().filter(Result::is_ok).count();
    assert_eq!(won, 1, "one name has one topic");
    let many = (10..40).map(|id| meta.propose(vec![create(id, &format!("t{id}"), 1)]));
    let mut versions: Vec<_> =
        join_all(many).await.into_iter().map(|applied| applied.expect("applies").version.0).collect();
    versions.sort_unstable();
    assert_eq!(versions, (2..32).collect::<Vec<_>>(), "every proposal has a version of its own");
}

async fn watchers_see_the_newest(store: &dyn SuiteStore) {
    let meta = store.open().await;
    let mut watch = meta.watch();
    watch.mark_unchanged();
    let applied = meta.propose(vec![create(1, "a", 1)]).await.expect("applies");
    assert!(watch.has_changed().expect("the store is open"), "told before propose returns");
    assert_eq!(*watch.borrow_and_update(), applied.version);
}

async fn many_proposals_survive(store: &dyn SuiteStore) {
    for round in 0..4u8 {
        let meta = store.open().await;
        for step in 0..50u8 {
            let id = round * 50 + step + 1;
            meta.propose(vec![create(id, &format!("t{id}"), 1)]).await.expect("applies");
            if id % 3 == 0 {
                meta.propose(vec![delete(id, &format!("t{id}"))]).await.expect("applies");
            }
        }
        let before = meta.image();
        drop(meta);
        store.crash();
        assert_eq!(*store.open().await.image(), *before, "round {round}");
    }
}

async fn keeps_a_cluster(store: &dyn SuiteStore) {
    let meta = store.open().await;
    meta.propose(vec![create(1, "old", 1)]).await.expect("applies");
    meta.propose(vec![form(), register(1), register(2), register(3)]).await.expect("applies");
    meta.propose((1..=3).map(unfence).collect()).await.expect("applies");
    meta.propose(vec![create(2, "new", 3)]).await.expect("applies");
    meta.propose(vec![fence(2, 2)]).await.expect("applies");
    let refused = meta.propose(vec![fence(3, 9)]).await;
    let (asked, current) = (BrokerEpoch(9), BrokerEpoch(3));
    let stale = Rejection::from(NodeRejection::StaleEpoch { id: node(3), asked, current });
    assert!(
        matches!(refused, Err(MetaError::Rejected(rejection)) if rejection == stale),
        "an old registration"
    );
    let before = meta.image();
    let partitions = &before.topic(&name("new")).expect("is there").partitions;
    let moved = partitions.iter().filter(|partition| partition.leader_epoch.get() == 1).count();
    assert_eq!(moved, 1, "what node 2 led is led by another one");
    assert!(partitions.iter().all(|partition| partition.isr.len() == 2 && partition.leader.is_some()));
    let adopted = &before.topic(&name("old")).expect("is there").partitions[0];
    assert_eq!(adopted.leader, Some(node(1)), "the founder has what it had");
    drop(meta);
    store.crash();
    assert_eq!(*store.open().await.image(), *before, "the same cluster after a restart");
}
