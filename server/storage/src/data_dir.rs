//! The data directory of a node: lock, identity, and the logs in it.
//!
//! ```text
//! <data>/flymq.lock                                   held while the process lives; names its process id
//! <data>/meta.json                                    format version, id of this directory, when it was made
//! <data>/encryption.json                              which keys are needed, where the data is encrypted
//! <data>/topics/<topic id>/<partition>/<base>.log     segment          <base>.index   its sparse index
//!                                     /checkpoint     durable mark     epochs         first offset of each epoch
//! <data>/lost+found/                                  files nobody knows
//! <data>/reserve                                      blocks for commits and deletions on a full disk
//! ```

mod delete;
mod identity;
mod keys;
mod rotate;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::thread::JoinHandle;

use flymq_types::{Clock, PartitionId, Rng, SystemClock, SystemRng, TopicId};
use parking_lot::Mutex;

use crate::crypt::{EncryptionKeys, FileVault, Place, SealPool, open_keyring};
use crate::disk::{Disk, DiskLock, LockOutcome, PooledDisk, RealDisk};
use crate::error::{IoContext, Result, StorageError};
use crate::log::{Context, Log, LogConfig, LogInner, LogPlace, RecoveryReport};
use crate::lost_found;
use crate::space::{self, Space, SpaceOptions, SpaceReport, VitalDisk};
use crate::sync::{SyncMode, Syncer};
use crate::tail::TailBudget;

pub use identity::DirectoryId;
pub(crate) use identity::read_id;
pub use rotate::{Rotation, RotationStep};

const LOCK_FILE: &str = "flymq.lock";
const TOPICS: &str = "topics";
/// Kept by another crate, in here so that one lock and one backup cover both.
const METADATA: &str = "metadata";
const DEFAULT_TAIL_BUDGET_BYTES: usize = 64 << 20;
/// Well within the soft limit that most systems set.
const DEFAULT_OPEN_FILES: usize = 512;
const DEFAULT_SYNC_INTERVAL_MS: u64 = 5;

/// How to open a data directory.
#[derive(Debug, Clone)]
pub struct DataDirOptions {
    pub disk: Arc<dyn Disk>,
    /// Created, with its parents, where it is missing.
    pub path: PathBuf,
    pub clock: Arc<dyn Clock>,
    pub rng: Arc<dyn Rng>,
    pub sync: SyncMode,
    /// Bytes that the tail caches of all logs together may hold.
    pub tail_cache_bytes: usize,
    /// How much of the disk is kept free.
    pub space: SpaceOptions,
    /// Most files of logs that are open at once; the others are opened when they are used.
    pub open_files: usize,
    /// Name of the node, where somebody gave it one: its directory belongs to it from then on.
    pub node: Option<String>,
    /// Encrypts everything that is written from now on.
    pub encryption: Option<EncryptionKeys>,
}

impl DataDirOptions {
    /// The operating system's disk, clock and chance; a sync thread with an interval of 5 ms; 64 MiB of tail caches.
    pub fn real(path: impl Into<PathBuf>) -> Self {
        let interval = std::time::Duration::from_millis(DEFAULT_SYNC_INTERVAL_MS);
        Self {
            disk: Arc::new(RealDisk),
            path: path.into(),
            clock: Arc::new(SystemClock::new()),
            rng: Arc::new(SystemRng),
            sync: SyncMode::Thread { interval },
            tail_cache_bytes: DEFAULT_TAIL_BUDGET_BYTES,
            space: SpaceOptions::default(),
            open_files: DEFAULT_OPEN_FILES,
            node: None,
            encryption: None,
        }
    }
}

/// An open data directory; the process holds its lock. Dropping it syncs what is dirty and lets go of the lock; its
/// logs answer `Closed` from then on.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    id: DirectoryId,
    context: Arc<Context>,
    /// The same for logs that must go on when the disk is full.
    vital_context: Arc<Context>,
    open: Mutex<HashMap<(TopicId, PartitionId), Slot>>,
    /// Sync and space.
    threads: Vec<JoinHandle<()>>,
    _lock: Box<dyn DiskLock>,
}

/// A log that this process has, or is getting.
#[derive(Debug)]
enum Slot {
    /// Recovery is under way on another thread.
    Opening,
    Open(Weak<LogInner>),
}

impl Slot {
    fn log(&self) -> Option<Arc<LogInner>> {
        match self {
            Self::Opening => None,
            Self::Open(log) => log.upgrade(),
        }
    }

