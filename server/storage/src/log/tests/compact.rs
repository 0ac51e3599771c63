//! Cleaning by key: what stays, what goes, and that neither a crash nor damage brings anything back or takes more.

use std::collections::BTreeMap;

use flymq_types::{InflateLimits, Offset, RecordBatch, SeededRng, Timestamp};
use flymq_wire::batch::{BatchBuilder, BatchFlags, Compression, NewRecord, pack};
use proptest::prelude::*;

use super::support::*;
use crate::{Compacted, Compaction, LogConfig, Retention, SimDisk, StorageError};

const DAY: u64 = 24 * 60 * 60 * 1_000;

/// Key, value.
type Entry = (String, Option<Vec<u8>>);
/// What a log holds: offset, key, value.
type Records = Vec<(u64, String, Option<Vec<u8>>)>;

fn keyed(entries: &[Entry], codec: Compression, expires_at: Option<i64>) -> RecordBatch {
    let mut builder = BatchBuilder::new();
    for (key, value) in entries {
        let key = Some(key.as_bytes());
        builder.push(&NewRecord { key, value: value.as_deref(), timestamp: 7, expires_at }).unwrap();
    }
    RecordBatch::from_producer(pack(builder.build().unwrap(), codec, None).unwrap()).unwrap()
}

fn put(fixture: &Fixture, key: &str, value: Option<&[u8]>) {
    let batch = keyed(&[(key.to_owned(), value.map(<[u8]>::to_vec))], Compression::None, None);
    fixture.log.append(&batch, EPOCH, NOW).unwrap();
}

fn how(fixture: &Fixture) -> Compaction {
    Compaction { min_dirty_percent: 0, ..Compaction::new(fixture.log.durable_offset(), NOW, DAY) }
}

fn compact(fixture: &Fixture) -> Compacted {
    fixture.log.compact(&how(fixture)).unwrap()
}

/// Every record from `from` on; checks that the batches cover all offsets without a gap.
fn scan(fixture: &Fixture, from: u64) -> Records {
    let (mut at, mut found) = (Offset(from), Vec::new());
    loop {
        let batches = fixture.log.read(at, 1 << 20, ALL).unwrap();
        let Some(last) = batches.last() else { break };
        assert!(batches[0].base_offset() <= at && at < batches[0].next_offset());
        for pair in batches.windows(2) {
            assert_eq!(pair[0].next_offset(), pair[1].base_offset(), "no gap between batches");
        }
        for batch in &batches {
            for record in &batch.open(&InflateLimits::BATCH).unwrap() {
                let record = record.unwrap();
                if record.offset >= at.0 {
                    let key = String::from_utf8(record.key.unwrap_or_default().to_vec()).unwrap();
                    found.push((record.offset, key, record.value.map(<[u8]>::to_vec)));
                }
            }
        }
        at = last.next_offset();
    }
    assert_eq!(at, fixture.log.end_offset());
    found
}

fn latest(records: &Records) -> BTreeMap<String, (u64, Vec<u8>)> {
    let mut map = BTreeMap::new();
    for (offset, key, value) in records {
        match value {
            Some(value) => drop(map.insert(key.clone(), (*offset, value.clone()))),
            None => drop(map.remove(key)),
        }
    }
    map
}

/// 60 records of 10 keys over many segments; the value says the offset.
fn filled(disk: &SimDisk) -> Fixture {
    let fixture = Fixture::open(disk, from_files(4096));
    for i in 0..60_u8 {
        put(&fixture, &format!("k{}", i % 10), Some(&[i; 300]));
    }
    fixture.sync();
    fixture
}

#[test]
fn a_reader_at_the_tail_no_longer_gets_what_was_taken_out() {
    let disk = SimDisk::new();
    let config = LogConfig { segment_bytes: 4096, tail_cache_bytes: 1 << 20, ..LogConfig::default() };
    let fixture = Fixture::open(&disk, config);
    for i in 0..60_u8 {
        put(&fixture, &format!("k{}", i % 10), Some(&[i; 300]));
    }
    fixture.sync();
    assert!(compact(&fixture).removed > 30);
    let read = scan(&fixture, 0);
    assert!(read.len() < 30, "{} records, of which 10 are the latest of their keys", read.len());
    drop(fixture);
    disk.restart();
    assert_eq!(scan(&Fixture::open(&disk, config), 0), read, "as after a restart");
}

