//! groups: list, describe, lag, reset, delete.

use std::{
    collections::BTreeSet,
    io::{BufRead as _, BufReader},
    process::Stdio,
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::broker::{Broker, out, run};

#[test]
fn a_group_is_shown_moved_and_deleted() {
    let broker = Broker::start();
    assert_eq!(broker.json(&["groups", "list"])[0]["groups"], serde_json::json!([]));
    for value in ["a", "b", "c"] {
        broker.ok(&["produce", "t", value]);
    }
    broker.ok(&["subscribe", "t", "--from", "earliest", "--group", "g", "-n", "2"]);
    assert!(broker.ok(&["groups", "list"]).lines().any(|line| line.trim_start().starts_with("g ")));
    assert!(broker.ok(&["group", "describe", "g"]).contains("Group:       g\n"));
    assert_eq!(broker.json(&["groups", "lag", "g"])[0]["total"], 1);
    let table = broker.ok(&["groups", "reset", "g", "t", "--to", "1"]);
    assert!(
        table.contains("BEGINS AT") && table.lines().any(|line| line.trim_end().ends_with(" 1")),
        "{table}"
    );
    assert_eq!(broker.committed("g", "t"), Some(1));
    broker.ok(&["groups", "reset", "g", "t", "--to", "latest"]);
    assert_eq!(broker.committed("g", "t"), Some(3));
    broker.ok(&["groups", "reset", "g", "t"]);
    assert_eq!(broker.committed("g", "t"), Some(0));
    let table = broker.ok(&["groups", "lag", "g"]);
    assert!(table.contains("OLDEST") && table.lines().any(|line| line.trim_end().ends_with('s')), "{table}");
    broker.ok(&["groups", "reset", "g", "t", "--to", "2100-01-01T00:00:00Z"]);
    assert_eq!(broker.committed("g", "t"), Some(3), "nothing is of then or later");
    broker.ok(&["groups", "reset", "g", "t", "--to", "2000-01-01T00:00:00Z", "-p", "0"]);
    assert_eq!(broker.committed("g", "t"), Some(0), "everything is");
    assert!(broker.fails(&["groups", "reset", "g", "t", "--to", "soon"], 2).contains("earliest, latest"));
    broker.ok(&["produce", "other", "a"]);
    broker.ok(&["groups", "reset", "g", "other"]);
    let deleted = broker.ok(&["groups", "delete", "g", "--topic", "t"]);
    assert_eq!(deleted, "deleted the offsets of group g on t\n");
    assert_eq!(broker.committed("g", "other"), Some(0));
    assert_eq!(broker.ok(&["groups", "delete", "g"]), "deleted group g\n");
    assert!(broker.fails(&["groups", "describe", "g"], 1).contains("group not found: g"));
}

/// What two programs of one group were shown, each by its lines.
#[test]
fn two_subscribers_of_a_group_share_the_partitions() {
    let broker = Broker::start();
    broker.ok(&["topic", "create", "shared/t", "--partitions", "6"]);
    let subscribe = || {
        let args = ["subscribe", "shared/+", "--from", "earliest", "--group", "g"];
        let mut command = broker.command(&args);
        command.stdout(Stdio::piped()).spawn().expect("it runs")
    };
    let mut programs = [subscribe(), subscribe()];
    let shared = |reply: &Value| {
        let members = reply["members"].as_array().expect("a list");
        let counts = members.iter().map(|member| {
            let topics = member["assignment"].as_array().map_or(&[][..], Vec::as_slice);
            topics.iter().map(|of| of["partitions"].as_array().map_or(0, Vec::len)).sum::<usize>()
        });
        reply["state"] == "GROUP_STATE_STABLE" && counts.collect::<Vec<_>>() == [3, 3]
    };
    let give_up = Instant::now() + Duration::from_secs(60);
    loop {
        let described = run(broker.command(&["-o", "json", "groups", "describe", "g"]), "");
        if described.status.success() && shared(&serde_json::from_str(&out(&described)).expect("a document"))
        {
            break;
        }
        assert!(Instant::now() < give_up, "{}", out(&described));
    }
    let table = broker.ok(&["groups", "describe", "g"]);
    assert!(table.contains("Members:     2\n") && table.contains("flymq-cli"), "{table}");
    let values: BTreeSet<String> = (0..30).map(|number| format!("v{number}")).collect();
    for (number, value) in values.iter().enumerate() {
        broker.ok(&["produce", "shared/t", value, "--partition", &(number % 6).to_string()]);
    }
    let mut shown = programs
        .each_mut()
        .map(|program| {
            let lines = BufReader::new(program.stdout.take().expect("piped")).lines().take(15);
            std::thread::spawn(move || lines.map_while(Result::ok).collect::<Vec<_>>())
        })
        .map(|lines| lines.join().expect("lines"));
    for mut program in programs {
        program.kill().expect("it runs");
        program.wait().expect("it ran");
    }
    assert_eq!(shown.each_ref().map(Vec::len), [15, 15]);
    let all: BTreeSet<String> = shown.iter_mut().flat_map(std::mem::take).collect();
    assert_eq!(all, values, "each message is shown once");
}

/// Whoever follows a topic goes on when its broker was restarted.
#[test]
fn a_subscription_outlives_a_restart_of_its_broker() {
    let mut broker = Broker::start();
    broker.ok(&["create", "t"]);
    let subscribe = ["subscribe", "t", "--group", "g", "--from", "earliest", "--count", "2"];
    let mut program = broker
        .command(&subscribe)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program is built");
    let mut shown = BufReader::new(program.stdout.take().expect("piped")).lines();
    let mut said = BufReader::new(program.stderr.take().expect("piped")).lines();
    broker.ok(&["produce", "t", "before"]);
    assert_eq!(shown.next().expect("a line").expect("text"), "before");
    broker.restart_after(|| {
        let warning = said.next().expect("a line").expect("text");
        assert!(warning.starts_with("warning: ") && warning.contains("trying again"), "{warning}");
    });
    broker.ok(&["produce", "t", "after"]);
    assert_eq!(shown.next().expect("a line").expect("text"), "after");
    assert!(program.wait().expect("it ran").success());
}

#[test]
fn a_queue_hands_out_each_message_and_takes_its_answer() {
    let broker = Broker::start();
    for value in ["a", "b", "c"] {
        broker.ok(&["produce", "jobs", value, "--key", "k"]);
    }
    let queue =
        |more: &[&str]| broker.ok(&[&["queue", "jobs", "--group", "g", "--idle", "1"], more].concat());
    assert_eq!(
        queue(&["-n", "2", "--answer", "release", "--show-key"]),
        "[0] key=k (1): a\n[1] key=k (1): b\n"
    );
    assert_eq!(queue(&["-n", "1"]), "a\n");
    assert_eq!(queue(&["-n", "1", "--answer", "reject", "--reason", "no use"]), "b\n");
    let nack = ["--answer", "nack", "--max-retries", "1", "--retry-delay", "0", "--ordered", "--show-key"];
    assert_eq!(queue(&nack), "[2] key=k (1): c\n[2] key=k (2): c\n", "it comes again once");
    assert_eq!(queue(&[]), "", "each has its end");
    let letters = broker.ok(&["dlq", "list", "jobs"]);
    assert_eq!(
        (letters.contains("no use"), letters.matches("\"origin_offset\"").count()),
        (true, 2),
        "{letters}"
    );
    broker.ok(&["produce", "jobs", "d"]);
    let shown = broker.json(&["queue", "jobs", "--group", "g", "-n", "1"]);
    assert_eq!((shown[0]["value"].as_str(), shown[0]["delivery_count"].as_u64()), (Some("d"), Some(1)));
    assert!(broker.fails(&["queue", "jobs"], 2).contains("--group"));
    assert!(broker.fails(&["queue", "jobs", "--group", "g", "--answer", "release"], 2).contains("--count"));
    assert!(broker.fails(&["queue", "nope", "--group", "g"], 1).contains("TOPIC_NOT_FOUND"));
    assert!(broker.fails(&["queue", "jobs", "--group", "g", "--lock", "901"], 2).contains("900"));
}

/// What a command that fails had taken is nobody's failure: others get it at once, as often delivered as before.
#[test]
fn a_queue_command_that_fails_gives_back_what_it_holds() {
    let broker = Broker::start();
    for value in ["a", "b"] {
        broker.ok(&["produce", "jobs", value]);
    }
    let queue = ["queue", "jobs", "--group", "g", "--idle", "1"];
    broker.fails(&[&queue[..], &["--decoder", "avro"]].concat(), 2);
    let left = broker.ok(&[&queue[..], &["--show-key"]].concat());
    assert_eq!(left, "[0] key=null (1): a\n[1] key=null (1): b\n");
}
