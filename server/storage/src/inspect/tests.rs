use std::sync::Arc;

use super::*;
use crate::SimDisk;
use crate::log::tests::support::*;
use crate::{IndexStrategy, Log};

fn inspector(disk: &SimDisk) -> Inspector {
    Inspector::open(Arc::new(disk.clone()), Path::new(ROOT), None).unwrap()
}

/// 30 batches of two records in several segments, closed well.
fn written() -> SimDisk {
    let disk = SimDisk::new();
    let fixture = Fixture::open(&disk, from_files(4096));
    for i in 0..30_u8 {
        fixture.put(&[&[i; 150], &[i; 140]]).unwrap();
    }
    drop(fixture);
    disk
}

fn damaged(disk: &SimDisk) -> Vec<u64> {
    let report = inspector(disk).verify().unwrap();
    let ranges = report.findings.iter().filter(|finding| finding.kind == FindingKind::Damage);
    let mut offsets: Vec<_> = ranges.filter_map(|finding| finding.offsets).flat_map(|(a, b)| a..b).collect();
    offsets.sort_unstable();
    offsets.dedup();
    offsets
}

/// What the log itself refuses.
fn refused(log: &Log) -> Vec<u64> {
    (0..log.end_offset().0).filter(|offset| log.read(flymq_types::Offset(*offset), 1, ALL).is_err()).collect()
}

#[test]
fn a_good_directory_has_no_findings_and_is_not_touched() {
    let disk = written();
    let before: Vec<_> = disk.files().iter().map(|path| disk.contents(path).unwrap()).collect();
    let report = inspector(&disk).verify().unwrap();
    assert_eq!(report.findings, []);
    assert_eq!((report.partitions, report.batches, report.records), (1, 30, 60));
    let segments = inspector(&disk).segments().unwrap();
    assert_eq!(segments.len(), report.segments);
    assert_eq!(segments.iter().map(|segment| segment.records).sum::<u64>(), 60);
    assert!(segments.iter().rev().skip(1).all(|segment| segment.sealed));
    let after: Vec<_> = disk.files().iter().map(|path| disk.contents(path).unwrap()).collect();
    assert!(before == after, "nothing was written");
}

#[test]
fn every_flipped_bit_of_a_segment_that_costs_a_record_is_named() {
    let original = written();
    let path = segment_file(0);
    let len = original.contents(&path).unwrap().len();
    let mut named = 0;
    for at in (0..len).filter(|at| at % 61 == 0 || at % 4096 < 96 && at % 7 == 0) {
        let disk = original.fork();
        disk.tamper(&path, |bytes| bytes[at] ^= 1 << (at % 8)).unwrap();
        let found = damaged(&disk);
        let fixture = Fixture::open(&disk, from_files(4096));
        let refused = refused(&fixture.log);
        assert!(refused.iter().all(|offset| found.contains(offset)), "byte {at}: {refused:?} in {found:?}");
        assert!(found.len() <= refused.len() + 2, "byte {at}: {found:?} for {refused:?}");
        named += usize::from(!refused.is_empty());
    }
    assert!(named > 30, "{named}");
}

#[test]
fn a_lost_segment_and_side_files_are_findings() {
    let disk = written();
    let segments: Vec<_> =
        disk.files().into_iter().filter(|p| p.extension().is_some_and(|e| e == "log")).collect();
    Disk::remove_file(&disk, &segments[1]).unwrap();
    let fixture_refuses = {
        let copy = disk.fork();
        refused(&Fixture::open(&copy, from_files(4096)).log)
    };
    assert_eq!(damaged(&disk), fixture_refuses);
    let disk = written();
    disk.tamper(&log_dir().join("epochs"), |bytes| bytes[14] ^= 1).unwrap();
    disk.tamper(&log_dir().join("checkpoint"), |bytes| bytes.fill(7)).unwrap();
    disk.plant(&log_dir().join("notes.txt"), b"mine");
    let report = inspector(&disk).verify().unwrap();
    let kinds: Vec<_> = report.findings.iter().map(|finding| finding.kind).collect();
    assert_eq!(
        kinds,
        [FindingKind::Damage, FindingKind::Damage, FindingKind::Notice],
        "{:?}",
        report.findings
    );
}

#[test]
fn indexes_are_compared_with_the_log_and_made_again() {
    let disk = written();
    let index = segment_file(0).with_extension("index");
    let whole = inspector(&disk).indexes().unwrap();
    assert!(whole.iter().all(|index| index.usable && index.wrong + index.damaged == 0), "{whole:?}");
    disk.tamper(&index, |bytes| bytes[64 + 3] ^= 1).unwrap();
    let report = inspector(&disk).verify().unwrap();
    assert!(!report.is_damaged() && report.findings[0].what.contains("1 entries are damaged"), "{report:?}");
    let shared: Arc<dyn Disk> = Arc::new(disk.clone());
    let made = rebuild_indexes(&shared, Path::new(ROOT), IndexStrategy::DenseOffset).unwrap();
    let dense = inspector(&disk).indexes().unwrap();
    assert_eq!(made, dense.len());
    assert_eq!(dense.iter().map(|index| index.entries).sum::<u64>(), 30);
    assert!(inspector(&disk).verify().unwrap().findings.is_empty());
}

#[test]
fn batches_come_with_their_records() {
    let disk = written();
    let path = segment_file(0);
    let inspector = Inspector::open(Arc::new(disk), &path, None).unwrap();
    let mut seen = Vec::new();
    let report = inspector.batches(true, |batch, whole| {
        assert!(batch.chained && batch.payload == PayloadState::Good);
        seen.extend(whole.unwrap().iter().map(|record| record.unwrap().offset));
        seen.len() < 4
    });
    assert_eq!(seen, [0, 1, 2, 3]);
    assert!(report.unwrap().findings.is_empty());
}
