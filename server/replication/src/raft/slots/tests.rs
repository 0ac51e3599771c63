use flymq_storage::{FaultOp, SimDisk};
use flymq_types::SeededRng;

use super::*;

const MAGIC: [u8; 8] = *b"FLYMQTST";

fn disk() -> (SimDisk, PathBuf) {
    let disk = SimDisk::new();
    disk.create_dir(Path::new("/data")).unwrap();
    disk.sync_dir(Path::new("/")).unwrap();
    (disk, PathBuf::from("/data/value"))
}

fn open(disk: &SimDisk, path: &Path) -> (Slots, Option<Vec<u8>>) {
    Slots::open(disk, path, MAGIC).unwrap().unwrap()
}

fn store(slots: &mut Slots, value: u8) -> Result<()> {
    slots.write(&[value; 17])?;
    slots.sync()
}

#[test]
fn the_newest_value_comes_back() {
    let (disk, path) = disk();
    assert!(Slots::open(&disk, &path, MAGIC).unwrap().is_none());
    Slots::create(&disk, &path, MAGIC).unwrap();
    disk.crash_losing_all();
    for value in 0..5u8 {
        let (mut slots, before) = open(&disk, &path);
        assert_eq!(before, value.checked_sub(1).map(|last| vec![last; 17]));
        store(&mut slots, value).unwrap();
        disk.crash_losing_all();
    }
}

/// Cuts the power between any two steps: the value is the last one that was synced, or the one under way.
#[test]
fn a_crash_at_any_step_keeps_the_last_synced_value() {
    for seed in 0..400u64 {
        let (disk, path) = disk();
        let rng = SeededRng::new(seed);
        Slots::create(&disk, &path, MAGIC).unwrap();
        let (mut next, mut synced, mut under_way) = (0, None, None);
        for round in 0..4 {
            let (mut slots, found) = open(&disk, &path);
            let found = found.map(|value| value[0]);
            let known = found == synced || (found.is_some() && found == under_way);
            assert!(known, "seed {seed}: found {found:?}, synced {synced:?}, under way {under_way:?}");
            synced = found;
            disk.stop_after((seed + round) % 11);
            loop {
                next += 1;
                under_way = Some(next);
                if store(&mut slots, next).is_err() {
                    break;
                }
                synced = under_way;
            }
            disk.crash(&rng);
        }
    }
}

#[test]
fn one_damaged_byte_costs_nothing() {
    let (disk, path) = disk();
    let mut slots = Slots::create(&disk, &path, MAGIC).unwrap();
    for value in 1..=3 {
        store(&mut slots, value).unwrap();
    }
    for at in 0..disk.contents(&path).unwrap().len() {
        let disk = disk.fork();
        disk.tamper(&path, |bytes| bytes[at] ^= 0x20).unwrap();
        match Slots::open(&disk, &path, MAGIC) {
            Ok(opened) => assert_eq!(opened.unwrap().1, Some(vec![3; 17]), "byte {at}"),
            Err(error) => assert!(at < 32, "byte {at}: {error}"),
        }
    }
    disk.tamper(&path, |bytes| bytes[512..].fill(7)).unwrap();
    let error = Slots::open(&disk, &path, MAGIC).unwrap_err().to_string();
    assert!(error.contains("no value in it matches its checksum"), "{error}");
}

#[test]
fn a_failed_sync_is_told() {
    let (disk, path) = disk();
    let mut slots = Slots::create(&disk, &path, MAGIC).unwrap();
    disk.fail(FaultOp::Fdatasync, 1, 5);
    assert!(store(&mut slots, 1).is_err());
}
