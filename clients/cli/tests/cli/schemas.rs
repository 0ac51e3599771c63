//! schema.

use crate::broker::Broker;

const USER: &str = r#"{"type":"object","properties":{"name":{"type":"string"}},"required":["name"]}"#;

#[test]
fn schemas_are_registered_listed_and_deleted() {
    let broker = Broker::start();
    assert_eq!(broker.ok(&["schema", "register", "user", "json", USER]), "user-v1  json  id 1  backward\n");
    assert_eq!(broker.ok(&["schema", "list"]), "user-v1  json  id 1  backward\n");
    assert_eq!(broker.ok(&["schema", "get", "user"]), format!("{USER}\n"));
    assert_eq!(broker.ok(&["schema", "get", "--id", "1"]), format!("{USER}\n"));
    assert_eq!(broker.ok(&["schema", "validate", "user", r#"{"name":"a"}"#]), "valid\n");
    assert!(broker.fails(&["schema", "validate", "user", "{}"], 1).contains("does not match"));
    assert!(
        broker
            .fails(&["schema", "register", "user", "json", r#"{"type":"string"}"#], 1)
            .contains("not compatible")
    );
    assert_eq!(broker.ok(&["schema", "compatibility", "none", "user"]), "user: none\n");
    assert_eq!(
        broker.ok(&["schema", "register", "user", "json", r#"{"type":"string"}"#]),
        "user-v2  json  id 2  none\n"
    );
    let part = r#"{"properties":{"u":{"$ref":"user.json"}}}"#;
    broker.ok(&["schema", "register", "team", "json", part, "--reference", "user.json=user:1"]);
    assert!(broker.fails(&["schema", "delete", "user", "--schema-version", "1"], 1).contains("in use"));
    assert_eq!(
        broker.ok(&["schema", "delete", "user", "--schema-version", "2"]),
        "deleted user, versions [2]\n"
    );
    assert!(broker.fails(&["schema", "get", "nobody"], 1).contains("schema not found"));
    assert!(broker.fails(&["schema", "register", "x", "xml", "{}"], 2).contains("json"));
}

#[test]
fn a_bound_topic_takes_what_matches() {
    let broker = Broker::start();
    broker.ok(&["create", "users"]);
    broker.ok(&["schema", "register", "user", "json", USER]);
    assert!(
        broker
            .fails(&["schema", "produce", "users", "user", "{}"], 1)
            .contains("missing required field: name")
    );
    assert_eq!(
        broker.ok(&["schema", "produce", "users", "user", r#"{"name":"a"}"#]),
        "users, partition 0, offset 0\n"
    );
    broker.ok(&["produce", "users", "anything"]);
    assert_eq!(broker.ok(&["schema", "bind", "users", "user"]), "users is checked\n");
    assert!(broker.fails(&["produce", "users", "anything"], 1).contains("schema validation failed"));
    broker.ok(&["schema", "bind", "users", "user", "--mode", "warn"]);
    broker.ok(&["produce", "users", "anything"]);
    assert_eq!(broker.ok(&["schema", "bind", "users"]), "users is not checked\n");
    broker.ok(&["produce", "users", "anything"]);
}
