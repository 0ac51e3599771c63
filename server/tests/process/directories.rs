//! Data directories that a start refuses: a sentence each, once, and not a byte is changed.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    process::Command,
};

use crate::{
    broker::{Process, flymq},
    refusals::refused,
};

/// Every file with its bytes and its time of change.
fn picture(dir: &Path) -> BTreeMap<PathBuf, (Vec<u8>, i64, i64)> {
    let mut all = BTreeMap::new();
    let mut open = vec![dir.to_owned()];
    while let Some(dir) = open.pop() {
        for entry in fs::read_dir(dir).expect("a directory") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                open.push(path);
            } else {
                let facts = fs::metadata(&path).expect("a file");
                all.insert(
                    path.clone(),
                    (fs::read(&path).expect("a file"), facts.mtime(), facts.mtime_nsec()),
                );
            }
        }
    }
    all
}

/// A directory with two topics in it, and no broker.
fn written() -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a directory");
    let broker = Process::start(dir.path());
    broker.produce("t", "v");
    broker.produce("u", "v");
    broker.wait_for_metric("flymq_disk_reserve_bytes", 1.0);
    broker.crash();
    dir
}

/// Refused with this code, in one sentence with these words, and nothing was written.
fn assert_refused(command: &mut Command, dir: &Path, code: i32, words: &[&str]) {
    let before = picture(dir);
    let (found, text) = refused(command);
    assert_eq!(found, code, "{text}");
    for word in words {
        assert!(text.contains(word), "{word:?} is not in: {text}");
    }
    assert_eq!(text.matches(words[0]).count(), 1, "told once: {text}");
    let after = picture(dir);
    let changed: Vec<_> = before.iter().filter(|(path, was)| after.get(*path) != Some(*was)).collect();
    let names: Vec<_> = changed.iter().map(|(path, _)| path).collect();
    assert!(changed.is_empty() && before.len() == after.len(), "changed: {names:?}, {text}");
}

#[test]
fn a_directory_of_a_later_version_is_left_alone() {
    let dir = written();
    let meta = dir.path().join("meta.json");
    let text = fs::read_to_string(&meta)
        .expect("it is there")
        .replace("\"format_version\": 1", "\"format_version\": 7");
    fs::write(&meta, text).expect("writable");
    fs::write(dir.path().join("topics/of-version-7"), "something new").expect("writable");
    let words = ["format version 7", "use a newer FlyMQ", "nothing was changed"];
    assert_refused(&mut flymq(dir.path()), dir.path(), 6, &words);
}

#[test]
fn a_directory_of_another_node_is_left_alone() {
    let dir = written();
    let mut other = flymq(dir.path());
    other.env("FLYMQ_NODE_ID", "node-2");
    assert_refused(&mut other, dir.path(), 6, &["belongs to node node-1", "node-2", "meta.json"]);
    // A node that was never named takes its host's name, which may change: it is let in.
    let mut unnamed = flymq(dir.path());
    unnamed.env_remove("FLYMQ_NODE_ID");
    assert_eq!(Process::run(&mut unnamed).values("t"), ["v"]);
}

#[test]
fn garbage_for_an_identity_is_left_alone() {
    let dir = written();
    let meta = dir.path().join("meta.json");
    let good = fs::read(&meta).expect("it is there");
    for bad in [&b""[..], b"{", b"\0\0\0\0", b"[]", b"{\"format_version\": 1}", &good[..good.len() / 2]] {
        fs::write(&meta, bad).expect("writable");
        assert_refused(
            &mut flymq(dir.path()),
            dir.path(),
            6,
            &["is damaged", "backup", "nothing was changed"],
        );
    }
    fs::remove_file(&meta).expect("it is there");
    assert_refused(&mut flymq(dir.path()), dir.path(), 6, &["is damaged", "missing", "backup"]);
    fs::write(&meta, good).expect("writable");
    assert_eq!(Process::start(dir.path()).values("t"), ["v"]);
}

#[test]
fn a_file_in_place_of_the_directory_is_left_alone() {
    let outer = tempfile::tempdir().expect("a directory");
    let file = outer.path().join("data");
    fs::write(&file, "mine").expect("writable");
    let words = ["is not a directory", "another data directory"];
    assert_refused(&mut flymq(&file), outer.path(), 6, &words);
    assert_refused(&mut flymq(&file.join("below")), outer.path(), 6, &words);
}

#[test]
fn a_file_in_place_of_the_topics_is_left_alone() {
    let dir = written();
    fs::rename(dir.path().join("topics"), dir.path().join("moved")).expect("it is there");
    fs::write(dir.path().join("topics"), "mine").expect("writable");
    let (code, text) = refused(&mut flymq(dir.path()));
    assert_eq!(code, 6, "{text}");
    assert!(text.contains("is not a directory"), "{text}");
    assert_eq!(fs::read_to_string(dir.path().join("topics")).expect("still there"), "mine");
}

#[test]
fn a_directory_of_another_user_is_refused() {
    let dir = tempfile::tempdir().expect("a directory");
    // As somebody who may read nothing here; needs root and setpriv, as containers' images have.
    let binary = env!("CARGO_BIN_EXE_flymq");
    let probe = ["--reuid=65534", "--regid=65534", "--clear-groups"];
    let readable = Command::new("setpriv").args(probe).arg(binary).arg("-version").output();
    if !readable.is_ok_and(|output| output.status.success()) {
        eprintln!("not run: needs root, setpriv, and a binary that others may run");
        return;
    }
    let mut command = Command::new("setpriv");
    command.args(probe).arg(binary).env_clear().env("FLYMQ_DATA_DIR", dir.path().join("data"));
    for addr in ["BIND", "GRPC", "METRICS", "HEALTH", "ADMIN"] {
        command.env(format!("FLYMQ_{addr}_ADDR"), "127.0.0.1:0");
    }
    assert_refused(&mut command, dir.path(), 6, &["no permission", "chown"]);
}

#[test]
fn metadata_of_a_later_version_is_left_alone() {
    let dir = written();
    let log = dir.path().join("metadata/log");
    let mut bytes = fs::read(&log).expect("it is there");
    bytes[8] = 9;
    let crc = crc32c::crc32c(&bytes[..28]);
    bytes[28..32].copy_from_slice(&crc.to_le_bytes());
    fs::write(&log, &bytes).expect("writable");
    let before = picture(&dir.path().join("metadata"));
    let (code, text) = refused(&mut flymq(dir.path()));
    assert_eq!(code, 7, "{text}");
    assert!(text.contains("format version 9") && text.contains("use a newer FlyMQ"), "{text}");
    assert_eq!(picture(&dir.path().join("metadata")), before);
}

#[test]
fn retention_that_cannot_be_meant_is_refused() {
    let dir = tempfile::tempdir().expect("a directory");
    for (variable, value) in [
        ("FLYMQ_RETENTION_MS", "-1"),
        ("FLYMQ_RETENTION_MS", "7 days or so"),
        ("FLYMQ_RETENTION_MS", "99999999999999999999"),
        ("FLYMQ_RETENTION_BYTES", "-5"),
        ("FLYMQ_RETENTION_BYTES", "1 parsec"),
        ("FLYMQ_SEGMENT_BYTES", "1"),
        ("FLYMQ_MIN_FREE_BYTES", "half"),
    ] {
        let (code, text) = refused(flymq(dir.path()).env(variable, value));
        assert_eq!(code, 3, "{text}");
        assert!(text.contains(variable) && text.contains(value), "{variable}={value}: {text}");
        assert_eq!(fs::read_dir(dir.path()).expect("a directory").count(), 0, "nothing was made");
    }
}