#[test]
fn the_latest_record_of_each_key_stays_at_its_offset() {
    let disk = SimDisk::new();
    let fixture = filled(&disk);
    let before = scan(&fixture, 0);
    let stats = fixture.log.stats();
    let done = compact(&fixture);
    assert!(done.removed > 30 && done.bytes_after < done.bytes_before * 2 / 3, "{done:?}");
    let after = scan(&fixture, 0);
    assert_eq!(latest(&after), latest(&before));
    assert!(after.iter().all(|record| before.contains(record)), "offsets and values are as they were");
    let now = fixture.log.stats();
    assert!(now.bytes < stats.bytes && (now.start, now.end) == (Offset(0), Offset(60)), "{now:?}");
    // From the middle of a hole the next record comes.
    assert_eq!(scan(&fixture, 3)[0], after[0]);
    assert_eq!(compact(&fixture).segments_after, 0, "what is clean is left alone");

    disk.crash_losing_all();
    drop(fixture);
    let reopened = Fixture::open(&disk, from_files(4096));
    assert!(!reopened.report.has_damage() && reopened.report.scanned_bytes < 4096, "{:?}", reopened.report);
    assert_eq!(scan(&reopened, 0), after);
    put(&reopened, "k1", Some(b"goes on"));
    assert_eq!(reopened.log.end_offset(), Offset(61));
}

/// Cleaned once, and written on: the next cleaning joins the small segments that the first one left.
fn cleaned_and_filled(disk: &SimDisk) -> Fixture {
    let fixture = filled(disk);
    compact(&fixture);
    for i in 60..90_u8 {
        put(&fixture, &format!("k{}", i % 7), Some(&[i; 300]));
    }
    fixture.sync();
    fixture
}

#[test]
fn small_segments_are_joined() {
    let fixture = cleaned_and_filled(&SimDisk::new());
    let before = scan(&fixture, 0);
    let done = compact(&fixture);
    assert!(done.segments_after < done.segments_before, "{done:?}");
    assert_eq!(latest(&scan(&fixture, 0)), latest(&before));
}

#[test]
fn the_written_segment_is_not_touched_and_nothing_above_the_bound() {
    let fixture = filled(&SimDisk::new());
    let untouched = fixture.log.compact(&Compaction { upto: Offset(3), ..how(&fixture) }).unwrap();
    assert_eq!(untouched.passes, 0);
    let before = scan(&fixture, 0);
    let bound = Compaction { upto: Offset(30), ..how(&fixture) };
    assert!(fixture.log.compact(&bound).unwrap().removed > 0);
    let after = scan(&fixture, 0);
    assert_eq!(after.iter().filter(|r| r.0 >= 30).count(), 30, "all above the bound are there");
    assert_eq!(latest(&after), latest(&before));
}

#[test]
fn a_log_is_not_cleaned_for_little() {
    let fixture = filled(&SimDisk::new());
    let due = Compaction { min_dirty_percent: 50, ..how(&fixture) };
    assert_eq!(fixture.log.compact(&due).unwrap().passes, 1, "all of it is dirty");
    for i in 0..4 {
        put(&fixture, "k1", Some(&[i; 300]));
    }
    fixture.sync();
    assert_eq!(fixture.log.compact(&due).unwrap().passes, 0);
}

#[test]
fn little_memory_takes_more_passes_and_gives_the_same() {
    let (plenty, little) = (filled(&SimDisk::new()), filled(&SimDisk::new()));
    compact(&plenty);
    let done = little.log.compact(&Compaction { keys_bytes: 200, ..how(&little) }).unwrap();
    assert!(done.passes > 3, "{done:?}");
    assert_eq!(latest(&scan(&little, 0)), latest(&scan(&plenty, 0)));
    assert_eq!(scan(&little, 0), scan(&plenty, 0));
}

