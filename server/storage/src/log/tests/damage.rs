//! Bit rot and files that somebody cut or removed: detected, named, and never served.

use std::path::Path;

use flymq_types::Offset;

use super::support::*;
use crate::{LogConfig, SimDisk, StorageError};

const RECORDS: u64 = 60;

fn value(offset: u64) -> Vec<u8> {
    let mut value = format!("record {offset} ").into_bytes();
    value.resize(150, b'0' + (offset % 10) as u8);
    value
}

/// 30 batches of two records in several segments, closed well.
fn written() -> SimDisk {
    let disk = SimDisk::new();
    let fixture = Fixture::open(&disk, from_files(4096));
    for offset in (0..RECORDS).step_by(2) {
        fixture.put(&[&value(offset), &value(offset + 1)]).unwrap();
    }
    drop(fixture);
    disk
}

/// Reads every offset by itself. Returns the refused ones; all others must come back to the byte.
fn refused(fixture: &Fixture, context: &str) -> Vec<u64> {
    let (start, end) = (fixture.log.start_offset().0, fixture.log.end_offset().0);
    assert_eq!((start, end), (0, RECORDS), "{context}");
    let mut refused = Vec::new();
    for offset in 0..RECORDS {
        match fixture.log.read(Offset(offset), 1, ALL) {
            Ok(batches) => {
                let base = batches[0].base_offset().0;
                let record = batches[0].records().unwrap().nth((offset - base) as usize).unwrap().unwrap();
                assert_eq!(record.value.unwrap(), value(offset), "{context}: wrong bytes at {offset}");
            }
            Err(StorageError::Corrupt { start, end }) => {
                assert!((start.0..end.0).contains(&offset), "{context}: {offset} not in {start}..{end}");
                refused.push(offset);
            }
            Err(error) => panic!("{context}: {error}"),
        }
    }
    refused
}

fn file_kind(path: &Path) -> &str {
    path.extension().or(path.file_name()).and_then(|kind| kind.to_str()).unwrap_or("")
}

#[test]
pub(super) fn a_flipped_bit_anywhere_costs_at_most_its_batch() {
    let original = written();
    let files: Vec<_> = original.files().into_iter().filter(|path| path.starts_with(log_dir())).collect();
    let mut damaged_batches = 0;
    for path in &files {
        let len = original.contents(path).unwrap().len();
        // Headers, footers and entries densely, the rest at a prime distance.
        let spots = (0..len).filter(|at| (at % 4096 < 96 || len - at < 96) && at % 3 == 0 || at % 127 == 0);
        for at in spots {
            let disk = original.fork();
            disk.tamper(path, |bytes| bytes[at] ^= 1 << (at % 8)).unwrap();
            let context = format!("{} byte {at}", path.display());
            let fixture = Fixture::open(&disk, from_files(4096));
            let refused = refused(&fixture, &context);
            assert!(refused.len() <= 2, "{context}: {refused:?} refused");
            if file_kind(path) == "log" {
                damaged_batches += usize::from(!refused.is_empty());
            } else {
                assert!(refused.is_empty(), "{context}: {refused:?} refused");
            }
            fixture.put(&[b"goes on"]).unwrap();
        }
    }
    assert!(damaged_batches > 50, "most flips in segments hit a batch: {damaged_batches}");
}

#[test]
pub(super) fn damage_found_while_reading_is_reported_at_the_next_read_too() {
    let disk = written();
    let fixture = Fixture::open(&disk, from_files(4096));
    // The second batch of the first segment: its payload.
    disk.tamper(&segment_file(0), |bytes| bytes[4096 + 500 + 100] ^= 1).unwrap();
    for _ in 0..2 {
        assert_eq!(refused(&fixture, "payload"), [2, 3]);
    }
    let first = fixture.log.read(Offset(0), 1 << 20, ALL).unwrap();
    assert_eq!(first.len(), 1, "the good batch before the damage is served");
}

