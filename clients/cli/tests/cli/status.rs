//! cluster, health, whoami, admin, call.

use crate::broker::Broker;

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