#[test]
fn tombstones_stay_for_their_time_after_the_first_cleaning() {
    let disk = SimDisk::new();
    let fixture = filled(&disk);
    put(&fixture, "k3", None);
    (0..20).for_each(|i| put(&fixture, &format!("later{i}"), Some(&[1; 300])));
    fixture.sync();
    let has = |key: &str| scan(&fixture, 0).iter().filter(|(_, k, _)| k == key).count();
    compact(&fixture);
    assert_eq!(has("k3"), 1, "the tombstone alone");
    let later = |ms: u64| Timestamp(NOW.0 + ms as i64);
    let again = |at| {
        (0..20).for_each(|i| put(&fixture, &format!("later{i}"), Some(&[2; 300])));
        fixture.sync();
        let how = Compaction { now: at, upto: fixture.log.durable_offset(), ..how(&fixture) };
        fixture.log.compact(&how).unwrap()
    };
    again(later(DAY - 1));
    assert_eq!(has("k3"), 1, "a slow reader still sees it");
    again(later(DAY));
    assert_eq!(has("k3"), 0);
    let entries = scan(&fixture, 0);
    disk.crash_losing_all();
    drop(fixture);
    assert_eq!(scan(&Fixture::open(&disk, from_files(4096)), 0), entries);
}

#[test]
fn expired_records_leave_with_a_cleaning() {
    let fixture = Fixture::open(&SimDisk::new(), from_files(4096));
    put(&fixture, "k", Some(b"old"));
    let entry = ("k".to_owned(), Some(b"expires".to_vec()));
    fixture.log.append(&keyed(&[entry], Compression::None, Some(NOW.0)), EPOCH, NOW).unwrap();
    (0..20).for_each(|_| put(&fixture, "other", Some(&[1; 300])));
    fixture.sync();
    assert!(compact(&fixture).removed > 2);
    let left = scan(&fixture, 0);
    assert!(
        left.iter().all(|(_, key, _)| key == "other"),
        "neither the expired nor the one before it: {left:?}"
    );
}

#[test]
fn without_keys_only_expired_records_go_and_their_bytes_with_them() {
    let disk = SimDisk::new();
    let fixture = Fixture::open(&disk, from_files(4096));
    let end = |i: i64| if i % 2 == 0 { Some(NOW.0 + 100 * i) } else { None };
    for i in 0..40 {
        let entry = ("same key".to_owned(), Some(vec![i as u8; 300]));
        fixture.log.append(&keyed(&[entry], Compression::None, end(i)), EPOCH, NOW).unwrap();
    }
    fixture.sync();
    let bytes = fixture.log.stats().bytes;
    let at = |ms: i64| Compaction { by_key: false, now: Timestamp(NOW.0 + ms), ..how(&fixture) };
    assert_eq!(fixture.log.compact(&at(-1)).unwrap(), Compacted::default());
    let done = fixture.log.compact(&at(1_500)).unwrap();
    assert_eq!(done.removed, 8, "{done:?}");
    assert_eq!(fixture.log.compact(&at(1_500)).unwrap().removed, 0);
    let written = fixture.log.0.view.lock().segments.last().unwrap().segment.base_offset;
    fixture.log.compact(&at(1 << 30)).unwrap();
    let left: Vec<u64> = scan(&fixture, 0).into_iter().map(|record| record.0).collect();
    assert_eq!(left, (0..40).filter(|i| i % 2 == 1 || *i >= written).collect::<Vec<_>>());
    assert!(fixture.log.stats().bytes < bytes - 4_000, "{bytes} before");
    disk.crash_losing_all();
    drop(fixture);
    let reopened = Fixture::open(&disk, from_files(4096));
    assert_eq!(scan(&reopened, 0).len(), left.len());
}

#[test]
fn compressed_and_transactional_batches_keep_their_ways() {
    let fixture = Fixture::open(&SimDisk::new(), from_files(4096));
    let entries = |i: usize| -> Vec<Entry> {
        (0..8).map(|k| (format!("k{k}"), Some(format!("{i} {}", "x".repeat(100)).into_bytes()))).collect()
    };
    for i in 0..60 {
        let batch = keyed(&entries(i), [Compression::Zstd, Compression::Lz4][i / 30], None);
        assert_ne!(batch.header().compression, Compression::None);
        fixture.log.append(&batch, EPOCH, NOW).unwrap();
    }
    let mut builder = BatchBuilder::new();
    builder.add_flags(BatchFlags::TRANSACTIONAL);
    builder.push(&NewRecord { key: Some(b"k1"), value: Some(b"t"), ..NewRecord::default() }).unwrap();
    let transactional = RecordBatch::from_producer(builder.build().unwrap()).unwrap();
    let kept = fixture.log.append(&transactional, EPOCH, NOW).unwrap().base_offset;
    (0..20).for_each(|_| put(&fixture, "k1", Some(&[1; 300])));
    fixture.sync();
    let before = scan(&fixture, 0);
    assert!(compact(&fixture).removed > 300);
    let after = scan(&fixture, 0);
    assert_eq!(latest(&after), latest(&before));
    assert!(
        after.iter().any(|(offset, ..)| *offset == kept.0),
        "a transaction's record may be aborted: it stays"
    );
}

