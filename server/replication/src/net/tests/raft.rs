//! The metadata group over sockets: it forms, agrees, loses its leader, and goes on.

use std::path::Path;

use flymq_engine::TopicConfig;
use flymq_engine::meta::{Command, CreateTopic, MetaStore};
use flymq_storage::{Disk, SimDisk};
use flymq_types::{SystemClock, TopicName};

use super::*;
use crate::raft::{MetaPeer, RaftMetaOptions, RaftMetaSettings, RaftMetaStore};

struct Member {
    node: Node,
    store: RaftMetaStore,
}

impl Member {
    async fn start(id: RaftId) -> Self {
        let node = Node::start(id).await;
        let disk = SimDisk::new();
        disk.create_dir(Path::new("/data")).unwrap();
        disk.sync_dir(Path::new("/")).unwrap();
        let store = RaftMetaStore::open(RaftMetaOptions {
            disk: Arc::new(disk),
            path: "/data/raft".into(),
            vault: None,
            rng: Arc::new(SeededRng::new(id)),
            clock: Arc::new(SystemClock::new()),
            id,
            cluster: CLUSTER,
            transport: node.network.clone(),
            settings: RaftMetaSettings {
                heartbeat: Duration::from_millis(100),
                election: (Duration::from_millis(500), Duration::from_secs(1)),
                request_timeout: 2 * DEADLINE,
                ..RaftMetaSettings::default()
            },
        });
        let store = store.await.unwrap();
        let answering = store.clone();
        node.network.set_raft(Arc::new(move |request| {
            let store = answering.clone();
            Box::pin(async move { store.answer(request).await })
        }));
        Self { node, store }
    }

    fn peer(&self) -> (RaftId, MetaPeer) {
        let node = format!("node-{}", self.node.id);
        (self.node.id, MetaPeer { node, address: self.node.address.clone() })
    }

    fn has(&self, n: u32) -> bool {
        self.store.image().topics.contains_key(format!("topic-{n}").as_str())
    }

    async fn stop(self) {
        self.node.network.shutdown().await;
        self.store.shutdown().await;
    }
}

fn create(n: u32) -> Command {
    Command::CreateTopic(CreateTopic {
        id: TopicId::from_bytes((u128::from(n) + 1).to_be_bytes()),
        name: TopicName::new(&format!("topic-{n}")).unwrap(),
        partitions: 1,
        config: TopicConfig::default(),
        created: Timestamp(n.into()),
        restoring: None,
    })
}

async fn leader(members: &[Member]) -> RaftId {
    let agreed = || {
        let first = members[0].store.leader();
        let known = members.iter().any(|member| Some(member.node.id) == first);
        (known && members.iter().all(|member| member.store.leader() == first)).then_some(first).flatten()
    };
    until("a leader", || agreed().is_some()).await;
    agreed().unwrap_or_else(|| members[0].node.id)
}

/// Nobody has registered: the group needs no members of the image, only its own addresses.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_agrees_over_sockets_and_outlives_its_leader() {
    let mut members = vec![Member::start(1).await, Member::start(2).await, Member::start(3).await];
    let voters: BTreeMap<RaftId, MetaPeer> = members.iter().map(Member::peer).collect();
    assert!(members[0].store.bootstrap(voters).await.unwrap());
    let first = leader(&members).await;
    for n in 0..20 {
        // Also by those that do not lead.
        in_time("agreed", members[n as usize % 3].store.propose(vec![create(n)])).await.unwrap();
    }
    until("everybody has them", || members.iter().all(|member| (0..20).all(|n| member.has(n)))).await;
    let place = members.iter().position(|member| member.node.id == first).unwrap();
    members.remove(place).stop().await;
    // What was given to the leader just before it went may be lost, and is said to be so once there is another one: not
    // only after all the patience that a proposal has.
    let agreed = async { while members[0].store.propose(vec![create(20)]).await.is_err() {} };
    in_time("agreed by two", agreed).await;
    until("both have it", || members.iter().all(|member| member.has(20))).await;
    for member in members {
        member.stop().await;
    }
}
