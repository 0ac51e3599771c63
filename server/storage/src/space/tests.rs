use flymq_types::{Offset, PartitionId, Timestamp};

use super::*;
use crate::log::tests::support::*;
use crate::testing::batch;
use crate::{DataDir, DataDirOptions, FaultOp, Log, LogConfig, Retention, SimDisk};

const MIB: u64 = 1 << 20;

fn open(disk: &SimDisk, min_free: u64, reserve: u64) -> DataDir {
    let space = SpaceOptions { min_free: Some(min_free), reserve: Some(reserve), watch: SpaceWatch::Manual };
    let dir = DataDir::open(DataDirOptions { space, ..options(disk, disk.fdatasyncs() + 1) }).unwrap();
    dir.check_space();
    dir
}

fn log(dir: &DataDir, partition: u32, vital: bool) -> Log {
    let config = LogConfig { vital, ..from_files(256 << 10) };
    dir.open_log(TOPIC, PartitionId(partition), config).unwrap().0
}

fn put(log: &Log, value: &[u8]) -> Result<Offset> {
    log.append(&batch(&[value]), EPOCH, NOW).map(|done| done.base_offset)
}

/// Appends until it is refused; returns how many went in, and why the next one did not.
fn fill(log: &Log) -> (u64, StorageError) {
    let value = vec![7; 10_000];
    loop {
        if let Err(error) = put(log, &value) {
            return (log.end_offset().0, error);
        }
    }
}

#[test]
fn records_stop_at_the_watermark_and_all_else_goes_on() {
    let disk = SimDisk::new();
    disk.set_capacity(8 * MIB);
    let dir = open(&disk, 2 * MIB, MIB);
    assert_eq!(dir.space().reserve, MIB);
    let (records, commits) = (log(&dir, 0, false), log(&dir, 1, true));
    put(&commits, b"before").unwrap();
    let (count, error) = fill(&records);
    assert!(matches!(error, StorageError::SpaceLow { min_free, .. } if min_free == 2 * MIB), "{error}");
    assert!(disk.space(Path::new("/")).unwrap().free >= 2 * MIB, "stopped before the mark");
    dir.check_space();
    for i in 0..100 {
        put(&commits, &[i; 1_000]).unwrap();
    }
    assert_eq!(read_all(&records, 0).unwrap().len() as u64, count, "reads go on");

    // Space comes back by retention.
    dir.sync_round();
    let keep = Retention { bytes: 512 << 10, ms: 0 };
    assert!(records.retain(NOW, keep, Offset(count)).unwrap().segments > 0);
    dir.check_space();
    assert_eq!(dir.space().state, SpaceState::Enough);
    assert_eq!(put(&records, b"again").unwrap(), Offset(count), "no offset was skipped");
}

#[test]
fn the_state_refuses_also_where_blocks_are_there() {
    let disk = SimDisk::new();
    disk.set_capacity(64 * MIB);
    let dir = open(&disk, 2 * MIB, MIB);
    let records = log(&dir, 0, false);
    put(&records, b"a").unwrap();
    let used = 64 * MIB - dir.space().free;
    // Another program takes the disk.
    disk.set_capacity(used + MIB);
    dir.check_space();
    assert_eq!(dir.space().state, SpaceState::Low);
    assert!(matches!(put(&records, b"b"), Err(StorageError::SpaceLow { .. })));
    // A little above the mark is not enough: it would flap.
    disk.set_capacity(used + 2 * MIB + 1);
    dir.check_space();
    assert_eq!(dir.space().state, SpaceState::Low);
    disk.set_capacity(64 * MIB);
    dir.check_space();
    assert_eq!(put(&records, b"b").unwrap(), Offset(1));
}

#[test]
fn commits_live_on_the_reserve_when_others_fill_the_disk() {
    let disk = SimDisk::new();
    disk.set_capacity(16 * MIB);
    let dir = open(&disk, 2 * MIB, MIB);
    let (records, commits) = (log(&dir, 0, false), log(&dir, 1, true));
    put(&records, b"a").unwrap();
    put(&commits, b"first").unwrap();
    dir.sync_round();
    disk.set_capacity(disk_used(&disk));
    let mut count = 1;
    while dir.space().reserve > 0 {
        put(&commits, &[1; 10_000]).unwrap();
        count += 1;
        assert!(count < 1_000, "the reserve was never needed");
    }
    assert_eq!(dir.space().state, SpaceState::Full);
    assert_eq!(dir.space().full_errors, 1);
    assert!(matches!(put(&records, b"b"), Err(StorageError::DiskFull { .. })));
    let file = dir.vital_disk().open(Path::new("/data/other"), OpenMode::CreateNew).unwrap();
    file.allocate(4096).unwrap();
    dir.sync_round();

    // The reserve must be back before records are taken.
    disk.set_capacity(disk_used(&disk) + 2 * MIB + 300_000);
    dir.check_space();
    assert_eq!(dir.space().state, SpaceState::Full);
    disk.set_capacity(64 * MIB);
    dir.check_space();
    assert_eq!((dir.space().state, dir.space().reserve), (SpaceState::Enough, MIB));
    put(&records, b"b").unwrap();
    dir.sync_round();

    drop((records, commits, dir));
    disk.crash_losing_all();
    let dir = open(&disk, 2 * MIB, MIB);
    assert_eq!(read_all(&log(&dir, 0, false), 0).unwrap(), [b"a", b"b"]);
    assert_eq!(read_all(&log(&dir, 1, true), 0).unwrap().len(), count);
}

