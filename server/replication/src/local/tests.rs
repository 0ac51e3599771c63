use std::path::{Path, PathBuf};

use flymq_engine::TopicConfig;
use flymq_engine::meta::{CreateTopic, DeleteTopic, SuiteStore, meta_store_suite};
use flymq_storage::{FaultOp, RealDisk, SimDisk, StorageError};
use flymq_types::{SeededRng, Timestamp, TopicId, TopicName};

use super::*;
use crate::files::file;

mod encryption;

const DIR: &str = "/data/metadata";

fn disk() -> SimDisk {
    let disk = SimDisk::new();
    disk.create_dir(Path::new("/data")).unwrap();
    disk.sync_dir(Path::new("/")).unwrap();
    disk
}

fn options(disk: &SimDisk, snapshot_after_bytes: u64) -> LocalMetaOptions {
    LocalMetaOptions { disk: Arc::new(disk.clone()), path: DIR.into(), snapshot_after_bytes, vault: None }
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

fn delete(n: u32) -> Command {
    let Command::CreateTopic(CreateTopic { id, name, .. }) = create(n) else { unreachable!() };
    Command::DeleteTopic(DeleteTopic { id, name })
}

struct Crashing {
    disk: SimDisk,
    snapshot_after_bytes: u64,
}

impl SuiteStore for Crashing {
    fn open(&self) -> BoxFuture<'_, Arc<dyn MetaStore>> {
        let options = options(&self.disk, self.snapshot_after_bytes);
        Box::pin(async move { Arc::new(LocalMetaStore::open(options).unwrap()) as Arc<dyn MetaStore> })
    }

    fn crash(&self) {
        self.disk.crash_losing_all();
    }
}

struct Real(tempfile::TempDir);

impl SuiteStore for Real {
    fn open(&self) -> BoxFuture<'_, Arc<dyn MetaStore>> {
        let options = LocalMetaOptions::new(Arc::new(RealDisk), self.0.path().join("metadata"));
        Box::pin(async move { Arc::new(LocalMetaStore::open(options).unwrap()) as Arc<dyn MetaStore> })
    }

    fn crash(&self) {}
}

#[tokio::test]
async fn passes_the_suite_on_a_disk_that_crashes() {
    for snapshot_after_bytes in [1 << 20, 300, 0] {
        meta_store_suite(|| Crashing { disk: disk(), snapshot_after_bytes }).await;
    }
}

#[tokio::test]
async fn passes_the_suite_on_a_real_disk() {
    meta_store_suite(|| Real(tempfile::tempdir().unwrap())).await;
}

/// Cuts the power between any two steps, with snapshots at every turn: what was answered is there, nothing else
/// but the one proposal under way, and the store goes on.
#[tokio::test]
async fn a_crash_at_any_step_loses_nothing_that_was_answered() {
    for seed in 0..100u32 {
        let disk = disk();
        let rng = SeededRng::new(seed.into());
        let options = options(&disk, 150);
        let mut answered = Vec::new();
        let mut next = 0;
        for _round in 0..3 {
            let Ok(store) = LocalMetaStore::open(options.clone()) else {
                panic!("seed {seed}: does not open")
            };
            let image = store.image();
            let there = |n: u32| image.topics.contains_key(format!("topic {n}").as_str());
            assert!(answered.iter().all(|n| there(*n)), "seed {seed}: lost one of {answered:?}");
            assert!(image.topics.len() <= answered.len() + 1, "seed {seed}");
            // The one under way may have made it.
            answered = (0..next).filter(|n| there(*n)).collect();
            disk.stop_after(u64::from(seed % 60) + 1);
            loop {
                next += 1;
                match store.propose(vec![create(next - 1)]).await {
                    Ok(_) => answered.push(next - 1),
                    Err(_) => break,
                }
            }
            drop(store);
            disk.crash(&rng);
        }
    }
}

#[tokio::test]
async fn a_failed_sync_stops_the_store_until_a_restart() {
    let disk = disk();
    let store = LocalMetaStore::open(options(&disk, 1 << 20)).unwrap();
    store.propose(vec![create(1)]).await.unwrap();
    disk.fail(FaultOp::Fdatasync, 1, 5);
    let before = store.image();
    for n in [2, 3] {
        let result = store.propose(vec![create(n)]).await;
        assert!(matches!(result, Err(MetaError::Unavailable { .. })), "{result:?}");
        assert_eq!(store.image(), before);
    }
    drop(store);
    disk.crash_losing_all();
    let store = LocalMetaStore::open(options(&disk, 1 << 20)).unwrap();
    assert_eq!(store.image(), before);
    store.propose(vec![create(2)]).await.unwrap();
}

