//! The process that is killed: it appends, and says so only when the promise of the acknowledgement holds.

use std::io::Write;
use std::path::Path;
use std::time::Duration;

use flymq_storage::{DataDir, DataDirOptions, Log, StorageError};
use flymq_types::{Acks, LeaderEpoch, PartitionId, RecordBatch, Timestamp};
use flymq_wire::batch::{BatchBuilder, NewRecord};

use super::{CONFIG, PARTITIONS, TOPIC};

/// Appends until it is killed, or until the disk fails: then it says why on stderr and ends with 3.
pub(crate) fn run(dir: &Path, cycle: &str) {
    let data = DataDir::open(DataDirOptions::real(dir)).expect("the directory opens");
    let logs: Vec<Log> = (0..PARTITIONS)
        .map(|p| data.open_log(TOPIC, PartitionId(p), CONFIG).expect("the log opens").0)
        .collect();
    std::thread::scope(|scope| {
        for (writer, acks) in [Acks::All, Acks::Leader, Acks::All].into_iter().enumerate() {
            let logs = &logs;
            scope.spawn(move || {
                let error = append_for_ever(logs, &format!("{cycle}.{writer}"), acks);
                eprintln!("writer {writer} stops: {error}");
                std::process::exit(3);
            });
        }
    });
}

fn append_for_ever(logs: &[Log], name: &str, acks: Acks) -> StorageError {
    let mut n = 0_u64;
    loop {
        let partition = (n % logs.len() as u64) as usize;
        let value = format!("{name}.{n}");
        if let Err(error) = append(&logs[partition], partition, &value, acks) {
            return error;
        }
        n += 1;
    }
}

fn append(log: &Log, partition: usize, value: &str, acks: Acks) -> Result<(), StorageError> {
    let done = log.append(&batch(padded(value).as_bytes()), LeaderEpoch(1), Timestamp(1_000))?;
    if acks == Acks::All {
        log.wait_durable(done.last_offset.plus(1), Duration::from_secs(30))?;
    }
    let mut out = std::io::stdout().lock();
    writeln!(out, "{partition} {} {value} {acks}", done.base_offset).expect("the parent reads");
    out.flush().expect("the parent reads");
    Ok(())
}

/// What is stored for `<cycle>.<writer>.<n>`: from a few bytes to more than the tail cache holds.
pub(crate) fn padded(value: &str) -> String {
    let n: usize = value.rsplit('.').next().and_then(|n| n.parse().ok()).unwrap_or(0);
    format!("{value}|{}", "x".repeat(n * 131 % 20_000))
}

fn batch(value: &[u8]) -> RecordBatch {
    let mut builder = BatchBuilder::new();
    let record = NewRecord { key: None, value: Some(value), timestamp: 5, expires_at: None };
    builder.push(&record).expect("a small record");
    RecordBatch::from_producer(builder.build().expect("one record")).expect("a good batch")
}
