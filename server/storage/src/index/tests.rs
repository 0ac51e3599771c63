use std::path::Path;

use super::*;
use crate::disk::{RealDisk, SimDisk};

const PATH: &str = "/i";
const INTERVAL: u64 = 4096;

fn sim(disk: &SimDisk) -> Arc<dyn Disk> {
    Arc::new(disk.clone())
}

fn load(disk: &SimDisk, incarnation: u64) -> Index {
    Index::new(sim(disk), PATH.into(), incarnation, IndexStrategy::default())
}

fn filled(disk: Arc<dyn Disk>, path: &Path, entries: u64) -> Index {
    let mut index = Index::create(disk, path.to_owned(), 7, IndexStrategy::default());
    for i in 0..entries {
        index.offer(i * 10, 4096 + i * INTERVAL, i as i64 - 1);
    }
    index
}

fn floor(index: &mut Index, relative: u64) -> Option<u64> {
    index.floor(relative).map(|entry| entry.position.into())
}

fn check(index: &mut Index, entries: u64) {
    assert_eq!(floor(index, 0), Some(4096));
    for i in 0..entries {
        assert_eq!(floor(index, i * 10), Some(4096 + i * INTERVAL));
        assert_eq!(floor(index, i * 10 + 9), Some(4096 + i * INTERVAL));
        let by_time = index.floor_by_time(i as i64).map(|entry| u64::from(entry.position));
        assert_eq!(by_time, Some(4096 + i * INTERVAL));
    }
}

#[test]
fn finds_the_floor_after_growth_and_reload() {
    let disk = SimDisk::new();
    check(&mut filled(sim(&disk), Path::new(PATH), 1_000), 1_000);
    check(&mut load(&disk, 7), 1_000);

    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("i");
    check(&mut filled(Arc::new(RealDisk), &path, 1_000), 1_000);
    check(&mut Index::new(Arc::new(RealDisk), path, 7, IndexStrategy::default()), 1_000);
}

#[test]
fn strategies_differ_in_what_gets_an_entry() {
    let interval_bytes = 4096;
    let strategies = [
        (IndexStrategy::SparseOffset { interval_bytes }, 2),
        (IndexStrategy::DenseOffset, 4),
        (IndexStrategy::Time { interval_bytes }, 3),
    ];
    for (strategy, entries) in strategies {
        let mut index = Index::create(sim(&SimDisk::new()), PATH.into(), 7, strategy);
        index.offer(0, 4096, i64::MIN);
        index.offer(1, 4200, 5);
        index.offer(2, 4300, 5);
        index.offer(3, 4200 + INTERVAL, 5);
        assert_eq!(index.stats().entries, entries, "{strategy:?}");
        assert_eq!(index.floor(9).map(|entry| entry.relative_offset), Some(3));
    }
}

#[test]
fn an_index_is_opened_when_it_is_used() {
    let disk = SimDisk::new();
    drop(filled(sim(&disk), Path::new(PATH), 5));
    let mut index = load(&disk, 7);
    assert!(!index.stats().loaded);
    assert_eq!(floor(&mut index, 0), Some(4096));
    assert!(index.stats().loaded && index.stats().entries == 5);
}

#[test]
fn another_incarnation_or_a_damaged_header_means_empty() {
    let disk = SimDisk::new();
    drop(filled(sim(&disk), Path::new(PATH), 5));
    assert_eq!(load(&disk, 8).floor(100), None);
    drop(filled(sim(&disk), Path::new(PATH), 5));
    disk.tamper(Path::new(PATH), |bytes| bytes[20] ^= 1).unwrap();
    assert_eq!(load(&disk, 7).floor(100), None);
}

#[test]
fn a_damaged_entry_takes_those_behind_it_along() {
    let disk = SimDisk::new();
    drop(filled(sim(&disk), Path::new(PATH), 9));
    disk.tamper(Path::new(PATH), |bytes| bytes[ENTRIES_AT + 4 * ENTRY_BYTES] ^= 1).unwrap();
    let mut index = load(&disk, 7);
    assert_eq!(floor(&mut index, 1_000), Some(4096 + 3 * INTERVAL));
    assert_eq!(index.stats().repairs, 1);
    let missing: Vec<_> =
        (4..9).map(|i| IndexEntry::new(i * 10, 4096 + i * INTERVAL, i as i64 - 1).unwrap()).collect();
    index.offer(90, 4096 + 9 * INTERVAL, 8);
    index.fill(&missing);
    check(&mut index, 10);
    check(&mut load(&disk, 7), 10);
}

#[test]
fn cut_forgets_what_lies_behind_for_good() {
    let disk = SimDisk::new();
    let mut index = filled(sim(&disk), Path::new(PATH), 5);
    index.cut(4096 + 2 * INTERVAL);
    assert_eq!(floor(&mut index, 1_000), Some(4096 + INTERVAL));
    index.offer(77, 4096 + 2 * INTERVAL, 70);
    assert_eq!(floor(&mut index, 1_000), Some(4096 + 2 * INTERVAL));
    let mut again = load(&disk, 7);
    assert_eq!(again.floor(1_000).map(|entry| entry.relative_offset), Some(77));
    assert_eq!(again.stats().entries, 3);
}

#[test]
fn a_full_disk_leaves_an_index_in_memory() {
    let disk = SimDisk::new();
    disk.set_capacity(FIRST_BYTES as u64);
    check(&mut filled(sim(&disk), Path::new(PATH), 1_000), 1_000);
    let none = SimDisk::new();
    none.set_capacity(0);
    let mut index = filled(sim(&none), Path::new(PATH), 300);
    check(&mut index, 300);
    assert!(index.stats().in_memory);
}
