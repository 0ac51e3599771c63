//! Whole groups: on simulated disks, over the network in memory.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use flymq_engine::TopicConfig;
use flymq_engine::meta::{Command, CreateTopic, MetaError, MetaStore, MetaVersion};
use flymq_storage::{Disk, FileVault, SimDisk};
use flymq_types::{ManualClock, SeededRng, Timestamp, TopicId, TopicName};

use super::*;

mod chaos;
mod encryption;
mod failover;
mod membership;
mod messages;
mod suite;

/// Longer than anything that is waited for; hit only if a test fails.
const DEADLINE: Duration = Duration::from_secs(60);

fn settings() -> RaftMetaSettings {
    RaftMetaSettings {
        heartbeat: Duration::from_millis(60),
        election: (Duration::from_millis(300), Duration::from_millis(600)),
        request_timeout: DEADLINE,
        ..RaftMetaSettings::default()
    }
}

fn peer(id: RaftId) -> MetaPeer {
    MetaPeer { node: format!("node-{id}"), address: format!("memory-{id}") }
}

fn create(n: u32) -> Command {
    Command::CreateTopic(CreateTopic {
        id: TopicId::from_bytes((u128::from(n) + 1).to_be_bytes()),
        name: TopicName::new(&format!("topic {n}")).unwrap(),
        partitions: 1,
        config: TopicConfig::default(),
        created: Timestamp(n.into()),
        restoring: None,
    })
}

fn has(store: &RaftMetaStore, n: u32) -> bool {
    store.image().topics.contains_key(format!("topic {n}").as_str())
}

/// Waits until it is so.
async fn until(what: &str, is_so: impl Fn() -> bool) {
    let wait = async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    assert!(tokio::time::timeout(DEADLINE, wait).await.is_ok(), "never: {what}");
}

/// Some members with their disks; which of them run changes.
struct Group {
    network: MemoryNetwork,
    settings: RaftMetaSettings,
    vault: Option<FileVault>,
    clock: Arc<ManualClock>,
    disks: BTreeMap<RaftId, SimDisk>,
    running: BTreeMap<RaftId, RaftMetaStore>,
}

impl Group {
    fn new(settings: RaftMetaSettings) -> Self {
        let (disks, running) = (BTreeMap::new(), BTreeMap::new());
        let (network, clock) = (MemoryNetwork::default(), Arc::new(ManualClock::new(Timestamp(0))));
        Self { network, settings, vault: None, clock, disks, running }
    }

    /// A running group of these voters, with a leader.
    async fn of(ids: &[RaftId], settings: RaftMetaSettings) -> Self {
        let mut group = Self::new(settings);
        for id in ids {
            group.start(*id).await;
        }
        let voters: BTreeMap<RaftId, MetaPeer> = ids.iter().map(|id| (*id, peer(*id))).collect();
        assert!(group.running[&ids[0]].bootstrap(voters).await.unwrap());
        group.leader().await;
        group
    }

    fn disk(&mut self, id: RaftId) -> SimDisk {
        let new = || {
            let disk = SimDisk::new();
            disk.create_dir(Path::new("/data")).unwrap();
            disk.sync_dir(Path::new("/")).unwrap();
            disk
        };
        self.disks.entry(id).or_insert_with(new).clone()
    }

    async fn try_start(&mut self, id: RaftId) -> Result<RaftMetaStore, RaftMetaError> {
        let store = RaftMetaStore::open(RaftMetaOptions {
            disk: Arc::new(self.disk(id)),
            path: "/data/metadata".into(),
            vault: self.vault.clone(),
            rng: Arc::new(SeededRng::new(id)),
            clock: self.clock.clone(),
            id,
            cluster: [5; 16],
            transport: Arc::new(self.network.transport(id)),
            settings: self.settings,
        });
        let store = store.await?;
        self.network.join(&store);
        self.running.insert(id, store.clone());
        Ok(store)
    }

    async fn start(&mut self, id: RaftId) -> RaftMetaStore {
        self.try_start(id).await.unwrap()
    }

    /// Cuts a member's power in the worst way.
    async fn crash(&mut self, id: RaftId) {
        self.crash_as(id, SimDisk::crash_losing_all).await;
    }

    async fn crash_as(&mut self, id: RaftId, crash: impl FnOnce(&SimDisk)) {
        self.network.leave(id);
        crash(&self.disks[&id]);
        if let Some(store) = self.running.remove(&id) {
            store.shutdown().await;
        }
    }

    /// The member that all running ones take for the leader.
    async fn leader(&self) -> RaftMetaStore {
        self.leader_among(&self.running.keys().copied().collect::<Vec<_>>()).await
    }

    /// The member of these that all of these take for the leader.
    async fn leader_among(&self, ids: &[RaftId]) -> RaftMetaStore {
        let agreed = || {
            let leaders: BTreeSet<_> = ids.iter().map(|id| self.running[id].leader()).collect();
            leaders.len() == 1 && leaders.first().is_some_and(|one| one.is_some_and(|one| ids.contains(&one)))
        };
        until("a leader", agreed).await;
        let leader = self.running[&ids[0]].leader();
        // It may be gone again by now; then whoever asked finds out.
        self.running[&leader.unwrap_or(ids[0])].clone()
    }

    fn others(&self, than: &RaftMetaStore) -> Vec<RaftMetaStore> {
        self.running.values().filter(|store| store.id() != than.id()).cloned().collect()
    }
}
