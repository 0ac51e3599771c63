//! log inspect, log verify, index stats, index rebuild: on a real data directory, whole and damaged, beside a broker
//! and without one.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::broker::{Broker, cli, err, out, run};

fn files(dir: &Path, kind: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).expect("a directory") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(files(&path, kind));
        } else if path.extension().is_some_and(|extension| extension == kind) {
            found.push(path);
        }
    }
    found.sort();
    found
}

fn bytes_of(dir: &Path) -> Vec<Vec<u8>> {
    let all = ["log", "index", "json", "lock"].into_iter().flat_map(|kind| files(dir, kind));
    all.map(|path| std::fs::read(path).expect("readable")).collect()
}

/// Exit code, standard output and error of the tool on `path`.
fn tool(args: &[&str], path: &Path) -> (Option<i32>, String, String) {
    let path = path.to_str().expect("text");
    let output = run(cli(&[args, &[path]].concat()), "");
    (output.status.code(), out(&output), err(&output))
}

fn flip(path: &Path, at: usize) {
    let mut bytes = std::fs::read(path).expect("readable");
    bytes[at] ^= 0x10;
    std::fs::write(path, bytes).expect("written");
}

/// A directory with the records 0 to 29 of topic `t` in single batches, its broker gone.
fn stopped() -> tempfile::TempDir {
    let mut broker = Broker::start();
    for i in 0..30 {
        broker.ok(&["produce", "t", &format!("message {i}"), "--key", "k", "--acks", "all"]);
    }
    broker.stop()
}

#[test]
fn a_whole_directory_verifies_and_is_left_as_it_was() {
    let data = stopped();
    let before = bytes_of(data.path());
    let (code, text, error) = tool(&["log", "verify"], data.path());
    assert_eq!((code, error.as_str()), (Some(0), ""), "{text}");
    assert!(text.contains("30 batches, 30 records"), "{text}");
    let (code, text, _) = tool(&["log", "inspect"], data.path());
    assert_eq!(code, Some(0));
    let row: Vec<&str> = text.lines().nth(1).expect("a row").split_whitespace().collect();
    assert_eq!(row[1..4], ["0", "30", "30"], "{text}");
    assert!(before == bytes_of(data.path()), "nothing was written");
}

#[test]
fn batches_and_records_of_a_segment_are_shown() {
    let data = stopped();
    let segment = &files(data.path(), "log")[0];
    let (_, text, _) = tool(&["log", "inspect", "--records", "--offset", "3", "-n", "2"], segment);
    assert_eq!(text.lines().count(), 4, "{text}");
    assert!(
        text.contains("offsets 3-3") && text.contains("crc good") && text.contains("key=k: message 4"),
        "{text}"
    );
    let (_, text, _) = tool(&["-o", "json", "log", "inspect", "-n", "1"], segment);
    let batch: Value = serde_json::from_str(text.trim()).expect("JSON");
    assert_eq!((&batch["base_offset"], &batch["payload"]), (&0.into(), &"good".into()), "{batch}");
}

#[test]
fn damage_is_named_by_its_offsets() {
    let data = stopped();
    let segment = &files(data.path(), "log")[0];
    let (_, text, _) = tool(&["-o", "json", "log", "inspect", "-n", "8"], segment);
    let batch: Value = serde_json::from_str(text.lines().nth(7).expect("a batch")).expect("JSON");
    let at = usize::try_from(batch["position"].as_u64().expect("a number")).expect("small");
    flip(segment, at + 100);
    let (code, text, error) = tool(&["log", "verify"], data.path());
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("damage: ") && text.contains("offsets 7 to 7: the payload"), "{text}");
    assert!(error.contains("damage in 1 places"), "{error}");
    let (code, text, _) = tool(&["-o", "json", "log", "verify"], data.path());
    let report: Value = serde_json::from_str(text.trim()).expect("JSON");
    assert_eq!((code, &report["findings"][0]["offsets"][0]), (Some(1), &7.into()), "{report}");
}

#[test]
fn indexes_are_measured_and_made_again() {
    let data = stopped();
    let index = &files(data.path(), "index")[0];
    flip(index, 64 + 9);
    let (code, text, _) = tool(&["index", "stats", "--data-dir"], data.path());
    let row: Vec<&str> = text.lines().nth(1).expect("a row").split_whitespace().collect();
    assert_eq!((code, row[1], row[row.len() - 2]), (Some(0), "yes", "1"), "{text}");
    let (code, text, _) = tool(&["index", "rebuild", "--strategy", "dense"], data.path());
    assert_eq!((code, text.as_str()), (Some(0), "made 1 index anew\n"));
    let (_, text, _) = tool(&["-o", "json", "index", "stats", "--data-dir"], data.path());
    let stats: Value = serde_json::from_str(text.lines().next().expect("a line")).expect("JSON");
    assert_eq!((&stats["entries"], &stats["damaged"]), (&30.into(), &0.into()), "{stats}");
}

#[test]
fn beside_a_running_broker_it_looks_and_does_not_touch() {
    let broker = Broker::start();
    broker.ok(&["produce", "t", "x", "--acks", "all"]);
    let (code, text, _) = tool(&["log", "verify"], broker.data());
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains(&format!("process id {} works here now", std::process::id())), "{text}");
    let (code, _, error) = tool(&["index", "rebuild"], broker.data());
    assert_eq!(code, Some(1));
    assert!(error.contains("is in use by process"), "{error}");
    let stats = broker.ok(&["index", "stats", "t"]);
    assert!(
        stats.lines().nth(1).is_some_and(|row| row.contains("sparse") && row.contains("1 of 1")),
        "{stats}"
    );
}

#[test]
fn what_is_no_data_directory_is_refused() {
    let dir = tempfile::tempdir().expect("a directory");
    let (code, _, error) = tool(&["log", "verify"], dir.path());
    assert_eq!(code, Some(2));
    assert!(error.contains("is no data directory"), "{error}");
    let (code, _, error) = tool(&["log", "inspect"], &dir.path().join("nothing"));
    assert_eq!(code, Some(2));
    assert!(error.contains("does not exist"), "{error}");
}
