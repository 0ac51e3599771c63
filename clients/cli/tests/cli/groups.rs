//! groups: list, describe, lag, reset, delete.

use crate::broker::Broker;

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
    assert_eq!(broker.ok(&["groups", "reset", "g", "t", "--to", "1"]), "offsets set\n");
    assert_eq!(broker.committed("g", "t"), Some(1));
    broker.ok(&["groups", "reset", "g", "t", "--to", "latest"]);
    assert_eq!(broker.committed("g", "t"), Some(3));
    broker.ok(&["groups", "reset", "g", "t"]);
    assert_eq!(broker.committed("g", "t"), Some(0));
    assert!(broker.fails(&["groups", "reset", "g", "t", "--to", "soon"], 2).contains("earliest, latest"));
    assert_eq!(broker.ok(&["groups", "delete", "g"]), "deleted group g\n");
    assert!(broker.fails(&["groups", "describe", "g"], 1).contains("group not found: g"));
}
