//! kill -9: a process that appends is killed again and again; nothing that it said was safe may be missing, and no
//! offset may ever be given out twice.
//!
//! The test starts itself as the appending process (`appender <dir> <cycle>`), reads a random number of its
//! acknowledgements, and kills it in the middle of its work. It is its own harness: `cargo test -p flymq-storage --test
//! kill`. `FLYMQ_KILL_CYCLES` sets the number of cycles (default 10).
#![allow(clippy::disallowed_methods, reason = "works on a real disk")]

mod appender;

use std::collections::HashMap;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use flymq_storage::{DataDir, DataDirOptions, IndexStrategy, Log, LogConfig, StorageError};
use flymq_types::{Offset, PartitionId, Rng, SeededRng, TopicId};

const TOPIC: TopicId = TopicId::from_bytes([0x4b; 16]);
const PARTITIONS: u32 = 2;
/// Small segments, so that kills hit rolls too.
const CONFIG: LogConfig = LogConfig {
    segment_bytes: 64 << 10,
    tail_cache_bytes: 16 << 10,
    index: IndexStrategy::SparseOffset { interval_bytes: 4096 },
    vital: false,
    producers: flymq_storage::ProducerLimits::DEFAULT,
};
const MAX_LINES: u64 = 300;

/// Value and promise by partition and offset.
type Acked = HashMap<(u32, u64), (String, String)>;

fn main() {
    let args: Vec<String> = std::env::args().collect();
    if let [_, mode, dir, cycle] = &args[..]
        && mode == "appender"
    {
        return appender::run(Path::new(dir), cycle);
    }
    let cycles = std::env::var("FLYMQ_KILL_CYCLES").ok().and_then(|n| n.parse().ok()).unwrap_or(10);
    let temp = tempfile::tempdir().expect("a temporary directory");
    let rng = SeededRng::new(9);
    let mut acked = Acked::new();
    for cycle in 0..cycles {
        run_and_kill(temp.path(), cycle, 1 + rng.next_u64() % MAX_LINES, &mut acked);
        assert_eq!(check(temp.path(), cycle, &acked), 0, "cycle {cycle}: a kill damages nothing");
    }
    println!("kill -9: {cycles} cycles, {} acknowledged, 0 lost, 0 offsets reused", acked.len());
}

/// Lets the appender acknowledge `lines` batches, kills it, and notes everything that it had said by then.
fn run_and_kill(dir: &Path, cycle: u64, lines: u64, acked: &mut Acked) {
    let mut child = Command::new(std::env::current_exe().expect("this program"))
        .args(["appender", &dir.to_string_lossy(), &cycle.to_string()])
        .stdout(Stdio::piped())
        .spawn()
        .expect("the appender starts");
    let mut output = BufReader::new(child.stdout.take().expect("its output is piped"));
    let mut line = String::new();
    let mut seen = 0;
    loop {
        line.clear();
        let read = output.read_line(&mut line).expect("its output can be read");
        if read == 0 || !line.ends_with('\n') {
            break; // The end, or a line that the kill cut off.
        }
        note(&line, acked);
        seen += 1;
        if seen == lines {
            child.kill().expect("it can be killed");
        }
    }
    let status = child.wait().expect("it has ended");
    assert!(seen >= lines, "the appender ended by itself after {seen} acknowledgements: {status}");
}

/// `partition offset value acks`
fn note(line: &str, acked: &mut Acked) {
    let mut words = line.split_whitespace();
    let mut number = || words.next().and_then(|word| word.parse::<u64>().ok()).expect("a number");
    let place = (u32::try_from(number()).expect("a partition"), number());
    let mut word = || words.next().expect("a word").to_owned();
    let (value, acks) = (word(), word());
    let before = acked.insert(place, (value.clone(), acks));
    assert!(before.is_none(), "offset {place:?} was acknowledged for {before:?} and for {value}");
}

/// Every acknowledged record must be there. Returns how many offsets are refused as damaged.
fn check(dir: &Path, cycle: u64, acked: &Acked) -> u64 {
    let data = DataDir::open(DataDirOptions::real(dir)).expect("the directory opens");
    let mut refused = 0;
    for partition in 0..PARTITIONS {
        let (log, report) = data.open_log(TOPIC, PartitionId(partition), CONFIG).expect("the log opens");
        assert!(report.damaged_files.is_empty() && report.moved.is_empty(), "cycle {cycle}: {report:?}");
        let stored = read_all(&log);
        refused += log.end_offset().get() - stored.len() as u64;
        for ((_, offset), (value, _)) in acked.iter().filter(|((p, _), _)| *p == partition) {
            let found = stored.get(offset);
            assert_eq!(found, Some(value), "cycle {cycle}: lost partition {partition} offset {offset}");
        }
    }
    refused
}

/// Every record that can be read, by offset; each must be whole as the appender made it.
fn read_all(log: &Log) -> HashMap<u64, String> {
    let (mut at, mut found) = (Offset::ZERO, HashMap::new());
    while at < log.end_offset() {
        let batches = match log.read(at, 1 << 20, Offset::MAX) {
            Ok(batches) => batches,
            Err(StorageError::Corrupt { end, .. }) => {
                at = end;
                continue;
            }
            Err(error) => panic!("{error}"),
        };
        for batch in batches {
            for record in batch.records().expect("not compressed") {
                let record = record.expect("a good record");
                let text = String::from_utf8_lossy(record.value.unwrap_or_default()).into_owned();
                let value = text.split('|').next().unwrap_or_default().to_owned();
                assert_eq!(text, appender::padded(&value), "a record that nobody sent");
                found.insert(record.offset, value);
            }
            at = batch.next_offset();
        }
    }
    found
}
