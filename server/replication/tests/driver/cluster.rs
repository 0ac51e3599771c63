//! A cluster of nodes with one partition on all of them.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use flymq_engine::meta::{
    Command, CreateTopic, FenceBroker, FormCluster, MemoryMetaStore, MetaStore, NodeAddresses, NodeRun,
    PartitionMeta, RegisterBroker, Reply, TopicPartition, UnfenceBroker,
};
use flymq_engine::{NewReplica, PartitionReplica, ReplicaFailure, ReplicaListener, Replication, TopicConfig};
use flymq_replication::replica::{BrokerEpoch, BrokerId};
use flymq_replication::{ReplicaSet, ReplicaSetOptions, ReplicaSetSettings, member_id};
use flymq_storage::{
    Appended, DataDir, DataDirOptions, Disk, Log, LogConfig, RealDisk, SimDisk, SpaceOptions, StorageError,
    SyncMode,
};
use flymq_types::{
    Acks, Clock, ClusterId, DirectoryId, IncarnationId, LeaderEpoch, NodeId, Offset, PartitionId,
    RecordBatch, SystemClock, SystemRng, Timestamp, TopicId, TopicName,
};
use flymq_wire::batch::{BatchBuilder, NewRecord, ServerFields};
use parking_lot::Mutex;

use crate::links::Links;
use crate::meta::NodeMeta;

/// Longer than anything that is waited for; hit only if a test fails.
pub const DEADLINE: Duration = Duration::from_secs(60);
const CLUSTER: [u8; 16] = [9; 16];

/// What the replica's listener was told.
#[derive(Debug, Default)]
pub struct Told {
    /// The epoch that this node leads in.
    pub leads: Option<LeaderEpoch>,
    pub high: Offset,
    pub failed: bool,
}

#[derive(Debug, Default)]
pub struct Listener(pub Mutex<Told>);

impl ReplicaListener for Listener {
    fn leads(&self, epoch: LeaderEpoch, high_watermark: Offset) {
        let mut told = self.0.lock();
        (told.leads, told.high) = (Some(epoch), high_watermark);
    }

    fn advanced(&self, high_watermark: Offset) {
        let mut told = self.0.lock();
        assert!(
            told.leads.is_some() && high_watermark >= told.high,
            "a watermark outside of a term, or back"
        );
        told.high = high_watermark;
    }

    fn ended(&self) {
        self.0.lock().leads = None;
    }

    fn failed(&self, _error: &StorageError) {
        let mut told = self.0.lock();
        (told.leads, told.failed) = (None, true);
    }

    fn reader_waits(&self) -> bool {
        false
    }
}

/// A clock that can go on by a second and a half the next time somebody asks for the time of day.
#[derive(Debug)]
pub struct Hurried {
    clock: SystemClock,
    is_due: AtomicBool,
    ahead_ms: AtomicU64,
}

impl Default for Hurried {
    fn default() -> Self {
        Self { clock: SystemClock::new(), is_due: AtomicBool::default(), ahead_ms: AtomicU64::default() }
    }
}

impl Hurried {
    pub fn hurry(&self) {
        self.is_due.store(true, Ordering::SeqCst);
    }
}

impl Clock for Hurried {
    fn wall(&self) -> Timestamp {
        if self.is_due.swap(false, Ordering::SeqCst) {
            self.ahead_ms.fetch_add(1_500, Ordering::SeqCst);
        }
        self.clock.wall()
    }

    fn monotonic(&self) -> Duration {
        self.clock.monotonic() + Duration::from_millis(self.ahead_ms.load(Ordering::SeqCst))
    }
}

/// A running node.
pub struct Running {
    pub log: Log,
    pub handle: Arc<dyn PartitionReplica>,
    pub listener: Arc<Listener>,
    pub set: Arc<ReplicaSet>,
    pub meta: Arc<NodeMeta>,
    pub broker: BrokerId,
    pub clock: Arc<Hurried>,
    _data: DataDir,
}

/// A node, running or not, with its disk.
pub struct Node {
    pub id: NodeId,
    pub disk: Option<SimDisk>,
    path: PathBuf,
    _temp: Option<tempfile::TempDir>,
    pub running: Option<Arc<Running>>,
}

