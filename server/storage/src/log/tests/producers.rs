//! Random histories of idempotent producers: whatever happens to the log, it knows of them what its batches say.

use std::collections::{BTreeMap, BTreeSet};

use flymq_types::{BatchFlags, LeaderEpoch, Marker, Offset, Outcome, RecordBatch, Timestamp};
use flymq_wire::batch::{BatchBuilder, NO_SEQUENCE, NewRecord, ProducerFields, ServerFields};
use proptest::prelude::*;

use super::support::*;
use crate::log::producers::{NewSequence, ProducerTable, SUFFIX, Verdict, marker_of};
use crate::testing::batch;
use crate::{AbortedTransaction, Appended, LogConfig, ProducerLimits, Retention, SimDisk, StorageError};

const LIMITS: ProducerLimits = ProducerLimits { expiration_ms: 2_000, max_ids: 4 };

fn config() -> LogConfig {
    LogConfig { producers: LIMITS, ..from_files(4096) }
}

/// A batch of `records` records of about 300 bytes each.
fn produced(id: u64, epoch: u16, base_sequence: i32, records: u32) -> RecordBatch {
    let mut builder = BatchBuilder::new();
    builder.set_producer(ProducerFields { id, epoch, base_sequence });
    for _ in 0..records {
        builder.push(&NewRecord { value: Some(&[7; 300]), ..NewRecord::default() }).unwrap();
    }
    RecordBatch::from_producer(builder.build().unwrap()).unwrap()
}

fn transactional(id: u64, epoch: u16, base_sequence: i32, records: u32) -> RecordBatch {
    let mut builder = BatchBuilder::new();
    builder.set_producer(ProducerFields { id, epoch, base_sequence }).add_flags(BatchFlags::TRANSACTIONAL);
    for _ in 0..records {
        builder.push(&NewRecord { value: Some(&[8; 300]), ..NewRecord::default() }).unwrap();
    }
    RecordBatch::from_producer(builder.build().unwrap()).unwrap()
}

fn marker(id: u64, epoch: u16, coordinator_epoch: u32, outcome: Outcome) -> RecordBatch {
    let marker = Marker { producer_id: id, producer_epoch: epoch, coordinator_epoch, outcome };
    RecordBatch::from_broker(marker.encode(NOW.0).unwrap()).unwrap()
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Next,
    /// One of its batches again, so many back.
    Again(usize),
    Gap,
    OldEpoch,
    NewEpoch,
    /// Without producer.
    Plain,
    /// The next one, in a transaction.
    Transactional,
    /// In a transaction, without number, this many epochs too late.
    Unnumbered(u16),
    End(Outcome),
    /// A marker of a coordinator that was replaced.
    OldCoordinator,
}

#[derive(Debug, Clone)]
enum Op {
    /// Batches in one call: producer, what, records.
    Append(Vec<(u64, Kind, u32)>),
    Sync,
    Marks,
    /// So many ms pass.
    Pass(i64),
    Retain(u64),
    /// Deletes up to this part (of 255) of what is durable.
    Delete(u8),
    /// Cuts at this part (of 255) of the log.
    Cut(u8),
    Kill,
    PowerCut,
    /// The disk stops after so many more changes, somewhere in what comes next.
    StopAfter(u64),
    /// The newest snapshot is damaged (or lost) while the broker is down.
    Injure(bool),
}

fn op() -> impl Strategy<Value = Op> {
    let kind = prop_oneof![
        6 => Just(Kind::Next),
        2 => (0_usize..7).prop_map(Kind::Again),
        1 => Just(Kind::Gap),
        1 => Just(Kind::OldEpoch),
        1 => Just(Kind::NewEpoch),
        1 => Just(Kind::Plain),
        4 => Just(Kind::Transactional),
        3 => (0..2u16).prop_map(Kind::Unnumbered),
        2 => Just(Kind::End(Outcome::Commit)),
        3 => Just(Kind::End(Outcome::Abort)),
        1 => Just(Kind::OldCoordinator),
    ];
    prop_oneof![
        10 => prop::collection::vec((0_u64..6, kind, 1_u32..4), 1..6).prop_map(Op::Append),
        3 => Just(Op::Sync),
        1 => Just(Op::Marks),
        1 => (1_i64..900).prop_map(Op::Pass),
        1 => (4_000_u64..20_000).prop_map(Op::Retain),
        1 => any::<u8>().prop_map(Op::Delete),
        2 => any::<u8>().prop_map(Op::Cut),
        1 => Just(Op::Kill),
        1 => Just(Op::PowerCut),
        1 => (0_u64..30).prop_map(Op::StopAfter),
        1 => any::<bool>().prop_map(Op::Injure),
    ]
}

