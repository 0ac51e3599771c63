//! Leader and follower: the same batches on both, whatever is refused, and through crashes.

use bytes::Bytes;
use flymq_types::{BatchError, LeaderEpoch, Offset, RecordBatch, SeededRng, Timestamp};
use flymq_wire::batch::{ServerFields, chain};

use super::support::*;
use crate::testing::batch;
use crate::{EpochEnd, EpochStart, Link, Log, LogConfig, SimDisk, StorageError, split_batches};

/// A leader's log: three epochs over several segments, small and large batches.
pub(super) fn leader(disk: &SimDisk) -> Fixture {
    let fixture = Fixture::try_open_with(from_files(8192), options(disk, 77)).unwrap();
    for i in 0..18_u8 {
        let large = vec![i; if i % 5 == 0 { 6_000 } else { 700 }];
        let epoch = LeaderEpoch(2 + 3 * u32::from(i / 6));
        fixture.log.append(&batch(&[&large, b"second"]), epoch, Timestamp(NOW.0 + i64::from(i) * 7)).unwrap();
    }
    fixture.sync();
    fixture
}

/// Every batch from `from` on.
pub(super) fn batches(log: &Log, from: Offset) -> Vec<RecordBatch> {
    let (mut at, mut found) = (from, Vec::new());
    loop {
        let some = log.read_raw(at, 1 << 20).unwrap();
        let Some(last) = some.last() else { return found };
        at = last.next_offset();
        found.extend(some);
    }
}

/// What has to be equal on all replicas: everything but what names the segment file.
pub(super) fn content(log: &Log, from: Offset) -> Vec<Bytes> {
    let neutral = |batch: &RecordBatch| {
        batch.stamp(ServerFields { incarnation: 0, ..batch.header().server }).to_bytes()
    };
    batches(log, from).iter().map(neutral).collect()
}

fn follower(disk: &SimDisk) -> Fixture {
    Fixture::try_open_with(from_files(5000), options(disk, 5 + disk.fdatasyncs())).unwrap()
}

/// A batch as another leader would have written it at this place.
pub(super) fn foreign(value: &[u8], at: u64, epoch: u32, previous: u32) -> RecordBatch {
    let batch = batch(&[value, b"second"]);
    batch.stamp(ServerFields {
        base_offset: at,
        leader_epoch: epoch,
        chain: chain(previous, batch.header().payload_crc),
        incarnation: 4711,
        append_time: NOW.0,
    })
}

#[test]
fn a_follower_becomes_the_same_log() {
    for (encrypted_leader, encrypted_follower) in [(false, false), (true, false), (false, true), (true, true)]
    {
        let (one, other) = (SimDisk::new(), SimDisk::new());
        let leader = {
            let _mode = encrypting(encrypted_leader);
            leader(&one)
        };
        let _mode = encrypting(encrypted_follower);
        let fixture = follower(&other);
        let all = batches(&leader.log, Offset::ZERO);
        for some in all.chunks(5) {
            let raw: Vec<u8> = some.iter().flat_map(RecordBatch::to_bytes).collect();
            let done = fixture.log.append_replica(&split_batches(raw.into()).unwrap()).unwrap();
            assert_eq!((done.appended, done.skipped), (some.len(), 0));
            assert_eq!(done.end, some.last().unwrap().next_offset());
        }
        assert_eq!(content(&fixture.log, Offset::ZERO), content(&leader.log, Offset::ZERO));
        assert_eq!(fixture.log.epochs(), leader.log.epochs());
        assert!(
            fixture.log.stats().segments > 2
                && fixture.log.stats().last_append == leader.log.stats().last_append
        );
        fixture.sync();
        other.crash_losing_all();
        drop(fixture);
        let after = follower(&other);
        assert!(!after.report.has_damage(), "{:?}", after.report);
        assert_eq!(content(&after.log, Offset::ZERO), content(&leader.log, Offset::ZERO));
        assert_eq!(after.log.epochs(), leader.log.epochs());
    }
}