pub struct Cluster {
    pub nodes: Vec<Node>,
    pub links: Links,
    pub store: MemoryMetaStore,
    pub at: TopicPartition,
    values: AtomicU64,
}

pub fn settings() -> ReplicaSetSettings {
    ReplicaSetSettings {
        lag_max: Duration::from_millis(600),
        session: Duration::from_secs(2),
        tick: Duration::from_millis(10),
        ..ReplicaSetSettings::default()
    }
}

impl Cluster {
    /// On the real disk.
    pub async fn new(nodes: usize) -> Self {
        Self::with(nodes, false).await
    }

    /// On simulated disks, which can fail.
    pub async fn simulated(nodes: usize) -> Self {
        Self::with(nodes, true).await
    }

    async fn with(nodes: usize, simulated: bool) -> Self {
        let at = TopicPartition {
            topic: TopicId::from_bytes([3; 16]),
            name: TopicName::new("t").unwrap(),
            partition: PartitionId(0),
        };
        let node = |number: usize| {
            let temp = (!simulated).then(|| tempfile::tempdir().unwrap());
            let path = temp.as_ref().map_or_else(|| PathBuf::from("/data"), |temp| temp.path().join("data"));
            let id = NodeId::new(&format!("node-{number}")).unwrap();
            Node { id, disk: simulated.then(SimDisk::new), path, _temp: temp, running: None }
        };
        let (links, store) = (Links::default(), MemoryMetaStore::default());
        let nodes: Vec<Node> = (0..nodes).map(node).collect();
        let mut cluster = Self { nodes, links, store, at, values: AtomicU64::new(0) };
        for index in 0..cluster.nodes.len() {
            cluster.start(index).await;
        }
        let create = Command::CreateTopic(CreateTopic {
            id: cluster.at.topic,
            name: cluster.at.name.clone(),
            partitions: 1,
            config: TopicConfig::default(),
            created: Timestamp(0),
            restoring: None,
        });
        cluster.store.propose(vec![create]).await.unwrap();
        cluster.in_sync(cluster.nodes.len()).await;
        cluster
    }

    /// Starts a node: opens its directory, registers, opens the log, unfences.
    pub async fn start(&mut self, index: usize) {
        let (data, id, directory) = self.open(index);
        let registered = self.register(&id, directory).await;
        let (broker, clock) = (BrokerId(member_id(directory)), Arc::new(Hurried::default()));
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
        let (log, _report) =
            data.open_log(self.at.topic, self.at.partition, LogConfig::default()).expect("it opens");
        let listener = Arc::new(Listener::default());
        let weak: Arc<dyn ReplicaListener> = listener.clone();
        let at = self.at.clone();
        let handle = set.open(NewReplica { at, log: Some(log.clone()), listener: Arc::downgrade(&weak) });
        self.links.join(broker, BrokerEpoch(registered), &set);
        let running = Running { log, handle, listener, set, meta, broker, clock, _data: data };
        let running = Arc::new(running);
        self.follow(&running);
        let unfence =
            Command::UnfenceBroker(UnfenceBroker { id, broker_epoch: flymq_types::BrokerEpoch(registered) });
        self.store.propose(vec![unfence]).await.unwrap();
        self.nodes[index].running = Some(running);
    }

    fn open(&self, index: usize) -> (DataDir, NodeId, DirectoryId) {
        let node = &self.nodes[index];
        let disk: Arc<dyn Disk> = match &node.disk {
            Some(sim) => sim.process(),
            None => Arc::new(RealDisk),
        };
        let data = DataDir::open(DataDirOptions {
            disk,
            path: node.path.clone(),
            clock: Arc::new(SystemClock::new()),
            rng: Arc::new(SystemRng),
            sync: SyncMode::Thread { interval: Duration::from_millis(5) },
            tail_cache_bytes: 16 << 20,
            space: SpaceOptions::OFF,
            encryption: None,
            node: None,
            open_files: 64,
        })
        .unwrap();
        let directory = DirectoryId::from_bytes(*data.id().as_bytes());
        (data, node.id.clone(), directory)
    }

