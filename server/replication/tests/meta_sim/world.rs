//! Members of a metadata group on simulated disks, who propose, crash, and are cut off from each other.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use flymq_engine::TopicConfig;
use flymq_engine::meta::{Command, CreateTopic, MetaError, MetaStore};
use flymq_replication::{
    MetaPeer, RaftId, RaftMetaOptions, RaftMetaSettings, RaftMetaStore, SimulatedTask, Simulation,
};
use flymq_storage::{Disk, SimDisk};
use flymq_types::{ManualClock, SeededRng, Timestamp, TopicId, TopicName};
use parking_lot::Mutex;
use tokio::time::{Instant, sleep};

use crate::chance::Chance;
use crate::network::Network;
use crate::operator::Operator;
use crate::oracle::Oracle;

/// How long faults go on.
const TROUBLE: Duration = Duration::from_secs(20);
/// By then a group that is whole has answered.
pub const PATIENCE: Duration = Duration::from_secs(60);

pub struct World {
    pub chance: Chance,
    settings: RaftMetaSettings,
    network: Network,
    oracle: Arc<Mutex<Oracle>>,
    began: Instant,
    pub disks: BTreeMap<RaftId, SimDisk>,
    pub operator: Operator,
    pub running: BTreeMap<RaftId, (RaftMetaStore, SimulatedTask<()>)>,
    proposals: Vec<SimulatedTask<()>>,
    /// Crashes when a snapshot comes to it, of which so many parts came before.
    doomed: Option<(RaftId, u64)>,
    next: u32,
    pub figures: BTreeMap<&'static str, u64>,
}

/// How often there are snapshots, and how little is kept beside them, differs from seed to seed.
fn settings(chance: &Chance) -> RaftMetaSettings {
    RaftMetaSettings {
        heartbeat: Duration::from_millis(60),
        election: (Duration::from_millis(300), Duration::from_millis(600)),
        request_timeout: Duration::from_secs(3),
        snapshot_after_entries: chance.pick(&[5, 15, 40]),
        keep_entries: chance.pick(&[1, 8]),
        rewrite_after_bytes: 1_000,
        ..RaftMetaSettings::default()
    }
}

