//! Several random injuries at once: whatever they are, a start does not panic and no read returns other bytes than
//! those that were written.

use std::path::Path;

use flymq_types::Offset;
use proptest::prelude::*;

use super::support::*;
use crate::{SimDisk, StorageError};

const RECORDS: u64 = 40;

#[derive(Debug, Clone)]
enum Injury {
    Flip(usize, u8),
    Zero(usize, usize),
    Cut(usize),
    Grow(usize),
    /// Bytes of the file itself at another place: a misdirected write.
    Copy(usize, usize, usize),
    Remove,
}

fn injury() -> impl Strategy<Value = Injury> {
    let at = 0_usize..20_000;
    prop_oneof![
        4 => (at.clone(), any::<u8>()).prop_map(|(at, bits)| Injury::Flip(at, bits)),
        2 => (at.clone(), 1_usize..5_000).prop_map(|(at, len)| Injury::Zero(at, len)),
        1 => at.clone().prop_map(Injury::Cut),
        1 => (1_usize..9_000).prop_map(Injury::Grow),
        2 => (at.clone(), at, 1_usize..2_000).prop_map(|(from, to, len)| Injury::Copy(from, to, len)),
        1 => Just(Injury::Remove),
    ]
}

fn value(offset: u64) -> Vec<u8> {
    format!("{offset}{}", "-".repeat((offset * 37 % 600) as usize)).into_bytes()
}

fn written() -> SimDisk {
    let disk = SimDisk::new();
    let fixture = Fixture::open(&disk, from_files(4096));
    for offset in (0..RECORDS).step_by(2) {
        fixture.put(&[&value(offset), &value(offset + 1)]).unwrap();
        fixture.sync();
    }
    disk
}

fn injure(disk: &SimDisk, path: &Path, injury: &Injury) {
    if matches!(injury, Injury::Remove) {
        // It may have been removed by an earlier injury.
        let _ = crate::Disk::remove_file(disk, path);
        return;
    }
    let _ = disk.tamper(path, |bytes| {
        let len = bytes.len().max(1);
        match injury {
            Injury::Flip(at, bits) => {
                if let Some(byte) = bytes.get_mut(at % len) {
                    *byte ^= bits;
                }
            }
            Injury::Zero(at, n) => bytes.iter_mut().skip(at % len).take(*n).for_each(|byte| *byte = 0),
            Injury::Cut(at) => bytes.truncate(at % len),
            Injury::Grow(n) => bytes.extend(std::iter::repeat_n(0xa5, *n)),
            Injury::Copy(from, to, n) => {
                let piece: Vec<u8> = bytes.iter().skip(from % len).take(*n).copied().collect();
                bytes.iter_mut().skip(to % len).zip(piece).for_each(|(byte, other)| *byte = other);
            }
            Injury::Remove => {}
        }
    });
}

fn check(fixture: &Fixture) {
    let (start, end) = (fixture.log.start_offset().0, fixture.log.end_offset().0);
    let mut at = start;
    while at < end {
        match fixture.log.read(Offset(at), 3_000, ALL) {
            Ok(batches) => {
                assert!(!batches.is_empty(), "nothing at {at} of {end}");
                for record in batches.iter().flat_map(|batch| batch.records().unwrap()) {
                    let record = record.unwrap();
                    assert_eq!(record.value.unwrap(), value(record.offset), "at {}", record.offset);
                }
                let next = batches.last().unwrap().next_offset().0;
                assert!(next > at);
                at = next;
            }
            Err(StorageError::Corrupt { start, end }) => {
                assert!((start.0..end.0).contains(&at), "{at} not in {start}..{end}");
                at = end.0;
            }
            Err(error) => panic!("{error}"),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_injury_makes_wrong_bytes(
        injuries in prop::collection::vec((any::<prop::sample::Index>(), injury()), 1..6),
        encrypted in any::<bool>(),
    ) {
        let _mode = encrypting(encrypted);
        let disk = written();
        disk.restart();
        let files: Vec<_> = disk.files().into_iter().filter(|path| path.starts_with(log_dir())).collect();
        for (which, injury) in &injuries {
            injure(&disk, which.get(&files).as_path(), injury);
        }
        let fixture = Fixture::open(&disk, from_files(4096));
        check(&fixture);
        let end = fixture.log.end_offset();
        let put = fixture.put(&[&value(end.0)]);
        prop_assert_eq!(put.unwrap().base_offset, end);
        fixture.sync();
        disk.restart();
        drop(fixture);
        let again = Fixture::open(&disk, from_files(4096));
        prop_assert_eq!(again.log.end_offset().0, end.0 + 1);
        check(&again);
    }
}
