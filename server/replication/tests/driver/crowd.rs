//! More partitions than a runtime has threads.

use std::collections::HashMap;
use std::io;
use std::path::Path;
use std::sync::{Arc, Weak, mpsc};
use std::time::Duration;

use flymq_engine::meta::{
    Command, CreateTopic, FormCluster, MemoryMetaStore, MetaStore, NodeAddresses, NodeRun, RegisterBroker,
    Reply, TopicPartition, UnfenceBroker,
};
use flymq_engine::{NewReplica, ReplicaListener, Replication, TopicConfig};
use flymq_replication::replica::{BrokerEpoch, BrokerId};
use flymq_replication::{ReplicaSet, ReplicaSetOptions, member_id};
use flymq_storage::{
    DataDir, DataDirOptions, DirEntry, Disk, DiskFile, DiskSpace, LockOutcome, LogConfig, OpenMode, RealDisk,
    SpaceOptions, SyncMode,
};
use flymq_types::{
    ClusterId, DirectoryId, IncarnationId, NodeId, PartitionId, SystemClock, SystemRng, Timestamp, TopicId,
    TopicName,
};
use parking_lot::{Condvar, Mutex};

use crate::cluster::{Listener, settings};
use crate::links::Links;

const DEADLINE: Duration = Duration::from_secs(60);
const PARTITIONS: u32 = 64;
/// Beside those that run tasks.
const THREADS: usize = 24;

/// A disk whose new files wait while it is shut.
#[derive(Debug, Clone, Default)]
struct Gate(Arc<(Mutex<State>, Condvar)>);

#[derive(Debug, Default)]
struct State {
    shut: bool,
    waiting: usize,
}

impl Gate {
    fn set_shut(&self, shut: bool) {
        self.0.0.lock().shut = shut;
        self.0.1.notify_all();
    }

    fn pass(&self) {
        let mut state = self.0.0.lock();
        state.waiting += 1;
        self.0.1.notify_all();
        self.0.1.wait_while(&mut state, |state| state.shut);
        state.waiting -= 1;
    }

    /// Waits until somebody waits.
    fn is_met(&self) {
        let mut state = self.0.0.lock();
        let late = self.0.1.wait_while_for(&mut state, |state| state.waiting == 0, DEADLINE).timed_out();
        assert!(!late, "nobody makes files");
    }
}

#[derive(Debug)]
struct GatedDisk(Gate);

impl Disk for GatedDisk {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn DiskFile>> {
        if mode == OpenMode::CreateNew {
            self.0.pass();
        }
        RealDisk.open(path, mode)
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        RealDisk.rename(from, to)
    }
    fn remove_file(&self, path: &Path) -> io::Result<()> {
        RealDisk.remove_file(path)
    }
    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        RealDisk.remove_dir(path)
    }
    fn create_dir(&self, path: &Path) -> io::Result<()> {
        RealDisk.create_dir(path)
    }
    fn list(&self, dir: &Path) -> io::Result<Vec<DirEntry>> {
        RealDisk.list(dir)
    }
    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        RealDisk.sync_dir(dir)
    }
    fn exists(&self, path: &Path) -> io::Result<bool> {
        RealDisk.exists(path)
    }
    fn space(&self, path: &Path) -> io::Result<DiskSpace> {
        RealDisk.space(path)
    }
    fn lock_exclusive(&self, path: &Path) -> io::Result<LockOutcome> {
        RealDisk.lock_exclusive(path)
    }
}

