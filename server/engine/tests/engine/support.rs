//! A node to test: disk, metadata and clock outlive the engine, so that it can be restarted and crashed.

use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use flymq_engine::meta::MemoryMetaStore;
use flymq_engine::{
    Appended, Engine, EngineDeps, EngineError, EngineOptions, FetchSpec, Fetched, NewTopic, Target,
    TopicConfig,
};
use flymq_storage::{DataDir, DataDirOptions, RealDisk, SimDisk, SpaceOptions, StorageError, SyncMode};
use flymq_types::{
    Acks, GroupId, Isolation, ManualClock, Offset, PartitionId, SeededRng, Timestamp, TopicName,
};
use flymq_wire::batch::{BatchBuilder, NewRecord};

/// No test waits longer for anything.
const DEADLINE: Duration = Duration::from_secs(30);

pub struct Node {
    pub sim: SimDisk,
    pub clock: Arc<ManualClock>,
    pub options: EngineOptions,
    path: PathBuf,
    meta: MemoryMetaStore,
    rng: Arc<SeededRng>,
    interval: Duration,
    temp: Option<tempfile::TempDir>,
}

impl Node {
    /// On a simulated disk; logs are synced only when somebody asks for it.
    pub fn simulated() -> Self {
        Self::on(PathBuf::from("/data"), None)
    }

    /// On the operating system's disk.
    pub fn real() -> Self {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("data");
        Self::on(path, Some(temp))
    }

    fn on(path: PathBuf, temp: Option<tempfile::TempDir>) -> Self {
        Self {
            sim: SimDisk::new(),
            clock: Arc::new(ManualClock::new(Timestamp(1_000_000))),
            options: EngineOptions::default(),
            path,
            meta: MemoryMetaStore::default(),
            rng: Arc::new(SeededRng::new(7)),
            interval: Duration::from_secs(3_600),
            temp,
        }
    }

    /// Syncs by itself after this time.
    pub fn sync_interval(mut self, interval: Duration) -> Self {
        self.interval = interval;
        self
    }

    /// Starts the engine; the one before must be dropped. What works beside that may hold it a moment longer, and its directory
    /// with it.
    pub async fn open(&self) -> Arc<Engine> {
        let mut opened = None;
        until("the directory is free", || match DataDir::open(self.data_dir()) {
            Err(StorageError::DirectoryLocked { .. }) => false,
            other => {
                opened = Some(other.unwrap());
                true
            }
        })
        .await;
        let deps = EngineDeps {
            data: Arc::new(opened.unwrap()),
            clock: self.clock.clone(),
            rng: self.rng.clone(),
            meta: Arc::new(self.meta.clone()),
            replication: None,
        };
        Engine::open(self.options.clone(), deps).await.unwrap()
    }

    fn data_dir(&self) -> DataDirOptions {
        DataDirOptions {
            disk: if self.temp.is_some() { Arc::new(RealDisk) } else { self.sim.process() },
            path: self.path.clone(),
            clock: self.clock.clone(),
            rng: self.rng.clone(),
            sync: SyncMode::Thread { interval: self.interval },
            tail_cache_bytes: 64 << 20,
            space: SpaceOptions::OFF,
            encryption: None,
            node: None,
            open_files: 64,
        }
    }
}

pub fn topic(name: &str) -> TopicName {
    TopicName::any(name).unwrap()
}

pub fn group(name: &str) -> GroupId {
    GroupId::new(name).unwrap()
}

pub fn new_topic(name: &str, partitions: u32) -> NewTopic {
    NewTopic {
        name: topic(name),
        partitions: Some(partitions),
        config: TopicConfig::default(),
        restore: None,
    }
}

/// A batch of these values.
pub fn batch(values: &[&str]) -> Bytes {
    let mut builder = BatchBuilder::new();
    for value in values {
        let record = NewRecord { value: Some(value.as_bytes()), ..NewRecord::default() };
        builder.push(&record).unwrap();
    }
    builder.build().unwrap()
}

pub async fn append(engine: &Engine, name: &str, partition: u32, value: &str, acks: Acks) -> Appended {
    let target = Target::Partition(PartitionId(partition));
    engine.append(&topic(name), target, batch(&[value]), acks).await.unwrap()
}

pub fn spec(name: &str, partition: u32, offset: u64) -> FetchSpec {
    FetchSpec {
        topic: topic(name),
        partition: PartitionId(partition),
        offset: Offset(offset),
        max_bytes: 1 << 20,
        min_bytes: 1,
        max_wait: Duration::ZERO,
        isolation: Isolation::ReadCommitted,
    }
}

/// Offset and value of every record from `offset` on.
pub fn values(fetched: &Fetched, offset: u64) -> Vec<(u64, String)> {
    let records = fetched.batches.iter().flat_map(|batch| {
        batch.records().unwrap().map(|record| {
            let record = record.unwrap();
            (record.offset, String::from_utf8(record.value.unwrap().to_vec()).unwrap())
        })
    });
    records.filter(|(at, _)| *at >= offset).collect()
}

/// All readable records of a partition.
pub async fn read_all(engine: &Engine, name: &str, partition: u32) -> Vec<(u64, String)> {
    fetch_all(engine, name, partition).await.unwrap().iter().flat_map(|fetched| values(fetched, 0)).collect()
}

/// All readable batches of a partition.
pub async fn fetch_all(engine: &Engine, name: &str, partition: u32) -> Result<Vec<Fetched>, EngineError> {
    let (mut all, mut offset) = (Vec::new(), 0);
    loop {
        let fetched = engine.fetch(spec(name, partition, offset)).await?;
        if fetched.batches.is_empty() && fetched.next_offset.get() == offset {
            return Ok(all);
        }
        offset = fetched.next_offset.get();
        all.push(fetched);
    }
}

/// The future's result; a hang is a failure.
pub async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(DEADLINE, future).await.expect("hangs")
}

/// Polls until the condition holds; each step lets other tasks run.
pub async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let waiting = async {
        while !condition() {
            tokio::task::yield_now().await;
        }
    };
    assert!(tokio::time::timeout(DEADLINE, waiting).await.is_ok(), "never: {what}");
}

pub fn not_found<T>(result: Result<T, EngineError>) -> bool {
    matches!(result.err(), Some(EngineError::TopicNotFound { .. }))
}

/// Appends one record of this time to partition 0.
pub async fn append_at(engine: &Engine, name: &str, time: i64) {
    let mut builder = BatchBuilder::new();
    builder.push(&NewRecord { value: Some(b"v"), timestamp: time, ..NewRecord::default() }).unwrap();
    let target = Target::Partition(PartitionId(0));
    engine.append(&topic(name), target, builder.build().unwrap(), Acks::Leader).await.unwrap();
}