    fn is_taken(&self) -> bool {
        match self {
            Self::Opening => true,
            Self::Open(log) => log.strong_count() > 0,
        }
    }
}

impl DataDir {
    /// Opens or creates a data directory, and finishes deletions that a crash cut off.
    ///
    /// # Errors
    /// `DirectoryLocked`, `UnknownFormat`, `DamagedIdentity`, `OtherNode`, `RecordsMissing`, `NotADirectory`, `KeyMissing`, `WrongKey`: nothing was changed. `Io`, `DiskFull`, `ReadOnly`.
    pub fn open(options: DataDirOptions) -> Result<Self> {
        let DataDirOptions {
            disk,
            path,
            clock,
            rng,
            sync,
            tail_cache_bytes,
            space,
            open_files,
            node,
            encryption,
        } = options;
        let disk: Arc<dyn Disk> = Arc::new(PooledDisk::new(disk, open_files));
        create_with_parents(&*disk, &path)?;
        let node = node.as_deref();
        let (topics, lost_found) = (path.join(TOPICS), path.join(lost_found::DIRECTORY));
        // Also before the lock, which writes.
        let known = identity::load(&*disk, &path, node)?;
        if known.is_some() && !disk.exists(&topics).on("look for", &topics)? {
            return Err(StorageError::RecordsMissing { path: topics });
        }
        let lock = take_lock(&*disk, &path)?;
        let id = match identity::load(&*disk, &path, node)? {
            Some(id) => id,
            None => {
                // Before the identity, which says that it has been there.
                disk.create_dir(&topics).on("create directory", &topics)?;
                disk.sync_dir(&path).on("sync directory", &path)?;
                identity::create(&*disk, &path, &*rng, clock.wall(), node)?
            }
        };
        let keys = Place { disk: &*disk, dir: &path, id };
        let in_use = || keys::in_use(&*disk, &path.join(TOPICS));
        let keyring = open_keyring(keys, encryption.as_ref(), &*rng, in_use)?.map(Arc::new);
        disk.create_dir(&lost_found).on("create directory", &lost_found)?;
        disk.sync_dir(&path).on("sync directory", &path)?;
        let space = Arc::new(Space::new(disk.clone(), path.clone(), space));
        space.adopt_reserve();
        let whole = disk.whole(&topics).on("look at the file system of", &topics)?;
        let vital: Arc<dyn Disk> = Arc::new(VitalDisk::new(disk.clone(), space.clone()));
        let context = Arc::new(Context {
            disk,
            vital: vital.clone(),
            space: space.clone(),
            clock: clock.clone(),
            rng,
            syncer: Arc::new(Syncer::new(clock, whole)),
            tail_budget: Arc::new(TailBudget::new(tail_cache_bytes)),
            directory: id,
            keyring,
            seal_pool: Arc::new(SealPool::default()),
            topics,
            lost_found,
            created: Arc::default(),
        });
        let vital_context = Arc::new(Context { disk: vital, ..(*context).clone() });
        let mut threads = Vec::from_iter(start_syncer(&context, sync, &path)?);
        threads.extend(space::start_watch(&space).on("start the space watch for", &path)?);
        let open = Mutex::default();
        let dir = Self { path, id, context, vital_context, open, threads, _lock: lock };
        dir.finish_deletions()?;
        Ok(dir)
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The random id that this directory got when it was made. A node with another directory is another replica.
    pub fn id(&self) -> DirectoryId {
        self.id
    }

    /// The state of the data disk, as last seen.
    pub fn space(&self) -> SpaceReport {
        self.context.space.report()
    }

    /// Looks at the disk now, as the watch does, for owners of a directory in [`crate::SpaceWatch::Manual`].
    pub fn check_space(&self) {
        self.context.space.check();
    }

    /// The disk for files beside the logs that must go on when it is full: writes that find no space are tried once
    /// more with the blocks of the reserve.
    pub fn vital_disk(&self) -> Arc<dyn Disk> {
        self.context.vital.clone()
    }

    /// The keys of an encrypted directory, for what else is kept in it.
    pub fn vault(&self) -> Option<FileVault> {
        let keyring = self.context.keyring.clone()?;
        Some(FileVault::with(keyring, *self.id.as_bytes(), self.context.rng.clone()))
    }

    /// Every log that has files, in order. Logs that were never appended to have none.
    pub fn logs(&self) -> Result<Vec<(TopicId, PartitionId)>> {
        let (disk, topics) = (&*self.context.disk, &self.context.topics);
        let mut logs = Vec::new();
        for topic in disk.list(topics).on("list", topics)? {
            let Ok(id) = topic.name.parse::<TopicId>() else { continue };
            let dir = topics.join(&topic.name);
            let entries = disk.list(&dir).on("list", &dir)?;
            logs.extend(entries.iter().filter_map(|entry| Some((id, PartitionId(entry.name.parse().ok()?)))));
        }
        logs.sort_unstable();
        Ok(logs)
    }

    /// How many logs got their files since the directory was opened: where it has grown, [`Self::logs`] tells of more.
    pub fn logs_created(&self) -> u64 {
        self.context.created.load(Ordering::Acquire)
    }

    /// Opens a log through recovery; one that does not exist is empty. Several threads may open different logs at once.
    ///
    /// # Errors
    /// `AlreadyOpen` while another handle lives or is made; `UnknownFormat`; `Io`. Damage is no error: see the report.
    pub fn open_log(
        &self,
        topic: TopicId,
        partition: PartitionId,
        config: LogConfig,
    ) -> Result<(Log, RecoveryReport)> {
        let key = (topic, partition);
        {
            let mut open = self.open.lock();
            if open.get(&key).is_some_and(Slot::is_taken) {
                return Err(StorageError::AlreadyOpen { topic, partition });
            }
            open.insert(key, Slot::Opening);
        }
        let topic_dir = self.context.topics.join(topic.to_string());
        let dir = topic_dir.join(partition.to_string());
        let place = LogPlace { topic, partition, topic_dir, dir };
        let context = if config.vital { &self.vital_context } else { &self.context };
        let opened = Log::open(context.clone(), place, config);
        let mut open = self.open.lock();
        match &opened {
            Ok((log, _)) => open.insert(key, Slot::Open(Arc::downgrade(&log.0))),
            Err(_) => open.remove(&key),
        };
        opened
    }

    /// One sync round over all dirty logs, for owners of a directory in [`SyncMode::Manual`].
    pub fn sync_round(&self) {
        self.context.syncer.round();
    }

    /// Writes the durable marks that are behind, as the sync thread does when it is idle.
    pub fn write_marks(&self) {
        self.context.syncer.write_marks(usize::MAX);
    }
}

impl Drop for DataDir {
    fn drop(&mut self) {
        self.context.syncer.stop();
        self.context.space.stop();
        for thread in self.threads.drain(..) {
            // The sync thread cannot have panicked: that ends the process. The other one has nothing to finish.
            let _ = thread.join();
        }
        self.context.syncer.round();
        self.context.syncer.write_marks(usize::MAX);
        self.open.lock().values().filter_map(Slot::log).for_each(|log| log.close());
    }
}

fn create_with_parents(disk: &dyn Disk, path: &Path) -> Result<()> {
    let missing: Vec<_> = path.ancestors().take_while(|dir| !disk.exists(dir).unwrap_or(false)).collect();
    for dir in missing.iter().rev().filter(|dir| !dir.as_os_str().is_empty()) {
        disk.create_dir(dir).on("create directory", dir)?;
        let parent = dir.parent().filter(|parent| !parent.as_os_str().is_empty());
        let parent = parent.unwrap_or(Path::new("."));
        disk.sync_dir(parent).on("sync directory", parent)?;
    }
    // A file in its place is found out here.
    disk.list(path).on("list", path).map(|_entries| ())
}

fn take_lock(disk: &dyn Disk, path: &Path) -> Result<Box<dyn DiskLock>> {
    let file = path.join(LOCK_FILE);
    match disk.lock_exclusive(&file).on("lock", &file)? {
        LockOutcome::Locked(lock) => Ok(lock),
        LockOutcome::HeldBy(pid) => Err(StorageError::DirectoryLocked { path: path.to_owned(), pid }),
    }
}

fn start_syncer(context: &Arc<Context>, sync: SyncMode, path: &Path) -> Result<Option<JoinHandle<()>>> {
    let SyncMode::Thread { interval } = sync else { return Ok(None) };
    let context = context.clone();
    context.syncer.expect_thread();
    let thread = std::thread::Builder::new().name("flymq-sync".to_owned());
    thread.spawn(move || context.syncer.run(interval)).map(Some).on("start the sync thread for", path)
}

#[cfg(test)]
mod tests;
