//! Damaged ranges get their batches back from another replica.

use std::ops::Range;

use flymq_types::{Offset, RecordBatch, SeededRng};

use super::replica::{batches, content, foreign, leader};
use super::support::*;
use crate::{Disk, SimDisk, StorageError};

/// The same log as the leader's, in segments of its own: bases 0, 2, 10, 12, 20, 22, 30, 32
fn replica(disk: &SimDisk, leader: &Fixture) -> Vec<u64> {
    let fixture = reopen(disk);
    fixture.log.append_replica(&batches(&leader.log, Offset::ZERO)).unwrap();
    fixture.sync();
    fixture.dir.write_marks();
    let bases = fixture.log.0.view.lock().segments.iter().map(|view| view.segment.base_offset).collect();
    disk.restart();
    bases
}

fn reopen(disk: &SimDisk) -> Fixture {
    Fixture::try_open_with(from_files(5000), options(disk, 5 + disk.fdatasyncs())).unwrap()
}

/// Reads all, so that damage is met.
fn find_damage(fixture: &Fixture) -> Vec<Range<Offset>> {
    let (mut at, end) = (fixture.log.start_offset(), fixture.log.end_offset());
    while at < end {
        match fixture.log.read(at, 1, ALL) {
            Ok(found) => at = found[0].next_offset(),
            Err(StorageError::Corrupt { end, .. }) => at = end,
            Err(error) => panic!("{error}"),
        }
    }
    fixture.log.damaged()
}

fn from_peer(leader: &Fixture, range: &Range<Offset>) -> (u32, Vec<RecordBatch>) {
    let chain = leader.log.link_before(range.start).unwrap().chain;
    let mut given = batches(&leader.log, range.start);
    given.retain(|batch| batch.next_offset() <= range.end);
    (chain, given)
}

fn repair_all(fixture: &Fixture, leader: &Fixture) -> Result<usize, StorageError> {
    let mut put = 0;
    for range in find_damage(fixture) {
        let (chain, given) = from_peer(leader, &range);
        put += fixture.log.repair(range, chain, &given)?.batches;
    }
    Ok(put)
}

/// Where a batch begins in its segment's file.
fn place(disk: &SimDisk, base: u64, offset: u64) -> usize {
    let bytes = disk.contents(&segment_file(base)).unwrap();
    let is_it =
        |at: &usize| bytes[*at..].starts_with(b"FQB1") && bytes[at + 24..at + 32] == offset.to_le_bytes();
    (4096..bytes.len() - 96).find(is_it).unwrap()
}

/// Every kind of damage: a payload, a header, two neighbours, the last of a segment, a whole segment.
fn damages(bases: &[u64]) -> Vec<Vec<(u64, u64, usize)>> {
    let inner = bases[3];
    let last = bases[4] - 2;
    vec![
        vec![(inner, inner, 200)],
        vec![(inner, inner + 2, 30)],
        vec![(inner, inner, 30), (inner, inner + 2, 150)],
        vec![(inner, last, 99)],
        vec![(inner, inner, 40), (inner, last, 40)],
        vec![(bases[0], 0, 4_000), (bases[1], bases[1], 50)],
        vec![(*bases.last().unwrap(), *bases.last().unwrap(), 120)],
    ]
}

fn hurt(disk: &SimDisk, damage: &[(u64, u64, usize)]) {
    for (base, offset, byte) in damage {
        let at = place(disk, *base, *offset) + byte;
        disk.tamper(&segment_file(*base), |bytes| bytes[at] ^= 1).unwrap();
    }
}

#[test]
fn what_is_damaged_comes_back_and_its_neighbours_stay() {
    for encrypted in [false, true] {
        let leader = leader(&SimDisk::new());
        let whole = content(&leader.log, Offset::ZERO);
        let _mode = encrypting(encrypted);
        let base = SimDisk::new();
        let bases = replica(&base, &leader);
        for damage in damages(&bases) {
            let disk = base.fork();
            hurt(&disk, &damage);
            let fixture = reopen(&disk);
            let found = find_damage(&fixture);
            assert!(!found.is_empty(), "{damage:?}");
            assert_eq!(repair_all(&fixture, &leader).unwrap(), damage.len(), "{damage:?}: {found:?}");
            assert!(!fixture.log.is_damaged() && fixture.log.scrub(1 << 30).unwrap().damaged == 0);
            assert_eq!(content(&fixture.log, Offset::ZERO), whole);
            fixture.put_in(flymq_types::LeaderEpoch(9), b"goes on").unwrap();
            fixture.sync();
            disk.crash_losing_all();
            drop(fixture);
            let after = reopen(&disk);
            assert!(!after.report.has_damage(), "{damage:?}: {:?}", after.report);
            assert_eq!(content(&after.log, Offset::ZERO)[..whole.len()], whole);
            assert_eq!(after.log.end_offset(), Offset(37));
            let end = Offset(36);
            assert_eq!(after.log.link_before(end).unwrap(), leader.log.link_before(end).unwrap());
        }
    }
}

#[test]
fn lost_segments_are_made_anew() {
    let leader = leader(&SimDisk::new());
    let whole = content(&leader.log, Offset::ZERO);
    let base = SimDisk::new();
    let bases = replica(&base, &leader);
    let count = bases.len();
    for lost in [vec![0], vec![1], vec![2, 3], vec![count - 1], (0..count).collect()] {
        let disk = base.fork();
        for i in &lost {
            disk.remove_file(&segment_file(bases[*i])).unwrap();
        }
        disk.sync_dir(&log_dir()).unwrap();
        let fixture = reopen(&disk);
        assert!(!find_damage(&fixture).is_empty(), "{lost:?}");
        repair_all(&fixture, &leader).unwrap();
        assert_eq!(content(&fixture.log, Offset::ZERO), whole, "{lost:?}");
        assert!(!fixture.log.is_damaged());
        disk.crash_losing_all();
        drop(fixture);
        let after = reopen(&disk);
        assert!(!after.report.has_damage(), "{lost:?}: {:?}", after.report);
        assert_eq!(content(&after.log, Offset::ZERO), whole);
    }
}

