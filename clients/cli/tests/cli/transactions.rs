//! txn, and who reads what of it.

use std::process::Command;

use crate::broker::{Broker, err, out, run};

/// A command that keeps its state in this directory.
fn with_state(broker: &Broker, dir: &tempfile::TempDir, args: &[&str]) -> Command {
    let mut command = broker.command(args);
    command.env("FLYMQ_STATE_FILE", dir.path().join("deep/state.json"));
    command
}

#[test]
fn messages_of_one_command_are_committed_together() {
    let broker = Broker::start();
    let said = broker.ok(&["txn", "orders", "one", "two", "--key", "k"]);
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines.len(), 3, "{said}");
    assert!(lines[0].starts_with("orders partition 0 offset 0") && lines[2] == "committed 2 messages");
    assert_eq!(broker.ok(&["consume", "orders", "--show-key"]), "[0] key=k: one\n[1] key=k: two\n");
    let stored = broker.json(&["txn", "orders", "three"]);
    assert_eq!((stored.len(), stored[0]["topic"].as_str()), (1, Some("orders")));
    assert!(broker.fails(&["txn", "orders"], 2).contains("MESSAGES"));
    assert!(broker.fails(&["txn", "..", "x"], 2).contains("topic"));
}

#[test]
fn steps_go_over_several_commands() {
    let broker = Broker::start();
    let dir = tempfile::tempdir().expect("a directory");
    let step = |args: &[&str]| {
        let output = run(with_state(&broker, &dir, args), "");
        (output.status.code(), out(&output), err(&output))
    };
    let (code, _, said) = step(&["txn", "commit"]);
    assert!(code == Some(2) && said.contains("txn begin"), "{said}");
    let (code, began, _) = step(&["txn", "begin", "--id", "mill"]);
    assert!(code == Some(0) && began.starts_with("began ") && began.trim_end().ends_with(".mill"), "{began}");
    let (code, _, said) = step(&["txn", "begin"]);
    assert!(code == Some(2) && said.contains("commit or abort"), "{said}");
    assert_eq!(step(&["txn", "produce", "a", "1", "2"]).0, Some(0));
    assert_eq!(step(&["txn", "produce", "b", "3", "-p", "0"]).1, "b partition 0 offset 0\n");
    let seen = |isolation: &str| broker.ok(&["consume", "a", "--isolation", isolation]);
    assert_eq!((seen("read_committed"), seen("read_uncommitted")), (String::new(), "1\n2\n".to_owned()));
    let tail = ["consume", "a", "--tail", "1", "--isolation", "read_uncommitted"];
    assert_eq!(broker.ok(&tail), "2\n");
    let subscribed = ["subscribe", "a", "--from", "earliest", "-n", "2", "--isolation", "read_uncommitted"];
    assert_eq!(broker.ok(&subscribed), "1\n2\n");
    assert!(step(&["txn", "commit"]).1.starts_with("committed "));
    assert_eq!(
        (broker.ok(&["consume", "a"]).as_str(), broker.ok(&["consume", "b"]).as_str()),
        ("1\n2\n", "3\n")
    );
    assert_eq!(step(&["txn", "commit"]).0, Some(2), "nothing is remembered any more");
}

#[test]
fn what_is_aborted_is_not_read_and_one_that_is_gone_is_forgotten() {
    let broker = Broker::start();
    let dir = tempfile::tempdir().expect("a directory");
    let step = |args: &[&str]| {
        let output = run(with_state(&broker, &dir, args), "");
        (output.status.code(), out(&output), err(&output))
    };
    assert_eq!(step(&["txn", "begin"]).0, Some(0));
    assert_eq!(step(&["txn", "produce", "a", "1"]).0, Some(0));
    assert!(step(&["txn", "abort"]).1.starts_with("aborted "));
    assert_eq!(broker.ok(&["consume", "a"]), "");
    assert_eq!(broker.ok(&["consume", "a", "--isolation", "read_uncommitted"]), "1\n");
    // Somebody else takes the name: this one is fenced, says so, and does not stand in the way of the next.
    assert_eq!(step(&["txn", "begin", "--id", "mill"]).0, Some(0));
    broker.ok(&["call", "InitProducer", r#"{"transactional_id": "mill"}"#]);
    let (code, _, said) = step(&["txn", "produce", "a", "2"]);
    assert!(code == Some(1) && said.contains("PRODUCER_FENCED"), "{said}");
    let (code, _, said) = step(&["txn", "commit"]);
    assert!(code == Some(1) && said.contains("PRODUCER_FENCED"), "{said}");
    assert_eq!(step(&["txn", "begin"]).0, Some(0));
    assert_eq!(step(&["-o", "json", "txn", "rollback"]).0, Some(0));
}
