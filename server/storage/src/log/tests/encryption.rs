//! What encryption adds to a log: nothing readable on the disk, nothing that can be moved, no nonce twice, and keys that
//! must fit.

use std::collections::HashMap;
use std::path::Path;

use flymq_types::{BatchHeader, Offset, PartitionId, TopicId};
use flymq_wire::batch::{BatchFlags, HEADER_LEN};

use super::support::*;
use crate::segment::header::{HEADER_BYTES, KEYS_AT};
use crate::{DataDir, EncryptionKeys, LogConfig, SimDisk, StorageError};

const CANARY: &[u8] = b"canary-4711-plaintext";

fn open(disk: &SimDisk, keys: Option<EncryptionKeys>, config: LogConfig) -> Result<Fixture, StorageError> {
    let options = crate::DataDirOptions { encryption: keys, ..options(disk, disk.fdatasyncs() + 1) };
    Fixture::try_open_with(config, options)
}

/// Files in which the text stands.
fn found(disk: &SimDisk, text: &[u8]) -> Vec<String> {
    let holds = |path: &Path| disk.contents(path).unwrap().windows(text.len()).any(|window| window == text);
    let files = disk.files();
    files.iter().filter(|path| holds(path)).map(|path| path.display().to_string()).collect()
}

/// Everything that a directory holds, to see that nothing was changed.
fn picture(disk: &SimDisk) -> Vec<(std::path::PathBuf, Vec<u8>)> {
    let files = disk.files().into_iter().filter(|path| !path.ends_with("flymq.lock"));
    files.map(|path| (path.clone(), disk.contents(&path).unwrap())).collect()
}

#[test]
fn what_is_written_reads_back_and_no_file_shows_it() {
    let disk = SimDisk::new();
    let value = |n: usize| [CANARY, &vec![b'.'; n * 37 % 900]].concat();
    for round in 0..3 {
        let fixture = open(&disk, Some(keys(1, &[])), from_files(4096)).unwrap();
        assert!(!fixture.report.has_damage(), "{:?}", fixture.report);
        let before: Vec<_> = (0..round * 20).map(value).collect();
        assert_eq!(read_all(&fixture.log, 0).unwrap(), before, "round {round}");
        for n in round * 20..(round + 1) * 20 {
            fixture.put(&[&value(n)]).unwrap();
        }
        fixture.sync();
        let all: Vec<_> = (0..(round + 1) * 20).map(value).collect();
        assert_eq!(read_all(&fixture.log, 0).unwrap(), all);
        for batch in fixture.log.read(Offset(0), usize::MAX, ALL).unwrap() {
            assert!(!batch.header().flags.contains(BatchFlags::ENCRYPTED), "storage alone knows");
            assert_eq!(batch.header().write_counter, 0);
        }
        assert_eq!(found(&disk, CANARY), [""; 0]);
    }
    let fixture = open(&disk, Some(keys(1, &[])), from_files(4096)).unwrap();
    assert_eq!(fixture.log.offset_for_timestamp(flymq_types::Timestamp(0)).unwrap(), Some(Offset(0)));
}

#[test]
fn the_cache_and_the_files_say_the_same() {
    let (disk, disk_too) = (SimDisk::new(), SimDisk::new());
    let cached = open(&disk, Some(keys(1, &[])), LogConfig::default()).unwrap();
    let from_disk = open(&disk_too, Some(keys(1, &[])), from_files(4096)).unwrap();
    for fixture in [&cached, &from_disk] {
        for n in 0..50_u8 {
            fixture.put(&[&[n; 300], CANARY]).unwrap();
        }
    }
    assert_eq!(read_all(&cached.log, 0).unwrap(), read_all(&from_disk.log, 0).unwrap());
}

