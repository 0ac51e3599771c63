//! Whole engines, each with a data directory of its own.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use flymq_engine::meta::{
    Command, FenceBroker, FormCluster, MemoryMetaStore, MetaError, MetaStore, NodeAddresses, NodeRun,
    PartitionMeta, Reassign, RegisterBroker, Reply, TopicPartition, UnfenceBroker,
};
use flymq_engine::{
    Appended, Engine, EngineDeps, EngineError, EngineOptions, FetchSpec, NewTopic, Target, TopicConfig,
};
use flymq_replication::replica::{BrokerEpoch, BrokerId};
use flymq_replication::{ReplicaSet, ReplicaSetOptions, member_id};
use flymq_storage::{DataDir, DataDirOptions, SimDisk, SpaceOptions, SyncMode};
use flymq_types::{
    Acks, Clock, ClusterId, DirectoryId, IncarnationId, Isolation, NodeId, Offset, PartitionId, SeededRng,
    SystemClock, SystemRng, TopicName,
};

use crate::cluster::{DEADLINE, batch, settings, until};
use crate::links::Links;
use crate::meta::NodeMeta;
use crate::peers::Peers;

const CLUSTER: [u8; 16] = [8; 16];
/// Beyond what any of them asks for.
const ALL_FEATURES: u32 = 100;

/// A running engine.
pub struct Running {
    pub engine: Arc<Engine>,
    pub set: Arc<ReplicaSet>,
    pub meta: Arc<NodeMeta>,
    pub broker: BrokerId,
    clock: Arc<SystemClock>,
}

pub struct Node {
    pub id: NodeId,
    temp: tempfile::TempDir,
    /// In place of the real one.
    pub disk: Option<SimDisk>,
    /// Goes on from one start to the next: what it names is never named again.
    rng: Arc<SeededRng>,
    pub running: Option<Arc<Running>>,
}

pub struct Engines {
    pub nodes: Vec<Node>,
    pub links: Links,
    pub store: MemoryMetaStore,
    pub peers: Peers,
    options: EngineOptions,
    /// What the nodes can, and the cluster does.
    features: u32,
}

fn node(number: usize, disk: Option<SimDisk>) -> Node {
    Node {
        id: NodeId::new(&format!("node-{number}")).unwrap(),
        temp: tempfile::tempdir().unwrap(),
        disk,
        rng: Arc::new(SeededRng::new(number as u64)),
        running: None,
    }
}

impl Engines {
    pub async fn new(options: EngineOptions) -> Self {
        Self::with(options, 1, |_| None).await
    }

    /// On simulated disks, which can fail; with all that nodes can.
    pub async fn simulated(options: EngineOptions) -> Self {
        Self::with(options, ALL_FEATURES, |_| Some(SimDisk::new())).await
    }

    async fn with(options: EngineOptions, features: u32, disk: impl Fn(usize) -> Option<SimDisk>) -> Self {
        let mut engines = Self::down(options, features, disk);
        for index in 0..3 {
            engines.start(index).await;
        }
        engines
    }

    fn down(options: EngineOptions, features: u32, disk: impl Fn(usize) -> Option<SimDisk>) -> Self {
        let nodes = (0..3).map(|number| node(number, disk(number))).collect();
        let (links, store, peers) = (Links::default(), MemoryMetaStore::default(), Peers::default());
        Self { nodes, links, store, peers, options, features }
    }

    /// The first node as a broker without cluster; the store becomes the cluster's.
    pub async fn alone(options: EngineOptions) -> (Self, Arc<Engine>) {
        let engines = Self::down(options, 1, |_| None);
        let data = Arc::new(engines.open_data(0));
        let deps = EngineDeps {
            data,
            clock: Arc::new(SystemClock::new()),
            rng: Arc::new(SystemRng),
            meta: Arc::new(engines.store.clone()),
            replication: None,
        };
        let engine = Engine::open(engines.options.clone(), deps).await.unwrap();
        (engines, engine)
    }

    pub fn path(&self, index: usize) -> &Path {
        self.nodes[index].temp.path()
    }

    pub fn open_data(&self, index: usize) -> DataDir {
        let node = &self.nodes[index];
        let real = DataDirOptions::real(node.temp.path());
        let Some(disk) = &node.disk else { return DataDir::open(real).unwrap() };
        DataDir::open(DataDirOptions {
            disk: disk.process(),
            path: format!("/node-{index}").into(),
            rng: node.rng.clone(),
            sync: SyncMode::Thread { interval: Duration::from_millis(2) },
            space: SpaceOptions::OFF,
            ..real
        })
        .unwrap()
    }