#[test]
fn what_the_log_has_already_is_skipped() {
    let (leader, fixture) = (leader(&SimDisk::new()), follower(&SimDisk::new()));
    let all = batches(&leader.log, Offset::ZERO);
    fixture.log.append_replica(&all[..7]).unwrap();
    let done = fixture.log.append_replica(&all[3..10]).unwrap();
    assert_eq!((done.end, done.appended, done.skipped), (Offset(20), 3, 4));
    let done = fixture.log.append_replica(&all[..10]).unwrap();
    assert_eq!((done.end, done.appended, done.skipped), (Offset(20), 0, 10));
    assert_eq!(fixture.log.append_replica(&[]).unwrap().end, Offset(20));
    // What was deleted here cannot be compared, and is not wanted.
    fixture.sync();
    fixture.log.advance_start(Offset(9), ALL).unwrap();
    let done = fixture.log.append_replica(&all).unwrap();
    assert_eq!((done.appended, done.skipped), (8, 10));
    assert_eq!(content(&fixture.log, Offset(9)), content(&leader.log, Offset(9)));
}

#[test]
fn everything_that_does_not_follow_is_refused_whole() {
    let (leader, fixture) = (leader(&SimDisk::new()), follower(&SimDisk::new()));
    let all = batches(&leader.log, Offset::ZERO);
    fixture.log.append_replica(&all[..8]).unwrap();
    let (before, tip) = (content(&fixture.log, Offset::ZERO), all[7].header().server.chain);
    let log = &fixture.log;
    let refused = |given: &[RecordBatch]| log.append_replica(given).unwrap_err();

    let gap = refused(&[all[8].clone(), all[10].clone()]);
    assert!(matches!(gap, StorageError::Gap { expected: Offset(18), found: Offset(20) }), "{gap}");
    let older = refused(&[foreign(b"x", 16, 4, tip)]);
    let (given, current) = (LeaderEpoch(4), LeaderEpoch(5));
    assert!(matches!(older, StorageError::StaleEpoch { given: g, current: c } if (g, c) == (given, current)));
    let broken = refused(&[foreign(b"x", 16, 5, tip ^ 1)]);
    assert!(matches!(broken, StorageError::BrokenChain { at: Offset(16) }), "{broken}");
    let other = refused(&[foreign(b"x", 14, 5, all[6].header().server.chain), all[8].clone()]);
    assert!(matches!(other, StorageError::Diverged { at: Offset(14) }), "{other}");
    // The same records by another leader are something else, too.
    let mut server = all[6].header().server;
    server.leader_epoch += 1;
    let other = refused(&[all[6].stamp(server)]);
    assert!(matches!(other, StorageError::Diverged { at: Offset(12) }), "{other}");
    let straddling = refused(&[foreign(b"x", 15, 5, tip)]);
    assert!(matches!(straddling, StorageError::Diverged { at: Offset(15) }), "{straddling}");

    assert_eq!(content(log, Offset::ZERO), before, "nothing was appended");
    assert_eq!(log.append_replica(&all).unwrap().appended, 10);
}

#[test]
fn damaged_bytes_are_refused() {
    let leader = leader(&SimDisk::new());
    let raw: Vec<u8> =
        batches(&leader.log, Offset::ZERO)[..2].iter().flat_map(RecordBatch::to_bytes).collect();
    for at in (0..raw.len()).step_by(37).chain(raw.len() - 96..raw.len()) {
        let mut bad = raw.clone();
        bad[at] ^= 1;
        assert!(matches!(split_batches(bad.into()), Err(StorageError::InvalidBatch(_))), "byte {at}");
    }
    let cut = split_batches(Bytes::copy_from_slice(&raw[..raw.len() - 1]));
    assert!(matches!(cut, Err(StorageError::InvalidBatch(BatchError::Truncated { .. }))));
    assert_eq!(split_batches(raw.into()).unwrap().len(), 2);
}

#[test]
fn a_follower_that_crashes_at_any_step_goes_on_from_its_end() {
    let leader = leader(&SimDisk::new());
    let (all, whole) = (batches(&leader.log, Offset::ZERO), content(&leader.log, Offset::ZERO));
    for steps in 0.. {
        let mut stopped = false;
        for seed in [None, Some(1), Some(2)] {
            let disk = SimDisk::new();
            let fixture = follower(&disk);
            disk.stop_after(steps);
            for some in all.chunks(4) {
                if fixture.log.append_replica(some).is_err() {
                    break;
                }
                fixture.sync();
            }
            stopped = disk.stopped();
            let durable = fixture.log.durable_offset();
            match seed {
                None => disk.crash_losing_all(),
                Some(seed) => disk.crash(&SeededRng::new(seed)),
            }
            drop(fixture);
            let after = follower(&disk);
            let end = after.log.end_offset();
            assert!(!after.report.has_damage() && end >= durable, "step {steps}: {:?}", after.report);
            let count = content(&after.log, Offset::ZERO).len();
            assert_eq!(content(&after.log, Offset::ZERO), whole[..count], "step {steps}");
            // Its epochs never promise more than it has.
            let latest = after.log.latest_epoch().map(|epoch| after.log.epoch_end(epoch).unwrap().end);
            assert!(latest.is_none_or(|latest| latest == end));
            after.log.append_replica(&all[count..]).unwrap();
            assert_eq!(content(&after.log, Offset::ZERO), whole, "step {steps}");
            assert_eq!(after.log.epochs(), leader.log.epochs());
        }
        if !stopped {
            assert!(steps > 40, "the script has many steps, this run saw {steps}");
            return;
        }
    }
}