#[test]
fn keys_that_do_not_fit_change_nothing() {
    let disk = SimDisk::new();
    let fixture = open(&disk, Some(keys(1, &[])), from_files(4096)).unwrap();
    fixture.put(&[CANARY]).unwrap();
    fixture.sync();
    drop(fixture);
    for lose_the_list in [false, true] {
        if lose_the_list {
            crate::Disk::remove_file(&disk, &Path::new(ROOT).join("encryption.json")).unwrap();
        }
        let before = picture(&disk);
        let wrong = open(&disk, Some(keys(2, &[])), from_files(4096)).unwrap_err();
        let StorageError::WrongKey { needed, given, .. } = &wrong else { panic!("{wrong}") };
        assert_eq!(
            (needed, given),
            (&keys(1, &[]).current.id().to_string(), &keys(2, &[]).current.id().to_string())
        );
        assert!(wrong.to_string().contains("FLYMQ_ENCRYPTION_OLD_KEYS"), "{wrong}");
        let missing = open(&disk, None, from_files(4096)).unwrap_err();
        assert!(matches!(missing, StorageError::KeyMissing { .. }), "{missing}");
        assert_eq!(picture(&disk), before);
    }
    let fixture = open(&disk, Some(keys(1, &[])), from_files(4096)).unwrap();
    assert_eq!(read_all(&fixture.log, 0).unwrap(), [CANARY]);
}

#[test]
fn a_damaged_key_list_is_refused_and_kept() {
    let disk = SimDisk::new();
    drop(open(&disk, Some(keys(1, &[])), from_files(4096)).unwrap());
    let path = Path::new(ROOT).join("encryption.json");
    let good = disk.contents(&path).unwrap();
    for at in 0..good.len() {
        for change in [1_u8, 0x20] {
            let mut bad = good.clone();
            bad[at] ^= change;
            disk.plant(&path, &bad);
            // A letter's case and a blank mean nothing in the file.
            if let Err(error) = open(&disk, Some(keys(1, &[])), from_files(4096)) {
                let named = matches!(
                    error,
                    StorageError::DamagedIdentity { .. }
                        | StorageError::WrongKey { .. }
                        | StorageError::UnknownFormat { .. }
                );
                assert!(named, "byte {at}: {error}");
                assert_eq!(disk.contents(&path).unwrap(), bad, "byte {at}");
            }
        }
    }
}

#[test]
fn a_plain_directory_is_encrypted_from_then_on() {
    let disk = SimDisk::new();
    let fixture = open(&disk, None, from_files(4096)).unwrap();
    fixture.put(&[b"plain as before"]).unwrap();
    fixture.sync();
    drop(fixture);
    let fixture = open(&disk, Some(keys(1, &[])), from_files(4096)).unwrap();
    fixture.put(&[CANARY]).unwrap();
    assert_eq!(read_all(&fixture.log, 0).unwrap(), [b"plain as before".as_slice(), CANARY]);
    assert_eq!(found(&disk, CANARY), [""; 0]);
    assert_eq!(found(&disk, b"plain as before").len(), 1);
    drop(fixture);
    let back = open(&disk, None, from_files(4096)).unwrap_err();
    assert!(matches!(back, StorageError::KeyMissing { .. }), "it never turns plain by itself: {back}");
}