    async fn register(&self, id: &NodeId, directory: DirectoryId) -> u64 {
        let cluster = ClusterId::from_bytes(CLUSTER);
        if self.store.image().cluster.id.is_none() {
            let form = FormCluster { cluster, founder: id.clone(), directory, features: 1 };
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
            feature_version: 1,
            run: NodeRun::default(),
        });
        let applied = self.store.propose(vec![register]).await.unwrap();
        match &applied.replies[0] {
            Reply::Node { node, .. } => node.broker_epoch.get(),
            other => panic!("{other:?}"),
        }
    }

    /// Gives the replica metadata and sessions, as the node does, for as long as it runs.
    fn follow(&self, running: &Arc<Running>) {
        let (weak, at) = (Arc::downgrade(running), self.at.clone());
        #[allow(clippy::disallowed_methods, reason = "the test is the composition root")]
        tokio::spawn(async move {
            while let Some(node) = weak.upgrade() {
                let sent = node.clock.monotonic();
                let image = node.meta.image();
                if let Ok(partition) = image.partition(&at) {
                    node.handle.update(partition, partition.min_insync(None), &image);
                }
                if !node.meta.is_cut() {
                    node.set.session_renewed(sent);
                }
                drop(node);
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        });
    }

    /// The process is gone, with what was not synced where the disk is simulated.
    pub async fn kill(&mut self, index: usize) {
        let running = self.nodes[index].running.take().expect("it runs");
        self.links.leave(running.broker);
        running.meta.cut();
        running.handle.close().await;
        let mut left = running;
        let gone = async {
            loop {
                match Arc::try_unwrap(left) {
                    Ok(running) => return drop(running),
                    Err(again) => left = again,
                }
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        tokio::time::timeout(DEADLINE, gone).await.expect("somebody holds the node");
    }

    /// The node gets an empty disk.
    pub fn wipe(&mut self, index: usize) {
        assert!(self.nodes[index].running.is_none());
        #[allow(clippy::disallowed_methods, reason = "the test is the administrator")]
        std::fs::remove_dir_all(&self.nodes[index].path).unwrap();
    }

    /// The metadata leader sees that a node's session is over.
    pub async fn fence(&self, index: usize) {
        let id = self.nodes[index].id.clone();
        let epoch = self.store.image().cluster.node(&id).unwrap().broker_epoch;
        let fence = Command::FenceBroker(FenceBroker { id, broker_epoch: epoch });
        self.store.propose(vec![fence]).await.unwrap();
    }

    /// The node says again that it lives, after it was cut off.
    pub async fn unfence(&self, index: usize) {
        let id = self.nodes[index].id.clone();
        let epoch = self.store.image().cluster.node(&id).unwrap().broker_epoch;
        let unfence = Command::UnfenceBroker(UnfenceBroker { id, broker_epoch: epoch });
        self.store.propose(vec![unfence]).await.unwrap();
    }

    /// Cuts a node off from all others and from the metadata group.
    pub fn isolate(&self, index: usize) {
        let node = self.node(index);
        self.links.isolate(node.broker, &self.brokers());
        node.meta.cut();
    }

    pub fn heal(&self) {
        self.links.heal();
        self.nodes.iter().filter_map(|node| node.running.as_ref()).for_each(|node| node.meta.heal());
    }

    fn brokers(&self) -> Vec<BrokerId> {
        self.nodes.iter().filter_map(|node| node.running.as_ref()).map(|node| node.broker).collect()
    }

    pub fn node(&self, index: usize) -> &Arc<Running> {
        self.nodes[index].running.as_ref().expect("it runs")
    }

    pub fn partition(&self) -> Arc<PartitionMeta> {
        self.store.image().partition(&self.at).unwrap().clone()
    }

    /// The node that the metadata names and that knows it.
    pub async fn leader(&self) -> usize {
        let mut found = 0;
        until("a leader", || {
            let meta = self.partition();
            let index = self.nodes.iter().position(|node| Some(&node.id) == meta.leader.as_ref());
            let leads = |index: &usize| {
                let running = self.nodes[*index].running.as_ref();
                running.is_some_and(|node| node.listener.0.lock().leads == Some(meta.leader_epoch))
            };
            found = index.filter(leads).unwrap_or(usize::MAX);
            found != usize::MAX
        })
        .await;
        found
    }

    /// Waits until so many replicas are in sync, and one leads.
    pub async fn in_sync(&self, replicas: usize) {
        until("replicas in sync", || self.partition().isr.len() == replicas).await;
        let leader = self.leader().await;
        let known = || self.node(leader).set.status()[0].in_sync.len() == replicas;
        until("the leader knows who is in sync", known).await;
    }

    /// A value that no other record has.
    pub fn value(&self) -> String {
        format!("value {}", self.values.fetch_add(1, Ordering::Relaxed))
    }

    /// Appends one record through that node.
    pub async fn produce(&self, index: usize, value: &str, acks: Acks) -> Result<Appended, ReplicaFailure> {
        let answer = self.node(index).handle.append(batch(&[value]), acks);
        let Ok(answer) = tokio::time::timeout(DEADLINE, answer).await else {
            let nodes = self.nodes.iter().filter_map(|node| node.running.as_ref());
            panic!(
                "hangs: {:#?} {:#?}",
                self.partition(),
                nodes.map(|node| node.set.status()).collect::<Vec<_>>()
            )
        };
        answer
    }

    /// Appends so many records one after the other, all acknowledged by all.
    pub async fn produce_all(&self, index: usize, records: usize) -> Vec<String> {
        let mut values = Vec::new();
        for _ in 0..records {
            let value = self.value();
            self.produce(index, &value, Acks::All).await.expect("it is acknowledged");
            values.push(value);
        }
        values
    }

    /// Waits until all logs end alike and are the same, byte for byte; the values in them.
    pub async fn equal_logs(&self) -> Vec<String> {
        let running: Vec<_> = self.nodes.iter().filter_map(|node| node.running.clone()).collect();
        until("the logs end alike", || {
            // Also what is appended and not synced yet.
            let ends = running.iter().flat_map(|node| [node.log.durable_offset(), node.log.end_offset()]);
            let ends: Vec<_> = ends.collect();
            ends.windows(2).all(|two| two[0] == two[1])
        })
        .await;
        let start = running.iter().map(|node| node.log.start_offset()).max().unwrap();
        let logs: Vec<_> = running.iter().map(|node| bytes_of(&node.log, start)).collect();
        for (log, node) in logs.iter().zip(&running) {
            let apart = log.iter().zip(&logs[0]).position(|(one, other)| one != other);
            let (same, ends) = (*log == logs[0], (log.len(), logs[0].len()));
            assert!(same, "logs differ: {} at batch {apart:?}, ends {ends:?}", node.broker.0);
        }
        values_of(&running[0].log)
    }
}

pub fn batch(values: &[&str]) -> RecordBatch {
    let mut builder = BatchBuilder::new();
    for value in values {
        builder.push(&NewRecord { value: Some(value.as_bytes()), ..NewRecord::default() }).unwrap();
    }
    RecordBatch::from_producer(builder.build().unwrap()).unwrap()
}

pub fn batches_of(log: &Log, from: Offset) -> Vec<RecordBatch> {
    let (mut batches, mut next) = (Vec::new(), from);
    while next < log.end_offset() {
        let read = log.read_raw(next, 1 << 20).unwrap();
        next = read.last().unwrap().next_offset();
        batches.extend(read);
    }
    batches
}

/// All batches without what belongs to the segment files.
pub fn bytes_of(log: &Log, from: Offset) -> Vec<bytes::Bytes> {
    let neutral = |batch: &RecordBatch| {
        batch.stamp(ServerFields { incarnation: 0, ..batch.header().server }).to_bytes()
    };
    batches_of(log, from).iter().map(neutral).collect()
}

pub fn values_of(log: &Log) -> Vec<String> {
    let text = |value: Option<&[u8]>| String::from_utf8(value.unwrap().to_vec()).unwrap();
    let batches = batches_of(log, log.start_offset());
    let values = |batch: &RecordBatch| {
        batch.records().unwrap().map(|record| text(record.unwrap().value)).collect::<Vec<_>>()
    };
    batches.iter().flat_map(values).collect()
}

/// Waits until it is so.
pub async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let wait = async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    assert!(tokio::time::timeout(DEADLINE, wait).await.is_ok(), "never: {what}");
}
