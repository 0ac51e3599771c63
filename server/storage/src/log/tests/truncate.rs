//! Cutting off the end of a log.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use flymq_types::{LeaderEpoch, Offset, SeededRng};

use super::replica::{batches, content, leader};
use super::support::*;
use crate::log::lookup::Lookup;
use crate::testing::batch;
use crate::{DurableListener, FaultOp, LogConfig, Retention, SimDisk, StorageError};

/// Appends a batch of two records in another life of the log.
fn go_on(fixture: &Fixture, epoch: u32) -> Offset {
    let value = format!("new life {}", fixture.log.end_offset());
    let done = fixture.log.append(&batch(&[value.as_bytes(), &[7; 600]]), LeaderEpoch(epoch), NOW);
    done.unwrap().base_offset
}

#[test]
fn every_offset_is_a_place_to_cut() {
    for config in [from_files(8192), LogConfig { segment_bytes: 8192, ..LogConfig::default() }] {
        let base = SimDisk::new();
        let whole = content(&leader(&base).log, Offset::ZERO);
        base.restart();
        for end in 0..=40_u64 {
            let disk = base.fork();
            let fixture = Fixture::open(&disk, config);
            fixture.log.read(Offset(30), 1 << 20, ALL).unwrap();
            // Batches have two records each.
            let expected = (end / 2 * 2).min(36);
            assert_eq!(fixture.log.truncate_to(Offset(end), Offset::ZERO).unwrap(), Offset(expected));
            let check = |fixture: &Fixture| {
                let log = &fixture.log;
                assert_eq!((log.end_offset().0, log.durable_offset().0), (expected, expected), "{end}");
                assert_eq!(content(log, Offset::ZERO), whole[..expected as usize / 2], "{end}");
                assert!(log.epochs().iter().all(|start| start.first.0 < expected));
                let latest = log.latest_epoch().map(|epoch| log.epoch_end(epoch).unwrap().end.0);
                assert_eq!(latest, (expected > 0).then_some(expected));
                assert!(matches!(
                    log.read(Offset(expected + 1), 1, ALL),
                    Err(StorageError::OffsetOutOfRange { .. })
                ));
            };
            check(&fixture);
            disk.crash_losing_all();
            drop(fixture);
            let fixture = Fixture::open(&disk, config);
            assert!(!fixture.report.has_damage() && fixture.report.torn_bytes == 0, "{:?}", fixture.report);
            check(&fixture);
            for _ in 0..12 {
                go_on(&fixture, 9);
            }
            fixture.sync();
            let now = content(&fixture.log, Offset::ZERO);
            assert_eq!(now.len() as u64, expected / 2 + 12);
            assert_eq!(now[..expected as usize / 2], whole[..expected as usize / 2]);
            disk.restart();
            drop(fixture);
            let fixture = Fixture::open(&disk, config);
            assert!(!fixture.report.has_damage());
            assert_eq!(content(&fixture.log, Offset::ZERO), now);
        }
    }
}

#[test]
fn what_is_committed_or_deleted_is_no_place_to_cut() {
    let fixture = leader(&SimDisk::new());
    let whole = content(&fixture.log, Offset::ZERO);
    let refused = fixture.log.truncate_to(Offset(19), Offset(19)).unwrap_err();
    assert!(
        matches!(refused, StorageError::Committed { end: Offset(18), committed: Offset(19) }),
        "it would take the batch: {refused}"
    );
    assert!(matches!(fixture.log.truncate_to(Offset(3), Offset(4)), Err(StorageError::Committed { .. })));
    assert_eq!(content(&fixture.log, Offset::ZERO), whole);
    fixture.log.advance_start(Offset(6), ALL).unwrap();
    let refused = fixture.log.truncate_to(Offset(4), Offset::ZERO).unwrap_err();
    assert!(matches!(refused, StorageError::OffsetOutOfRange { start: Offset(6), .. }), "{refused}");
    assert_eq!(fixture.log.truncate_to(Offset(20), Offset(20)).unwrap(), Offset(20));
    assert_eq!(fixture.log.truncate_to(Offset(6), Offset(6)).unwrap(), Offset(6));
    assert_eq!((fixture.log.start_offset(), fixture.log.end_offset()), (Offset(6), Offset(6)));
    assert_eq!(go_on(&fixture, 9), Offset(6));
}