    /// Starts a node as the broker does: register, open, follow the metadata, unfence.
    pub async fn start(&mut self, index: usize) {
        let id = self.nodes[index].id.clone();
        let data = Arc::new(self.open_data(index));
        let directory = DirectoryId::from_bytes(*data.id().as_bytes());
        let registered = self.register(&id, directory).await;
        let (broker, clock) = (BrokerId(member_id(directory)), Arc::new(SystemClock::new()));
        let meta = NodeMeta::new(self.store.clone());
        let set = ReplicaSet::new(ReplicaSetOptions {
            me: broker,
            broker_epoch: BrokerEpoch(registered),
            meta: meta.clone(),
            link: self.links.of(broker),
            clock: clock.clone(),
            settings: settings(),
            committed: HashMap::new(),
        });
        let deps = EngineDeps {
            data,
            clock: clock.clone(),
            rng: Arc::new(SystemRng),
            meta: meta.clone(),
            replication: Some(set.clone()),
        };
        let options = EngineOptions { node: Some(id.clone()), ..self.options.clone() };
        let engine = Engine::open(options, deps).await.unwrap();
        self.links.join(broker, BrokerEpoch(registered), &set);
        self.peers.join(&id, &engine);
        let running = Arc::new(Running { engine, set, meta, broker, clock });
        heartbeat(&running);
        let broker_epoch = flymq_types::BrokerEpoch(registered);
        let unfence = Command::UnfenceBroker(UnfenceBroker { id, broker_epoch });
        self.store.propose(vec![unfence]).await.unwrap();
        self.nodes[index].running = Some(running);
    }

    async fn register(&self, id: &NodeId, directory: DirectoryId) -> u64 {
        let cluster = ClusterId::from_bytes(CLUSTER);
        if self.store.image().cluster.id.is_none() {
            let form = FormCluster { cluster, founder: id.clone(), directory, features: self.features };
            self.store.propose(vec![Command::FormCluster(form)]).await.unwrap();
        }
        let register = Command::RegisterBroker(RegisterBroker {
            cluster,
            id: id.clone(),
            incarnation: IncarnationId::random(&SystemRng),
            directory,
            clean: true,
            addresses: NodeAddresses::default(),
            rack: None,
            feature_version: self.features,
            run: NodeRun::default(),
        });
        let applied = self.store.propose(vec![register]).await.unwrap();
        match &applied.replies[0] {
            Reply::Node { node, .. } => node.broker_epoch.get(),
            other => panic!("{other:?}"),
        }
    }

    /// The node is gone, and the metadata group sees it.
    pub async fn kill(&mut self, index: usize) {
        let running = self.nodes[index].running.take().expect("it runs");
        self.links.leave(running.broker);
        self.peers.leave(&self.nodes[index].id);
        running.meta.cut();
        self.fence(index).await;
        running.engine.shutdown().await;
        let (engine, set) = (Arc::downgrade(&running.engine), Arc::downgrade(&running.set));
        drop(running);
        until("the engine is gone", || engine.strong_count() == 0 && set.strong_count() == 0).await;
    }

    pub async fn fence(&self, index: usize) {
        let id = self.nodes[index].id.clone();
        let broker_epoch = self.store.image().cluster.node(&id).unwrap().broker_epoch;
        self.store.propose(vec![Command::FenceBroker(FenceBroker { id, broker_epoch })]).await.unwrap();
    }

    pub async fn unfence(&self, index: usize) {
        let id = self.nodes[index].id.clone();
        let broker_epoch = self.store.image().cluster.node(&id).unwrap().broker_epoch;
        self.store.propose(vec![Command::UnfenceBroker(UnfenceBroker { id, broker_epoch })]).await.unwrap();
    }

    /// Cuts a node off from all others and from the metadata group.
    pub fn isolate(&self, index: usize) {
        let brokers: Vec<_> =
            self.nodes.iter().filter_map(|node| node.running.as_ref()).map(|node| node.broker).collect();
        let running = self.nodes[index].running.as_ref().unwrap();
        self.links.isolate(running.broker, &brokers);
        self.peers.isolate(&self.nodes[index].id);
        running.meta.cut();
    }

    pub fn heal(&self) {
        self.links.heal();
        self.peers.heal();
        self.nodes.iter().filter_map(|node| node.running.as_ref()).for_each(|node| node.meta.heal());
    }

    pub fn engine(&self, index: usize) -> &Arc<Engine> {
        &self.nodes[index].running.as_ref().expect("it runs").engine
    }

