//! Whose thread runs a round.
#![allow(clippy::disallowed_methods, reason = "waits for a real thread")]

use std::time::Duration;

use flymq_types::PartitionId;

use crate::log::tests::support::*;
use crate::testing::batch;
use crate::{DataDir, Log, LogConfig, SimDisk, SyncMode};

/// Longer than any test: no round starts unless somebody asks.
const NEVER: Duration = Duration::from_secs(3600);

fn open(disk: &SimDisk, interval: Duration) -> DataDir {
    DataDir::open(crate::DataDirOptions { sync: SyncMode::Thread { interval }, ..options(disk, 1) }).unwrap()
}

fn log(dir: &DataDir, partition: u32) -> Log {
    dir.open_log(TOPIC, PartitionId(partition), LogConfig::default()).unwrap().0
}

fn put(log: &Log) {
    log.append(&batch(&[b"x"]), EPOCH, NOW).unwrap();
}

#[test]
fn who_is_alone_has_its_append_durable_when_the_call_returns() {
    let disk = SimDisk::new();
    let dir = open(&disk, NEVER);
    let log = log(&dir, 0);
    assert!(!log.sync_alone(), "there is nothing to sync");
    for _ in 0..100 {
        put(&log);
        assert!(log.may_sync_alone() && log.sync_alone());
        assert_eq!(log.durable_offset(), log.end_offset());
    }
    disk.crash_losing_all();
    drop((log, dir));
    assert_eq!(self::log(&open(&disk, NEVER), 0).end_offset().0, 100);
}

#[test]
fn with_company_the_round_is_the_threads() {
    let disk = SimDisk::new();
    let dir = open(&disk, NEVER);
    let (near, far) = (log(&dir, 0), log(&dir, 1));
    put(&near);
    put(&far);
    assert!(!near.sync_alone() && !far.sync_alone(), "two logs are dirty");
    near.wait_durable(near.end_offset(), NEVER).unwrap();
    // By the same round, which may still be at it: nobody asks for another.
    let deadline = std::time::Instant::now() + Duration::from_secs(30);
    while far.durable_offset() < far.end_offset() {
        assert!(std::time::Instant::now() < deadline, "the round was for one log only");
        std::thread::yield_now();
    }
    put(&near);
    near.request_sync();
    assert!(!near.sync_alone(), "somebody has asked");
    near.wait_durable(near.end_offset(), NEVER).unwrap();
}

#[test]
fn where_the_owner_runs_the_rounds_nobody_else_does() {
    let disk = SimDisk::new();
    let fixture = Fixture::open(&disk, LogConfig::default());
    fixture.put(&[b"x"]).unwrap();
    assert!(!fixture.log.sync_alone());
    assert_eq!(fixture.log.durable_offset().0, 0);
}

/// The thread is not woken for an append shortly after a round, but looks by itself.
#[test]
fn an_append_that_nobody_waits_for_is_durable_after_the_interval() {
    let disk = SimDisk::new();
    let dir = open(&disk, Duration::from_millis(2));
    let log = log(&dir, 0);
    for _ in 0..50 {
        put(&log);
        log.sync_alone();
        put(&log);
        let deadline = std::time::Instant::now() + Duration::from_secs(30);
        while log.durable_offset() < log.end_offset() {
            assert!(std::time::Instant::now() < deadline, "the thread has forgotten the log");
            std::thread::yield_now();
        }
    }
}

#[test]
fn appends_from_many_threads_all_become_durable() {
    let disk = SimDisk::new();
    let dir = open(&disk, NEVER);
    let log = log(&dir, 0);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..200 {
                    let end = log.append(&batch(&[b"x"]), EPOCH, NOW).unwrap().last_offset.plus(1);
                    if log.end_offset() != end || !log.sync_alone() {
                        log.wait_durable(end, Duration::from_secs(30)).unwrap();
                    }
                    assert!(log.durable_offset() >= end);
                }
            });
        }
    });
    disk.crash_losing_all();
    drop((log, dir));
    assert_eq!(self::log(&open(&disk, NEVER), 0).end_offset().0, 800);
}

/// Many dirty logs cost one sync of the file system, none of their own.
#[test]
fn many_logs_are_synced_as_one() {
    let disk = SimDisk::new();
    let dir = open(&disk, NEVER);
    let logs: Vec<_> = (0..6).map(|partition| log(&dir, partition)).collect();
    let round = |logs: &[Log]| {
        logs.iter().for_each(put);
        logs[0].request_sync();
        logs.iter().for_each(|log| log.wait_durable(log.end_offset(), NEVER).unwrap());
    };
    // Their first appends make segments, with syncs of their own.
    round(&logs);
    let (each, whole) = (disk.fdatasyncs(), disk.whole_syncs());
    round(&logs);
    assert_eq!((disk.fdatasyncs(), disk.whole_syncs()), (each, whole + 1));
    disk.crash_losing_all();
    drop((logs, dir));
    let dir = open(&disk, NEVER);
    (0..6).for_each(|partition| assert_eq!(log(&dir, partition).end_offset().0, 2));
}

/// `syncfs` tells of a failure once and of no file: what it said is worth nothing from then on, each file is asked.
#[test]
fn after_a_failed_whole_sync_each_log_is_asked() {
    const EIO: i32 = 5;
    let disk = SimDisk::new();
    let dir = open(&disk, NEVER);
    let logs: Vec<_> = (0..8).map(|partition| log(&dir, partition)).collect();
    logs.iter().for_each(put);
    logs.iter().for_each(|log| log.wait_durable(log.end_offset(), NEVER).unwrap());
    logs.iter().for_each(put);
    disk.fail(crate::FaultOp::WholeSync, 1, EIO);
    // The third file that is asked had the failure.
    disk.fail(crate::FaultOp::Fdatasync, 3, EIO);
    let whole = disk.whole_syncs();
    logs[0].request_sync();
    let failed = logs.iter().filter(|log| log.wait_durable(log.end_offset(), NEVER).is_err()).count();
    assert_eq!((failed, disk.whole_syncs()), (1, whole));
    let good: Vec<_> = logs.iter().filter(|log| log.failure().is_none()).collect();
    good.iter().for_each(|log| put(log));
    good[0].request_sync();
    good.iter().for_each(|log| log.wait_durable(log.end_offset(), NEVER).unwrap());
    assert_eq!(disk.whole_syncs(), whole, "it is not believed again");
    disk.crash_losing_all();
    drop((logs, dir));
    let dir = open(&disk, NEVER);
    let ends: Vec<_> = (0..8).map(|partition| log(&dir, partition).end_offset().0).collect();
    assert_eq!(ends.iter().filter(|end| **end == 3).count(), 7, "{ends:?}");
}