#[test]
fn an_epoch_without_a_batch_goes_with_the_cut() {
    let disk = SimDisk::new();
    let fixture = leader(&disk);
    fixture.log.begin_epoch(LeaderEpoch(20)).unwrap();
    assert_eq!(fixture.log.latest_epoch(), Some(LeaderEpoch(20)));
    fixture.log.truncate_to(Offset(36), Offset(36)).unwrap();
    assert_eq!(fixture.log.latest_epoch(), Some(LeaderEpoch(8)));
    disk.crash_losing_all();
    drop(fixture);
    let fixture = Fixture::open(&disk, from_files(8192));
    assert_eq!(fixture.log.latest_epoch(), Some(LeaderEpoch(8)));
    // The leader's batches may be of an epoch that ended before.
    fixture.log.truncate_to(Offset(24), Offset::ZERO).unwrap();
    assert_eq!(fixture.log.latest_epoch(), Some(LeaderEpoch(5)));
    fixture.log.append(&batch(&[b"x"]), LeaderEpoch(6), NOW).unwrap();
}

/// A log whose segments are recycled files, so that bytes of an earlier life lie behind every end.
fn recycled(disk: &SimDisk) -> Fixture {
    let fixture = Fixture::open(disk, from_files(12 << 10));
    for _ in 0..50 {
        go_on(&fixture, 1);
        fixture.sync();
        if fixture.log.take_rolled() {
            let limit = Retention { ms: 0, bytes: 26_000 };
            fixture.log.retain(NOW, limit, fixture.log.durable_offset()).unwrap();
        }
    }
    fixture
}

#[test]
pub(super) fn a_crash_at_any_step_leaves_the_log_whole_or_cut() {
    for back in [2, 12, 30] {
        let mut cut_short = 0;
        for steps in 0.. {
            let mut stopped = false;
            for seed in [None, Some(1), Some(2)] {
                let disk = SimDisk::new();
                let fixture = recycled(&disk);
                let start = fixture.log.start_offset();
                let (whole, end) = (content(&fixture.log, start), fixture.log.end_offset().0);
                let target = end - back;
                assert!(target >= start.0);
                disk.stop_after(steps);
                let outcome = fixture.log.truncate_to(Offset(target), Offset(target));
                stopped = disk.stopped();
                assert_eq!(outcome.is_ok(), !stopped || fixture.log.failure().is_none() && outcome.is_ok());
                if stopped && outcome.is_err() && fixture.log.failure().is_none() {
                    assert_eq!(content(&fixture.log, start), whole, "nothing was changed");
                }
                match seed {
                    None => disk.crash_losing_all(),
                    Some(seed) => disk.crash(&SeededRng::new(seed)),
                }
                drop(fixture);
                let context = format!("{back} back, step {steps}, seed {seed:?}");
                let after = Fixture::open(&disk, from_files(12 << 10));
                assert!(!after.report.has_damage(), "{context}: {:?}", after.report);
                let now = after.log.end_offset().0;
                assert!(now == target || now == end && outcome.is_err(), "{context}: {now}");
                cut_short += u32::from(now == target && outcome.is_err());
                let kept = whole.len() - (end - now) as usize / 2;
                assert_eq!(content(&after.log, start), whole[..kept], "{context}");
                for _ in 0..8 {
                    go_on(&after, 2);
                }
                after.sync();
                let grown = content(&after.log, start);
                assert_eq!((grown.len(), &grown[..kept]), (kept + 8, &whole[..kept]), "{context}");
                disk.crash_losing_all();
                drop(after);
                let again = Fixture::open(&disk, from_files(12 << 10));
                assert!(!again.report.has_damage(), "{context}: {:?}", again.report);
                assert_eq!(content(&again.log, start), grown, "{context}: what came after the cut stays");
            }
            if !stopped {
                assert!(steps > 12 && cut_short > 0, "this run saw {steps} steps");
                break;
            }
        }
    }
}

