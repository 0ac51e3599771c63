use flymq_types::{LeaderEpoch, Offset, Timestamp};

use super::support::*;
use crate::testing::{batch, batch_at, values};
use crate::{Log, LogConfig, SimDisk, StorageError};

#[test]
fn appends_and_reads_back_from_memory_and_from_files() {
    for config in [LogConfig::default(), from_files(1 << 20), from_files(4096)] {
        let disk = SimDisk::new();
        let fixture = Fixture::open(&disk, config);
        let mut expected = Vec::new();
        for i in 0..200_u64 {
            let big = vec![i as u8; (i as usize * 37) % 3_000];
            let done = fixture.put(&[format!("a{i}").as_bytes(), &big]).unwrap();
            assert_eq!((done.base_offset, done.last_offset), (Offset(i * 2), Offset(i * 2 + 1)));
            expected.extend([format!("a{i}").into_bytes(), big]);
        }
        assert_eq!(read_all(&fixture.log, 0).unwrap(), expected);
        for from in [0, 1, 2, 3, 77, 199, 398, 399] {
            let batches = fixture.log.read(Offset(from), 1, ALL).unwrap();
            assert_eq!(batches.len(), 1, "at least one batch, however small the limit");
            assert_eq!(batches[0].base_offset(), Offset(from / 2 * 2));
        }
        let reopened = {
            drop(fixture);
            Fixture::open(&disk, config)
        };
        assert!(!reopened.report.has_damage());
        assert_eq!(reopened.report.torn_bytes, 0);
        assert_eq!(read_all(&reopened.log, 0).unwrap(), expected);
        assert_eq!(reopened.put(&[b"next"]).unwrap().base_offset, Offset(400));
    }
}

#[test]
fn reads_stay_inside_their_bounds() {
    let fixture = Fixture::open(&SimDisk::new(), from_files(1 << 20));
    for i in 0..10 {
        fixture.put(&[&[i], &[i], &[i]]).unwrap();
    }
    let read = |from, upto| fixture.log.read(Offset(from), 1 << 20, Offset(upto));
    assert_eq!(read(0, 30).unwrap().len(), 10);
    assert_eq!(read(0, 29).unwrap().len(), 9, "no batch that ends past the bound");
    assert_eq!(read(0, 2).unwrap().len(), 0);
    assert!(read(30, 99).unwrap().is_empty() && read(12, 12).unwrap().is_empty());
    let out = read(31, 99).unwrap_err();
    assert!(matches!(out, StorageError::OffsetOutOfRange { start: Offset(0), end: Offset(30) }), "{out}");
}

#[test]
fn nothing_is_durable_before_a_round() {
    let disk = SimDisk::new();
    let fixture = Fixture::open(&disk, LogConfig::default());
    fixture.put(&[b"a", b"b"]).unwrap();
    assert_eq!((fixture.log.durable_offset(), fixture.log.end_offset()), (Offset(0), Offset(2)));
    fixture.sync();
    assert_eq!(fixture.log.durable_offset(), Offset(2));
    fixture.put(&[b"lost"]).unwrap();
    disk.crash_losing_all();
    let after = Fixture::open(&disk, LogConfig::default());
    assert_eq!(read_all(&after.log, 0).unwrap(), [b"a", b"b"]);
    assert_eq!(after.log.durable_offset(), Offset(2));
}

#[test]
fn append_many_refuses_only_what_is_bad_and_rolls_between() {
    let fixture = Fixture::open(&SimDisk::new(), from_files(4096));
    let batches: Vec<_> = (0..2_000_u32).map(|i| batch(&[&i.to_le_bytes()])).collect();
    let results = fixture.log.append_many(&batches, EPOCH, NOW);
    let offsets: Vec<_> = results.into_iter().map(|r| r.unwrap().base_offset.0).collect();
    assert_eq!(offsets, (0..2_000).collect::<Vec<_>>());
    assert!(fixture.log.stats().segments > 10);
    let expected: Vec<_> = (0..2_000_u32).map(|i| i.to_le_bytes().to_vec()).collect();
    assert_eq!(read_all(&fixture.log, 0).unwrap(), expected);
}

#[test]
fn epochs_rise_and_old_leaders_are_refused() {
    let disk = SimDisk::new();
    let fixture = Fixture::open(&disk, LogConfig::default());
    let append = |log: &Log, epoch| log.append(&batch(&[b"x"]), LeaderEpoch(epoch), NOW);
    append(&fixture.log, 3).unwrap();
    append(&fixture.log, 5).unwrap();
    let stale = append(&fixture.log, 4).unwrap_err();
    assert!(matches!(stale, StorageError::StaleEpoch { given: LeaderEpoch(4), current: LeaderEpoch(5) }));
    assert_eq!(fixture.log.epoch_end(LeaderEpoch(3)).unwrap().end, Offset(1));
    fixture.sync();
    drop(fixture);
    disk.tamper(&log_dir().join("epochs"), |bytes| bytes[20] ^= 1).unwrap();
    let rebuilt = Fixture::open(&disk, LogConfig::default());
    assert_eq!(rebuilt.report.damaged_files, ["epochs"]);
    assert_eq!(rebuilt.log.epoch_end(LeaderEpoch(3)).unwrap().end, Offset(1));
    assert_eq!(rebuilt.log.epoch_end(LeaderEpoch(9)).unwrap().end, Offset(2));
    assert!(append(&rebuilt.log, 4).is_err());
}

#[test]
fn append_time_never_goes_back() {
    let fixture = Fixture::open(&SimDisk::new(), LogConfig::default());
    let at = |ms| fixture.log.append(&batch(&[b"x"]), EPOCH, Timestamp(ms)).unwrap().append_time.0;
    assert_eq!([at(100), at(50), at(200)], [100, 100, 200]);
}

#[test]
fn finds_the_first_record_at_a_time() {
    let disk = SimDisk::new();
    let fixture = Fixture::open(&disk, from_files(4096));
    for i in 0..300_i64 {
        fixture.log.append(&batch_at(&[b"0123456789", b"0123456789"], i * 10), EPOCH, NOW).unwrap();
    }
    let find = |log: &Log, ms| log.offset_for_timestamp(Timestamp(ms)).unwrap().map(Offset::get);
    assert_eq!(find(&fixture.log, -5), Some(0));
    assert_eq!(find(&fixture.log, 10), Some(2));
    assert_eq!(find(&fixture.log, 11), Some(3));
    assert_eq!(find(&fixture.log, 2_345), Some(470));
    assert_eq!(find(&fixture.log, 2_992), None);
    drop(fixture);
    assert_eq!(find(&Fixture::open(&disk, from_files(4096)).log, 2_345), Some(470));
}

#[test]
fn what_is_stored_carries_the_leaders_fields() {
    let fixture = Fixture::open(&SimDisk::new(), from_files(1 << 20));
    fixture.put(&[b"a"]).unwrap();
    fixture.put(&[b"b", b"c"]).unwrap();
    let batches = fixture.log.read(Offset(0), 1 << 20, ALL).unwrap();
    assert_eq!(values(&batches), [b"a", b"b", b"c"]);
    let server = batches[1].header().server;
    assert_eq!((server.base_offset, server.leader_epoch, server.append_time), (1, EPOCH.0, NOW.0));
    let first = flymq_wire::batch::chain(0, batches[0].header().payload_crc);
    assert_eq!(server.chain, flymq_wire::batch::chain(first, batches[1].header().payload_crc));
    assert_ne!(server.incarnation, 0);
}
