//! Files that are missing, empty or cut off after a crash, each kind in turn (B14): the broker starts and serves what is
//! whole, with the rest as a named gap, or refuses in a sentence; it never serves other bytes than were written.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::{Value, json};

use crate::{
    broker::{Process, flymq},
    refusals::refused,
};

const RECORDS: usize = 24;

fn value(n: usize) -> String {
    format!("{n:04}").repeat(4_000)
}

fn command(dir: &Path) -> Command {
    let mut command = flymq(dir);
    command.env("FLYMQ_SEGMENT_BYTES", "65536");
    command
}

/// A directory with several segments, a committed offset, and no broker. It was stopped in order: the durable mark, which
/// follows the records within a second, has come to their end.
fn written() -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a directory");
    let mut broker = Process::run(&mut command(dir.path()));
    for n in 0..RECORDS {
        assert_eq!(broker.produce("t", &value(n)), n as u64);
    }
    let commit = json!({"offsets": [{"topic": "t", "partition": 0, "offset": 5}]});
    assert_eq!(broker.rest("POST", "/api/v1/consumer-groups/g/offsets", &commit).0, 200);
    broker.signal("TERM");
    assert!(broker.exit().success());
    dir
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("writable");
    for entry in fs::read_dir(from).expect("a directory") {
        let entry = entry.expect("an entry");
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else if entry.file_name() != "reserve" {
            fs::copy(entry.path(), target).expect("a file");
        }
    }
}

/// The directory of topic `t`'s only partition: the one with the most segments.
fn partition(dir: &Path) -> PathBuf {
    let topics = fs::read_dir(dir.join("topics")).expect("topics");
    let partitions = topics.map(|topic| topic.expect("an entry").path().join("0"));
    partitions.max_by_key(|dir| segments(dir).len()).expect("a topic")
}

fn segments(partition: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(partition) else { return Vec::new() };
    let mut all: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
    all.retain(|path| path.extension().is_some_and(|end| end == "log"));
    all.sort();
    all
}

#[derive(Debug, Clone, Copy)]
enum Injury {
    Missing,
    Empty,
    Half,
}

impl Injury {
    const ALL: [Self; 3] = [Self::Missing, Self::Empty, Self::Half];

    fn inflict(self, path: &Path) {
        let len = fs::metadata(path).expect("it is there").len();
        let cut = |len| fs::File::options().write(true).open(path).and_then(|file| file.set_len(len));
        match self {
            Self::Missing => fs::remove_file(path).expect("it is there"),
            Self::Empty => cut(0).expect("writable"),
            Self::Half => cut(len / 2).expect("writable"),
        }
    }
}

/// Reads all that there is, going on behind each named gap; returns how many records were served.
fn served(broker: &Process, what: &str) -> usize {
    let (mut at, mut count) = (0, 0);
    loop {
        let path = format!("/api/v1/topics/t/partitions/0/records?text=true&offset={at}&max_records=100");
        let (status, answer) = broker.rest("GET", &path, &Value::Null);
        if status != 200 {
            assert_eq!(answer["error"]["code"], "CORRUPT_DATA", "{what}: {answer}");
            let end = answer["error"]["metadata"]["end"].as_str().and_then(|end| end.parse::<u64>().ok());
            let end = end.unwrap_or_else(|| panic!("{what}: the gap has no end: {answer}"));
            assert!(end > at, "{what}: {answer}");
            at = end;
            continue;
        }
        let records = answer["records"].as_array().expect("a list");
        if records.is_empty() {
            return count;
        }
        for record in records {
            let offset = record["offset"].as_u64().expect("an offset");
            assert!(record["value_text"] == value(offset as usize), "{what}: wrong bytes at {offset}");
            at = offset + 1;
            count += 1;
        }
    }
}

#[test]
fn every_file_of_a_log_may_be_missing_empty_or_cut() {
    let base = written();
    let all = segments(&partition(base.path()));
    assert!(all.len() >= 4, "{all:?}");
    let (first, middle, last) = (&all[0], &all[all.len() / 2], &all[all.len() - 1]);
    let index = |segment: &Path| segment.with_extension("index");
    let dir = partition(base.path());
    let files = [
        (first.clone(), false),
        (middle.clone(), false),
        (last.clone(), false),
        (index(first), true),
        (index(last), true),
        (dir.join("checkpoint"), true),
        (dir.join("epochs"), true),
    ];
    for (file, rebuilt) in files {
        for injury in Injury::ALL {
            let name = file.file_name().expect("a name").to_string_lossy().into_owned();
            let what = format!("{name} {injury:?}");
            let copied = tempfile::tempdir().expect("a directory");
            copy(base.path(), copied.path());
            let target = copied.path().join(file.strip_prefix(base.path()).expect("inside"));
            if !target.exists() {
                assert!(rebuilt, "{what}: no such file");
                continue;
            }
            injury.inflict(&target);
            let broker = Process::run(&mut command(copied.path()));
            let count = served(&broker, &what);
            if rebuilt {
                assert_eq!(count, RECORDS, "{what}: nothing but the log counts");
            } else {
                assert!((RECORDS / 2..RECORDS).contains(&count), "{what}: {count} are left");
            }
            let next = broker.produce("t", &value(RECORDS)) as usize;
            assert_eq!(next, RECORDS, "{what}: no offset is given out twice");
            broker.crash();
        }
    }
}

#[test]
fn the_files_of_the_directory_are_refused_or_made_again() {
    let base = written();
    for (file, code) in [("flymq.lock", None), ("meta.json", Some(6)), ("metadata/log", Some(7))] {
        for injury in Injury::ALL {
            let what = format!("{file} {injury:?}");
            let copied = tempfile::tempdir().expect("a directory");
            copy(base.path(), copied.path());
            injury.inflict(&copied.path().join(file));
            match code {
                None => {
                    let broker = Process::run(&mut command(copied.path()));
                    assert_eq!(served(&broker, &what), RECORDS, "{what}");
                }
                // Zeros behind the entries are no loss.
                Some(7) if matches!(injury, Injury::Half) => {
                    let broker = Process::run(&mut command(copied.path()));
                    assert_eq!(served(&broker, &what), RECORDS, "{what}");
                }
                Some(code) => {
                    let (found, text) = refused(&mut command(copied.path()));
                    assert_eq!(found, code, "{what}: {text}");
                    assert!(text.contains("backup"), "{what}: {text}");
                }
            }
        }
    }
}
