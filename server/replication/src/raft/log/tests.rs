use std::path::PathBuf;

use bytes::Bytes;
use flymq_storage::{FaultOp, RealDisk, SimDisk};
use flymq_types::SeededRng;
use openraft::CommittedLeaderId;
use openraft::storage::RaftLogStorageExt;
use openraft::testing::{StoreBuilder, Suite};

use super::*;
use crate::files::LocalMetaError;
use crate::raft::machine::Machine;
use crate::raft::types::{Proposal, ProposalId};

mod covered;
mod crash;
mod lenient;

use lenient::Lenient;

pub(super) const DIR: &str = "/data/metadata";

pub(super) fn disk() -> SimDisk {
    let disk = SimDisk::new();
    for dir in ["/data", DIR] {
        disk.create_dir(Path::new(dir)).unwrap();
        disk.sync_dir(Path::new(dir).parent().unwrap()).unwrap();
    }
    disk
}

fn pending() -> Arc<Pending> {
    Arc::new(Pending::new(1, &SeededRng::new(1)))
}

/// These tests purge without snapshots.
fn everything() -> Covered {
    Covered::new(Some(id(u64::MAX, u64::MAX)))
}

pub(super) fn open(disk: &SimDisk) -> Result<RaftLog> {
    let disk: Arc<dyn Disk> = Arc::new(disk.clone());
    RaftLog::open(&disk, Path::new(DIR), None, 2_000, (false, everything()), pending())
}

pub(super) fn id(term: u64, index: u64) -> LogId {
    LogId::new(CommittedLeaderId::new(term, 1), index)
}

pub(super) fn entry(term: u64, index: u64) -> Entry {
    let proposal = ProposalId { origin: 1, run: term, number: index };
    let commands = Bytes::from(vec![index as u8; 20]);
    Entry { log_id: id(term, index), payload: EntryPayload::Normal(Proposal { id: proposal, commands }) }
}

async fn append(log: &mut RaftLog, entries: impl IntoIterator<Item = Entry>) -> Result<(), StorageError> {
    log.blocking_append(entries.into_iter().collect::<Vec<_>>()).await
}

pub(super) fn kept(log: &RaftLog) -> Vec<Entry> {
    log.window.read().entries().iter().cloned().collect()
}

/// Where openraft's own suite finds its files.
enum Place {
    Simulated,
    Real,
}

impl StoreBuilder<Types, Lenient, Machine, Option<tempfile::TempDir>> for Place {
    async fn build(&self) -> Result<(Option<tempfile::TempDir>, Lenient, Machine), StorageError> {
        let guard = matches!(self, Self::Real).then(|| tempfile::tempdir().unwrap());
        let (disk, dir): (Arc<dyn Disk>, PathBuf) = match &guard {
            None => (Arc::new(disk()), DIR.into()),
            Some(dir) => (Arc::new(RealDisk), dir.path().into()),
        };
        let pending = pending();
        let (machine, found) = Machine::open(disk.clone(), &dir, None, pending.clone()).unwrap();
        let log = RaftLog::open(&disk, &dir, None, 2_000, (found, everything()), pending).unwrap();
        Ok((guard, Lenient(log), machine))
    }
}

#[test]
fn passes_the_suite_of_openraft_on_a_simulated_disk() {
    Suite::test_all(Place::Simulated).unwrap();
}

#[test]
fn passes_the_suite_of_openraft_on_a_real_disk() {
    Suite::test_all(Place::Real).unwrap();
}

#[tokio::test]
async fn entries_vote_and_cuts_survive_a_power_cut() {
    let disk = disk();
    let mut log = open(&disk).unwrap();
    append(&mut log, (0..10).map(|index| entry(1, index))).await.unwrap();
    log.truncate(id(1, 7)).await.unwrap();
    append(&mut log, [entry(2, 7), entry(2, 8)]).await.unwrap();
    log.purge(id(1, 3)).await.unwrap();
    log.save_vote(&Vote::new_committed(2, 1)).await.unwrap();
    disk.crash_losing_all();
    let mut log = open(&disk).unwrap();
    let expected: Vec<Entry> =
        (4..7).map(|index| entry(1, index)).chain([entry(2, 7), entry(2, 8)]).collect();
    assert_eq!(kept(&log), expected);
    let state = log.get_log_state().await.unwrap();
    assert_eq!((state.last_purged_log_id, state.last_log_id), (Some(id(1, 3)), Some(id(2, 8))));
    assert_eq!(log.read_vote().await.unwrap(), Some(Vote::new_committed(2, 1)));
}

