//! Crashes at every step, and tails torn at every byte.

use flymq_types::{LeaderEpoch, Offset, SeededRng};

use super::support::*;
use crate::testing::batch;
use crate::{SimDisk, StorageError};

/// Opens, appends over several segments and epochs, syncs, retains. Returns the values that were durable when the disk
/// stopped, and where the log started.
fn script(disk: &SimDisk) -> Result<(), StorageError> {
    let fixture = Fixture::try_open(disk, from_files(4096))?;
    for i in 0..6_u8 {
        let value = [i; 900];
        fixture.log.append(&batch(&[&value, &value]), LeaderEpoch(1 + u32::from(i) / 3), NOW)?;
        fixture.sync();
        if let Some(error) = fixture.log.failure() {
            return Err(error);
        }
        fixture.dir.write_marks();
    }
    fixture.log.retain(NOW, crate::Retention { ms: 0, bytes: 9_000 }, Offset(8))?;
    fixture.log.append(&batch(&[&[6; 900], &[6; 900]]), LeaderEpoch(3), NOW)?;
    fixture.sync();
    fixture.log.failure().map_or(Ok(()), Err)
}

/// How far the log was durable when the script stopped at `steps`: found by running it again on another disk.
fn check_after_crash(disk: &SimDisk, context: &str) {
    let after = Fixture::open(disk, from_files(4096));
    assert!(!after.report.has_damage(), "{context}: {:?}", after.report);
    let (start, end) = (after.log.start_offset().0, after.log.end_offset().0);
    let expected: Vec<_> = (start..end).map(|offset| vec![(offset / 2) as u8; 900]).collect();
    assert_eq!(read_all(&after.log, start).unwrap(), expected, "{context}");
    assert!(start <= 8, "{context}: retention went past its bound");
    let done = after.log.append(&batch(&[b"goes on"]), LeaderEpoch(9), NOW).unwrap();
    assert_eq!(done.base_offset.0, end, "{context}");
}

#[test]
pub(super) fn a_crash_between_any_two_steps_leaves_a_whole_log() {
    let mut steps = 0;
    loop {
        let disk = SimDisk::new();
        disk.stop_after(steps);
        let outcome = script(&disk);
        let stopped = disk.stopped();
        disk.crash_losing_all();
        check_after_crash(&disk, &format!("losing all after {steps} steps"));
        if !stopped {
            outcome.unwrap();
            break;
        }
        for seed in 0..4 {
            let disk = SimDisk::new();
            disk.stop_after(steps);
            let _ = script(&disk);
            disk.crash(&SeededRng::new(seed));
            check_after_crash(&disk, &format!("seed {seed} after {steps} steps"));
        }
        steps += 1;
    }
    assert!(steps > 60, "the script has many steps, this run saw {steps}");
}

#[test]
pub(super) fn durable_records_survive_a_crash_at_any_later_step() {
    for steps in 0..80 {
        let disk = SimDisk::new();
        let fixture = Fixture::open(&disk, from_files(4096));
        for i in 0..3_u8 {
            fixture.put(&[&[i; 900]]).unwrap();
        }
        fixture.sync();
        disk.stop_after(steps);
        for i in 3..12_u8 {
            if fixture.put(&[&[i; 900]]).is_err() {
                break;
            }
            fixture.sync();
        }
        let durable = fixture.log.durable_offset().0;
        disk.crash_losing_all();
        drop(fixture);
        let after = Fixture::open(&disk, from_files(4096));
        assert_eq!(after.log.end_offset().0, durable, "after {steps} steps");
        let expected: Vec<_> = (0..durable).map(|i| vec![i as u8; 900]).collect();
        assert_eq!(read_all(&after.log, 0).unwrap(), expected);
    }
}

/// A log with two durable batches and a third one of which only some bytes are in the file.
fn torn(keep: impl FnOnce(&mut [u8])) -> (SimDisk, usize) {
    let disk = SimDisk::new();
    let fixture = Fixture::open(&disk, from_files(4096));
    fixture.put(&[b"one"]).unwrap();
    fixture.put(&[b"two"]).unwrap();
    fixture.sync();
    let before = fixture.log.stats().bytes as usize;
    fixture.put(&[b"three", b"four"]).unwrap();
    let len = fixture.log.stats().bytes as usize - before;
    disk.restart();
    drop(fixture);
    disk.tamper(&segment_file(0), |bytes| keep(&mut bytes[before..before + len])).unwrap();
    (disk, len)
}

#[test]
pub(super) fn a_tail_torn_at_any_byte_is_cut_and_the_log_goes_on() {
    let (_, len) = torn(|_| {});
    for kept in 0..len {
        let (disk, _) = torn(|batch| batch[kept..].fill(0));
        let after = Fixture::open(&disk, from_files(4096));
        assert!(!after.report.has_damage(), "kept {kept}: {:?}", after.report);
        assert_eq!(after.report.torn_bytes > 0, kept > 0, "kept {kept}");
        assert_eq!(read_all(&after.log, 0).unwrap(), [b"one", b"two"], "kept {kept}");
        assert_eq!(after.put(&[b"3"]).unwrap().base_offset, Offset(2));
        assert_eq!(read_all(&after.log, 1).unwrap(), [b"two".as_slice(), b"3"]);
        disk.restart();
        drop(after);
        let again = Fixture::open(&disk, from_files(4096));
        assert_eq!(again.report.torn_bytes, 0, "cut once and for all");
        assert_eq!(read_all(&again.log, 0).unwrap(), [b"one".as_slice(), b"two", b"3"]);
    }
}

#[test]
pub(super) fn a_tail_with_its_beginning_missing_is_cut_too() {
    let (_, len) = torn(|_| {});
    for lost in 1..len {
        let (disk, _) = torn(|batch| batch[..lost].fill(0));
        let after = Fixture::open(&disk, from_files(4096));
        assert_eq!(read_all(&after.log, 0).unwrap(), [b"one", b"two"], "lost {lost}");
        assert!(!after.report.has_damage());
    }
}

#[test]
pub(super) fn an_epoch_is_remembered_though_its_batches_are_lost() {
    let disk = SimDisk::new();
    let fixture = Fixture::open(&disk, from_files(4096));
    let append = |fixture: &Fixture, epoch| fixture.log.append(&batch(&[b"x"]), LeaderEpoch(epoch), NOW);
    append(&fixture, 3).unwrap();
    fixture.sync();
    append(&fixture, 5).unwrap();
    disk.crash_losing_all();
    drop(fixture);
    let after = Fixture::open(&disk, from_files(4096));
    assert_eq!(after.log.end_offset(), Offset(1));
    assert_eq!(after.log.epoch_end(LeaderEpoch(3)).unwrap().end, Offset(1));
    let stale = append(&after, 4).unwrap_err();
    assert!(matches!(stale, StorageError::StaleEpoch { current: LeaderEpoch(5), .. }), "{stale}");
}
