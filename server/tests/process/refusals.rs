//! Starts that are refused: each says what, why and what to do, and has an exit code of its own.

use std::{
    net::TcpListener,
    process::{Command, Output, Stdio},
};

use crate::broker::{Process, flymq, wait};

pub fn refused(command: &mut Command) -> (i32, String) {
    let mut child =
        command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("the binary is built");
    let status = wait(&mut child);
    let output: Output = child.wait_with_output().expect("it ended");
    (status.code().expect("no signal"), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn a_taken_port_names_its_variable() {
    let dir = tempfile::tempdir().expect("a directory");
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let addr = taken.local_addr().expect("bound").to_string();
    let (code, text) = refused(flymq(dir.path()).env("FLYMQ_GRPC_ADDR", &addr));
    assert_eq!(code, 4, "{text}");
    assert!(text.contains(&addr) && text.contains("FLYMQ_GRPC_ADDR"), "{text}");
    assert!(!dir.path().join("topics").exists(), "the data directory was not touched");
}

#[test]
fn a_second_broker_on_the_same_directory_is_refused() {
    let dir = tempfile::tempdir().expect("a directory");
    let first = Process::start(dir.path());
    let (code, text) = refused(&mut flymq(dir.path()));
    assert_eq!(code, 5, "{text}");
    assert!(text.contains(&first.ready["pid"].to_string()) && text.contains("FLYMQ_DATA_DIR"), "{text}");
}

#[test]
fn a_directory_that_cannot_be_made_is_refused() {
    let file = tempfile::NamedTempFile::new().expect("a file");
    let (code, text) = refused(&mut flymq(&file.path().join("data")));
    assert_eq!(code, 6, "{text}");
    assert!(text.contains("FLYMQ_DATA_DIR"), "{text}");
}

#[test]
fn damaged_metadata_refuses_to_start_and_stays_as_it_is() {
    let dir = tempfile::tempdir().expect("a directory");
    let broker = Process::start(dir.path());
    broker.produce("t", "v");
    broker.produce("u", "v");
    broker.crash();
    let log = dir.path().join("metadata/log");
    let mut bytes = std::fs::read(&log).expect("the metadata log");
    // Both copies of the first entry: the second topic's is whole behind them.
    let used = bytes.iter().rposition(|&b| b != 0).expect("entries");
    bytes[32..used / 2].iter_mut().for_each(|byte| *byte ^= 0xff);
    std::fs::write(&log, &bytes).expect("writable");
    let (code, text) = refused(&mut flymq(dir.path()));
    assert_eq!(code, 7, "{text}");
    assert!(text.contains("metadata") && text.contains("backup"), "{text}");
    assert_eq!(std::fs::read(&log).expect("still there"), bytes);
}

#[test]
fn protection_that_is_not_built_refuses_to_start() {
    let dir = tempfile::tempdir().expect("a directory");
    let (code, text) = refused(flymq(dir.path()).env("FLYMQ_AUTH_ENABLED", "true"));
    assert_eq!(code, 3, "{text}");
    assert!(text.contains("auth.enabled"), "{text}");
    let (code, text) = refused(flymq(dir.path()).env("FLYMQ_BIND_ADDR", ":0"));
    assert_eq!(code, 3, "{text}");
    assert!(text.contains("FLYMQ_ALLOW_INSECURE"), "{text}");
}

#[test]
fn the_command_line_answers() {
    let dir = tempfile::tempdir().expect("a directory");
    let run = |arguments: &[&str]| flymq(dir.path()).args(arguments).output().expect("it runs");
    let version = run(&["--version"]);
    assert_eq!(String::from_utf8_lossy(&version.stdout), format!("flymq {}\n", env!("CARGO_PKG_VERSION")));
    let show = run(&["config", "show"]);
    let text = String::from_utf8_lossy(&show.stdout);
    assert!(text.contains("node-1") && text.contains("env FLYMQ_NODE_ID"), "{text}");
    assert!(run(&["config", "check"]).status.success());
    assert_eq!(run(&["-confg"]).status.code(), Some(2));
}
