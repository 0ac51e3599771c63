//! Closed segments from a leader into a follower that is far behind.

use flymq_types::{LeaderEpoch, Offset, SeededRng, Timestamp};
use flymq_wire::batch::{BatchBuilder, NewRecord};

use super::replica::{batches, content, foreign, leader};
use super::support::*;
use crate::log::Install;
use crate::testing::batch;
use crate::{Compaction, Export, SimDisk, StorageError};

/// Copies all that a leader exports, up to the last step.
fn stage(export: &Export, into: &Fixture) -> Result<Install, StorageError> {
    let mut install = into.log.begin_install(export.base, export.chain)?;
    for segment in &export.segments {
        let span = segment.span();
        install.begin_segment(&span)?;
        while install.next_offset() < span.end {
            install.push(&segment.read(install.next_offset(), 3_000)?)?;
        }
    }
    Ok(install)
}

/// A follower with a log of its own, not much of which is the leader's.
fn follower(disk: &SimDisk) -> Fixture {
    let fixture = Fixture::try_open_with(from_files(5000), options(disk, 5 + disk.fdatasyncs())).unwrap();
    for i in 0..9_u8 {
        fixture.log.append(&batch(&[&[i; 800]]), LeaderEpoch(1), NOW).unwrap();
    }
    fixture.sync();
    fixture
}

fn reopen(disk: &SimDisk) -> Fixture {
    Fixture::try_open_with(from_files(5000), options(disk, 5 + disk.fdatasyncs())).unwrap()
}

#[test]
fn a_follower_takes_the_segments_and_goes_on_with_the_rest() {
    for (encrypted_leader, encrypted_follower) in [(false, false), (true, false), (false, true)] {
        for start in [0, 1, 13, 34, 36] {
            let leader = {
                let _mode = encrypting(encrypted_leader);
                leader(&SimDisk::new())
            };
            leader.log.advance_start(Offset(start), ALL).unwrap();
            let _mode = encrypting(encrypted_follower);
            let disk = SimDisk::new();
            let fixture = follower(&disk);
            let export = leader.log.export().unwrap();
            assert!(export.base <= export.start && export.start == Offset(start));
            let install = stage(&export, &fixture).unwrap();
            assert_eq!(fixture.log.end_offset(), Offset(9), "nothing has changed yet");
            install.finish(export.start).unwrap();
            let end = export.segments.last().map_or(export.base, |last| last.span().end);
            let check = |fixture: &Fixture| {
                let log = &fixture.log;
                let ends = (log.start_offset(), log.durable_offset(), log.end_offset());
                assert_eq!(ends, (Offset(start), end, end));
                let (ours, theirs) = (content(log, Offset(start)), content(&leader.log, Offset(start)));
                assert_eq!(ours, theirs[..ours.len()]);
            };
            check(&fixture);
            disk.crash_losing_all();
            drop(fixture);
            let fixture = reopen(&disk);
            assert!(!fixture.report.has_damage() && fixture.report.moved.is_empty(), "{:?}", fixture.report);
            check(&fixture);
            fixture.log.append_replica(&batches(&leader.log, end)).unwrap();
            assert_eq!(content(&fixture.log, Offset(start)), content(&leader.log, Offset(start)));
            let (ours, theirs) = (fixture.log.epochs(), leader.log.epochs());
            assert_eq!(
                ours.last().map(|last| last.epoch),
                theirs.last().map(|last| last.epoch).filter(|_| start < 36)
            );
            let end = fixture.log.end_offset();
            assert_eq!(
                fixture.log.link_before(end).unwrap().chain,
                leader.log.link_before(end).unwrap().chain
            );
        }
    }
}

#[test]
pub(super) fn a_crash_at_any_step_leaves_the_old_log_or_the_new_one() {
    let leader = leader(&SimDisk::new());
    leader.log.advance_start(Offset(8), ALL).unwrap();
    let export = leader.log.export().unwrap();
    let new = content(&leader.log, Offset(8));
    let (mut old_ones, mut new_ones) = (0, 0);
    for steps in 0.. {
        let mut stopped = false;
        for seed in [None, Some(1), Some(2)] {
            let disk = SimDisk::new();
            let fixture = follower(&disk);
            let old = content(&fixture.log, Offset::ZERO);
            disk.stop_after(steps);
            let outcome = stage(&export, &fixture).and_then(|install| install.finish(export.start));
            stopped = disk.stopped();
            match seed {
                None => disk.crash_losing_all(),
                Some(seed) => disk.crash(&SeededRng::new(seed)),
            }
            drop(fixture);
            let context = format!("step {steps}, seed {seed:?}");
            let after = reopen(&disk);
            assert!(!after.report.has_damage(), "{context}: {:?}", after.report);
            let start = after.log.start_offset();
            let now = content(&after.log, start);
            let (first, rest) = if start == Offset::ZERO {
                assert_eq!(now, old, "{context}");
                assert!(outcome.is_err(), "{context}");
                old_ones += 1;
                (now, 1)
            } else {
                assert_eq!((start, &now[..]), (Offset(8), &new[..now.len()]), "{context}");
                new_ones += 1;
                (now, 9)
            };
            after.log.append(&batch(&[b"goes on"]), LeaderEpoch(rest), NOW).unwrap();
            after.sync();
            disk.crash_losing_all();
            drop(after);
            let again = reopen(&disk);
            assert!(!again.report.has_damage(), "{context}: {:?}", again.report);
            let last = content(&again.log, start);
            assert_eq!((last.len(), &last[..first.len()]), (first.len() + 1, &first[..]), "{context}");
            let files = disk.files();
            assert!(
                !files.iter().any(|path| path.to_string_lossy().contains("staged")),
                "{context}: {files:?}"
            );
        }
        if !stopped {
            assert!(old_ones > 20 && new_ones > 20, "{old_ones} times the old one, {new_ones} the new one");
            return;
        }
    }
}