#[tokio::test]
async fn a_full_disk_refuses_and_recovers() {
    let disk = disk();
    let store = LocalMetaStore::open(options(&disk, 0)).unwrap();
    store.propose(vec![create(1)]).await.unwrap();
    disk.fail(FaultOp::Allocate, 1, 28);
    store.propose(vec![create(2)]).await.unwrap();
    store.propose(vec![create(3), delete(1)]).await.unwrap();
    drop(store);
    disk.crash_losing_all();
    let store = LocalMetaStore::open(options(&disk, 0)).unwrap();
    assert_eq!(store.image().topics.len(), 2);
}

#[tokio::test]
async fn a_full_or_read_only_disk_refuses_and_the_store_goes_on() {
    let disk = disk();
    let store = LocalMetaStore::open(options(&disk, 1 << 20)).unwrap();
    store.propose(vec![create(1)]).await.unwrap();
    disk.set_read_only(true);
    let refused = store.propose(vec![create(2)]).await;
    assert!(matches!(refused, Err(MetaError::Storage(StorageError::ReadOnly { .. }))), "{refused:?}");
    disk.set_read_only(false);
    disk.set_capacity(0);
    let mut n = 2;
    let full = loop {
        match store.propose(vec![create(n)]).await {
            Ok(_) => n += 1,
            Err(error) => break error,
        }
        assert!(n < 10_000, "the log never needs more space");
    };
    assert!(matches!(full, MetaError::Storage(StorageError::DiskFull { .. })), "{full:?}");
    assert_eq!((store.failure(), store.image().topics.len() as u32), (None, n - 1));
    disk.set_capacity(1 << 30);
    store.propose(vec![create(n)]).await.unwrap();
    drop(store);
    disk.crash_losing_all();
    let store = LocalMetaStore::open(options(&disk, 1 << 20)).unwrap();
    assert_eq!(store.image().topics.len() as u32, n);
}

/// Whichever sync of log, snapshot or directory fails: no proposal is answered after it, and what was answered is there.
#[tokio::test]
async fn whichever_sync_fails_no_proposal_is_answered_after_it() {
    for op in [FaultOp::Fdatasync, FaultOp::SyncDir] {
        let mut failed = 0;
        for nth in 1.. {
            let disk = disk();
            let store = LocalMetaStore::open(options(&disk, 300)).unwrap();
            disk.fail(op, nth, 5);
            let mut answered = Vec::new();
            for n in 0..40 {
                if store.propose(vec![create(n)]).await.is_err() {
                    break;
                }
                answered.push(n);
                if store.failure().is_some() {
                    break;
                }
            }
            if answered.len() == 40 {
                break;
            }
            failed += 1;
            assert!(store.failure().is_some(), "{op:?} {nth}");
            let syncs = disk.fdatasyncs();
            let later = store.propose(vec![create(99)]).await;
            assert!(matches!(later, Err(MetaError::Unavailable { .. })), "{op:?} {nth}: {later:?}");
            assert_eq!(disk.fdatasyncs(), syncs, "{op:?} {nth}: nothing was tried again");
            drop(store);
            disk.crash_losing_all();
            let store = LocalMetaStore::open(options(&disk, 300)).unwrap();
            let image = store.image();
            let there = |n: &u32| image.topics.contains_key(format!("topic {n}").as_str());
            assert!(answered.iter().all(there), "{op:?} {nth}: lost one of {answered:?}");
        }
        assert!(failed > 1, "{op:?}: only {failed} places");
    }
}

/// A log of five entries, how many bytes are used, and how many an entry takes with its copy.
async fn five_entries() -> (SimDisk, PathBuf, usize, usize) {
    let disk = disk();
    let store = LocalMetaStore::open(options(&disk, 1 << 20)).unwrap();
    for n in 0..5 {
        store.propose(vec![create(n)]).await.unwrap();
    }
    drop(store);
    let log = PathBuf::from(DIR).join("log");
    let bytes = disk.contents(&log).unwrap();
    let end = bytes.iter().rposition(|byte| *byte != 0).unwrap() + 1;
    (disk, log, end, (end - file::HEADER_BYTES) / 5)
}

