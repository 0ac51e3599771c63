use flymq_types::{Offset, Timestamp};

use super::support::*;
use crate::testing::batch;
use crate::{Retention, SimDisk, StorageError};

fn filled(disk: &SimDisk) -> Fixture {
    let fixture = Fixture::open(disk, from_files(4096));
    for i in 0..20_u8 {
        let now = Timestamp(i64::from(i) * 1_000);
        fixture.log.append(&batch(&[&[i; 900]]), EPOCH, now).unwrap();
    }
    fixture.sync();
    fixture
}

#[test]
fn old_segments_go_by_size_and_the_rest_stays() {
    let disk = SimDisk::new();
    let fixture = filled(&disk);
    let before = fixture.log.stats();
    assert_eq!(before.segments, 5);
    let retention = Retention { ms: 0, bytes: before.bytes / 2 };
    let gone = fixture.log.retain(Timestamp(20_000), retention, ALL).unwrap();
    let after = fixture.log.stats();
    assert_eq!(after.segments, before.segments - gone);
    assert!(gone > 0 && after.bytes >= before.bytes / 2);
    let start = fixture.log.start_offset();
    assert!(start > Offset(0));
    assert!(matches!(fixture.log.read(Offset(0), 1, ALL), Err(StorageError::OffsetOutOfRange { .. })));
    disk.crash_losing_all();
    drop(fixture);
    let reopened = Fixture::open(&disk, from_files(4096));
    assert_eq!((reopened.log.start_offset(), reopened.log.end_offset()), (start, Offset(20)));
    assert!(!reopened.report.has_damage(), "{:?}", reopened.report);
    assert_eq!(read_all(&reopened.log, start.0).unwrap().len() as u64, 20 - start.0);
}

#[test]
fn time_counts_from_a_segments_last_append() {
    let fixture = filled(&SimDisk::new());
    let retention = Retention { ms: 10_000, bytes: 0 };
    assert_eq!(fixture.log.retain(Timestamp(13_000), retention, ALL).unwrap(), 0);
    assert_eq!(fixture.log.retain(Timestamp(13_001), retention, ALL).unwrap(), 1);
    assert_eq!(fixture.log.start_offset(), Offset(4));
}

#[test]
fn nothing_above_the_bound_goes() {
    let fixture = filled(&SimDisk::new());
    let retention = Retention { ms: 1, bytes: 0 };
    assert_eq!(fixture.log.retain(Timestamp(1 << 40), retention, Offset(7)).unwrap(), 1);
    assert_eq!(fixture.log.start_offset(), Offset(4));
}

#[test]
fn a_log_emptied_by_time_keeps_counting() {
    let disk = SimDisk::new();
    let fixture = filled(&disk);
    let retention = Retention { ms: 1, bytes: 0 };
    assert_eq!(fixture.log.retain(Timestamp(1 << 40), retention, ALL).unwrap(), 5);
    assert_eq!((fixture.log.start_offset(), fixture.log.end_offset()), (Offset(20), Offset(20)));
    disk.crash_losing_all();
    drop(fixture);
    let reopened = Fixture::open(&disk, from_files(4096));
    assert!(!reopened.report.has_damage(), "{:?}", reopened.report);
    assert_eq!(reopened.put(&[b"next"]).unwrap().base_offset, Offset(20));
    assert_eq!(read_all(&reopened.log, 20).unwrap(), [b"next"]);
}