#[test]
fn a_reader_with_an_old_view_never_sees_the_new_life() {
    for encrypted in [false, true] {
        let _mode = encrypting(encrypted);
        let fixture = leader(&SimDisk::new());
        let old = batches(&fixture.log, Offset::ZERO);
        let views = fixture.log.0.view.lock().segments.clone();
        fixture.log.truncate_to(Offset(10), Offset::ZERO).unwrap();
        for _ in 0..20 {
            go_on(&fixture, 9);
        }
        let mut refused = 0;
        for view in &views {
            for offset in view.range() {
                let lookup = Lookup::new(view);
                let found = lookup
                    .find(offset)
                    .and_then(|(position, header)| lookup.take(position, &header, 1 << 20, u64::MAX));
                match found {
                    Ok(found) => {
                        let first = &old[offset as usize / 2..];
                        assert!(found.iter().zip(first).all(|(a, b)| a == b), "offset {offset}");
                    }
                    Err(error) => {
                        let told = fixture.log.0.explain(view, error);
                        assert!(matches!(told, StorageError::Truncated { end: Offset(50) }), "{told}");
                        refused += 1;
                    }
                }
            }
        }
        assert!(refused > 0, "the segment with the cut has lost its end");
        assert!(!fixture.log.is_damaged());
        assert_eq!(fixture.log.scrub(1 << 30).unwrap().damaged, 0);
    }
}

#[derive(Debug, Default)]
struct Told(AtomicU64);

impl DurableListener for Told {
    fn durable(&self, end: Offset) {
        self.0.store(end.0, Ordering::Relaxed);
    }

    fn failed(&self, _: &StorageError) {}
}

#[test]
fn nobody_hears_of_what_was_cut_off() {
    let fixture = Fixture::open(&SimDisk::new(), from_files(4096));
    let told = Arc::new(Told::default());
    let listener: Arc<dyn DurableListener> = told.clone();
    fixture.log.subscribe(&listener);
    for _ in 0..3 {
        go_on(&fixture, 1);
    }
    assert_eq!(fixture.log.truncate_to(Offset(4), Offset::ZERO).unwrap(), Offset(4));
    assert_eq!(told.0.load(Ordering::Relaxed), 4, "what is left is durable");
    fixture.sync();
    assert_eq!(fixture.log.durable_offset(), Offset(4));
    go_on(&fixture, 2);
    assert_eq!((fixture.log.durable_offset(), fixture.log.end_offset()), (Offset(4), Offset(6)));
    fixture.sync();
    fixture.log.truncate_to(Offset(2), Offset::ZERO).unwrap();
    fixture.sync();
    fixture.dir.write_marks();
    assert_eq!((fixture.log.durable_offset(), told.0.load(Ordering::Relaxed)), (Offset(2), 6));
}

#[test]
fn damage_before_a_cut_stays_known_and_damage_behind_it_goes() {
    let disk = SimDisk::new();
    drop(leader(&disk));
    disk.tamper(&segment_file(0), |bytes| bytes[4096 + 6_112 + 30] ^= 1).unwrap();
    disk.restart();
    let fixture = Fixture::open(&disk, from_files(8192));
    let first_end = fixture.log.0.view.lock().segments[0].tip.next_offset;
    assert!(matches!(fixture.log.read(Offset(2), 1, ALL), Err(StorageError::Corrupt { .. })), "{first_end}");
    let known = fixture.log.stats().quarantined;
    assert_eq!(known, [(Offset(2), Offset(4))]);
    fixture.log.truncate_to(Offset(first_end), Offset::ZERO).unwrap();
    assert_eq!(fixture.log.stats().quarantined, known);
    fixture.log.truncate_to(Offset(3), Offset::ZERO).unwrap();
    assert_eq!((fixture.log.end_offset(), fixture.log.stats().quarantined.len()), (Offset(3), 1));
    fixture.log.truncate_to(Offset(2), Offset::ZERO).unwrap();
    assert!(!fixture.log.is_damaged());
    go_on(&fixture, 9);
    assert_eq!(content(&fixture.log, Offset::ZERO).len(), 2);
}