struct Model {
    disk: SimDisk,
    fixture: Option<Fixture>,
    now: i64,
    /// Every batch that was ever in the log and not cut off or lost, by its offset: deleted ones, too.
    batches: BTreeMap<u64, RecordBatch>,
}

impl Model {
    fn new() -> Self {
        let disk = SimDisk::new();
        let fixture = Some(Fixture::open(&disk, config()));
        Self { disk, fixture, now: NOW.0, batches: BTreeMap::new() }
    }

    fn fixture(&self) -> &Fixture {
        self.fixture.as_ref().unwrap()
    }

    /// What all batches say.
    fn expected(&self) -> ProducerTable {
        let mut table = ProducerTable::default();
        for batch in self.batches.values() {
            table.note(batch.header(), marker_of(batch), LIMITS);
        }
        table.forget_below(self.fixture().log.start_offset().0);
        table
    }

    /// What is open, and what was aborted, with the offsets of the batches that do not count: without any index.
    fn transactions(&self) -> (BTreeMap<u64, u64>, Vec<AbortedTransaction>, BTreeSet<u64>) {
        let (mut open, mut aborted, mut gone) = (BTreeMap::new(), Vec::new(), BTreeSet::new());
        let mut own: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
        for (base, batch) in &self.batches {
            let header = batch.header();
            let producer = header.producer_id;
            if let Some(marker) = marker_of(batch) {
                let offsets = own.remove(&producer).unwrap_or_default();
                let Some(first) = open.remove(&producer) else { continue };
                if marker.outcome == Outcome::Abort {
                    gone.extend(offsets);
                    aborted.push(AbortedTransaction { producer, first: Offset(first), last: Offset(*base) });
                }
            } else if header.flags.contains(BatchFlags::TRANSACTIONAL) {
                open.entry(producer).or_insert(*base);
                own.entry(producer).or_default().push(*base);
            }
        }
        (open, aborted, gone)
    }

    fn check_transactions(&self) {
        let log = &self.fixture().log;
        let (start, end) = (log.start_offset(), log.end_offset());
        let (open, mut aborted, gone) = self.transactions();
        aborted.retain(|aborted| aborted.last >= start);
        assert_eq!(log.aborted_transactions(), aborted);
        let found: BTreeMap<_, _> =
            log.open_transactions().iter().map(|open| (open.producer, open.first.0)).collect();
        assert_eq!(found, open);
        let first = open.values().min().copied().unwrap_or(end.0);
        assert_eq!(log.last_stable(end), Offset(first).max(start));
        let mut seen: Vec<_> = self.batches.range(start.0..).map(|(_, batch)| batch.clone()).collect();
        log.retain_committed(&mut seen);
        let seen: Vec<_> = seen.iter().map(|batch| batch.base_offset().0).collect();
        let all = self.batches.range(start.0..).map(|(base, _)| *base);
        assert_eq!(seen, all.filter(|base| !gone.contains(base)).collect::<Vec<_>>());
    }

    fn check(&self) {
        self.check_transactions();
        let mut known = self.fixture().log.0.writer.lock().producers.table.clone();
        let mut expected = self.expected();
        known.forget_below(self.fixture().log.start_offset().0); // it does so itself once a segment goes
        known.forget_expired(self.now, LIMITS);
        expected.forget_expired(self.now, LIMITS);
        let of = |table: &ProducerTable| -> BTreeMap<u64, String> {
            table.iter().map(|(id, state)| (id, format!("{} {:?}", state.epoch(), state.batches()))).collect()
        };
        assert_eq!(of(&known), of(&expected));
        assert!(known == expected);
    }

    fn make(&self, table: &ProducerTable, (id, kind, records): (u64, Kind, u32)) -> RecordBatch {
        let own = |batch: &&RecordBatch| batch.header().producer_id == id && marker_of(batch).is_none();
        let known: Vec<_> = self.batches.values().filter(own).collect();
        let (epoch, next) = table.next_of(id).unwrap_or((0, 0));
        match kind {
            Kind::Next => produced(id, epoch, next, records),
            Kind::Again(back) => known.iter().rev().nth(back).map_or_else(
                || produced(id, epoch, next, records),
                |batch| RecordBatch::from_producer(batch.to_bytes()).unwrap(),
            ),
            Kind::Gap => produced(id, epoch, next + 1, records),
            Kind::OldEpoch => produced(id, epoch.saturating_sub(1), next, records),
            Kind::NewEpoch => produced(id, epoch + 1, 0, records),
            Kind::Plain => batch(&[&[1; 400]]),
            Kind::Transactional => transactional(id, epoch, next, records),
            Kind::Unnumbered(age) => transactional(id, epoch.saturating_sub(age), NO_SEQUENCE, records),
            Kind::End(outcome) => marker(id, epoch + 1, 2, outcome),
            Kind::OldCoordinator => marker(id, epoch + 1, 1, Outcome::Abort),
        }
    }

