//! Retired files that become the next segment: what they held before never shows again.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use flymq_types::{ManualClock, Offset, SeededRng};

use super::support::*;
use crate::{Retention, SimDisk, StorageError};

const SEGMENT: u64 = 12 << 10;
const LIMIT: Retention = Retention { ms: 0, bytes: 20_000 };

fn value(offset: u64) -> Vec<u8> {
    let mut value = format!("record {offset}.").into_bytes();
    value.resize(700 + (offset * 131 % 500) as usize, b'a' + (offset % 26) as u8);
    value
}

/// Appends, syncs, and gives up the oldest segments after each that was filled.
fn fill(fixture: &Fixture, records: u64) -> Result<(), StorageError> {
    for _ in 0..records {
        let offset = fixture.log.end_offset().0;
        fixture.put(&[&value(offset)])?;
        fixture.sync();
        if let Some(error) = fixture.log.failure() {
            return Err(error);
        }
        if fixture.log.take_rolled() {
            fixture.log.retain(NOW, LIMIT, fixture.log.durable_offset())?;
        }
    }
    Ok(())
}

fn check(log: &crate::Log, context: &str) {
    let (start, end) = (log.start_offset().0, log.end_offset().0);
    assert_eq!(read_all(log, start).unwrap(), (start..end).map(value).collect::<Vec<_>>(), "{context}");
}

fn spares(disk: &SimDisk) -> usize {
    disk.files().iter().filter(|path| path.to_string_lossy().ends_with(".spare.tmp")).count()
}

/// Whether the newest segment's file still holds bytes of a record that is gone.
fn holds_old_bytes(disk: &SimDisk, log: &crate::Log) -> bool {
    let newest = log.0.view.lock().segments.last().map(|view| view.segment.path.clone()).unwrap();
    let bytes = disk.contents(&newest).unwrap();
    let start = log.start_offset().0;
    (0..start).any(|offset| {
        let wanted = format!("record {offset}.");
        bytes.windows(wanted.len()).any(|window| window == wanted.as_bytes())
    })
}

#[test]
fn a_log_that_turns_over_writes_into_its_old_files() {
    let disk = SimDisk::new();
    let fixture = Fixture::open(&disk, from_files(SEGMENT));
    let mut seen = 0;
    for _ in 0..90 {
        fill(&fixture, 1).unwrap();
        check(&fixture.log, "while it is written");
        seen += u32::from(holds_old_bytes(&disk, &fixture.log));
        assert!(spares(&disk) <= 1);
    }
    assert!(seen > 10, "old files were used {seen} times");
    let end = fixture.log.end_offset();
    disk.restart();
    drop(fixture);
    let after = Fixture::open(&disk, from_files(SEGMENT));
    assert!(!after.report.has_damage() && after.log.end_offset() == end, "{:?}", after.report);
    assert_eq!(spares(&disk), 0, "a start removes what nobody needs");
    check(&after.log, "after a restart");
    fill(&after, 10).unwrap();
    check(&after.log, "going on");
}

/// An encrypted log recycles its files too, but never one that was written before there was a key.
#[test]
fn no_plain_bytes_stay_behind_in_an_encrypted_segment() {
    let disk = SimDisk::new();
    fill(&Fixture::open(&disk, from_files(SEGMENT)), 40).unwrap();
    disk.restart();
    let _mode = encrypting(true);
    let fixture = Fixture::open(&disk, from_files(SEGMENT));
    let (first, mut used) = (fixture.log.end_offset().0, 0);
    for _ in 0..120 {
        fill(&fixture, 1).unwrap();
        check(&fixture.log, "while it is written");
        let plain_is_gone = fixture.log.start_offset().0 >= first;
        assert!(plain_is_gone || spares(&disk) == 0, "a plain file was kept");
        used += u32::from(spares(&disk) > 0);
        assert!(!plain_is_gone || !holds_plain_bytes(&disk), "plain bytes");
    }
    assert!(used > 10, "old files were kept {used} times");
}

fn holds_plain_bytes(disk: &SimDisk) -> bool {
    let holds = |path: &PathBuf| disk.contents(path).unwrap().windows(7).any(|window| window == b"record ");
    disk.files().iter().any(holds)
}

#[test]
pub(super) fn a_crash_at_any_step_shows_no_byte_of_an_earlier_life() {
    for steps in 0.. {
        let mut stopped = false;
        for seed in [None, Some(1), Some(2), Some(3)] {
            let disk = SimDisk::new();
            let fixture = Fixture::open(&disk, from_files(SEGMENT));
            fill(&fixture, 52).unwrap();
            disk.stop_after(steps);
            let outcome = fill(&fixture, 14);
            stopped = disk.stopped();
            assert!(outcome.is_ok() || stopped, "step {steps}: {outcome:?}");
            let (start, durable) = (fixture.log.start_offset().0, fixture.log.durable_offset().0);
            match seed {
                None => disk.crash_losing_all(),
                Some(seed) => disk.crash(&SeededRng::new(seed)),
            }
            drop(fixture);
            let context = format!("step {steps}, seed {seed:?}");
            let after = Fixture::open(&disk, from_files(SEGMENT));
            assert!(!after.report.has_damage(), "{context}: {:?}", after.report);
            assert!(after.log.start_offset().0 >= start, "{context}");
            assert!((durable..=durable + 1).contains(&after.log.end_offset().0), "{context}");
            check(&after.log, &context);
            fill(&after, 6).unwrap();
            check(&after.log, &context);
        }
        if !stopped {
            assert!(steps > 30, "the script has many steps, this run saw {steps}");
            return;
        }
    }
}

#[test]
fn a_file_that_is_read_is_left_to_its_reader() {
    let disk = SimDisk::new();
    let fixture = Fixture::open(&disk, from_files(SEGMENT));
    for _ in 0..60 {
        fixture.put(&[&value(fixture.log.end_offset().0)]).unwrap();
    }
    fixture.sync();
    let held = fixture.log.0.view.lock().segments.clone();
    let retired = fixture.log.retain(NOW, LIMIT, ALL).unwrap();
    assert!(retired.segments > 0);
    assert_eq!(spares(&disk), 0, "each of them is held by a reader");
    drop(held);
}

#[test]
fn a_quiet_log_keeps_no_file_for_later() {
    let disk = SimDisk::new();
    let clock = Arc::new(ManualClock::new(NOW));
    let with_clock = crate::DataDirOptions { clock: clock.clone(), ..options(&disk, 1) };
    let fixture = Fixture::try_open_with(from_files(SEGMENT), with_clock).unwrap();
    fill(&fixture, 52).unwrap();
    for _ in 0..14 {
        if spares(&disk) == 0 {
            fill(&fixture, 1).unwrap();
        }
    }
    assert_eq!(spares(&disk), 1);
    clock.advance(Duration::from_secs(61));
    fixture.log.retain(NOW, LIMIT, Offset(1)).unwrap();
    assert_eq!(spares(&disk), 0);
    let retired = fixture.log.retain(NOW, Retention { ms: 0, bytes: 1 }, ALL).unwrap();
    assert!(retired.segments > 0);
    assert_eq!(spares(&disk), 0, "no segment was begun for a minute");
}