#[test]
fn an_epoch_is_durable_before_its_first_batch() {
    for steps in 0.. {
        let disk = SimDisk::new();
        disk.stop_after(steps);
        let opened = Fixture::try_open(&disk, LogConfig::default());
        let begun = opened.and_then(|fixture| {
            fixture.log.begin_epoch(LeaderEpoch(3))?;
            fixture.put_in(LeaderEpoch(3), b"a")?;
            fixture.sync();
            fixture.log.begin_epoch(LeaderEpoch(6))?;
            Ok(fixture)
        });
        let stopped = disk.stopped();
        disk.crash_losing_all();
        let begun = begun.map(|fixture| fixture.log.end_offset());
        let after = Fixture::open(&disk, LogConfig::default());
        if begun.is_ok() {
            let (epoch, end) = (LeaderEpoch(6), Offset(1));
            assert_eq!(after.log.epoch_end(LeaderEpoch(9)), Some(EpochEnd { epoch, end }));
            assert_eq!(after.log.epoch_end(LeaderEpoch(4)).unwrap().epoch, LeaderEpoch(3));
            let stale = after.log.begin_epoch(LeaderEpoch(5)).unwrap_err();
            assert!(matches!(stale, StorageError::StaleEpoch { current: LeaderEpoch(6), .. }));
            after.log.begin_epoch(LeaderEpoch(6)).unwrap();
        } else if after.log.end_offset() == Offset(1) {
            assert_eq!(after.log.epochs()[0], EpochStart { epoch: LeaderEpoch(3), first: Offset(0) });
        }
        if !stopped {
            assert!(begun.is_ok() && steps > 15, "this run saw {steps} steps");
            return;
        }
    }
}

#[test]
fn epochs_come_back_from_the_batches() {
    let disk = SimDisk::new();
    let before = leader(&disk);
    let epochs = before.log.epochs();
    let firsts: Vec<_> = epochs.iter().map(|start| (start.epoch.0, start.first.0)).collect();
    assert_eq!(firsts, [(2, 0), (5, 12), (8, 24)]);
    disk.restart();
    drop(before);
    let path = log_dir().join("epochs");
    for damage in [|bytes: &mut Vec<u8>| bytes[20] ^= 4, |bytes: &mut Vec<u8>| bytes.clear()] {
        disk.tamper(&path, damage).unwrap();
        let after = Fixture::open(&disk, from_files(8192));
        assert_eq!(after.log.epochs(), epochs);
        disk.restart();
    }
}

#[test]
fn a_batch_says_what_it_builds_on() {
    for config in [from_files(8192), LogConfig::default()] {
        let disk = SimDisk::new();
        drop(leader(&disk));
        let fixture = Fixture::try_open_with(config, options(&disk.fork(), 9)).unwrap();
        let all = batches(&fixture.log, Offset::ZERO);
        assert_eq!(fixture.log.link_before(Offset::ZERO).unwrap(), Link { epoch: None, chain: 0 });
        for batch in &all {
            let (epoch, chain) = (Some(batch.leader_epoch()), batch.header().server.chain);
            assert_eq!(fixture.log.link_before(batch.next_offset()).unwrap(), Link { epoch, chain });
        }
        let inside = fixture.log.link_before(Offset(5)).unwrap_err();
        assert!(matches!(inside, StorageError::Gap { expected: Offset(4), found: Offset(5) }), "{inside}");
        assert!(matches!(fixture.log.link_before(Offset(37)), Err(StorageError::OffsetOutOfRange { .. })));
    }
}