#[tokio::test]
async fn one_damaged_byte_costs_nothing() {
    let (disk, log, end, _) = five_entries().await;
    for at in file::HEADER_BYTES..end {
        let disk = disk.fork();
        disk.tamper(&log, |bytes| bytes[at] ^= 0x10).unwrap();
        let store = LocalMetaStore::open(options(&disk, 1 << 20)).unwrap();
        assert_eq!(store.image().topics.len(), 5, "byte {at}");
        store.propose(vec![create(9)]).await.unwrap();
        drop(store);
        assert_eq!(
            LocalMetaStore::open(options(&disk, 1 << 20)).unwrap().image().topics.len(),
            6,
            "byte {at}"
        );
    }
    for at in 0..file::HEADER_BYTES {
        let disk = disk.fork();
        disk.tamper(&log, |bytes| bytes[at] ^= 0x10).unwrap();
        let opened = LocalMetaStore::open(options(&disk, 1 << 20));
        assert!(matches!(opened, Err(LocalMetaError::Damaged { .. })), "byte {at}");
    }
}

#[tokio::test]
async fn damage_is_told_from_a_torn_tail() {
    let (disk, log, end, entry) = five_entries().await;
    // Both copies of an entry that another one follows.
    for n in 0..4 {
        let disk = disk.fork();
        let from = file::HEADER_BYTES + n * entry;
        disk.tamper(&log, |bytes| bytes[from..from + entry].fill(0xaa)).unwrap();
        let opened = LocalMetaStore::open(options(&disk, 1 << 20));
        assert!(matches!(opened, Err(LocalMetaError::Damaged { .. })), "entry {n}");
    }
    // The last one, torn anywhere in its first copy.
    for kept in 1..entry / 2 {
        let disk = disk.fork();
        let from = end - entry + kept;
        disk.tamper(&log, |bytes| bytes[from..end].fill(0)).unwrap();
        let store = LocalMetaStore::open(options(&disk, 1 << 20)).unwrap();
        assert_eq!(store.image().topics.len(), 4, "the last entry alone may be torn: {kept} bytes kept");
        store.propose(vec![create(9)]).await.unwrap();
        drop(store);
        assert_eq!(LocalMetaStore::open(options(&disk, 1 << 20)).unwrap().image().topics.len(), 5);
    }
}

#[tokio::test]
async fn a_damaged_snapshot_and_a_missing_log_are_refused() {
    let disk = disk();
    let store = LocalMetaStore::open(options(&disk, 0)).unwrap();
    store.propose(vec![create(1)]).await.unwrap();
    drop(store);
    let snapshot = PathBuf::from(DIR).join("snapshot");
    for at in 0..disk.contents(&snapshot).unwrap().len() {
        disk.tamper(&snapshot, |bytes| bytes[at] ^= 1).unwrap();
        let opened = LocalMetaStore::open(options(&disk, 0));
        assert!(matches!(opened, Err(LocalMetaError::Damaged { .. })), "byte {at}");
        disk.tamper(&snapshot, |bytes| bytes[at] ^= 1).unwrap();
    }
    disk.remove_file(&PathBuf::from(DIR).join("log")).unwrap();
    assert!(matches!(LocalMetaStore::open(options(&disk, 0)), Err(LocalMetaError::Damaged { .. })));
}

#[tokio::test]
async fn the_log_stays_short() {
    let disk = disk();
    let store = LocalMetaStore::open(options(&disk, 1_000)).unwrap();
    for n in 0..500 {
        store.propose(vec![create(n)]).await.unwrap();
        store.propose(vec![delete(n)]).await.unwrap();
    }
    let bytes = store.0.writer.lock().log.bytes();
    let snapshot = disk.contents(&PathBuf::from(DIR).join("snapshot")).unwrap().len() as u64;
    assert!(bytes <= 2 * snapshot + 1_000, "log {bytes}, snapshot {snapshot}");
}

/// The files are on disks: their layout may only change with a new format version.
#[tokio::test]
async fn golden_bytes() {
    let disk = disk();
    let store = LocalMetaStore::open(options(&disk, 1 << 20)).unwrap();
    store.propose(vec![create(1)]).await.unwrap();
    let bytes = disk.contents(&PathBuf::from(DIR).join("log")).unwrap();
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    assert_eq!(hex(&bytes[..32]), "464c594d514d4c47010000008ab2288c000000000000000000000000bb8e048d");
    let end = bytes.iter().rposition(|byte| *byte != 0).unwrap() + 1;
    let entry = "27000000b622d90a01000000000000000a250a230a10000000000000000000000000000000021207746f70696320311801220238012801";
    assert_eq!(hex(&bytes[32..end]), format!("{entry}{entry}"));
}
