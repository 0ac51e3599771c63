//! Disks that fail, fill up, or take only part of a write.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use flymq_types::Offset;

use super::support::*;
use crate::{DurableListener, FaultOp, LogConfig, SimDisk, StorageError};

const EIO: i32 = 5;

#[derive(Debug, Default)]
struct Heard {
    durable: AtomicU64,
    failures: AtomicUsize,
}

impl DurableListener for Heard {
    fn durable(&self, end: Offset) {
        self.durable.store(end.0, Ordering::SeqCst);
    }

    fn failed(&self, error: &StorageError) {
        assert!(matches!(error, StorageError::Poisoned { .. }));
        self.failures.fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn a_failed_fdatasync_closes_the_log_for_appends() {
    let disk = SimDisk::new();
    let fixture = Fixture::open(&disk, from_files(1 << 20));
    let heard = Arc::new(Heard::default());
    let listener: Arc<dyn DurableListener> = heard.clone();
    fixture.log.subscribe(&listener);
    fixture.put(&[b"safe"]).unwrap();
    fixture.sync();
    assert_eq!(heard.durable.load(Ordering::SeqCst), 1);

    fixture.put(&[b"gone"]).unwrap();
    disk.fail(FaultOp::Fdatasync, 1, EIO);
    let syncs = disk.fdatasyncs();
    fixture.sync();
    fixture.sync();
    assert_eq!(disk.fdatasyncs(), syncs, "never synced again");
    assert_eq!(heard.failures.load(Ordering::SeqCst), 1);
    assert_eq!(fixture.log.durable_offset(), Offset(1));
    assert!(matches!(fixture.put(&[b"x"]), Err(StorageError::Poisoned { .. })));
    let waited = fixture.log.wait_durable(Offset(2), Duration::from_secs(60));
    assert!(matches!(waited, Err(StorageError::Poisoned { .. })));
    assert_eq!(fixture.log.read(Offset(0), 1, Offset(1)).unwrap().len(), 1, "reads go on");

    // The next process must not believe the bytes that memory still shows.
    disk.restart();
    drop(fixture);
    let after = Fixture::open(&disk, LogConfig::default());
    assert_eq!(read_all(&after.log, 0).unwrap(), [b"safe"]);
    assert_eq!(after.put(&[b"new"]).unwrap().base_offset, Offset(1));
}

#[test]
fn a_failed_write_closes_the_log_and_leaves_nothing_behind() {
    let disk = SimDisk::new();
    let fixture = Fixture::open(&disk, LogConfig::default());
    fixture.put(&[b"safe"]).unwrap();
    disk.fail(FaultOp::Write, 1, EIO);
    assert!(matches!(fixture.put(&[b"x"]), Err(StorageError::Io { operation: "write", .. })));
    assert!(matches!(fixture.put(&[b"y"]), Err(StorageError::Poisoned { .. })));
    disk.restart();
    drop(fixture);
    assert_eq!(read_all(&Fixture::open(&disk, LogConfig::default()).log, 0).unwrap(), [b"safe"]);
}

#[test]
fn a_full_disk_refuses_appends_until_there_is_space() {
    // Each capacity stops the log at another step: directories, first segment, growth, roll.
    for capacity in (1_000..120_000).step_by(977) {
        let disk = SimDisk::new();
        let fixture = Fixture::try_open(&disk, from_files(30_000)).unwrap();
        disk.set_capacity(capacity);
        let mut written: Vec<Vec<u8>> = Vec::new();
        let error = loop {
            let value = vec![written.len() as u8; 1_500];
            match fixture.put(&[&value]) {
                Ok(done) => assert_eq!(done.base_offset.0, written.len() as u64),
                Err(error) => break error,
            }
            written.push(value);
        };
        assert!(matches!(error, StorageError::DiskFull { .. }), "capacity {capacity}: {error}");
        fixture.sync();
        assert_eq!(read_all(&fixture.log, 0).unwrap(), written, "capacity {capacity}: reads go on");
        disk.set_capacity(1 << 30);
        for _ in 0..30 {
            let value = vec![written.len() as u8; 1_500];
            let done = fixture.put(&[&value]).unwrap();
            assert_eq!(done.base_offset.0, written.len() as u64, "capacity {capacity}");
            written.push(value);
        }
        assert_eq!(read_all(&fixture.log, 0).unwrap(), written);
        fixture.sync();
        disk.crash_losing_all();
        drop(fixture);
        let after = Fixture::open(&disk, from_files(30_000));
        assert!(!after.report.has_damage(), "capacity {capacity}: {:?}", after.report);
        assert_eq!(read_all(&after.log, 0).unwrap(), written, "capacity {capacity}");
    }
}

#[test]
fn a_read_only_disk_refuses_appends_and_serves_reads() {
    let disk = SimDisk::new();
    let fixture = Fixture::open(&disk, from_files(1 << 20));
    fixture.put(&[b"a"]).unwrap();
    fixture.sync();
    disk.set_read_only(true);
    assert!(matches!(fixture.put(&[b"b"]), Err(StorageError::ReadOnly { .. })));
    assert_eq!(read_all(&fixture.log, 0).unwrap(), [b"a"]);
    disk.set_read_only(false);
    assert_eq!(fixture.put(&[b"b"]).unwrap().base_offset, Offset(1));
}

#[test]
fn short_writes_are_finished() {
    for most in [1, 7, 95, 97] {
        let disk = SimDisk::new();
        disk.set_max_write(most);
        let fixture = Fixture::open(&disk, from_files(4096));
        let values: Vec<_> = (0..20_u8).map(|i| vec![i; 500]).collect();
        values.iter().for_each(|value| assert!(fixture.put(&[value]).is_ok()));
        drop(fixture);
        let after = Fixture::open(&disk, from_files(4096));
        assert_eq!(read_all(&after.log, 0).unwrap(), values);
        assert!(!after.report.has_damage());
    }
}