/// The only node of a cluster, registered: its store, number and epoch.
async fn alone(id: &NodeId, directory: DirectoryId) -> (MemoryMetaStore, BrokerEpoch) {
    let (store, cluster) = (MemoryMetaStore::default(), ClusterId::from_bytes([7; 16]));
    let form = FormCluster { cluster, founder: id.clone(), directory, features: 1 };
    let register = RegisterBroker {
        cluster,
        id: id.clone(),
        incarnation: IncarnationId::random(&SystemRng),
        directory,
        clean: true,
        addresses: NodeAddresses::default(),
        rack: None,
        feature_version: 1,
        run: NodeRun::default(),
    };
    let commands = vec![Command::FormCluster(form), Command::RegisterBroker(register)];
    let applied = store.propose(commands).await.unwrap();
    let Reply::Node { node, .. } = &applied.replies[1] else { panic!("{applied:?}") };
    let broker_epoch = node.broker_epoch;
    let create = CreateTopic {
        id: TopicId::from_bytes([3; 16]),
        name: TopicName::new("t").unwrap(),
        partitions: PARTITIONS,
        config: TopicConfig::default(),
        created: Timestamp(0),
        restoring: None,
    };
    let unfence = UnfenceBroker { id: id.clone(), broker_epoch };
    let commands = vec![Command::UnfenceBroker(unfence), Command::CreateTopic(create)];
    store.propose(commands).await.unwrap();
    (store, BrokerEpoch(broker_epoch.get()))
}

/// Each begins to lead, which makes a file. Sessions, elections and everything else of the node go on meanwhile.
#[test]
fn partitions_that_wait_for_the_disk_leave_threads_for_everything_else() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .max_blocking_threads(THREADS)
        .enable_all()
        .build()
        .unwrap();
    let (temp, gate) = (tempfile::tempdir().unwrap(), Gate::default());
    let data = DataDir::open(DataDirOptions {
        disk: Arc::new(GatedDisk(gate.clone())),
        path: temp.path().join("data"),
        clock: Arc::new(SystemClock::new()),
        rng: Arc::new(SystemRng),
        sync: SyncMode::Thread { interval: Duration::from_millis(5) },
        tail_cache_bytes: 16 << 20,
        space: SpaceOptions::OFF,
        encryption: None,
        node: None,
        open_files: 256,
    })
    .unwrap();
    let (id, directory) = (NodeId::new("n").unwrap(), DirectoryId::from_bytes(*data.id().as_bytes()));
    let (store, broker_epoch) = runtime.block_on(alone(&id, directory));
    let me = BrokerId(member_id(directory));
    let set = {
        let _entered = runtime.enter();
        ReplicaSet::new(ReplicaSetOptions {
            me,
            broker_epoch,
            meta: Arc::new(store.clone()),
            link: Links::default().of(me),
            clock: Arc::new(SystemClock::new()),
            settings: settings(),
            committed: HashMap::new(),
        })
    };
    let (listeners, image) = (listeners(), store.image());
    gate.set_shut(true);
    let handles: Vec<_> = (0..PARTITIONS)
        .zip(&listeners)
        .map(|(number, listener)| {
            let (topic, partition) = (TopicId::from_bytes([3; 16]), PartitionId(number));
            let at = TopicPartition { topic, name: TopicName::new("t").unwrap(), partition };
            let (log, _report) = data.open_log(topic, partition, LogConfig::default()).unwrap();
            let weak: Weak<dyn ReplicaListener> =
                Arc::downgrade(&(listener.clone() as Arc<dyn ReplicaListener>));
            let _entered = runtime.enter();
            let handle = set.open(NewReplica { at: at.clone(), log: Some(log), listener: weak });
            assert!(handle.update(image.partition(&at).unwrap(), 1, &image));
            handle
        })
        .collect();
    gate.is_met();
    let runs = |_: &u32| {
        let (sender, done) = mpsc::channel();
        runtime.spawn(async move {
            tokio::task::yield_now().await;
            sender.send(()).unwrap();
        });
        done.recv_timeout(DEADLINE).is_ok()
    };
    let stuck = (0..1_000).find(|number| !runs(number));
    // Before anything else: a runtime ends only with all its threads.
    gate.set_shut(false);
    assert_eq!(stuck, None, "nothing else runs any more");
    runtime.block_on(crate::cluster::until("all lead", || {
        listeners.iter().all(|listener| listener.0.lock().leads.is_some())
    }));
    drop(handles);
}

fn listeners() -> Vec<Arc<Listener>> {
    (0..PARTITIONS).map(|_| Arc::default()).collect()
}