#[tokio::test]
async fn the_callback_comes_after_the_sync_and_a_failed_sync_is_final() {
    let disk = disk();
    let mut log = open(&disk).unwrap();
    let before = disk.fdatasyncs();
    append(&mut log, [entry(1, 0)]).await.unwrap();
    assert_eq!(disk.fdatasyncs(), before + 1, "one sync for each append");
    disk.fail(FaultOp::Fdatasync, 1, 5);
    append(&mut log, [entry(1, 1)]).await.unwrap_err();
    let syncs = disk.fdatasyncs();
    append(&mut log, [entry(1, 1)]).await.unwrap_err();
    log.truncate(id(1, 0)).await.unwrap_err();
    assert_eq!(disk.fdatasyncs(), syncs, "nothing is tried again");
    assert_eq!(kept(&log), [entry(1, 0)]);
    disk.fail(FaultOp::Fdatasync, 1, 5);
    log.save_vote(&Vote::new(3, 1)).await.unwrap_err();
    log.save_vote(&Vote::new(3, 1)).await.unwrap_err();
    assert_eq!(disk.fdatasyncs(), syncs);
}

#[tokio::test]
async fn a_hole_is_refused_before_it_is_written() {
    let disk = disk();
    let mut log = open(&disk).unwrap();
    append(&mut log, [entry(1, 0)]).await.unwrap();
    let error = append(&mut log, [entry(1, 2)]).await.unwrap_err().to_string();
    assert!(error.contains("entry 2 cannot follow entry 0"), "{error}");
    drop(log);
    disk.restart();
    assert_eq!(kept(&open(&disk).unwrap()), [entry(1, 0)]);
}

#[tokio::test]
async fn purging_keeps_the_file_short() {
    let disk = disk();
    let mut log = open(&disk).unwrap();
    for index in 0..600 {
        append(&mut log, [entry(1, index)]).await.unwrap();
        if index % 20 == 19 {
            log.purge(id(1, index - 10)).await.unwrap();
        }
    }
    let bytes = disk.contents(&PathBuf::from(DIR).join("log")).unwrap();
    let used = bytes.iter().rposition(|byte| *byte != 0).unwrap();
    assert!(used < 20_000, "{used} bytes for 10 entries");
    let before = kept(&log);
    disk.crash_losing_all();
    assert_eq!(kept(&open(&disk).unwrap()), before);
}

/// One byte anywhere costs nothing; a whole step that others follow is refused with a sentence.
#[tokio::test]
async fn damage_is_healed_or_refused_but_never_believed() {
    let disk = disk();
    let mut log = open(&disk).unwrap();
    for index in 0..4 {
        append(&mut log, [entry(1, index)]).await.unwrap();
    }
    let before = kept(&log);
    let path = PathBuf::from(DIR).join("log");
    let bytes = disk.contents(&path).unwrap();
    let end = bytes.iter().rposition(|byte| *byte != 0).unwrap() + 1;
    for at in 0..end {
        let disk = disk.fork();
        disk.tamper(&path, |bytes| bytes[at] ^= 4).unwrap();
        match open(&disk) {
            Ok(log) => assert_eq!(kept(&log), before, "byte {at}"),
            Err(error) => assert!(at < 32, "byte {at}: {error}"),
        }
    }
    let step = (end - 32) / 4;
    disk.tamper(&path, |bytes| bytes[32 + step..32 + 2 * step].fill(0xee)).unwrap();
    let error = open(&disk).unwrap_err();
    assert!(matches!(error, LocalMetaError::Damaged { .. }));
    assert!(error.to_string().contains("nothing was changed"), "{error}");
}

#[tokio::test]
async fn a_file_that_is_missing_beside_others_is_refused() {
    let disk = disk();
    let mut log = open(&disk).unwrap();
    append(&mut log, [entry(1, 0)]).await.unwrap();
    drop(log);
    for (file, reason) in
        [("vote", "missing beside a log that is in use"), ("log", "missing beside its vote")]
    {
        let disk = disk.fork();
        disk.remove_file(&PathBuf::from(DIR).join(file)).unwrap();
        let error = open(&disk).unwrap_err().to_string();
        assert!(error.contains(reason), "{error}");
    }
    disk.remove_file(&PathBuf::from(DIR).join("committed")).unwrap();
    assert_eq!(kept(&open(&disk).unwrap()), [entry(1, 0)], "a hint may be missing");
}