pub fn peer(id: RaftId) -> MetaPeer {
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

impl World {
    /// A group of three or five, with its first leader not yet elected. `prints`: shows what happens.
    pub async fn new(seed: u64, prints: bool) -> Self {
        let chance = Chance::new(seed);
        let oracle: Arc<Mutex<Oracle>> = Arc::default();
        let network = Network::new(chance.clone(), oracle.clone());
        let settings = settings(&chance);
        let mut world = Self {
            chance,
            settings,
            network,
            oracle,
            began: Instant::now(),
            disks: BTreeMap::new(),
            operator: Operator::default(),
            running: BTreeMap::new(),
            proposals: Vec::new(),
            doomed: None,
            next: 0,
            figures: BTreeMap::new(),
        };
        world.oracle.lock().prints = prints;
        let members: Vec<RaftId> = (1..=world.chance.pick(&[3, 5])).collect();
        for id in &members {
            world.add(*id).await;
        }
        world.operator.wanted = members.iter().copied().collect();
        let voters = members.iter().map(|id| (*id, peer(*id))).collect();
        assert!(world.running[&1].0.bootstrap(voters).await.unwrap());
        world
    }

    /// A member with an empty disk, which nobody knows yet.
    pub async fn add(&mut self, id: RaftId) {
        let disk = SimDisk::new();
        disk.create_dir(Path::new("/data")).unwrap();
        disk.sync_dir(Path::new("/")).unwrap();
        self.disks.insert(id, disk);
        self.start(id).await;
    }

    pub fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap()
    }

    pub fn count(&mut self, what: &'static str) {
        *self.figures.entry(what).or_default() += 1;
    }

    pub fn note(&self, what: &str) {
        self.oracle.lock().note(self.now(), what);
    }

    async fn start(&mut self, id: RaftId) {
        self.note(&format!("start {id}"));
        let store = RaftMetaStore::open(RaftMetaOptions {
            disk: Arc::new(self.disks[&id].clone()),
            path: "/data/metadata".into(),
            vault: None,
            rng: Arc::new(SeededRng::new(self.chance.within(0, u64::MAX - 1))),
            clock: Arc::new(ManualClock::new(Timestamp(0))),
            id,
            cluster: [5; 16],
            transport: Arc::new(self.network.transport(id)),
            settings: self.settings,
        });
        let store = store.await.unwrap();
        self.network.join(store.clone());
        self.oracle.lock().started(id);
        let watched = store.clone();
        let watch = Simulation::spawn(async move { watched.watch_leader().await });
        self.running.insert(id, (store, watch));
    }

    /// Cuts a member's power; of what was not synced nothing is left, or any part.
    pub async fn crash(&mut self, id: RaftId) {
        let Some((store, watch)) = self.running.remove(&id) else { return };
        self.note(&format!("crash {id}"));
        self.network.leave(id);
        match self.chance.percent(50) {
            true => self.disks[&id].crash_losing_all(),
            false => self.disks[&id].crash(&SeededRng::new(self.chance.within(0, u64::MAX - 1))),
        }
        // What the old process still does, it does to a disk that nobody looks at again.
        let left = self.disks[&id].fork();
        self.disks.insert(id, left);
        watch.abort();
        store.shutdown().await;
        self.count("crashes");
    }

    pub fn members(&self) -> Vec<RaftId> {
        self.disks.keys().copied().collect()
    }

    async fn fault(&mut self) {
        let members = self.members();
        let one = self.chance.pick(&members);
        let down: Vec<RaftId> = members.iter().copied().filter(|id| !self.running.contains_key(id)).collect();
        match self.chance.within(0, 10) {
            0 | 1 => self.crash(one).await,
            2..=4 if !down.is_empty() => {
                let one = self.chance.pick(&down);
                self.start(one).await;
                if self.chance.percent(40) {
                    self.doomed = Some((one, self.network.snapshots_to(one)));
                }
            }
            2 => {
                // Its disk stops in the middle of an operation, and the member with it.
                self.note(&format!("stop the disk of {one}"));
                self.disks[&one].stop_after(self.chance.within(0, 60));
                sleep(Duration::from_millis(self.chance.within(0, 1_500))).await;
                self.crash(one).await;
                self.count("disks stopped");
            }
            3 => {
                let other = self.chance.pick(&members);
                self.note(&format!("cut {one} {other}"));
                self.network.cut(one, other);
                self.count("cuts one way");
            }
            4 => self.split(&members),
            6 => self.replace().await,
            5 => {
                let (loss, delay) = (self.chance.within(0, 30), self.chance.within(1, 200));
                self.note(&format!("loss {loss} delay {delay}"));
                self.network.worsen(loss, delay);
                self.count("bad networks");
            }
            _ => {
                self.note("heal");
                self.network.heal();
            }
        }
    }

    fn split(&mut self, members: &[RaftId]) {
        let side: BTreeSet<RaftId> = members.iter().copied().filter(|_| self.chance.percent(50)).collect();
        self.note(&format!("split {side:?}"));
        for a in members {
            for b in members.iter().filter(|b| side.contains(a) != side.contains(*b)) {
                self.network.cut(*a, *b);
            }
        }
        self.count("splits");
    }

    /// Somebody proposes a topic, and asks for a barrier afterwards or beside it.
    fn propose(&mut self) {
        let running: Vec<RaftId> = self.running.keys().copied().collect();
        if running.is_empty() {
            return;
        }
        let (at, reader) = (self.chance.pick(&running), self.chance.pick(&running));
        let (store, reader) = (self.running[&at].0.clone(), self.running[&reader].0.clone());
        let (oracle, n, began) = (self.oracle.clone(), self.next, self.began);
        self.next += 1;
        self.proposals.push(Simulation::spawn(async move {
            let outcome = store.propose(vec![create(n)]).await;
            let told = match outcome {
                Ok(applied) => {
                    oracle.lock().answered(applied.version, n);
                    format!("{n} is {:?}", applied.version)
                }
                Err(MetaError::Unavailable { .. }) => format!("{n} is not known"),
                Err(error) => panic!("{n}: {error:?}"),
            };
            let now = || u64::try_from(began.elapsed().as_millis()).unwrap();
            oracle.lock().note(now(), &told);
            // Real time: a reader who asks now sees all that anybody was told before.
            let least = oracle.lock().newest();
            if let Ok(version) = reader.barrier().await {
                assert!(
                    version >= least,
                    "a barrier of {} ends at {version:?}, {least:?} was told",
                    reader.id()
                );
                assert!(reader.image().version >= version, "an image before its barrier");
                oracle.lock().note(now(), &format!("barrier {version:?}"));
            }
        }));
    }

    fn look(&self) {
        let now = self.now();
        let mut oracle = self.oracle.lock();
        for (id, (store, _)) in &self.running {
            oracle.sees(now, *id, &store.image());
        }
    }

    /// Faults and proposals, then a group that is whole again.
    pub async fn run(mut self) -> (u64, BTreeMap<&'static str, u64>) {
        let mut fault = 0;
        let mut propose = 0;
        while self.began.elapsed() < TROUBLE {
            sleep(Duration::from_millis(self.chance.within(1, 10))).await;
            self.look();
            if let Some((one, before)) = self.doomed
                && self.network.snapshots_to(one) > before
            {
                self.doomed = None;
                self.count("crashes at a snapshot");
                self.crash(one).await;
            }
            let now = self.now();
            self.operate(now).await;
            if now >= propose {
                propose = now + self.chance.within(5, 150);
                self.propose();
            }
            if now >= fault {
                fault = now + self.chance.within(200, 2_500);
                self.fault().await;
            }
        }
        self.heal().await;
        self.finish().await;
        self.settle().await;
        let [requests, lost, doubled] = self.network.counts();
        let oracle = self.oracle.lock();
        for (what, count) in [
            ("requests", requests),
            ("messages lost", lost),
            ("requests doubled", doubled),
            ("proposals answered", oracle.count() as u64),
            ("proposals", self.next.into()),
            ("events", oracle.events),
        ] {
            self.figures.insert(what, count);
        }
        let trace = oracle.trace();
        drop(oracle);
        (trace, self.figures)
    }

    async fn heal(&mut self) {
        self.network.heal();
        for id in self.members() {
            // One whose disk stopped, or failed, takes part no longer: its process would be restarted.
            if self.disks[&id].stopped()
                || self.running.get(&id).is_some_and(|(store, _)| store.failure().is_some())
            {
                self.crash(id).await;
            }
            if !self.running.contains_key(&id) {
                self.start(id).await;
            }
        }
    }

    /// Every proposal has its answer, and all members have all that was told, and the same.
    async fn settle(&mut self) {
        for proposal in std::mem::take(&mut self.proposals) {
            proposal.await.unwrap();
        }
        let until = Instant::now() + PATIENCE;
        for (store, _) in self.running.values() {
            while store.barrier().await.is_err() {
                assert!(Instant::now() < until, "{} does not come to agree", store.id());
            }
        }
        self.look();
        let images: Vec<_> = self.running.values().map(|(store, _)| store.image()).collect();
        for image in &images {
            self.oracle.lock().check_whole(image);
            assert_eq!(image.version.0 as usize, image.topics.len(), "one came twice");
        }
        let newest = images.iter().map(|image| image.version).max();
        assert_eq!(images.iter().map(|image| image.version).min(), newest, "nobody proposes any more");
        for (_, (store, watch)) in std::mem::take(&mut self.running) {
            watch.abort();
            self.network.leave(store.id());
            store.shutdown().await;
        }
    }
}