    /// Appends as many as go; checks each answer.
    fn append(&mut self, batches: &[(u64, Kind, u32)]) {
        let mut table = self.expected();
        let mut end = self.fixture().log.end_offset();
        let (mut made, mut expected) = (Vec::new(), Vec::new());
        for one in batches {
            let batch = self.make(&table, *one);
            let judged = match (NewSequence::of(batch.header()), marker_of(&batch)) {
                (Some(new), _) => table.judge(&new, self.now, LIMITS),
                (None, Some(marker)) => table.judge_marker(&marker).map(|()| Verdict::New),
                (None, None) => table.judge_unnumbered(batch.header()).map(|()| Verdict::New),
            };
            if matches!(judged, Ok(Verdict::New)) {
                let server =
                    ServerFields { base_offset: end.0, append_time: self.now, ..ServerFields::default() };
                table.note(batch.stamp(server).header(), marker_of(&batch), LIMITS);
                expected.push(Ok(None));
                end = end.plus(u64::from(batch.record_count()));
            } else {
                expected.push(judged.map(|verdict| match verdict {
                    Verdict::Duplicate(at) => Some(at),
                    Verdict::New => None,
                }));
            }
            made.push(batch);
        }
        let log = self.fixture().log.clone();
        let results = log.append_many(&made, EPOCH, Timestamp(self.now));
        for ((batch, expected), result) in made.iter().zip(expected).zip(results) {
            match (expected, result) {
                (Ok(None), Ok(at)) => {
                    assert!(!at.duplicate);
                    let found = log.read(at.base_offset, 1, ALL).unwrap().remove(0);
                    assert_eq!(found.payload(), batch.payload());
                    self.batches.insert(at.base_offset.0, found);
                }
                (Ok(Some(original)), Ok(at)) => assert_eq!(at, original),
                (Err(wanted), Err(found)) if !self.disk.stopped() => {
                    assert_eq!(wanted.to_string(), found.to_string());
                }
                (_, Err(_)) if self.disk.stopped() => {}
                (wanted, found) => panic!("{wanted:?} {found:?}"),
            }
        }
    }

    /// Takes the log's batches as they are after a crash or a failed step.
    fn take_over(&mut self) {
        let log = &self.fixture.as_ref().unwrap().log;
        let (start, end) = (log.start_offset(), log.end_offset());
        self.batches.retain(|base, _| *base < start.0);
        let mut at = start;
        while at < end {
            for batch in log.read(at, 1 << 20, ALL).unwrap() {
                at = batch.next_offset();
                self.batches.insert(batch.base_offset().0, batch);
            }
        }
    }

    fn reopen(&mut self) {
        drop(self.fixture.take());
        let fixture = Fixture::open(&self.disk, config());
        assert!(!fixture.report.has_damage() && fixture.report.moved.is_empty(), "{:?}", fixture.report);
        self.fixture = Some(fixture);
        self.take_over();
    }

    fn boundary(&self, part: u8, from: u64, to: u64) -> u64 {
        let at = from + (to - from) * u64::from(part) / 255;
        self.batches.range(..=at).next_back().map_or(from, |(base, _)| *base).max(from)
    }

    fn injure(&mut self, remove: bool) {
        self.fixture().sync();
        let snapshots = self.fixture().log.0.writer.lock().producers.ends().to_vec();
        let start = self.fixture().log.start_offset().0;
        self.disk.restart();
        drop(self.fixture.take());
        // All batches behind the one before it are still there.
        if let [.., before, newest] = snapshots[..]
            && before >= start
        {
            let newest = log_dir().join(format!("{newest:020}{SUFFIX}"));
            if remove {
                crate::Disk::remove_file(&self.disk, &newest).unwrap();
            } else {
                self.disk.tamper(&newest, |bytes| bytes[20] ^= 1).unwrap();
            }
        }
        self.reopen();
    }