/// Whatever fails in a cut, a log that takes records afterwards keeps them: no start cuts it off behind them.
#[test]
fn a_cut_that_fails_closes_the_log_or_changes_nothing() {
    const ENOSPC: i32 = 28;
    let (mut unchanged, mut closed) = (0, 0);
    for op in [FaultOp::Write, FaultOp::Fdatasync, FaultOp::SyncDir, FaultOp::Allocate] {
        for nth in 1..8 {
            let disk = SimDisk::new();
            let fixture = leader(&disk);
            let whole = content(&fixture.log, Offset::ZERO);
            disk.fail(op, nth, ENOSPC);
            let outcome = fixture.log.truncate_to(Offset(10), Offset::ZERO);
            let (end, failed) = (fixture.log.end_offset(), fixture.log.failure().is_some());
            if outcome.is_ok() {
                assert!(end == Offset(10) && !failed);
            } else if failed {
                closed += 1;
                let refused = fixture.log.append(&batch(&[b"x"]), LeaderEpoch(9), NOW).unwrap_err();
                assert!(matches!(refused, StorageError::Poisoned { .. }), "{refused}");
            } else {
                unchanged += 1;
                assert_eq!(content(&fixture.log, Offset::ZERO), whole);
            }
            // The fault may meet this one instead.
            let more = fixture.log.append(&batch(&[b"goes on"]), LeaderEpoch(9), NOW).is_ok();
            let failed = failed || !more;
            let now = content(&fixture.log, Offset::ZERO);
            disk.restart();
            drop(fixture);
            let after = Fixture::open(&disk, from_files(8192));
            let context = format!("{op:?} {nth}: {outcome:?}");
            assert!(!after.report.has_damage(), "{context}: {:?}", after.report);
            let kept = content(&after.log, Offset::ZERO);
            if failed {
                assert!(kept == whole || kept == now || kept[..] == whole[..5], "{context}");
            } else {
                assert_eq!(kept, now, "{context}");
            }
        }
    }
    assert!(unchanged > 0 && closed > 3, "{unchanged} unchanged, {closed} closed");
}

#[test]
fn a_reader_that_races_with_cuts_gets_one_life_or_a_typed_error() {
    let config = LogConfig { segment_bytes: 4096, tail_cache_bytes: 2_000, ..LogConfig::default() };
    let many = crate::DataDirOptions { open_files: 4_096, ..options(&SimDisk::new(), 1) };
    let fixture = Fixture::try_open_with(config, many).unwrap();
    let log = &fixture.log;
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let (mut at, mut seen) = (0, 0);
                while !stop.load(Ordering::Relaxed) || seen == 0 {
                    match log.read(Offset(at), 4_000, ALL) {
                        Ok(found) => {
                            for (i, batch) in found.iter().enumerate() {
                                let records = batch.records().unwrap();
                                let value =
                                    records.map(|record| record.unwrap().value.unwrap()).next().unwrap();
                                let told =
                                    format!("{} in epoch {}.", batch.base_offset(), batch.leader_epoch());
                                assert!(
                                    value.starts_with(told.as_bytes()),
                                    "a batch is where it was written"
                                );
                                assert!(i == 0 || found[i - 1].next_offset() == batch.base_offset());
                                seen += 1;
                            }
                            at = if found.is_empty() { 0 } else { found[found.len() - 1].next_offset().0 };
                        }
                        Err(StorageError::Truncated { .. } | StorageError::OffsetOutOfRange { .. }) => at = 0,
                        Err(error) => panic!("{error}"),
                    }
                }
            });
        }
        let rng = SeededRng::new(3);
        for epoch in 1..150_u32 {
            for _ in 0..6 {
                let mut value = format!("{} in epoch {epoch}.", log.end_offset()).into_bytes();
                value.resize(300 + (flymq_types::Rng::next_u64(&rng) % 900) as usize, b'.');
                log.append(&batch(&[&value]), LeaderEpoch(epoch), NOW).unwrap();
            }
            let back = flymq_types::Rng::next_u64(&rng) % 6;
            log.truncate_to(Offset(log.end_offset().0 - back), Offset::ZERO).unwrap();
        }
        stop.store(true, Ordering::Relaxed);
    });
    assert!(!log.is_damaged());
}