fn keyed(fixture: &Fixture, key: u8, value: u8) {
    let mut builder = BatchBuilder::new();
    let (key, value) = ([key], vec![value; 500]);
    let record = NewRecord { key: Some(&key), value: Some(&value), timestamp: 5, expires_at: None };
    builder.push(&record).unwrap();
    let batch = flymq_types::RecordBatch::from_producer(builder.build().unwrap()).unwrap();
    fixture.log.append(&batch, EPOCH, Timestamp(NOW.0)).unwrap();
}

#[test]
fn cleaned_segments_stay_cleaned_and_the_chain_goes_on_behind_them() {
    let leader = Fixture::open(&SimDisk::new(), from_files(4096));
    for i in 0..40 {
        keyed(&leader, i % 3, i);
    }
    leader.sync();
    let how = Compaction::new(leader.log.end_offset(), NOW, 1_000);
    assert!(leader.log.compact(&how).unwrap().removed > 10);
    for i in 0..20 {
        keyed(&leader, i % 3, i);
    }
    let disk = SimDisk::new();
    let fixture = follower(&disk);
    let export = leader.log.export().unwrap();
    assert!(export.segments.iter().any(|segment| segment.span().cleaned));
    stage(&export, &fixture).unwrap().finish(export.start).unwrap();
    fixture.log.append_replica(&batches(&leader.log, fixture.log.end_offset())).unwrap();
    assert_eq!(content(&fixture.log, Offset::ZERO), content(&leader.log, Offset::ZERO));
    fixture.sync();
    disk.crash_losing_all();
    drop(fixture);
    let fixture = reopen(&disk);
    assert!(!fixture.report.has_damage());
    assert_eq!(content(&fixture.log, Offset::ZERO), content(&leader.log, Offset::ZERO));
}

#[test]
fn what_does_not_fit_together_is_refused() {
    let leader = leader(&SimDisk::new());
    let disk = SimDisk::new();
    let fixture = follower(&disk);
    let old = content(&fixture.log, Offset::ZERO);
    let export = leader.log.export().unwrap();
    let (first, second) = (export.segments[0].span(), export.segments[1].span());

    let mut install = fixture.log.begin_install(export.base, export.chain).unwrap();
    assert!(matches!(fixture.log.begin_install(export.base, 0), Err(StorageError::Installing)));
    let all = batches(&leader.log, Offset::ZERO);
    assert!(matches!(install.push(&all[..1]), Err(StorageError::Gap { .. })), "no segment has begun");
    assert!(matches!(install.begin_segment(&second), Err(StorageError::Gap { .. })));
    install.begin_segment(&first).unwrap();
    assert!(matches!(install.push(&all[1..2]), Err(StorageError::Gap { .. })));
    install.push(&all[..1]).unwrap();
    let (at, chain) = (all[1].base_offset().0, all[0].header().server.chain);
    assert!(matches!(
        install.push(&[foreign(b"x", at, 2, chain ^ 1)]),
        Err(StorageError::BrokenChain { .. })
    ));
    assert!(matches!(install.push(&[foreign(b"x", at, 1, chain)]), Err(StorageError::StaleEpoch { .. })));
    assert!(matches!(install.begin_segment(&second), Err(StorageError::Gap { .. })), "not complete");
    assert!(matches!(install.finish(Offset::ZERO), Err(StorageError::Gap { .. })));

    // The batches of another history: each builds on the one before, but not to where the leader says.
    let mut install = fixture.log.begin_install(export.base, export.chain).unwrap();
    install.begin_segment(&first).unwrap();
    let mut chain = 0;
    for at in (0..first.end.0).step_by(2) {
        let batch = foreign(b"x", at, 2, chain);
        chain = batch.header().server.chain;
        install.push(&[batch]).unwrap();
    }
    assert!(matches!(install.finish(Offset::ZERO), Err(StorageError::BrokenChain { .. })));
    let install = stage(&export, &fixture).unwrap();
    assert!(matches!(install.finish(Offset(99)), Err(StorageError::OffsetOutOfRange { .. })));
    assert_eq!(content(&fixture.log, Offset::ZERO), old);
    assert!(!disk.files().iter().any(|path| path.to_string_lossy().contains("staged")));
}

#[test]
fn where_nothing_is_closed_a_follower_begins_with_the_batch_at_the_start() {
    let leader = leader(&SimDisk::new());
    leader.log.advance_start(Offset(35), ALL).unwrap();
    let export = leader.log.export().unwrap();
    assert!(export.segments.is_empty());
    assert_eq!((export.start, export.base), (Offset(34), Offset(34)));
    let fixture = follower(&SimDisk::new());
    stage(&export, &fixture).unwrap().finish(export.start).unwrap();
    let rest = leader.log.read_raw(Offset(35), 1 << 20).unwrap();
    assert_eq!(fixture.log.append_replica(&rest).unwrap().end, Offset(36));
    fixture.log.advance_start(Offset(35), ALL).unwrap();
    assert_eq!(content(&fixture.log, Offset(35)), content(&leader.log, Offset(35)));
}

#[test]
fn an_export_outlives_what_the_leader_does() {
    let leader = leader(&SimDisk::new());
    let whole = content(&leader.log, Offset::ZERO);
    let export = leader.log.export().unwrap();
    leader.log.advance_start(Offset(30), ALL).unwrap();
    let fixture = follower(&SimDisk::new());
    stage(&export, &fixture).unwrap().finish(export.start).unwrap();
    let ours = content(&fixture.log, Offset::ZERO);
    assert_eq!(ours, whole[..ours.len()]);
}