#[test]
pub(super) fn a_missing_segment_is_a_named_gap() {
    for lost in 0..2 {
        let disk = written();
        let segments: Vec<_> = disk.files().into_iter().filter(|path| file_kind(path) == "log").collect();
        crate::Disk::remove_file(&disk, &segments[lost]).unwrap();
        let fixture = Fixture::open(&disk, from_files(4096));
        let refused = refused(&fixture, "missing segment");
        let range = &fixture.report.quarantined[0];
        assert_eq!(refused, (range.start.0..range.end.0).collect::<Vec<_>>(), "segment {lost}");
        assert!(!refused.is_empty() && refused.len() < RECORDS as usize);
    }
}

#[test]
pub(super) fn a_segment_cut_in_the_middle_loses_only_what_is_gone() {
    let segments: Vec<_> = written().files().into_iter().filter(|path| file_kind(path) == "log").collect();
    for (i, path) in segments.iter().enumerate() {
        for keep in [0, 100, 4096, 4096 + 97, 6_000] {
            let disk = written();
            let blank = disk.contents(path).unwrap()[keep..].iter().all(|byte| *byte == 0);
            disk.tamper(path, |bytes| bytes.truncate(keep)).unwrap();
            let context = format!("segment {i} cut to {keep}");
            let fixture = Fixture::open(&disk, from_files(4096));
            let refused = refused(&fixture, &context);
            assert_eq!(refused.is_empty(), blank, "{context}");
            let reported: u64 = fixture.report.quarantined.iter().map(|r| r.end.0 - r.start.0).sum();
            assert_eq!(refused.len() as u64, reported, "{context}");
            let next = fixture.put(&[b"goes on"]).unwrap().base_offset;
            assert_eq!(next, Offset(RECORDS), "{context}: offsets are never reused");
            fixture.sync();
            assert_eq!(read_all(&fixture.log, RECORDS).unwrap(), [b"goes on"], "{context}");
            disk.restart();
            drop(fixture);
            let again = Fixture::open(&disk, from_files(4096));
            assert_eq!(read_all(&again.log, RECORDS).unwrap(), [b"goes on"], "{context}, opened again");
        }
    }
}

#[test]
pub(super) fn a_segment_without_header_and_first_batch_keeps_the_rest() {
    let disk = written();
    disk.tamper(&segment_file(0), |bytes| bytes[..4096 + 50].fill(0)).unwrap();
    let fixture = Fixture::open(&disk, from_files(4096));
    assert_eq!(fixture.report.damaged_files, ["00000000000000000000.log"]);
    assert_eq!(refused(&fixture, "no header"), [0, 1]);
}

/// Before the first durable mark the checkpoint says nothing of the segment.
#[test]
pub(super) fn a_young_segment_without_header_keeps_what_was_synced() {
    let disk = SimDisk::new();
    let fixture = Fixture::open(&disk, from_files(1 << 20));
    let values: Vec<_> = (0..5).map(value).collect();
    for value in &values {
        fixture.put(&[value]).unwrap();
    }
    fixture.sync();
    disk.crash_losing_all();
    drop(fixture);
    disk.restart();
    disk.tamper(&segment_file(0), |bytes| bytes[..7].fill(0)).unwrap();
    let fixture = Fixture::open(&disk, from_files(1 << 20));
    assert_eq!(fixture.report.damaged_files, ["00000000000000000000.log"]);
    assert_eq!(read_all(&fixture.log, 0).unwrap(), values);
}

#[test]
pub(super) fn missing_and_foreign_side_files_are_rebuilt() {
    let disk = written();
    for path in disk.files() {
        if path.starts_with(log_dir()) && file_kind(&path) != "log" {
            crate::Disk::remove_file(&disk, &path).unwrap();
        }
    }
    let fixture = Fixture::open(&disk, from_files(4096));
    assert!(refused(&fixture, "no side files").is_empty());
    assert_eq!(fixture.log.latest_epoch(), Some(EPOCH));
}

#[test]
pub(super) fn unknown_files_are_kept_in_lost_and_found() {
    let disk = written();
    disk.plant(&log_dir().join("notes.txt"), b"mine");
    disk.plant(&log_dir().join("00000000000000000777.log.tmp"), b"half made");
    let fixture = Fixture::open(&disk, from_files(4096));
    assert_eq!(fixture.report.removed, ["00000000000000000777.log.tmp"]);
    let moved = Path::new(ROOT).join("lost+found").join(&fixture.report.moved[0]);
    assert_eq!(disk.contents(&moved).unwrap(), b"mine");
    assert!(refused(&fixture, "unknown files").is_empty());
}