#[test]
pub(super) fn a_crash_at_any_step_costs_no_good_batch() {
    let leader = leader(&SimDisk::new());
    let whole = content(&leader.log, Offset::ZERO);
    let base = SimDisk::new();
    let bases = replica(&base, &leader);
    for damage in [damages(&bases).swap_remove(4), damages(&bases).swap_remove(6)] {
        for steps in 0.. {
            let mut stopped = false;
            for seed in [None, Some(1), Some(2)] {
                let disk = base.fork();
                hurt(&disk, &damage);
                let fixture = reopen(&disk);
                disk.stop_after(steps);
                let outcome = repair_all(&fixture, &leader);
                stopped = disk.stopped();
                assert!(stopped || outcome.is_ok(), "{outcome:?}");
                match seed {
                    None => disk.crash_losing_all(),
                    Some(seed) => disk.crash(&SeededRng::new(seed)),
                }
                drop(fixture);
                let context = format!("step {steps}, seed {seed:?}");
                let after = reopen(&disk);
                assert_eq!(after.log.end_offset(), Offset(36), "{context}");
                let left = find_damage(&after);
                let bad: u64 = left.iter().map(|range| range.end.0 - range.start.0).sum();
                assert!(bad <= 2 * damage.len() as u64, "{context}: {left:?}");
                assert!(outcome.is_err() || bad == 0, "{context}: {left:?}");
                repair_all(&after, &leader).unwrap();
                assert_eq!(content(&after.log, Offset::ZERO), whole, "{context}");
            }
            if !stopped {
                assert!(steps > 6, "this run saw {steps} steps");
                break;
            }
        }
    }
}

#[test]
fn what_was_not_there_is_refused() {
    let leader = leader(&SimDisk::new());
    let disk = SimDisk::new();
    let bases = replica(&disk, &leader);
    let bad = bases[3] + 2;
    hurt(&disk, &[(bases[3], bad, 150)]);
    let fixture = reopen(&disk);
    let range = Offset(bad)..Offset(bad + 2);
    assert_eq!(find_damage(&fixture), std::slice::from_ref(&range));
    let (chain, given) = from_peer(&leader, &range);
    let log = &fixture.log;
    let refused = |range: &Range<Offset>, chain, given: &[RecordBatch]| {
        let error = log.repair(range.clone(), chain, given).unwrap_err();
        assert_eq!(log.damaged(), [Offset(bad)..Offset(bad + 2)], "{error}");
        error
    };
    let epoch = given[0].leader_epoch().0;
    let other = refused(&range, chain, &[foreign(b"another", bad, epoch, chain)]);
    assert!(matches!(other, StorageError::BrokenChain { .. }), "{other}");
    let other = refused(&range, chain ^ 1, &[foreign(b"another", bad, epoch, chain ^ 1)]);
    assert!(matches!(other, StorageError::BrokenChain { .. }), "{other}");
    assert!(matches!(refused(&range, chain, &[]), StorageError::Gap { .. }));
    let wider = range.start..Offset(bad + 4);
    let (_, two) = from_peer(&leader, &wider);
    assert!(matches!(refused(&wider, chain, &given), StorageError::Gap { .. }));
    let forged = [given[0].clone(), foreign(b"x", bad + 2, epoch, given[0].header().server.chain)];
    assert!(matches!(refused(&wider, chain, &forged), StorageError::Diverged { .. }), "the good one differs");
    let outside = Offset(36)..Offset(38);
    let behind = [foreign(b"x", 36, 8, 3)];
    assert!(matches!(refused(&outside, 3, &behind), StorageError::OffsetOutOfRange { .. }));
    // More than the damage is no harm where it is the same.
    assert_eq!(log.repair(wider, chain, &two).unwrap().batches, 1);
    assert_eq!(content(log, Offset::ZERO), content(&leader.log, Offset::ZERO));
}

/// One range is known, and another one in the same segment not yet: mending the first must not hide it.
#[test]
fn damage_that_nobody_has_met_is_found_after_its_neighbour_was_mended() {
    let leader = leader(&SimDisk::new());
    let whole = content(&leader.log, Offset::ZERO);
    let base = SimDisk::new();
    let bases = replica(&base, &leader);
    let (inner, last) = (bases[3], bases[4] - 2);
    for (known, other) in [(inner, inner + 2), (inner, last), (last, inner)] {
        let disk = base.fork();
        hurt(&disk, &[(inner, known, 150), (inner, other, 150)]);
        let fixture = reopen(&disk);
        let Err(StorageError::Corrupt { start, end }) = fixture.log.read(Offset(known), 1, ALL) else {
            panic!()
        };
        let (chain, given) = from_peer(&leader, &(start..end));
        assert_eq!(fixture.log.repair(start..end, chain, &given).unwrap().batches, 1);
        assert!(!fixture.log.damaged().contains(&(start..end)));
        fixture.log.scrub(1 << 30).unwrap();
        let found = fixture.log.damaged();
        assert!(
            found.iter().any(|range| range.contains(&Offset(other))),
            "{other} beside {known}: {found:?}"
        );
        let all = find_damage(&fixture);
        assert_eq!(
            repair_all(&fixture, &leader).unwrap(),
            1,
            "{bases:?}: {other} beside {known}: {found:?}, {all:?}"
        );
        assert_eq!(content(&fixture.log, Offset::ZERO), whole);
    }
}
