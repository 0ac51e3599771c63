//! The same log on the operating system's file system, with the sync thread.
#![allow(clippy::disallowed_methods, reason = "looks at the real disk and clock")]

use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use flymq_types::{Offset, PartitionId};

use super::support::*;
use crate::testing::{batch, values};
use crate::{DataDir, DataDirOptions, LogConfig, Retention, StorageError};

const WAIT: Duration = Duration::from_secs(30);

#[test]
fn appends_syncs_and_reopens() {
    let temp = tempfile::tempdir().unwrap();
    let path = temp.path().join("deep/data");
    let config = LogConfig { segment_bytes: 64 << 10, tail_cache_bytes: 10_000, ..LogConfig::default() };
    let big = vec![7_u8; 20_000];
    for round in 0..3_u64 {
        let dir = DataDir::open(DataDirOptions::real(&path)).unwrap();
        let (log, report) = dir.open_log(TOPIC, PartitionId(3), config).unwrap();
        assert!(!report.has_damage() && report.torn_bytes == 0);
        assert_eq!(log.end_offset(), Offset(round * 200));
        for i in 0..100 {
            log.append(&batch(&[format!("{round}/{i}").as_bytes(), &big[..i * 200]]), EPOCH, NOW).unwrap();
        }
        log.wait_durable(log.end_offset(), WAIT).unwrap();
        let all = read_all(&log, 0).unwrap();
        assert_eq!(all.len() as u64, (round + 1) * 200);
        assert_eq!(all[(round * 200 + 42) as usize], format!("{round}/21").into_bytes());
    }
}

#[test]
fn the_sync_thread_syncs_without_being_asked() {
    let temp = tempfile::tempdir().unwrap();
    let dir = DataDir::open(DataDirOptions::real(temp.path())).unwrap();
    let logs: Vec<_> =
        (0..70).map(|p| dir.open_log(TOPIC, PartitionId(p), LogConfig::default()).unwrap().0).collect();
    logs.iter().for_each(|log| assert!(log.append(&batch(&[b"x"]), EPOCH, NOW).is_ok()));
    let deadline = std::time::Instant::now() + WAIT;
    while logs.iter().any(|log| log.durable_offset() < Offset(1)) {
        assert!(std::time::Instant::now() < deadline, "not synced in time");
        std::thread::yield_now();
    }
}

#[test]
fn many_threads_append_and_read_at_once() {
    let temp = tempfile::tempdir().unwrap();
    let dir = DataDir::open(DataDirOptions::real(temp.path())).unwrap();
    let config = LogConfig { segment_bytes: 32 << 10, tail_cache_bytes: 4_000, ..LogConfig::default() };
    let (log, _) = dir.open_log(TOPIC, PartitionId(0), config).unwrap();
    std::thread::scope(|scope| {
        for writer in 0..4_u8 {
            let log = log.clone();
            scope.spawn(move || {
                for i in 0..100_u8 {
                    let done = log.append(&batch(&[&[writer, i], &[0; 300]]), EPOCH, NOW).unwrap();
                    log.wait_durable(Offset(done.last_offset.0 + 1), WAIT).unwrap();
                }
            });
        }
        for _ in 0..2 {
            let log = log.clone();
            scope.spawn(move || {
                let mut at = Offset(0);
                while at < Offset(800) {
                    for batch in log.read(at, 10_000, log.durable_offset()).unwrap() {
                        assert_eq!(batch.base_offset(), at);
                        at = batch.next_offset();
                    }
                }
            });
        }
    });
    let all = read_all(&log, 0).unwrap();
    for writer in 0..4_u8 {
        let own: Vec<_> = all.iter().filter(|v| v.len() == 2 && v[0] == writer).map(|v| v[1]).collect();
        assert_eq!(own, (0..100).collect::<Vec<_>>(), "each writer's order is kept");
    }
}

#[test]
fn retention_never_disturbs_readers() {
    let temp = tempfile::tempdir().unwrap();
    let dir = DataDir::open(DataDirOptions::real(temp.path())).unwrap();
    let config = LogConfig { segment_bytes: 16 << 10, tail_cache_bytes: 4_000, ..LogConfig::default() };
    let (log, _) = dir.open_log(TOPIC, PartitionId(0), config).unwrap();
    let last = Offset(2_000);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for i in 0..last.0 {
                log.append(&batch(&[format!("{i}|{}", "x".repeat(400)).as_bytes()]), EPOCH, NOW).unwrap();
            }
        });
        scope.spawn(|| {
            while log.end_offset() < last {
                log.retain(NOW, Retention { ms: 0, bytes: 50_000 }, log.durable_offset()).unwrap();
            }
        });
        for _ in 0..2 {
            scope.spawn(|| {
                let mut at = Offset(0);
                while at < last {
                    at = match log.read(at, 8_000, last) {
                        Ok(batches) => {
                            for (value, offset) in values(&batches).iter().zip(at.0..) {
                                assert!(value.starts_with(format!("{offset}|").as_bytes()));
                            }
                            batches.last().map_or(at, |batch| batch.next_offset())
                        }
                        Err(StorageError::OffsetOutOfRange { start, .. }) => start,
                        Err(error) => panic!("{error}"),
                    };
                }
            });
        }
    });
    log.wait_durable(last, Duration::from_secs(30)).unwrap();
    log.retain(NOW, Retention { ms: 0, bytes: 50_000 }, log.durable_offset()).unwrap();
    assert!(log.start_offset() > Offset(0) && log.stats().bytes < 100_000);
}

#[test]
fn a_second_process_is_told_who_holds_the_directory() {
    let temp = tempfile::tempdir().unwrap();
    let first = DataDir::open(DataDirOptions::real(temp.path())).unwrap();
    let error = DataDir::open(DataDirOptions::real(temp.path())).err().unwrap();
    let StorageError::DirectoryLocked { path, pid } = &error else { panic!("{error}") };
    assert_eq!((path.as_path(), *pid), (temp.path(), Some(std::process::id())));
    assert!(error.to_string().contains(&std::process::id().to_string()), "{error}");
    drop(first);
    DataDir::open(DataDirOptions::real(temp.path())).unwrap();
}

#[test]
fn only_the_owner_can_look_inside() {
    let temp = tempfile::tempdir().unwrap();
    let path = temp.path().join("data");
    let dir = DataDir::open(DataDirOptions::real(&path)).unwrap();
    let (log, _) = dir.open_log(TOPIC, PartitionId(0), LogConfig::default()).unwrap();
    log.append(&batch(&[b"x"]), EPOCH, NOW).unwrap();
    let mut open = vec![path];
    while let Some(path) = open.pop() {
        let meta = std::fs::metadata(&path).unwrap();
        assert_eq!(meta.permissions().mode() & 0o077, 0, "{}", path.display());
        if meta.is_dir() {
            open.extend(std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        }
    }
}
