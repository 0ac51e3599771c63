//! The log goes only where a snapshot on the disk covers it.

use std::pin::pin;

use futures::poll;
use openraft::RaftSnapshotBuilder;
use openraft::storage::RaftStateMachine;

use super::*;

fn machine(disk: &SimDisk) -> Machine {
    Machine::open(Arc::new(disk.clone()), Path::new(DIR), None, pending()).unwrap().0
}

fn log_of(disk: &SimDisk, machine: &Machine) -> Result<RaftLog> {
    let disk: Arc<dyn Disk> = Arc::new(disk.clone());
    RaftLog::open(&disk, Path::new(DIR), None, 2_000, (false, machine.covered()), pending())
}

/// What openraft does with the snapshot of a leader: it purges the log, and beside it the snapshot is installed.
#[tokio::test]
async fn a_purge_waits_for_the_snapshot() {
    let (disk, leader) = (disk(), disk());
    let mut far = machine(&leader);
    let blanks = (0..9).map(|index| Entry { log_id: id(1, index), payload: EntryPayload::Blank });
    far.apply(blanks).await.unwrap();
    let snapshot = far.get_snapshot_builder().await.build_snapshot().await.unwrap();
    let mut machine = machine(&disk);
    let mut log = log_of(&disk, &machine).unwrap();
    append(&mut log, (0..3).map(|index| entry(1, index))).await.unwrap();
    {
        let mut purge = pin!(log.purge(id(1, 8)));
        assert!(poll!(&mut purge).is_pending());
        machine.install_snapshot(&snapshot.meta, snapshot.snapshot).await.unwrap();
        purge.await.unwrap();
    }
    assert_eq!(log.get_log_state().await.unwrap().last_purged_log_id, Some(id(1, 8)));
}

#[tokio::test]
async fn a_purge_fails_with_the_snapshot() {
    let disk = disk();
    let mut machine = machine(&disk);
    let mut log = log_of(&disk, &machine).unwrap();
    machine.apply([entry_of_nothing()]).await.unwrap();
    append(&mut log, [entry(1, 0)]).await.unwrap();
    disk.stop_after(1);
    let mut builder = machine.get_snapshot_builder().await;
    builder.build_snapshot().await.unwrap_err();
    let error = log.purge(id(1, 0)).await.unwrap_err().to_string();
    assert!(error.contains("its snapshot was not written"), "{error}");
    assert_eq!(kept(&log), [entry(1, 0)]);
}

fn entry_of_nothing() -> Entry {
    Entry { log_id: id(1, 0), payload: EntryPayload::Blank }
}

#[tokio::test]
async fn a_log_whose_snapshot_is_gone_is_refused() {
    let disk = disk();
    let mut log = open(&disk).unwrap();
    append(&mut log, (0..3).map(|index| entry(1, index))).await.unwrap();
    log.purge(id(1, 1)).await.unwrap();
    drop(log);
    disk.restart();
    let refused = log_of(&disk, &machine(&disk)).unwrap_err().to_string();
    assert!(refused.contains("entries up to 1 are purged, and no snapshot covers them"), "{refused}");
}
