//! kill -9: a process that appends is killed again and again; nothing that it said was safe may be missing, and no
//! offset may ever be given out twice.
//!
//! The test starts itself as the appending process (`appender <dir> <cycle>`), reads a random number of its
//! acknowledgements, and kills it in the middle of its work. It is its own harness: `cargo test -p flymq-storage --test
//! kill`. `FLYMQ_KILL_CYCLES` sets the number of cycles (default 25).
#![allow(clippy::disallowed_methods, reason = "works on a real disk")]

mod appender;

use std::collections::HashMap;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use flymq_storage::{DataDir, DataDirOptions, Log, LogConfig};
use flymq_types::{Offset, PartitionId, Rng, SeededRng, TopicId};

const TOPIC: TopicId = TopicId::from_bytes([0x4b; 16]);
const PARTITIONS: u32 = 2;
/// Small segments, so that kills hit rolls too.
const CONFIG: LogConfig = LogConfig { segment_bytes: 64 << 10, tail_cache_bytes: 16 << 10 };
const MAX_LINES: u64 = 300;

type Acked = HashMap<(u32, u64), String>;

fn main() {
    let args: Vec<String> = std::env::args().collect();
    if let [_, mode, dir, cycle] = &args[..]
        && mode == "appender"
    {
        return appender::run(Path::new(dir), cycle);
    }
    let cycles = std::env::var("FLYMQ_KILL_CYCLES").ok().and_then(|n| n.parse().ok()).unwrap_or(25);
    let temp = tempfile::tempdir().expect("a temporary directory");
    let rng = SeededRng::new(9);
    let mut acked = Acked::new();
    for cycle in 0..cycles {
        run_and_kill(temp.path(), cycle, 1 + rng.next_u64() % MAX_LINES, &mut acked);
        check(temp.path(), cycle, &acked);
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

/// `partition offset value`
fn note(line: &str, acked: &mut Acked) {
    let mut words = line.split_whitespace();
    let mut number = || words.next().and_then(|word| word.parse::<u64>().ok()).expect("a number");
    let place = (u32::try_from(number()).expect("a partition"), number());
    let value = words.next().expect("a value").to_owned();
    let before = acked.insert(place, value.clone());
    assert!(before.is_none(), "offset {place:?} was acknowledged for {before:?} and for {value}");
}

fn check(dir: &Path, cycle: u64, acked: &Acked) {
    let data = DataDir::open(DataDirOptions::real(dir)).expect("the directory opens");
    for partition in 0..PARTITIONS {
        let (log, report) = data.open_log(TOPIC, PartitionId(partition), CONFIG).expect("the log opens");
        assert!(!report.has_damage(), "cycle {cycle}: {report:?}");
        let stored = read_all(&log);
        let mine = acked.iter().filter(|((p, _), _)| *p == partition);
        for ((_, offset), value) in mine {
            let found = usize::try_from(*offset).ok().and_then(|at| stored.get(at));
            assert_eq!(found, Some(value), "cycle {cycle}: lost partition {partition} offset {offset}");
        }
    }
}

fn read_all(log: &Log) -> Vec<String> {
    let (mut at, mut found) = (Offset::ZERO, Vec::new());
    while at < log.end_offset() {
        for batch in log.read(at, 1 << 20, Offset::MAX).expect("everything can be read") {
            for record in batch.records().expect("not compressed") {
                let record = record.expect("a good record");
                let text = String::from_utf8_lossy(record.value.unwrap_or_default());
                found.push(text.split('|').next().unwrap_or_default().to_owned());
            }
            at = batch.next_offset();
        }
    }
    found
}
