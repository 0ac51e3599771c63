//! Encryption at rest, seen from outside: what stands in the files, and which starts are refused.

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde_json::{Value, json};

use crate::broker::{Process, flymq};
use crate::refusals::refused;

const KEY: &str = "c0ffee00112233445566778899aabbccddeeff00112233445566778899aabbcc";
const OTHER: &str = "0ddba11ab1e5eed00112233445566778899aabbccddeeff00112233445566778";

fn with(key: &str) -> [(&'static str, &str); 2] {
    [("FLYMQ_ENCRYPTION_ENABLED", "true"), ("FLYMQ_ENCRYPTION_KEY", key)]
}

fn files(dir: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).expect("readable") {
        let path = entry.expect("readable").path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if !path.ends_with("flymq.lock") {
            found.push((path.clone(), fs::read(&path).expect("readable")));
        }
    }
    found.sort();
    found
}

fn holds(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window.eq_ignore_ascii_case(text.as_bytes()))
}

fn files_with(dir: &Path, text: &str) -> Vec<PathBuf> {
    files(dir).into_iter().filter(|(_, bytes)| holds(bytes, text)).map(|(path, _)| path).collect()
}

/// Words in every place that a user can put one.
const CANARIES: [&str; 6] =
    ["canarykey", "canaryvalue", "canaryheader", "canarytopic", "canarygroup", "canarynote"];

fn write_canaries(broker: &Process, round: usize) {
    let record = json!({
        "key_text": format!("canarykey-{round}"),
        "value_text": format!("canaryvalue-{round}"),
        "headers": [{"name": "canaryheader", "value": "Y2FuYXJ5aGVhZGVy"}],
    });
    let body = json!({"acks": "ACKS_ALL", "partition": 0, "records": [record]});
    let (status, answer) = broker.rest("POST", "/api/v1/topics/canarytopic/records", &body);
    assert_eq!(status, 200, "{answer}");
    let commit =
        json!({"offsets": [{"topic": "canarytopic", "partition": 0, "offset": 1, "metadata": "canarynote"}]});
    let (status, answer) = broker.rest("POST", "/api/v1/consumer-groups/canarygroup/offsets", &commit);
    assert_eq!(status, 200, "{answer}");
}

#[test]
fn no_file_shows_what_a_user_wrote() {
    let dir = tempfile::tempdir().expect("a directory");
    for round in 0..3 {
        let broker = Process::start_with(dir.path(), &with(KEY));
        for i in 0..round {
            assert_eq!(broker.values("canarytopic")[i], format!("canaryvalue-{i}"));
        }
        write_canaries(&broker, round);
        broker.crash();
        assert!(files(dir.path()).len() > 8, "there are files to look at");
        for canary in CANARIES {
            assert_eq!(files_with(dir.path(), canary), Vec::<PathBuf>::new(), "{canary}");
        }
        assert_eq!(files_with(dir.path(), &KEY[..16]), Vec::<PathBuf>::new(), "the key itself");
    }
    // The same without encryption, so that this test can be seen to look in the right places.
    let plain = tempfile::tempdir().expect("a directory");
    let broker = Process::start(plain.path());
    write_canaries(&broker, 0);
    broker.crash();
    for canary in CANARIES {
        assert_ne!(files_with(plain.path(), canary), Vec::<PathBuf>::new(), "{canary}");
    }
}

#[test]
fn a_start_with_the_wrong_key_or_none_is_refused_and_changes_nothing() {
    let dir = tempfile::tempdir().expect("a directory");
    let broker = Process::start_with(dir.path(), &with(KEY));
    broker.produce("t", "kept");
    broker.crash();
    let before = files(dir.path());
    let start = |variables: &[(&str, &str)]| refused(flymq(dir.path()).envs(variables.iter().copied()));

    let (code, text) = start(&with(OTHER));
    assert_eq!(code, 8, "{text}");
    assert!(text.contains("wrong encryption key") && text.contains("FLYMQ_ENCRYPTION_OLD_KEYS"), "{text}");
    let (code, text) = start(&[]);
    assert_eq!(code, 8, "{text}");
    assert!(text.contains("FLYMQ_ENCRYPTION_ENABLED=true"), "{text}");
    let (code, text) = start(&[("FLYMQ_ENCRYPTION_KEY", KEY)]);
    assert_eq!(code, 8, "a key alone does not turn it on: {text}");
    let (code, text) = start(&[("FLYMQ_ENCRYPTION_ENABLED", "true")]);
    assert_eq!(code, 3, "{text}");
    assert!(text.contains("openssl rand -hex 32"), "{text}");
    for bad in [&KEY[1..], &KEY.replace('0', "x"), "short"] {
        let (code, text) = start(&with(bad));
        assert_eq!(code, 3, "{text}");
        assert!(text.contains("64 hex") && !text.contains(bad), "{text}");
    }
    assert!(files(dir.path()) == before, "nothing was changed");
    assert_eq!(Process::start_with(dir.path(), &with(KEY)).values("t"), ["kept"]);
}

