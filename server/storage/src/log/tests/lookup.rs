//! Every index strategy gives the answer of a linear scan, also with whatever bytes in its file.

use std::path::{Path, PathBuf};

use flymq_types::{Offset, Timestamp};
use proptest::prelude::*;

use super::support::*;
use crate::testing::batch_at;
use crate::{IndexStrategy, LogConfig, SimDisk};

/// Timestamps of the records of each batch.
type Written = Vec<(u8, i64, usize)>;

fn strategy() -> impl Strategy<Value = IndexStrategy> {
    let interval = prop_oneof![Just(1_u32), 100..3_000_u32];
    prop_oneof![
        interval.clone().prop_map(|interval_bytes| IndexStrategy::SparseOffset { interval_bytes }),
        Just(IndexStrategy::DenseOffset),
        interval.prop_map(|interval_bytes| IndexStrategy::Time { interval_bytes }),
    ]
}

fn config(index: IndexStrategy) -> LogConfig {
    LogConfig { index, ..from_files(6_000) }
}

/// Writes batches of `records` each, their times counting up from `first`: equal and backward times over batches.
fn write(fixture: &Fixture, batches: &Written, times: &mut Vec<i64>) {
    for (records, first, bytes) in batches {
        let values: Vec<_> = (0..*records).map(|i| vec![i; *bytes]).collect();
        let values: Vec<_> = values.iter().map(Vec::as_slice).collect();
        let done = fixture.log.append(&batch_at(&values, *first), EPOCH, NOW).unwrap();
        assert_eq!(done.base_offset.0, times.len() as u64);
        times.extend((0..i64::from(*records)).map(|i| first + i));
    }
}

/// Asks for every offset and time, and compares with the list.
fn check(fixture: &Fixture, times: &[i64]) {
    for (offset, time) in times.iter().enumerate() {
        let batch = &fixture.log.read(Offset(offset as u64), 1, ALL).unwrap()[0];
        let record =
            batch.records().unwrap().map(Result::unwrap).find(|r| r.offset == offset as u64).unwrap();
        assert_eq!(record.timestamp, *time, "offset {offset}");
    }
    for time in (0..130).map(|i| i * 3 - 10) {
        let expected = times.iter().position(|at| *at >= time).map(|at| Offset(at as u64));
        assert_eq!(fixture.log.offset_for_timestamp(Timestamp(time)).unwrap(), expected, "time {time}");
    }
}

fn index_files(disk: &SimDisk) -> Vec<PathBuf> {
    disk.files().into_iter().filter(|path| path.extension().is_some_and(|kind| kind == "index")).collect()
}

fn change(disk: &SimDisk, path: &Path, at: u32, value: u8, cut: bool) {
    disk.tamper(path, |bytes| {
        let at = at as usize % bytes.len().max(1);
        if cut {
            bytes.truncate(at);
        } else if let Some(byte) = bytes.get_mut(at) {
            *byte = value;
        }
    })
    .unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn index_answers_are_those_of_a_linear_scan(
        before in prop::collection::vec((1_u8..5, 0_i64..300, 0_usize..400), 1..60),
        after in prop::collection::vec((1_u8..5, 0_i64..300, 0_usize..400), 0..30),
        first in strategy(),
        second in strategy(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), 0_u32..900, any::<u8>(), prop::bool::weighted(0.1)), 0..12),
        lost in prop::bool::weighted(0.2),
    ) {
        let disk = SimDisk::new();
        let mut times = Vec::new();
        let fixture = Fixture::open(&disk, config(first));
        write(&fixture, &before, &mut times);
        check(&fixture, &times);
        drop(fixture);
        let files = index_files(&disk);
        for (file, at, value, cut) in damage {
            change(&disk, &files[file.index(files.len())], at, value, cut);
        }
        if lost {
            crate::Disk::remove_file(&disk, &files[0]).unwrap();
        }
        let fixture = Fixture::open(&disk, config(second));
        write(&fixture, &after, &mut times);
        check(&fixture, &times);
        check(&fixture, &times);
    }
}

#[test]
fn an_index_of_another_segment_misleads_nobody() {
    let disk = SimDisk::new();
    let mut times = Vec::new();
    let fixture = Fixture::open(&disk, config(IndexStrategy::DenseOffset));
    let batches: Written = (0..60).map(|i| (2, 100 + i64::from(i) % 17, 150)).collect();
    write(&fixture, &batches, &mut times);
    drop(fixture);
    let files = index_files(&disk);
    let (one, other) = (disk.contents(&files[0]).unwrap(), disk.contents(&files[1]).unwrap());
    disk.tamper(&files[0], |bytes| *bytes = other).unwrap();
    disk.tamper(&files[1], |bytes| *bytes = one).unwrap();
    check(&Fixture::open(&disk, config(IndexStrategy::DenseOffset)), &times);
}

#[test]
fn a_missing_index_is_made_again_by_lookups_and_kept() {
    let disk = SimDisk::new();
    let mut times = Vec::new();
    let fixture = Fixture::open(&disk, config(IndexStrategy::DenseOffset));
    let batches: Written = (0..60).map(|i| (2, 100 + i64::from(i), 150)).collect();
    write(&fixture, &batches, &mut times);
    let whole: Vec<_> = index_files(&disk).iter().map(|path| disk.contents(path).unwrap()).collect();
    drop(fixture);
    for path in index_files(&disk) {
        crate::Disk::remove_file(&disk, &path).unwrap();
    }
    let fixture = Fixture::open(&disk, config(IndexStrategy::DenseOffset));
    assert_eq!(fixture.log.stats().index.loaded, 1, "only that of the last segment");
    check(&fixture, &times);
    let again: Vec<_> = index_files(&disk).iter().map(|path| disk.contents(path).unwrap()).collect();
    assert!(again == whole, "the same bytes as those written with the records");
}