/// One copy of the data key gone: everything reads. Both gone: the segment's range is refused, nothing is cut, and the
/// log goes on behind it.
#[test]
fn a_lost_data_key_costs_its_segment_and_no_other() {
    let disk = SimDisk::new();
    let fixture = open(&disk, Some(keys(1, &[])), from_files(4096)).unwrap();
    for n in 0..12_u8 {
        fixture.put(&[&[n; 900]]).unwrap();
    }
    fixture.sync();
    let bases: Vec<_> = fixture.dir.logs().map(|_| segments(&disk)).unwrap();
    assert!(bases.len() > 2);
    drop(fixture);
    let whole = disk.fork();
    for base in &bases {
        for (header_too, copies) in [(false, 0..1), (false, 1..2), (true, 0..1), (true, 1..2), (false, 0..2)]
        {
            let disk = whole.fork();
            let lost_all = copies.len() == 2;
            disk.tamper(&segment_file(*base), |bytes| {
                copies.for_each(|copy| bytes[KEYS_AT[copy] + 60] ^= 1);
                bytes[20] ^= u8::from(header_too);
            })
            .unwrap();
            let before = disk.contents(&segment_file(*base)).unwrap();
            let fixture = open(&disk, Some(keys(1, &[])), from_files(4096)).unwrap();
            assert_eq!(fixture.log.end_offset(), Offset(12));
            if lost_all {
                let next = bases.iter().find(|other| *other > base).copied().unwrap_or(12);
                let error = fixture.log.read(Offset(*base), 1, ALL).unwrap_err();
                assert!(matches!(error, StorageError::Corrupt { .. }), "{error}");
                assert_eq!(disk.contents(&segment_file(*base)).unwrap(), before, "nothing is cut");
                if next < 12 {
                    assert_eq!(read_all(&fixture.log, next).unwrap().len() as u64, 12 - next);
                }
            } else {
                assert_eq!(read_all(&fixture.log, 0).unwrap().len(), 12);
            }
            assert_eq!(fixture.put(&[b"goes on"]).unwrap().base_offset, Offset(12));
            assert_eq!(read_all(&fixture.log, 12).unwrap(), [b"goes on"]);
        }
    }
}

fn segments(disk: &SimDisk) -> Vec<u64> {
    let name = |path: &std::path::PathBuf| path.file_name()?.to_str()?.strip_suffix(".log")?.parse().ok();
    disk.files().iter().filter_map(name).collect()
}

/// Whoever can write to the disk can do no more than damage: moved bytes open nowhere else, even with every checksum
/// made good.
#[test]
fn batches_and_segments_cannot_be_moved() {
    let disk = SimDisk::new();
    let other = TopicId::from_bytes([0xcd; 16]);
    let fixture = open(&disk, Some(keys(1, &[])), from_files(1 << 20)).unwrap();
    let (second, _) = fixture.dir.open_log(TOPIC, PartitionId(1), from_files(1 << 20)).unwrap();
    let (third, _) = fixture.dir.open_log(other, PartitionId(0), from_files(1 << 20)).unwrap();
    for log in [&fixture.log, &second, &third] {
        for n in 0..4_u8 {
            log.append(&crate::testing::batch(&[&[n; 100]]), EPOCH, NOW).unwrap();
        }
    }
    fixture.sync();
    fixture.dir.write_marks();
    drop((fixture, second, third));
    let mine = segment_file(0);
    let at = |topic: TopicId, partition: u32| {
        Path::new(ROOT).join(format!("topics/{topic}/{partition}/{:020}.log", 0))
    };
    for foreign in [at(TOPIC, 1), at(other, 0)] {
        let disk = disk.fork();
        let (target, source) = (disk.contents(&mine).unwrap(), disk.contents(&foreign).unwrap());
        let batch_len = BatchHeader::parse(&source[HEADER_BYTES..]).unwrap().batch_len();
        let mut forged = target.clone();
        let place = HEADER_BYTES..HEADER_BYTES + batch_len;
        forged[place.clone()].copy_from_slice(&source[place.clone()]);
        // The header that stood there, so that incarnation, offset and checksums are those of the target.
        let mut header = BatchHeader::parse(&target[place.clone()]).unwrap();
        header.write_counter = BatchHeader::parse(&source[place.clone()]).unwrap().write_counter;
        let head = header.encode_stamped(&header.server);
        forged[place.start..place.start + HEADER_LEN].copy_from_slice(&head);
        disk.plant(&mine, &forged);
        refuses_first(&disk);
        // The whole segment, under the target's identity.
        let mut forged = source.clone();
        for field in [32..48, 48..52] {
            forged[field.clone()].copy_from_slice(&target[field]);
        }
        KEYS_AT.iter().for_each(|key| forged[*key..*key + 128].fill(0));
        crate::layout::seal(&mut forged[..HEADER_BYTES], b"FQSEGMNT");
        KEYS_AT.iter().for_each(|key| forged[*key..*key + 128].copy_from_slice(&source[*key..*key + 128]));
        disk.plant(&mine, &forged);
        refuses_first(&disk);
    }
    // Two batches of one segment change places.
    let disk = disk.fork();
    let good = disk.contents(&mine).unwrap();
    let len = BatchHeader::parse(&good[HEADER_BYTES..]).unwrap().batch_len();
    let (first, second) = (HEADER_BYTES..HEADER_BYTES + len, HEADER_BYTES + len..HEADER_BYTES + 2 * len);
    let mut forged = good.clone();
    forged[first.start + HEADER_LEN..first.end].copy_from_slice(&good[second.start + HEADER_LEN..second.end]);
    disk.plant(&mine, &forged);
    refuses_first(&disk);
}