#[test]
fn a_plain_directory_goes_on_encrypted() {
    let dir = tempfile::tempdir().expect("a directory");
    let broker = Process::start(dir.path());
    broker.produce("oldtopic", "plainvalue");
    broker.crash();
    let broker = Process::start_with(dir.path(), &with(KEY));
    broker.produce("oldtopic", "secretvalue");
    assert_eq!(broker.values("oldtopic"), ["plainvalue", "secretvalue"]);
    broker.crash();
    assert_eq!(files_with(dir.path(), "secretvalue"), Vec::<PathBuf>::new());
    assert_eq!(
        files_with(dir.path(), "plainvalue").len(),
        1,
        "what was there stays until retention removes it"
    );
    assert!(
        files_with(dir.path(), "oldtopic").iter().all(|path| !path.starts_with(dir.path().join("metadata"))),
        "metadata is encrypted at once"
    );
}

/// The key's text in no log line, no answer, no listing; not even where it is wrong or the broker refuses it.
#[test]
fn the_key_is_never_shown() {
    let dir = tempfile::tempdir().expect("a directory");
    let run = |key: &str, level: &str, arguments: &[&str]| {
        let output = flymq(dir.path())
            .envs(with(key))
            .env("FLYMQ_ENCRYPTION_OLD_KEYS", OTHER)
            .env("FLYMQ_LOG_LEVEL", level)
            .args(arguments)
            .output()
            .expect("it runs");
        [output.stdout, output.stderr].concat()
    };
    let mut shown = run(KEY, "info", &["config", "show"]);
    shown.extend(run(KEY, "info", &["config", "check"]));
    shown.extend(run(&format!("{KEY}00"), "debug", &[]));
    let broker = Process::start_with(
        dir.path(),
        &[&with(KEY)[..], &[("FLYMQ_ENCRYPTION_OLD_KEYS", OTHER), ("FLYMQ_LOG_LEVEL", "debug")]].concat(),
    );
    write_canaries(&broker, 0);
    let (status, config) = broker.rest("GET", "/api/v1/config", &Value::Null);
    assert_eq!(status, 200);
    let values = config["values"].as_array().expect("a list");
    let value =
        |key: &str| values.iter().find(|v| v["key"] == key).expect("every key is listed")["value"].clone();
    assert_eq!(value("security.encryption_key"), "***");
    assert_eq!(value("security.encryption_old_keys"), "***");
    shown.extend(config.to_string().bytes());
    shown.extend(broker.end_and_take_lines().bytes());
    assert!(shown.len() > 2_000 && holds(&shown, "ready"), "there is something to look at");
    for key in [KEY, OTHER] {
        for at in (0..64).step_by(16) {
            assert!(!holds(&shown, &key[at..at + 16]), "{}", String::from_utf8_lossy(&shown));
        }
    }
}

/// B41, rotation: `kill -9` in the middle of one, again and again, while records are written. None of them is ever
/// unreadable, and in the end the new key alone is enough.
#[test]
fn kill_9_in_the_middle_of_a_rotation_costs_no_record() {
    const CYCLES: usize = 10;
    let dir = tempfile::tempdir().expect("a directory");
    let mut written = Vec::new();
    let mut killed_inside = 0;
    for cycle in 0..CYCLES {
        let (current, old) = if cycle % 2 == 0 { (KEY, OTHER) } else { (OTHER, KEY) };
        let mut variables = with(current).to_vec();
        variables.push(("FLYMQ_SEGMENT_BYTES", "65536"));
        if cycle > 0 {
            variables.push(("FLYMQ_ENCRYPTION_OLD_KEYS", old));
        }
        let broker = Process::start_with(dir.path(), &variables);
        // Each fills a segment of its own; a kill after a different number of them each time.
        let records = if cycle == 0 { 60 } else { cycle * 7 % 10 };
        for _ in 0..records {
            let value = format!("{cycle}-{}-{}", written.len(), "x".repeat(50_000));
            assert_eq!(broker.produce("t", &value), written.len() as u64);
            written.push(value);
        }
        let older = broker.metric(r#"flymq_encryption_segments{state="older_key"}"#);
        killed_inside += usize::from(older.is_some_and(|older| older > 0.0));
        broker.crash();
        let broker = Process::start_with(dir.path(), &variables);
        assert!(broker.values("t") == written, "cycle {cycle}: a record is unreadable or changed");
        broker.crash();
    }
    let last = with(OTHER);
    let both = [&last[..], &[("FLYMQ_ENCRYPTION_OLD_KEYS", KEY)]].concat();
    let broker = Process::start_with(dir.path(), &both);
    let told = "the encryption key is rotated: FLYMQ_ENCRYPTION_OLD_KEYS is not needed any more";
    broker.said(told);
    broker.crash();
    let broker = Process::start_with(dir.path(), &last);
    assert!(broker.values("t") == written);
    broker.crash();
    assert_eq!(refused(flymq(dir.path()).envs(with(KEY))).0, 8, "the old key is of no use any more");
    println!(
        "B41 rotation: {CYCLES} kills, {killed_inside} seen inside a rotation, {} records, 0 unreadable",
        written.len()
    );
}