fn disk_used(disk: &SimDisk) -> u64 {
    let space = disk.space(Path::new("/")).unwrap();
    space.total - space.free
}

#[test]
fn a_full_disk_does_not_keep_the_next_process_from_starting() {
    let disk = SimDisk::new();
    disk.set_capacity(16 * MIB);
    let dir = open(&disk, 2 * MIB, MIB);
    let records = log(&dir, 0, false);
    put(&records, b"a").unwrap();
    dir.sync_round();
    drop((records, dir));
    disk.restart();
    disk.set_capacity(disk_used(&disk));
    let dir = open(&disk, 2 * MIB, MIB);
    let records = log(&dir, 0, false);
    assert_eq!((dir.space().state, dir.space().reserve), (SpaceState::Low, MIB), "it was adopted");
    assert_eq!(read_all(&records, 0).unwrap(), [b"a"]);
    assert!(put(&records, b"b").is_err());
    dir.delete_topic(TOPIC).unwrap();
    disk.set_capacity(16 * MIB);
    dir.check_space();
    put(&log(&dir, 0, false), b"new").unwrap();
}

#[test]
fn a_read_only_disk_is_noticed_and_its_end_too() {
    let disk = SimDisk::new();
    let dir = open(&disk, MIB, MIB);
    let records = log(&dir, 0, false);
    put(&records, b"a").unwrap();
    dir.sync_round();
    disk.set_read_only(true);
    // Noticed by the write as well as by the watch.
    assert!(matches!(put(&records, b"b"), Err(StorageError::ReadOnly { .. })));
    assert_eq!(dir.space().state, SpaceState::ReadOnly);
    dir.check_space();
    assert_eq!((dir.space().state, dir.space().read_only_errors), (SpaceState::ReadOnly, 1));
    assert_eq!(read_all(&records, 0).unwrap(), [b"a"]);
    disk.set_read_only(false);
    dir.check_space();
    assert_eq!(dir.space().state, SpaceState::Enough);
    assert_eq!(put(&records, b"b").unwrap(), Offset(1));
}

/// Everything that a log does with its disk: directories, epochs, rolls, syncs, marks, retention.
fn live(dir: &DataDir, log: &Log) -> Result<u64> {
    let mut durable = 0;
    for round in 0..6u8 {
        for _ in 0..8 {
            log.append(&batch(&[&[round; 10_000]]), EPOCH, NOW)?;
        }
        dir.sync_round();
        log.failure().map_or(Ok(()), Err)?;
        durable = log.durable_offset().0;
        dir.write_marks();
        log.failure().map_or(Ok(()), Err)?;
        let keep = Retention { bytes: 200_000, ms: 0 };
        log.retain(Timestamp(NOW.0 + 1), keep, log.durable_offset())?;
    }
    Ok(durable)
}

/// Each fdatasync and each directory sync that a log ever makes fails once, in turn.
#[test]
fn whichever_sync_fails_nothing_is_acknowledged_after_it() {
    for op in [FaultOp::Fdatasync, FaultOp::SyncDir] {
        let mut failed = 0;
        for nth in 1.. {
            let disk = SimDisk::new();
            let dir = DataDir::open(options(&disk, 3)).unwrap();
            let (log, _) = dir.open_log(TOPIC, PartitionId(0), from_files(60_000)).unwrap();
            disk.fail(op, nth, 5);
            let Err(error) = live(&dir, &log) else { break };
            failed += 1;
            let durable = log.durable_offset();
            let syncs = disk.fdatasyncs();
            assert!(log.failure().is_some(), "{op:?} {nth}: {error}");
            assert!(matches!(put(&log, b"x"), Err(StorageError::Poisoned { .. })), "{op:?} {nth}");
            dir.sync_round();
            dir.write_marks();
            assert_eq!(disk.fdatasyncs(), syncs, "{op:?} {nth}: never synced again");
            assert_eq!((log.durable_offset(), dir.space().failed_logs), (durable, 1), "{op:?} {nth}");
            drop((log, dir));
            disk.crash_losing_all();
            let dir = DataDir::open(options(&disk, 4)).unwrap();
            let (log, report) = dir.open_log(TOPIC, PartitionId(0), from_files(60_000)).unwrap();
            assert!(log.end_offset() >= durable, "{op:?} {nth}: {:?} {durable:?}", log.end_offset());
            assert!(report.quarantined.is_empty(), "{op:?} {nth}: {report:?}");
            assert_eq!(
                read_all(&log, log.start_offset().0).unwrap().len() as u64,
                log.end_offset().0 - log.start_offset().0
            );
        }
        assert!(failed > 5, "{op:?}: only {failed} places");
    }
}
