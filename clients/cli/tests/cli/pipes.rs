//! Pipes and signals.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    process::Stdio,
};

use rustix::process::{Pid, Signal, kill_process};

use crate::broker::{Broker, cli, err, out, run};

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let broker = Broker::start();
    let many: String = (0..5_000).map(|n| format!("{n} {}\n", "x".repeat(100))).collect();
    run(broker.command(&["produce", "t"]), &many);
    let mut child = broker.command(&["consume", "t"]).spawn().expect("it runs");
    let mut line = String::new();
    // More than a pipe holds is still to come when the reader goes.
    BufReader::new(child.stdout.take().expect("piped")).read_line(&mut line).expect("a line");
    let output = child.wait_with_output().expect("it ends");
    assert!(line.starts_with("0 x"));
    assert_eq!((output.status.code(), err(&output).as_str()), (Some(0), ""), "as `| head -1`");
}

#[test]
fn ctrl_c_ends_a_subscription_and_commits_what_was_shown() {
    let broker = Broker::start();
    broker.ok(&["produce", "t", "shown"]);
    let mut child =
        broker.command(&["subscribe", "t", "--from", "earliest", "--group", "g"]).spawn().expect("it runs");
    let mut lines = BufReader::new(child.stdout.take().expect("piped"));
    let mut line = String::new();
    lines.read_line(&mut line).expect("the message");
    assert_eq!(line, "shown\n", "it shows a message at once, whoever reads");
    let pid = Pid::from_raw(i32::try_from(child.id()).expect("a pid")).expect("not 0");
    kill_process(pid, Signal::INT).expect("it runs");
    let mut rest = String::new();
    lines.read_to_string(&mut rest).expect("it ends");
    let output = child.wait_with_output().expect("it ends");
    assert_eq!((output.status.code(), rest.as_str(), err(&output).as_str()), (Some(0), "", ""));
    assert_eq!(broker.committed("g", "t"), Some(1));
}

#[test]
fn completion_scripts_parse() {
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let output = run(cli(&["completion", shell]), "");
        assert_eq!(output.status.code(), Some(0), "{shell}: {}", err(&output));
        assert!(out(&output).contains("flymq-cli"), "{shell}");
    }
    let script = out(&run(cli(&["completion", "bash"]), ""));
    let mut bash = std::process::Command::new("bash")
        .arg("-n")
        .stdin(Stdio::piped())
        .spawn()
        .expect("bash is installed");
    bash.stdin.take().expect("piped").write_all(script.as_bytes()).expect("it reads");
    assert!(bash.wait().expect("it ends").success());
}
