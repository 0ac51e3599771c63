//! Rotation of the operator's key, stopped anywhere.

use std::path::Path;

use flymq_types::{Offset, SeededRng};

use super::support::*;
use crate::segment::header::KEYS_AT;
use crate::{DataDirOptions, Disk, EncryptionKeys, Protected, RotationStep, SimDisk, StorageError};

const BATCHES: u64 = 12;

fn value(offset: u64) -> Vec<u8> {
    vec![offset as u8; 900]
}

fn open(disk: &SimDisk, keys: EncryptionKeys) -> Result<Fixture, StorageError> {
    let options = DataDirOptions { encryption: Some(keys), ..options(disk, disk.fdatasyncs() + 1) };
    Fixture::try_open_with(from_files(4096), options)
}

/// Several segments under key 1.
fn written() -> SimDisk {
    let disk = SimDisk::new();
    let fixture = open(&disk, keys(1, &[])).unwrap();
    for offset in 0..BATCHES {
        fixture.put(&[&value(offset)]).unwrap();
    }
    fixture.sync();
    disk
}

/// Everything to key `current`; appends and reads in between.
fn rotate(disk: &SimDisk, keys: EncryptionKeys) -> Result<(), StorageError> {
    let fixture = open(disk, keys)?;
    loop {
        let end = fixture.log.end_offset().0;
        fixture.put(&[&value(end)])?;
        assert_eq!(read_all(&fixture.log, 0)?.len() as u64, end + 1);
        if fixture.dir.rotate_step()? == RotationStep::Done {
            break;
        }
    }
    fixture.sync();
    fixture.log.failure().map_or(Ok(()), Err)?;
    let done = fixture.dir.finish_rotation()?;
    assert_eq!((done.segments.older, done.needed.len()), (0, 1));
    Ok(())
}

fn everything_is_there(fixture: &Fixture, context: &str) {
    assert!(!fixture.report.has_damage(), "{context}: {:?}", fixture.report);
    let end = fixture.log.end_offset().0;
    assert!(end >= BATCHES, "{context}");
    assert_eq!(read_all(&fixture.log, 0).unwrap(), (0..end).map(value).collect::<Vec<_>>(), "{context}");
}

#[test]
fn the_old_key_is_not_needed_once_it_is_done() {
    let disk = written();
    rotate(&disk, keys(2, &[1])).unwrap();
    let fixture = open(&disk, keys(2, &[])).unwrap();
    everything_is_there(&fixture, "with the new key alone");
    assert_eq!(fixture.log.protected().older, 0);
    drop(fixture);
    let back = open(&disk, keys(1, &[])).unwrap_err();
    assert!(matches!(back, StorageError::WrongKey { .. }), "{back}");
}

#[test]
fn a_crash_at_any_step_leaves_everything_readable() {
    let whole = written();
    let mut steps = 0;
    loop {
        let disk = whole.fork();
        disk.stop_after(steps);
        let outcome = rotate(&disk, keys(2, &[1]));
        let stopped = disk.stopped();
        disk.crash(&SeededRng::new(steps));
        let context = format!("after {steps} steps");
        // The new key alone is enough only when it was done; with both it always goes on.
        let fixture = open(&disk, keys(2, &[1])).unwrap_or_else(|error| panic!("{context}: {error}"));
        everything_is_there(&fixture, &context);
        drop(fixture);
        rotate(&disk, keys(2, &[1])).unwrap();
        everything_is_there(&open(&disk, keys(2, &[])).unwrap(), &context);
        if !stopped {
            outcome.unwrap();
            break;
        }
        steps += 1;
    }
    assert!(steps > 40, "a rotation has many steps, this run saw {steps}");
}

/// In the middle of it the operator thinks again, and makes the old key the current one.
#[test]
fn a_rotation_can_turn_back() {
    let disk = written();
    let fixture = open(&disk, keys(2, &[1])).unwrap();
    assert_eq!(fixture.dir.rotate_step().unwrap(), RotationStep::Rewrapped);
    drop(fixture);
    for missing in [keys(1, &[]), keys(2, &[]), keys(3, &[1])] {
        assert!(matches!(open(&disk, missing), Err(StorageError::WrongKey { .. })));
    }
    rotate(&disk, keys(1, &[2])).unwrap();
    everything_is_there(&open(&disk, keys(1, &[])).unwrap(), "back");
}

/// A damaged copy is mended from the good one, whichever it is.
#[test]
fn a_step_mends_a_damaged_copy() {
    for copy in 0..2 {
        let disk = written();
        disk.tamper(&segment_file(0), |bytes| bytes[KEYS_AT[copy] + 70] ^= 4).unwrap();
        rotate(&disk, keys(2, &[1])).unwrap();
        disk.tamper(&segment_file(0), |bytes| bytes[KEYS_AT[1 - copy] + 70] ^= 4).unwrap();
        everything_is_there(&open(&disk, keys(2, &[])).unwrap(), "from the mended copy");
    }
}

#[test]
fn the_old_key_stays_needed_while_a_segment_names_it() {
    let disk = written();
    let fixture = open(&disk, keys(2, &[1])).unwrap();
    let before = fixture.dir.protected();
    assert_eq!((before.current, before.plain, before.lost), (0, 0, 0));
    assert_eq!(fixture.dir.rotate_step().unwrap(), RotationStep::Rewrapped);
    let needed = fixture.dir.finish_rotation().unwrap().needed;
    assert_eq!(needed, [keys(2, &[]).current.id(), keys(1, &[]).current.id()]);
    let after = Protected { current: 1, older: before.older - 1, ..before };
    assert_eq!(fixture.dir.protected(), after);
    drop(fixture);
    assert!(open(&disk, keys(2, &[])).is_err());
    // Without the list the headers still tell.
    Disk::remove_file(&disk, &Path::new(ROOT).join("encryption.json")).unwrap();
    assert!(open(&disk, keys(2, &[])).is_err());
    assert_eq!(open(&disk, keys(2, &[1])).unwrap().log.end_offset(), Offset(BATCHES));
}