    pub async fn create(&self, name: &str, partitions: u32, config: TopicConfig) {
        let running = self.nodes.iter().find_map(|node| node.running.as_ref()).unwrap();
        let new = NewTopic { name: topic(name), partitions: Some(partitions), config, restore: None };
        running.engine.create_topic(new).await.unwrap();
        until("the topic is open everywhere", || {
            let running = self.nodes.iter().filter_map(|node| node.running.as_ref());
            running.map(|node| node.engine.topic(&topic(name))).all(|found| found.is_ok())
        })
        .await;
    }

    pub fn partition(&self, name: &str, partition: usize) -> Arc<PartitionMeta> {
        self.store.image().topics[&topic(name)].partitions[partition].clone()
    }

    /// Gives the partition other replicas, from whatever state it is in.
    pub async fn reassign(&self, at: TopicPartition, replicas: Vec<NodeId>) {
        loop {
            let partition_epoch = self.store.image().partition(&at).unwrap().partition_epoch;
            let (at, replicas) = (at.clone(), replicas.clone());
            let reassign =
                Command::Reassign(Reassign { at, partition_epoch, replicas, throttle_bytes_per_s: 0 });
            match self.store.propose(vec![reassign]).await {
                Ok(_applied) => return,
                Err(MetaError::Rejected(_)) => tokio::task::yield_now().await,
                Err(error) => panic!("{error}"),
            }
        }
    }

    /// The node that leads the partition, by the metadata, and says so itself.
    pub async fn leader(&self, name: &str, partition: u32) -> usize {
        let mut found = usize::MAX;
        until("a leader", || {
            let meta = self.partition(name, partition as usize);
            let index = self.nodes.iter().position(|node| Some(&node.id) == meta.leader.as_ref());
            let leads = |index: &usize| {
                let running = self.nodes[*index].running.as_ref();
                running.is_some_and(|node| {
                    node.set.status().iter().any(|status| {
                        status.at.name == topic(name)
                            && status.at.partition == PartitionId(partition)
                            && status.role == flymq_replication::replica::RoleName::Leader
                            && status.leader_epoch == meta.leader_epoch
                    })
                })
            };
            found = index.filter(leads).unwrap_or(usize::MAX);
            found != usize::MAX
        })
        .await;
        found
    }

    pub async fn in_sync(&self, name: &str, partition: usize, replicas: usize) {
        until("replicas in sync", || self.partition(name, partition).isr.len() == replicas).await;
    }

    pub async fn produce(
        &self,
        index: usize,
        name: &str,
        value: &str,
        acks: Acks,
    ) -> Result<Appended, EngineError> {
        let (name, target) = (topic(name), Target::Partition(PartitionId(0)));
        let answer = self.engine(index).append(&name, target, bytes_of(value), acks);
        tokio::time::timeout(DEADLINE, answer).await.expect("hangs")
    }
}

/// Sessions as the node renews them: with the metadata of their time acted upon.
fn heartbeat(running: &Arc<Running>) {
    let weak = Arc::downgrade(running);
    #[allow(clippy::disallowed_methods, reason = "the test is the composition root")]
    tokio::spawn(async move {
        while let Some(node) = weak.upgrade() {
            let (sent, version) = (node.clock.monotonic(), node.meta.image().version);
            if !node.meta.is_cut() && *node.engine.followed().borrow() >= version {
                node.set.session_renewed(sent);
            }
            drop(node);
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
}

pub fn topic(name: &str) -> TopicName {
    TopicName::any(name).unwrap()
}

pub fn bytes_of(value: &str) -> Bytes {
    batch(&[value]).to_bytes()
}

pub fn spec(name: &str, offset: u64) -> FetchSpec {
    FetchSpec {
        topic: topic(name),
        partition: PartitionId(0),
        offset: Offset(offset),
        max_bytes: 1 << 20,
        min_bytes: 1,
        max_wait: Duration::ZERO,
        isolation: Isolation::ReadCommitted,
    }
}

/// All readable values of partition 0.
pub async fn read_all(engine: &Engine, name: &str) -> Vec<String> {
    let (mut all, mut offset) = (Vec::new(), 0);
    loop {
        let fetched = engine.fetch(spec(name, offset)).await.unwrap();
        if fetched.batches.is_empty() {
            return all;
        }
        for batch in &fetched.batches {
            for record in batch.records().unwrap() {
                all.push(String::from_utf8(record.unwrap().value.unwrap().to_vec()).unwrap());
            }
        }
        offset = fetched.next_offset.get();
    }
}