#[test]
fn a_damaged_segment_stays_as_it_is_and_brings_nothing_back() {
    let disk = SimDisk::new();
    let fixture = filled(&disk);
    put(&fixture, "k0", None);
    (0..20).for_each(|_| put(&fixture, "other", Some(&[1; 300])));
    fixture.sync();
    disk.tamper(&segment_file(0), |bytes| bytes[4096 + 96 + 400 + 96 + 20] ^= 1).unwrap();
    let soon = Compaction { delete_retention_ms: 0, ..how(&fixture) };
    let done = fixture.log.compact(&soon).unwrap();
    assert!(done.damaged > 0 && done.removed > 0, "{done:?}");
    let bad = fixture.log.read(Offset(1), 1, ALL);
    assert!(matches!(bad, Err(StorageError::Corrupt { start: Offset(1), .. })), "{bad:?}");
    (0..40).for_each(|_| put(&fixture, "other", Some(&[1; 300])));
    fixture.sync();
    let soon = Compaction { upto: fixture.log.durable_offset(), ..soon };
    fixture.log.compact(&soon).unwrap();
    let behind = scan(&fixture, 2);
    assert!(
        behind.iter().any(|(_, key, value)| key == "k0" && value.is_none()),
        "the tombstone stays: {behind:?}"
    );
}

#[test]
fn readers_of_replaced_segments_go_on() {
    let fixture = filled(&SimDisk::new());
    let before = scan(&fixture, 0);
    let held: Vec<_> = (0..40).map(|i| fixture.log.read(Offset(i), 1, ALL).unwrap().remove(0)).collect();
    compact(&fixture);
    for (i, batch) in held.iter().enumerate() {
        assert_eq!(batch.base_offset(), Offset(i as u64));
    }
    // Batch by batch, as a consumer does, with a cleaning between any two reads.
    let (mut at, mut seen) = (Offset(0), Vec::new());
    while at < fixture.log.end_offset() {
        let batch = fixture.log.read(at, 1, ALL).unwrap().remove(0);
        seen.extend(batch.records().unwrap().map(|record| record.unwrap().offset).filter(|o| *o >= at.0));
        at = batch.next_offset();
        put(&fixture, "k1", Some(&[9; 300]));
        fixture.sync();
        compact(&fixture);
        if at > Offset(200) {
            break;
        }
    }
    assert!(seen.windows(2).all(|pair| pair[0] < pair[1]));
    assert!(before.len() == 60 && !seen.is_empty());
}

#[test]
fn retention_and_deletion_go_with_cleaning() {
    let fixture = filled(&SimDisk::new());
    fixture.log.advance_start(Offset(25), ALL).unwrap();
    compact(&fixture);
    let records = scan(&fixture, 25);
    assert_eq!(latest(&records).len(), 10);
    let retention = Retention { ms: 1, bytes: 0 };
    fixture.log.retain(Timestamp(NOW.0 + 10), retention, ALL).unwrap();
    assert_eq!(fixture.log.start_offset(), Offset(60));
    assert_eq!(compact(&fixture).passes, 0);
}

/// The chain goes through a cleaned segment's own batches; the segment behind it begins with the chain value of the
/// original, which the cleaned one has in its header.
#[test]
fn the_chain_of_a_cleaned_log_can_be_checked() {
    let disk = SimDisk::new();
    let fixture = filled(&disk);
    compact(&fixture);
    let views = fixture.log.0.view.lock().segments.clone();
    assert!(views.len() > 1);
    for pair in views.windows(2) {
        let end = pair[0].segment.replaced.map_or(pair[0].tip.chain, |replaced| replaced.chain);
        assert_eq!(pair[1].segment.base_chain, end);
    }
    disk.crash_losing_all();
    drop(fixture);
    let fixture = Fixture::open(&disk, from_files(4096));
    (0..20).for_each(|_| put(&fixture, "k1", Some(&[1; 300])));
    let views = fixture.log.0.view.lock().segments.clone();
    for pair in views.windows(2) {
        let end = pair[0].segment.replaced.map_or(pair[0].tip.chain, |replaced| replaced.chain);
        assert_eq!(pair[1].segment.base_chain, end, "also after a restart");
    }
}

