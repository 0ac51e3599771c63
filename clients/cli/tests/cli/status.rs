//! cluster, health, whoami, admin, call.

use std::time::{Duration, Instant};

use flymq_server::{Config, dev};

use crate::broker::{Broker, cli, err, out, run};

#[test]
fn the_server_tells_about_itself() {
    let broker = Broker::start();
    assert!(broker.ok(&["cluster"]).contains("Cluster:     "));
    assert!(broker.ok(&["cluster", "members"]).contains(&broker.addr()));
    assert!(broker.ok(&["health"]).starts_with("ok (node "));
    assert_eq!(broker.ok(&["health", "live"]), "live\n");
    assert_eq!(broker.ok(&["health", "ready"]), "ready\n");
    assert_eq!(broker.ok(&["whoami"]), "anonymous (not logged in)\n");
    assert!(broker.ok(&["admin"]).contains("flymq-cli admin"));
    assert!(broker.ok(&["admin", "stats"]).contains("topics"));
    assert!(broker.ok(&["admin", "config"]).contains("bind_addr"));
}

#[test]
fn each_answer_can_be_json() {
    let broker = Broker::start();
    for (args, field) in [
        (&["cluster"][..], "cluster_id"),
        (&["cluster", "members"], "members"),
        (&["health"], "ready"),
        (&["health", "live"], "live"),
        (&["whoami"], "authenticated"),
        (&["admin"], "commands"),
        (&["admin", "stats"], "topics"),
        (&["admin", "config"], "values"),
        (&["groups", "list"], "groups"),
        (&["call", "GetHealth"], "status"),
    ] {
        let answer = broker.json(args);
        assert_eq!(answer.len(), 1, "{args:?}");
        assert!(!answer[0][field].is_null(), "{args:?}: {}", answer[0]);
    }
}

#[test]
fn auth_needs_credentials_and_asks_the_server() {
    let broker = Broker::start();
    let usage = broker.fails(&["auth"], 2);
    assert!(usage.contains("--username"), "{usage}");
    // The server has no logins yet, and says so itself.
    let refused = broker.fails(&["auth", "--username", "admin", "--password", "secret"], 1);
    assert!(refused.contains("UNIMPLEMENTED"), "{refused}");
}

/// A broker without cluster says what is missing; what was typed wrong is told before it is asked.
#[test]
fn cluster_commands_need_a_cluster() {
    let broker = Broker::start();
    for args in [
        &["cluster", "drain", "node-1"][..],
        &["cluster", "remove", "node-1"],
        &["cluster", "balance"],
        &["cluster", "token"],
        &["cluster", "join"],
        &["cluster", "reassign", "t", "0=node-1"],
    ] {
        let refused = broker.fails(args, 1);
        assert!(refused.contains("FLYMQ_ROLE=bootstrap"), "{args:?}: {refused}");
        assert!(refused.contains("FEATURE_DISABLED"), "{args:?}: {refused}");
    }
    let usage = broker.fails(&["cluster", "reassign", "t", "0:node-1"], 2);
    assert!(usage.contains("0=node-1,node-2,node-3"), "{usage}");
    assert!(broker.ok(&["cluster", "members"]).contains("CLUSTER ADDRESS"));
}

/// Two of three nodes are gone: whoever asks the third is told that it knows how things were.
#[test]
fn what_a_node_without_a_majority_knows_is_told_to_be_old() {
    let runtime = tokio::runtime::Runtime::new().expect("threads");
    let data = tempfile::tempdir().expect("a directory");
    let started = dev::start(3, Config::embedded(data.path()), Some(data.path()));
    let mut cluster = runtime.block_on(started).expect("it starts");
    let third = cluster.nodes.pop().expect("three nodes");
    let asked = |args: &[&str]| {
        run(
            {
                let mut command = cli(args);
                command.env("FLYMQ_ADDR", third.native_addr().to_string());
                command
            },
            "",
        )
    };
    assert!(!out(&asked(&["cluster", "status"])).contains("Warning"), "all are there");
    for node in cluster.nodes.drain(..).rev() {
        runtime.block_on(node.shutdown());
    }
    let give_up = Instant::now() + Duration::from_secs(60);
    loop {
        let status = asked(&["cluster", "status"]);
        let first = out(&status).lines().next().unwrap_or_default().to_owned();
        if first.starts_with("Warning:") && first.contains("no majority of the metadata group") {
            break;
        }
        assert!(Instant::now() < give_up, "{} {}", out(&status), err(&status));
        std::thread::sleep(Duration::from_millis(50));
    }
    let members = asked(&["cluster", "members"]);
    assert!(
        err(&members).starts_with("warning:") && out(&members).contains("CLUSTER ADDRESS"),
        "{}",
        err(&members)
    );
    runtime.block_on(third.shutdown());
}
