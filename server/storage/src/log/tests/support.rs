//! A data directory on a simulated disk, and ways to use it.

use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use flymq_types::{LeaderEpoch, ManualClock, Offset, PartitionId, SeededRng, Timestamp, TopicId};

use crate::testing::{batch, values};
use crate::{
    Appended, DataDir, DataDirOptions, Disk, EncryptionKey, EncryptionKeys, Log, LogConfig, RecoveryReport,
    SimDisk, SpaceOptions, StorageError, SyncMode,
};

pub(crate) const TOPIC: TopicId = TopicId::from_bytes([0xab; 16]);
pub(crate) const EPOCH: LeaderEpoch = LeaderEpoch(1);
pub(crate) const NOW: Timestamp = Timestamp(1_700_000_000_000);
pub(crate) const ALL: Offset = Offset::MAX;
pub(crate) const ROOT: &str = "/data";

pub(crate) fn options(disk: &SimDisk, seed: u64) -> DataDirOptions {
    DataDirOptions {
        disk: Arc::new(disk.clone()) as Arc<dyn Disk>,
        path: PathBuf::from(ROOT),
        clock: Arc::new(ManualClock::new(NOW)),
        rng: Arc::new(SeededRng::new(seed)),
        sync: SyncMode::Manual,
        tail_cache_bytes: 1 << 20,
        space: SpaceOptions::OFF,
        node: None,
        open_files: 8,
        encryption: ENCRYPTED.get().then(|| keys(1, &[])),
    }
}

thread_local! {
    static ENCRYPTED: Cell<bool> = const { Cell::new(false) };
}

/// Until it is dropped, what this thread opens with [`options`] is encrypted, or is not.
pub(crate) struct Encrypting;

pub(crate) fn encrypting(yes: bool) -> Encrypting {
    ENCRYPTED.set(yes);
    Encrypting
}

impl Drop for Encrypting {
    fn drop(&mut self) {
        ENCRYPTED.set(false);
    }
}

/// Runs a test with everything that it opens encrypted.
pub(crate) fn encrypted(test: impl FnOnce()) {
    let _mode = encrypting(true);
    test();
}

/// Key number `current`, and older ones.
pub(crate) fn keys(current: u8, old: &[u8]) -> EncryptionKeys {
    let key = |n: &u8| EncryptionKey::from_hex(&format!("{n:02x}").repeat(32)).unwrap();
    EncryptionKeys { current: key(&current), old: old.iter().map(key).collect() }
}

/// A data directory with one open log.
#[derive(Debug)]
pub(crate) struct Fixture {
    pub log: Log,
    pub report: RecoveryReport,
    pub dir: DataDir,
}

impl Fixture {
    pub fn open(disk: &SimDisk, config: LogConfig) -> Self {
        Self::try_open(disk, config).unwrap()
    }

    pub fn try_open(disk: &SimDisk, config: LogConfig) -> Result<Self, StorageError> {
        Self::try_open_with(config, options(disk, disk.fdatasyncs() + 1))
    }

    pub fn try_open_with(config: LogConfig, options: DataDirOptions) -> Result<Self, StorageError> {
        let dir = DataDir::open(options)?;
        let (log, report) = dir.open_log(TOPIC, PartitionId(0), config)?;
        Ok(Self { log, report, dir })
    }

    pub fn put(&self, values: &[&[u8]]) -> Result<Appended, StorageError> {
        self.log.append(&batch(values), EPOCH, NOW)
    }

    pub fn put_in(&self, epoch: LeaderEpoch, value: &[u8]) -> Result<Appended, StorageError> {
        self.log.append(&batch(&[value]), epoch, NOW)
    }

    pub fn sync(&self) {
        self.dir.sync_round();
    }
}

/// Small segments and no tail cache: every read comes from a file.
pub(crate) fn from_files(segment_bytes: u64) -> LogConfig {
    LogConfig { segment_bytes, tail_cache_bytes: 0, ..LogConfig::default() }
}

/// The only log's directory.
pub(crate) fn log_dir() -> PathBuf {
    Path::new(ROOT).join("topics").join(TOPIC.to_string()).join("0")
}

pub(crate) fn segment_file(base: u64) -> PathBuf {
    log_dir().join(format!("{base:020}.log"))
}

/// Every value from `from` to the end, by as many reads as it takes.
pub(crate) fn read_all(log: &Log, from: u64) -> Result<Vec<Vec<u8>>, StorageError> {
    let (mut at, mut found) = (Offset(from), Vec::new());
    loop {
        let batches = log.read(at, 1 << 20, ALL)?;
        let Some(last) = batches.last() else { return Ok(found) };
        at = last.next_offset();
        found.extend(values(&batches));
    }
}