    fn run(&mut self, op: &Op) {
        match op {
            Op::Append(batches) => self.append(batches),
            Op::Sync => self.fixture().sync(),
            Op::Marks => self.fixture().dir.write_marks(),
            Op::Pass(ms) => self.now += ms,
            Op::Retain(bytes) => {
                let log = &self.fixture().log;
                let _ = log.retain(NOW, Retention { ms: 0, bytes: *bytes }, log.durable_offset());
            }
            Op::Delete(part) => {
                let log = &self.fixture().log;
                let to = self.boundary(*part, log.start_offset().0, log.durable_offset().0);
                let _ = log.advance_start(Offset(to), log.durable_offset());
            }
            Op::Cut(part) => {
                // What a crash during the cut would lose otherwise is damage, and not what this is about.
                self.fixture().sync();
                let log = self.fixture().log.clone();
                let to = self.boundary(*part, log.start_offset().0, log.end_offset().0);
                if log.truncate_to(Offset(to), Offset::ZERO).is_ok() {
                    self.batches.retain(|base, _| *base < to);
                }
            }
            Op::Kill => {
                self.disk.restart();
                self.reopen();
            }
            Op::PowerCut => {
                self.disk.crash_losing_all();
                self.reopen();
            }
            Op::StopAfter(steps) => self.disk.stop_after(*steps),
            Op::Injure(_) if self.disk.stopped() => {}
            Op::Injure(remove) => self.injure(*remove),
        }
        if self.disk.stopped() || self.fixture().log.failure().is_some() {
            self.disk.crash_losing_all();
            self.reopen();
        }
        self.check();
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_known_of_producers_is_what_the_batches_say(
        ops in prop::collection::vec(op(), 1..60),
        encrypted in any::<bool>(),
    ) {
        let _mode = encrypting(encrypted);
        let mut model = Model::new();
        ops.iter().for_each(|op| model.run(op));
        model.disk.restart();
        model.reopen();
        model.check();
    }
}

fn put(fixture: &Fixture, id: u64, sequence: i32, records: u32) -> Result<Appended, StorageError> {
    fixture.log.append(&produced(id, 0, sequence, records), EPOCH, NOW)
}

fn all(log: &crate::Log, from: Offset) -> Vec<RecordBatch> {
    let (mut at, mut found) = (from, Vec::new());
    while at < log.end_offset() {
        found.extend(log.read_raw(at, 1 << 20).unwrap());
        at = found.last().map_or(at, RecordBatch::next_offset);
    }
    found
}

fn snapshots(disk: &SimDisk) -> usize {
    disk.files().iter().filter(|path| path.to_string_lossy().ends_with(SUFFIX)).count()
}

#[test]
fn a_batch_sent_again_is_not_stored_twice_not_even_after_a_restart() {
    let disk = SimDisk::new();
    let fixture = Fixture::open(&disk, from_files(1 << 20));
    fixture.put(&[b"plain"]).unwrap();
    assert_eq!(snapshots(&disk), 0, "a log without producers pays nothing for them");
    let first = put(&fixture, 4, 0, 3).unwrap();
    assert_eq!((first.base_offset, first.last_offset, first.duplicate), (Offset(1), Offset(3), false));
    let again = put(&fixture, 4, 0, 3).unwrap();
    assert_eq!(again, Appended { duplicate: true, ..first });
    assert_eq!(fixture.log.end_offset(), Offset(4));
    fixture.sync();
    disk.crash_losing_all();
    drop(fixture);
    let fixture = Fixture::open(&disk, from_files(1 << 20));
    assert_eq!(put(&fixture, 4, 0, 3).unwrap(), again);
    let gap = put(&fixture, 4, 5, 1).unwrap_err();
    assert!(matches!(gap, StorageError::OutOfOrderSequence { expected: 3, found: 5, .. }), "{gap}");
    let stranger = put(&fixture, 5, 1, 1).unwrap_err();
    assert!(matches!(stranger, StorageError::UnknownProducer { producer: 5, found: 1 }), "{stranger}");
    assert_eq!(put(&fixture, 4, 3, 1).unwrap().base_offset, Offset(4));
    assert_eq!(fixture.log.stats().producer_ids, 1);
}

#[test]
fn what_is_deleted_is_still_known_and_its_snapshots_go() {
    let disk = SimDisk::new();
    let fixture = Fixture::open(&disk, from_files(4096));
    put(&fixture, 1, 0, 1).unwrap();
    for i in 0..40 {
        put(&fixture, 2, i * 2, 2).unwrap();
    }
    fixture.sync();
    let kept = snapshots(&disk);
    let end = fixture.log.end_offset();
    fixture.log.advance_start(end, end).unwrap();
    assert!(snapshots(&disk) == 1 && kept > 5, "{} of {kept}", snapshots(&disk));
    disk.crash_losing_all();
    drop(fixture);
    let fixture = Fixture::open(&disk, from_files(4096));
    assert_eq!(put(&fixture, 1, 0, 1).unwrap().base_offset, Offset(0), "a duplicate of what is deleted");
    assert!(put(&fixture, 2, 78, 2).unwrap().duplicate);
    assert_eq!(put(&fixture, 2, 80, 1).unwrap().base_offset, end);
}

#[test]
fn what_is_cut_off_may_come_again() {
    let disk = SimDisk::new();
    let fixture = Fixture::open(&disk, from_files(4096));
    for i in 0..20 {
        put(&fixture, 2, i * 2, 2).unwrap();
    }
    fixture.log.truncate_to(Offset(21), Offset::ZERO).unwrap();
    assert!(put(&fixture, 2, 18, 2).unwrap().duplicate);
    let again = put(&fixture, 2, 20, 2).unwrap();
    assert_eq!((again.base_offset, again.duplicate), (Offset(20), false));
}

#[test]
fn a_follower_knows_what_its_leader_knows() {
    let (leader, follower) = (SimDisk::new(), SimDisk::new());
    let leader = Fixture::open(&leader, from_files(4096));
    for i in 0..20 {
        put(&leader, 2, i * 2, 2).unwrap();
        put(&leader, 30 + i as u64, 0, 1).unwrap();
    }
    let batches = all(&leader.log, Offset(0));
    let table = |fixture: &Fixture| fixture.log.0.writer.lock().producers.table.clone();
    let fixture = Fixture::open(&follower, from_files(4096));
    fixture.log.append_replica(&batches[..9]).unwrap();
    fixture.log.append_replica(&batches[5..]).unwrap();
    assert!(table(&fixture) == table(&leader));

    // One that begins in the middle of its leader's log, and is killed at once.
    let far = SimDisk::new();
    let fixture = Fixture::open(&far, from_files(4096));
    let (first, last) = (&batches[10], &batches[19]);
    let chain = batches[9].header().server.chain;
    let mut install = fixture.log.begin_install(first.base_offset(), chain).unwrap();
    let span = crate::SegmentSpan {
        base: first.base_offset(),
        end: last.next_offset(),
        chain,
        next_chain: last.header().server.chain,
        cleaned: false,
        bytes: 0,
    };
    install.begin_segment(&span).unwrap();
    install.push(&batches[10..20]).unwrap();
    install.finish(first.base_offset()).unwrap();
    let known = table(&fixture);
    assert_eq!(known.next_of(2).unwrap().1, 20, "of the last batch that came");
    far.crash_losing_all();
    drop(fixture);
    let fixture = Fixture::open(&far, from_files(4096));
    assert!(table(&fixture) == known);
    fixture.log.append_replica(&batches[20..]).unwrap();
    assert_eq!(table(&fixture).next_of(2), table(&leader).next_of(2));
}

#[test]
fn mended_batches_are_known_again() {
    let (leader, disk) = (SimDisk::new(), SimDisk::new());
    let leader = Fixture::open(&leader, from_files(4096));
    let fixture = Fixture::open(&disk, from_files(4096));
    for i in 0..6 {
        put(&leader, 2, i, 1).unwrap();
    }
    fixture.log.append_replica(&all(&leader.log, Offset(0))).unwrap();
    fixture.sync();
    fixture.dir.write_marks();
    let end = fixture.log.stats().bytes as usize;
    disk.restart();
    drop(fixture);
    disk.tamper(&segment_file(0), |bytes| bytes[end - 900..].fill(0)).unwrap();
    let fixture = Fixture::open(&disk, from_files(4096));
    fixture.log.read(Offset(5), 1, ALL).unwrap_err();
    let damaged = fixture.log.damaged();
    assert_eq!(damaged.len(), 1);
    let lost = fixture.log.append(&produced(2, 0, 6, 1), LeaderEpoch(2), NOW).unwrap_err();
    assert!(matches!(lost, StorageError::OutOfOrderSequence { .. }), "{lost}");
    let from = damaged[0].start;
    let given = all(&leader.log, from);
    let chain = leader.log.link_before(from).unwrap().chain;
    fixture.log.repair(damaged[0].clone(), chain, &given).unwrap();
    assert!(put(&fixture, 2, 5, 1).unwrap().duplicate);
    assert!(!put(&fixture, 2, 6, 1).unwrap().duplicate);
}

/// Whatever is left of the snapshots: what was aborted is read from the log again.
#[test]
fn aborted_transactions_are_found_without_their_index() {
    for damage in [false, true] {
        let disk = SimDisk::new();
        let fixture = Fixture::open(&disk, from_files(4096));
        for i in 0..12_u16 {
            fixture.log.append(&transactional(2, 2 * i, 0, 2), EPOCH, NOW).unwrap();
            let outcome = if i % 2 == 0 { Outcome::Abort } else { Outcome::Commit };
            fixture.log.append(&marker(2, 2 * i + 1, 1, outcome), EPOCH, NOW).unwrap();
            // The next one begins with the epoch that this one has given.
            fixture.log.append(&transactional(2, 2 * i + 1, 0, 1), EPOCH, NOW).unwrap();
            fixture.log.append(&marker(2, 2 * i + 2, 1, Outcome::Commit), EPOCH, NOW).unwrap();
        }
        let aborted = fixture.log.aborted_transactions();
        assert_eq!(aborted.len(), 6);
        let ends = fixture.log.0.writer.lock().producers.ends().to_vec();
        assert!(ends.len() > 2);
        fixture.sync();
        drop(fixture);
        disk.restart();
        for end in &ends[1..] {
            let path = log_dir().join(format!("{end:020}{SUFFIX}"));
            match damage {
                true => disk.tamper(&path, |bytes| bytes[30] ^= 1).unwrap(),
                false => drop(crate::Disk::remove_file(&disk, &path)),
            }
        }
        let fixture = Fixture::open(&disk, from_files(4096));
        assert_eq!(fixture.log.aborted_transactions(), aborted);
    }
}

/// However its batches came: one after the other, in part again, or as closed segments from the middle on.
#[test]
fn a_follower_knows_its_leaders_transactions() {
    let leader = Fixture::open(&SimDisk::new(), from_files(4096));
    for i in 0..10_u16 {
        for (id, outcome) in [(2, Outcome::Abort), (3, Outcome::Commit)] {
            leader.log.append(&transactional(id, i, 0, 2), EPOCH, NOW).unwrap();
            leader.put(&[b"plain"]).unwrap();
            leader.log.append(&marker(id, i + 1, 1, outcome), EPOCH, NOW).unwrap();
        }
        leader.log.append(&transactional(100 + u64::from(i), 0, 0, 1), EPOCH, NOW).unwrap();
    }
    let batches = all(&leader.log, Offset(0));
    let disk = SimDisk::new();
    let follower = Fixture::open(&disk, from_files(9000));
    follower.log.append_replica(&batches[..21]).unwrap();
    follower.log.append_replica(&batches[13..]).unwrap();
    let known = |fixture: &Fixture, high: Offset| {
        let log = &fixture.log;
        (log.aborted_transactions(), log.open_transactions(), log.last_stable(high))
    };
    let end = leader.log.end_offset();
    assert_eq!(known(&follower, end), known(&leader, end));
    follower.sync();
    disk.restart();
    drop(follower);
    let follower = Fixture::open(&disk, from_files(9000));
    assert_eq!(known(&follower, end), known(&leader, end));

    let far = Fixture::open(&SimDisk::new(), from_files(4096));
    let (first, last) = (&batches[31], &batches[45]);
    let chain = batches[30].header().server.chain;
    let mut install = far.log.begin_install(first.base_offset(), chain).unwrap();
    let span = crate::SegmentSpan {
        base: first.base_offset(),
        end: last.next_offset(),
        chain,
        next_chain: last.header().server.chain,
        cleaned: false,
        bytes: 0,
    };
    install.begin_segment(&span).unwrap();
    install.push(&batches[31..46]).unwrap();
    install.finish(first.base_offset()).unwrap();
    far.log.append_replica(&batches[46..]).unwrap();
    let mut seen = [batches[31..].to_vec(), batches[31..].to_vec()];
    leader.log.retain_committed(&mut seen[0]);
    far.log.retain_committed(&mut seen[1]);
    assert!(seen[0] == seen[1] && seen[0].len() < batches.len() - 31);
    let start = far.log.start_offset();
    let behind = leader.log.open_transactions().into_iter().filter(|open| open.first >= start);
    assert_eq!(far.log.open_transactions(), behind.collect::<Vec<_>>());
}
