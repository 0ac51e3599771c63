use flymq_types::{Offset, Timestamp};

use super::support::*;
use crate::testing::batch;
use crate::{Retention, Retired, SimDisk, StorageError};

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
    let Retired { segments: gone, bytes } = fixture.log.retain(Timestamp(20_000), retention, ALL).unwrap();
    let after = fixture.log.stats();
    assert_eq!((after.segments, after.bytes), (before.segments - gone, before.bytes - bytes));
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
    assert_eq!(fixture.log.retain(Timestamp(13_000), retention, ALL).unwrap().segments, 0);
    assert_eq!(fixture.log.retain(Timestamp(13_001), retention, ALL).unwrap().segments, 1);
    assert_eq!(fixture.log.start_offset(), Offset(4));
}

#[test]
fn nothing_above_the_bound_goes() {
    let fixture = filled(&SimDisk::new());
    let retention = Retention { ms: 1, bytes: 0 };
    assert_eq!(fixture.log.retain(Timestamp(1 << 40), retention, Offset(7)).unwrap().segments, 1);
    assert_eq!(fixture.log.start_offset(), Offset(4));
}

#[test]
fn a_log_emptied_by_time_keeps_counting() {
    let disk = SimDisk::new();
    let fixture = filled(&disk);
    let retention = Retention { ms: 1, bytes: 0 };
    assert_eq!(fixture.log.retain(Timestamp(1 << 40), retention, ALL).unwrap().segments, 5);
    assert_eq!((fixture.log.start_offset(), fixture.log.end_offset()), (Offset(20), Offset(20)));
    disk.crash_losing_all();
    drop(fixture);
    let reopened = Fixture::open(&disk, from_files(4096));
    assert!(!reopened.report.has_damage(), "{:?}", reopened.report);
    assert_eq!(reopened.put(&[b"next"]).unwrap().base_offset, Offset(20));
    assert_eq!(read_all(&reopened.log, 20).unwrap(), [b"next"]);
}

#[test]
fn a_segment_that_never_fills_is_closed_in_time() {
    let fixture = Fixture::open(&SimDisk::new(), from_files(1 << 20));
    let retention = Retention { ms: 10_000, bytes: 0 };
    let mut longest = 0;
    for second in 0..60 {
        fixture.log.append(&batch(&[b"tick"]), EPOCH, Timestamp(second * 1_000)).unwrap();
        fixture.sync();
        fixture.log.retain(Timestamp(second * 1_000), retention, ALL).unwrap();
        longest = longest.max(second - fixture.log.start_offset().0 as i64);
    }
    assert!((10..=14).contains(&longest), "the oldest record was {longest} s old");
    assert!(fixture.log.stats().segments <= 6, "{:?}", fixture.log.stats());
}

#[test]
fn deleted_records_stay_deleted_and_whole_segments_go() {
    let disk = SimDisk::new();
    let fixture = filled(&disk);
    assert_eq!(fixture.log.advance_start(Offset(6), ALL).unwrap().segments, 1);
    assert_eq!((fixture.log.start_offset(), fixture.log.stats().segments), (Offset(6), 4));
    let below = fixture.log.read(Offset(5), 1, ALL);
    assert!(matches!(below, Err(StorageError::OffsetOutOfRange { start: Offset(6), .. })), "{below:?}");
    assert_eq!(read_all(&fixture.log, 6).unwrap().len(), 14);
    assert_eq!(fixture.log.advance_start(Offset(3), ALL).unwrap(), Retired::default(), "it never goes back");
    let above = fixture.log.advance_start(Offset(8), Offset(7));
    assert!(matches!(above, Err(StorageError::OffsetOutOfRange { end: Offset(7), .. })), "{above:?}");
    assert!(fixture.log.advance_start(Offset(21), ALL).is_err());
    disk.crash_losing_all();
    drop(fixture);
    let reopened = Fixture::open(&disk, from_files(4096));
    assert!(!reopened.report.has_damage(), "{:?}", reopened.report);
    assert_eq!((reopened.log.start_offset(), reopened.log.end_offset()), (Offset(6), Offset(20)));
    assert_eq!(read_all(&reopened.log, 6).unwrap().len(), 14);
}

#[test]
fn all_records_can_be_deleted() {
    let disk = SimDisk::new();
    let fixture = filled(&disk);
    assert_eq!(fixture.log.advance_start(Offset(20), ALL).unwrap().segments, 5);
    assert_eq!(fixture.log.read(Offset(20), 1, ALL).unwrap().len(), 0);
    assert_eq!(fixture.log.stats().bytes, 0);
    disk.crash_losing_all();
    drop(fixture);
    let reopened = Fixture::open(&disk, from_files(4096));
    assert_eq!((reopened.log.start_offset(), reopened.log.end_offset()), (Offset(20), Offset(20)));
    assert_eq!(reopened.put(&[b"next"]).unwrap().base_offset, Offset(20));
}

/// A stopped disk at any step of a deletion: the log starts where it did or where it was told to, nothing else.
#[test]
fn a_crash_in_a_deletion_leaves_the_old_start_or_the_new_one() {
    for to in [3, 4, 6, 20] {
        for steps in 0.. {
            let disk = SimDisk::new();
            let fixture = filled(&disk);
            disk.stop_after(steps);
            let done = fixture.log.advance_start(Offset(to), ALL);
            let stopped = disk.stopped();
            disk.crash_losing_all();
            drop(fixture);
            let after = Fixture::open(&disk, from_files(4096));
            let start = after.log.start_offset().0;
            assert!(start == to || (start == 0 && done.is_err()), "to {to}, step {steps}: starts at {start}");
            assert!(!after.report.has_damage(), "to {to}, step {steps}: {:?}", after.report);
            let values: Vec<_> = (start..20).map(|i| vec![i as u8; 900]).collect();
            assert_eq!(read_all(&after.log, start).unwrap(), values, "to {to}, step {steps}");
            assert_eq!(after.log.end_offset(), Offset(20));
            if !stopped {
                break;
            }
        }
    }
}