#[test]
pub(super) fn a_segment_of_another_log_is_moved_away() {
    let disk = written();
    let mut foreign = disk.contents(&segment_file(0)).unwrap();
    foreign[48] ^= 1;
    let crc = crc32c::crc32c(&foreign[..4092]).to_le_bytes();
    foreign[4092..4096].copy_from_slice(&crc);
    disk.plant(&segment_file(5_000), &foreign);
    let fixture = Fixture::open(&disk, from_files(4096));
    assert_eq!(fixture.report.moved.len(), 1);
    assert!(refused(&fixture, "foreign segment").is_empty());
}

#[test]
pub(super) fn a_later_format_is_refused_and_left_alone() {
    let disk = written();
    let change = |bytes: &mut Vec<u8>| {
        bytes[8] = 2;
        let crc = crc32c::crc32c(&bytes[..4092]).to_le_bytes();
        bytes[4092..4096].copy_from_slice(&crc);
    };
    disk.tamper(&segment_file(0), change).unwrap();
    // What this build takes for garbage may be part of the later format.
    disk.plant(&log_dir().join("00000000000000000000.later"), b"x");
    disk.plant(&log_dir().join("half.tmp"), b"y");
    let files = disk.files();
    let before = disk.contents(&segment_file(0)).unwrap();
    let error = Fixture::try_open(&disk, LogConfig::default()).err().unwrap();
    assert!(matches!(error, StorageError::UnknownFormat { found: 2, known: 1, .. }), "{error}");
    assert_eq!(disk.contents(&segment_file(0)).unwrap(), before);
    assert_eq!(disk.files(), files, "nothing was moved or removed");
}

/// A recycled file may hold, right behind the end, whole batches of the segment that it was before.
#[test]
pub(super) fn batches_of_another_segment_never_count() {
    let disk = written();
    let fixture = Fixture::open(&disk, from_files(1 << 20));
    let end = fixture.put(&[b"last"]).unwrap().base_offset.0 + 1;
    fixture.sync();
    let segments: Vec<_> = disk.files().into_iter().filter(|path| file_kind(path) == "log").collect();
    let active = segments.last().unwrap().clone();
    let old = crate::testing::stamped(&[b"stale"], end, 77);
    disk.restart();
    drop(fixture);
    disk.tamper(&active, |bytes| {
        let used = bytes.iter().rposition(|byte| *byte != 0).unwrap() + 1;
        bytes[used..used + old.len()].copy_from_slice(&old);
    })
    .unwrap();
    let after = Fixture::open(&disk, from_files(1 << 20));
    assert!(!after.report.has_damage(), "{:?}", after.report);
    assert_eq!(after.log.end_offset(), Offset(end));
    assert_eq!(after.put(&[b"next"]).unwrap().base_offset, Offset(end));
    assert_eq!(read_all(&after.log, end).unwrap(), [b"next"]);
}

/// Damage among batches that lie behind the durable mark, as after a crash: what is whole behind it proves that this is
/// no torn tail.
#[test]
fn damage_between_batches_is_refused_and_never_cut() {
    for damaged in 0..5_u64 {
        let disk = SimDisk::new();
        let fixture = Fixture::open(&disk, from_files(1 << 20));
        for offset in 0..6 {
            fixture.put(&[&value(offset)]).unwrap();
        }
        fixture.sync();
        let batch = (fixture.log.stats().bytes as usize - 4096) / 6;
        disk.restart();
        drop(fixture);
        let at = 4096 + damaged as usize * batch + batch - 10;
        disk.tamper(&segment_file(0), |bytes| bytes[at] ^= 0x10).unwrap();
        let after = Fixture::open(&disk, from_files(1 << 20));
        assert_eq!(after.report.quarantined, [Offset(damaged)..Offset(damaged + 1)]);
        assert_eq!((after.report.torn_bytes, after.log.end_offset()), (0, Offset(6)));
        let rest = read_all(&after.log, damaged + 1).unwrap();
        assert_eq!(rest, (damaged + 1..6).map(value).collect::<Vec<_>>());
    }
}