fn refuses_first(disk: &SimDisk) {
    let fixture = open(disk, Some(keys(1, &[])), from_files(1 << 20)).unwrap();
    let error = fixture.log.read(Offset(0), 1, ALL).unwrap_err();
    assert!(matches!(error, StorageError::Corrupt { .. }), "{error}");
}

/// Over crashes, torn tails and offsets written twice: one data key never meets the same counter with other bytes.
#[test]
fn no_nonce_is_used_twice() {
    let mut seen: HashMap<(u64, u64), Vec<u8>> = HashMap::new();
    for seed in 0..40_u64 {
        let disk = SimDisk::new();
        let mut offset = 0;
        for round in 0..5 {
            let options = crate::DataDirOptions {
                encryption: Some(keys(1, &[])),
                ..options(&disk, seed * 1_000 + round)
            };
            let Ok(fixture) = Fixture::try_open_with(from_files(4096), options) else { continue };
            disk.stop_after(20 + seed % 13);
            loop {
                offset += 1;
                if fixture.put(&[format!("{seed} {round} {offset}").as_bytes()]).is_err() {
                    break;
                }
                if offset % 3 == 0 {
                    fixture.sync();
                }
                remember(&disk, &mut seen);
            }
            drop(fixture);
            disk.crash(&flymq_types::SeededRng::new(seed + round));
        }
    }
    assert!(seen.len() > 500, "{}", seen.len());
}

fn remember(disk: &SimDisk, seen: &mut HashMap<(u64, u64), Vec<u8>>) {
    for base in segments(disk) {
        let Ok(bytes) = disk.contents(&segment_file(base)) else { continue };
        let mut at = HEADER_BYTES;
        while let Some(Ok(header)) = bytes.get(at..).map(BatchHeader::parse) {
            let end = at + header.batch_len();
            let Some(batch) = bytes.get(at..end) else { break };
            let nonce = (header.server.incarnation, header.write_counter);
            let before = seen.entry(nonce).or_insert_with(|| batch.to_vec());
            assert_eq!(*before, batch, "nonce {nonce:?} twice");
            at = end;
        }
    }
}

#[test]
fn keys_need_to_fit_before_any_other_file_is_looked_at() {
    let disk = SimDisk::new();
    drop(open(&disk, Some(keys(1, &[])), from_files(4096)).unwrap());
    let options = crate::DataDirOptions { encryption: Some(keys(2, &[1])), ..options(&disk, 3) };
    drop(DataDir::open(options).unwrap());
    // Both are needed until nothing is left under the old one.
    assert!(open(&disk, Some(keys(2, &[])), from_files(4096)).is_err());
    assert!(open(&disk, Some(keys(1, &[])), from_files(4096)).is_err());
    assert!(open(&disk, Some(keys(1, &[2])), from_files(4096)).is_ok());
}
