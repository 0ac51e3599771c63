use std::path::Path;

use super::*;
use crate::disk::{RealDisk, SimDisk};

const PATH: &str = "/i";

fn filled(disk: &dyn Disk, path: &Path, entries: u64) -> Index {
    let mut index = Index::create(disk, path, 7);
    for i in 0..entries {
        index.offer(i * 10, 4096 + i * INTERVAL_BYTES, i as i64 - 1);
    }
    index
}

fn check(index: &Index, entries: u64) {
    assert_eq!(index.floor(0), Some(4096));
    for i in 0..entries {
        assert_eq!(index.floor(i * 10), Some(4096 + i * INTERVAL_BYTES));
        assert_eq!(index.floor(i * 10 + 9), Some(4096 + i * INTERVAL_BYTES));
        assert_eq!(index.floor_by_time(i as i64), Some(4096 + i * INTERVAL_BYTES));
    }
}

#[test]
fn finds_the_floor_after_growth_and_reload() {
    let disk = SimDisk::new();
    check(&filled(&disk, Path::new(PATH), 1_000), 1_000);
    check(&Index::load(&disk, Path::new(PATH), 7), 1_000);

    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("i");
    check(&filled(&RealDisk, &path, 1_000), 1_000);
    check(&Index::load(&RealDisk, &path, 7), 1_000);
}

#[test]
fn entries_are_sparse() {
    let disk = SimDisk::new();
    let mut index = Index::create(&disk, Path::new(PATH), 7);
    index.offer(0, 4096, i64::MIN);
    index.offer(1, 4200, 5);
    index.offer(2, 4096 + INTERVAL_BYTES, 6);
    assert_eq!(index.entries, 2);
    assert_eq!(index.floor(1), Some(4096));
}

#[test]
fn another_incarnation_or_a_damaged_header_means_empty() {
    let disk = SimDisk::new();
    filled(&disk, Path::new(PATH), 5);
    assert_eq!(Index::load(&disk, Path::new(PATH), 8).floor(100), None);
    filled(&disk, Path::new(PATH), 5);
    disk.tamper(Path::new(PATH), |bytes| bytes[20] ^= 1).unwrap();
    assert_eq!(Index::load(&disk, Path::new(PATH), 7).floor(100), None);
}

#[test]
fn cut_forgets_what_lies_behind() {
    let disk = SimDisk::new();
    let mut index = filled(&disk, Path::new(PATH), 5);
    index.cut(4096 + 2 * INTERVAL_BYTES);
    assert_eq!(index.floor(1_000), Some(4096 + INTERVAL_BYTES));
    assert_eq!(Index::load(&disk, Path::new(PATH), 7).entries, 2);
}

#[test]
fn a_full_disk_leaves_an_index_in_memory() {
    let disk = SimDisk::new();
    disk.set_capacity(FIRST_BYTES as u64);
    check(&filled(&disk, Path::new(PATH), 1_000), 1_000);
    let none = SimDisk::new();
    none.set_capacity(0);
    check(&filled(&none, Path::new(PATH), 300), 300);
}