/// A stopped disk at any step of a cleaning: the old segments or the new ones, and the same latest records.
#[test]
fn a_crash_at_any_step_of_a_cleaning_loses_nothing() {
    for losing_all in [true, false] {
        for steps in 0.. {
            let disk = SimDisk::new();
            let fixture = cleaned_and_filled(&disk);
            let before = scan(&fixture, 0);
            disk.stop_after(steps);
            let outcome = fixture.log.compact(&how(&fixture));
            let stopped = disk.stopped();
            if losing_all {
                disk.crash_losing_all();
            } else {
                disk.crash(&SeededRng::new(steps));
            }
            drop(fixture);
            let after = Fixture::open(&disk, from_files(4096));
            let context = format!("step {steps}, losing all: {losing_all}, {outcome:?}");
            assert!(!after.report.has_damage(), "{context}: {:?}", after.report);
            let records = scan(&after, 0);
            assert_eq!(latest(&records), latest(&before), "{context}");
            assert!(records.iter().all(|record| before.contains(record)), "{context}");
            compact(&after);
            assert_eq!(latest(&scan(&after, 0)), latest(&before), "{context}, cleaned again");
            put(&after, "k1", Some(b"goes on"));
            assert_eq!(after.log.end_offset(), Offset(91), "{context}");
            if !stopped {
                assert!(outcome.is_ok() && steps > 30, "{steps} steps");
                break;
            }
        }
    }
}

#[derive(Debug, Clone)]
enum Op {
    Put(Vec<(u8, Option<u8>)>),
    Compact { keys_bytes: usize, later_days: u64 },
    Reopen,
}

fn op() -> impl Strategy<Value = Op> {
    let entry = (0..6_u8, proptest::option::weighted(0.8, any::<u8>()));
    prop_oneof![
        8 => proptest::collection::vec(entry, 1..6).prop_map(Op::Put),
        2 => (prop_oneof![Just(100_usize), Just(1 << 20)], 0..3_u64)
            .prop_map(|(keys_bytes, later_days)| Op::Compact { keys_bytes, later_days }),
        1 => Just(Op::Reopen),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Against a map: whatever is written and however often it is cleaned, the latest values are those of the map.
    #[test]
    fn a_cleaned_log_is_the_map_it_was(ops in proptest::collection::vec(op(), 1..60)) {
        let disk = SimDisk::new();
        let mut fixture = Fixture::open(&disk, from_files(4096));
        let (mut written, mut day) = (Records::new(), 0);
        for op in ops {
            match op {
                Op::Put(entries) => {
                    let entries: Vec<Entry> = entries
                        .into_iter()
                        .map(|(key, value)| (format!("k{key}"), value.map(|value| vec![value; 200])))
                        .collect();
                    fixture.log.append(&keyed(&entries, Compression::None, None), EPOCH, NOW).unwrap();
                    let base = written.len() as u64;
                    written.extend((base..).zip(entries).map(|(offset, (key, value))| (offset, key, value)));
                    fixture.sync();
                }
                Op::Compact { keys_bytes, later_days } => {
                    day += later_days;
                    let now = Timestamp(NOW.0 + (day * DAY) as i64);
                    fixture.log.compact(&Compaction { keys_bytes, now, ..how(&fixture) }).unwrap();
                    let closed = fixture.log.0.view.lock().segments.last().map_or(0, |v| v.segment.base_offset);
                    let mut keys: Vec<_> =
                        scan(&fixture, 0).into_iter().filter(|r| r.0 < closed).map(|r| r.1).collect();
                    let all = keys.len();
                    keys.sort();
                    keys.dedup();
                    prop_assert_eq!(keys.len(), all, "one record for each key below the written segment");
                }
                Op::Reopen => {
                    disk.crash_losing_all();
                    drop(fixture);
                    fixture = Fixture::open(&disk, from_files(4096));
                    prop_assert!(!fixture.report.has_damage(), "{:?}", fixture.report);
                }
            }
            let records = scan(&fixture, 0);
            prop_assert_eq!(latest(&records), latest(&written));
            prop_assert!(records.iter().all(|record| written[record.0 as usize] == *record));
            prop_assert_eq!(fixture.log.end_offset().0, written.len() as u64);
        }
    }
}
