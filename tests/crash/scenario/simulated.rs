//! The log on a simulated disk that stops between any two of its operations and loses what was not synced: every step of
//! every create, roll, rename and unlink, which no real power cut hits in a lifetime.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc};

use bytes::Bytes;
use flymq_storage::{
    DataDir, DataDirOptions, Disk, Log, LogConfig, Retention, SimDisk, SpaceOptions, StorageError, SyncMode,
};
use flymq_types::{
    LeaderEpoch, ManualClock, Offset, PartitionId, RecordBatch, SeededRng, Timestamp, TopicId,
};
use flymq_wire::batch::{BatchBuilder, NewRecord};

use crate::row::Scenario;

const NOW: Timestamp = Timestamp(1_700_000_000_000);
/// Records of one batch.
const RECORDS: u64 = 2;
const BATCHES: u64 = 10;
const KEPT: TopicId = TopicId::from_bytes([1; 16]);
const DELETED: TopicId = TopicId::from_bytes([2; 16]);

/// What was answered before the disk stopped.
#[derive(Debug, Default, Clone)]
pub struct Promised {
    /// By topic: every record below is on disk.
    durable: BTreeMap<[u8; 16], u64>,
    written: BTreeMap<[u8; 16], u64>,
    /// Retention may have taken what is below.
    start: u64,
    deleted: bool,
}

pub fn options(disk: &SimDisk, seed: u64) -> DataDirOptions {
    DataDirOptions {
        disk: Arc::new(disk.clone()) as Arc<dyn Disk>,
        path: PathBuf::from("/data"),
        clock: Arc::new(ManualClock::new(NOW)),
        rng: Arc::new(SeededRng::new(seed)),
        sync: SyncMode::Manual,
        tail_cache_bytes: 1 << 20,
        space: SpaceOptions::OFF,
        node: None,
        encryption: None,
        open_files: 8,
    }
}

/// The value of a record: which one it is, in a length of its own.
fn value(topic: TopicId, offset: u64) -> Vec<u8> {
    let mut value = format!("{topic}/{offset}|").into_bytes();
    value.resize(300 + usize::try_from(offset * 131 % 900).expect("small"), b'x');
    value
}

fn batch(topic: TopicId, base: u64) -> RecordBatch {
    let mut builder = BatchBuilder::new();
    for offset in base..base + RECORDS {
        let value = value(topic, offset);
        let record = NewRecord { key: None, value: Some(&value), timestamp: 5, expires_at: None };
        builder.push(&record).expect("a small record");
    }
    let bytes: Bytes = builder.build().expect("two records");
    RecordBatch::from_producer(bytes).expect("a good batch")
}

fn open(dir: &DataDir, topic: TopicId) -> Result<Log, StorageError> {
    let config = LogConfig { segment_bytes: 4096, tail_cache_bytes: 0, ..LogConfig::default() };
    dir.open_log(topic, PartitionId(0), config).map(|(log, _)| log)
}

/// Creates, appends over several segments and epochs, syncs, retains, deletes; until the disk stops.
pub fn script(disk: &SimDisk, promised: &mut Promised) -> Result<(), StorageError> {
    let dir = DataDir::open(options(disk, 1))?;
    let (kept, deleted) = (open(&dir, KEPT)?, open(&dir, DELETED)?);
    for i in 0..BATCHES {
        for (topic, log) in [(KEPT, &kept), (DELETED, &deleted)] {
            let epoch = LeaderEpoch(1 + u32::try_from(i / 3).expect("small"));
            promised.written.insert(*topic.as_bytes(), (i + 1) * RECORDS);
            log.append(&batch(topic, i * RECORDS), epoch, NOW)?;
            if i % 2 == 1 {
                dir.sync_round();
                promised.durable.insert(*topic.as_bytes(), log.durable_offset().get());
            }
            if let Some(error) = log.failure() {
                return Err(error);
            }
        }
        if i == 6 {
            promised.start = kept.durable_offset().get();
            kept.retain(NOW, Retention { bytes: 9_000, ..Retention::default() }, kept.durable_offset())?;
        }
        dir.write_marks();
    }
    dir.delete_topic(DELETED)?;
    promised.deleted = true;
    Ok(())
}

/// Opens what the crash left, and holds it against what was promised.
pub fn check(disk: &SimDisk, promised: &Promised, torn: bool, scenario: &mut Scenario, context: &str) {
    let dir = match DataDir::open(options(disk, 2)) {
        Ok(dir) => dir,
        Err(error) => return scenario.boot_failed(&format!("{context}: {error}")),
    };
    let there: Vec<TopicId> = dir.logs().expect("a listing").into_iter().map(|(topic, _)| topic).collect();
    if promised.deleted && there.contains(&DELETED) {
        scenario.violated(&format!("{context}: a deleted topic is back"));
    }
    for topic in [KEPT, DELETED] {
        if topic == DELETED && !there.contains(&DELETED) {
            continue;
        }
        match open(&dir, topic) {
            Ok(log) => check_log(&log, topic, promised, torn, scenario, context),
            Err(error) => scenario.boot_failed(&format!("{context}: {error}")),
        }
    }
}

fn check_log(
    log: &Log,
    topic: TopicId,
    promised: &Promised,
    torn: bool,
    scenario: &mut Scenario,
    context: &str,
) {
    let of = |book: &BTreeMap<[u8; 16], u64>| book.get(topic.as_bytes()).copied().unwrap_or(0);
    let (durable, written) = (of(&promised.durable), of(&promised.written));
    let (start, end) = (log.start_offset().get(), log.end_offset().get());
    if start > promised.start {
        scenario.lost(&format!("{context}: {topic} starts at {start}, retention went to {}", promised.start));
    }
    if end < durable {
        scenario.lost(&format!("{context}: {topic} ends at {end}, {durable} were durable"));
    }
    if end > written {
        scenario.phantom(&format!("{context}: {topic} ends at {end}, {written} were written"));
    }
    let mut at = start;
    while at < end {
        match log.read(Offset(at), 1 << 20, Offset::MAX) {
            Ok(batches) => {
                for record in batches.iter().flat_map(|batch| batch.records().expect("not compressed")) {
                    let record = record.expect("a good record");
                    scenario.read(1);
                    if record.value.unwrap_or_default() != value(topic, record.offset) {
                        scenario.wrong_bytes(&format!("{context}: {topic} at {}", record.offset));
                    }
                }
                at = batches.last().map_or(end, |batch| batch.next_offset().get());
            }
            // Parts of what was not synced may be there, and their order is the disk's.
            Err(StorageError::Corrupt { start, end }) if torn && start.get() >= durable => at = end.get(),
            Err(error) => {
                scenario.lost(&format!("{context}: {topic} at {at}, {durable} were durable: {error}"));
                return;
            }
        }
    }
    match log.append(&batch(topic, end), LeaderEpoch(9), NOW) {
        Ok(done) if done.base_offset.get() == end => {}
        other => scenario.violated(&format!("{context}: {topic} does not go on at {end}: {other:?}")),
    }
}
