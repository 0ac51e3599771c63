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

#[test]
fn values_are_written_and_read_by_schemas() {
    let broker = Broker::start();
    broker.ok(&["create", "p"]);
    let avro = r#"{"type":"record","name":"P","fields":[{"name":"id","type":"long"},{"name":"to","type":["null","string"],"default":null}]}"#;
    assert!(broker.fails(&["produce", "p", "{}", "--encoder", "avro"], 1).contains("schema not found"));
    broker.ok(&["schema", "register", "p-value", "avro", avro]);
    broker.ok(&["schema", "bind", "p", "p-value"]);
    broker.ok(&["produce", "p", r#"{"id": 7, "to": "Lund"}"#, "--encoder", "avro"]);
    broker.ok(&["produce", "p", r#"{"id": -8}"#, "--encoder", "avro"]);
    let read = "{\"id\":7,\"to\":\"Lund\"}\n{\"id\":-8,\"to\":null}\n";
    assert_eq!(broker.ok(&["consume", "p", "--decoder", "avro"]), read);
    let subscribe = ["subscribe", "p", "--from", "earliest", "-n", "2", "--decoder", "avro"];
    assert_eq!(broker.ok(&subscribe), read);
    assert_eq!(
        broker.json(&["consume", "p", "-n", "1", "--decoder", "avro"])[0]["value"],
        r#"{"id":7,"to":"Lund"}"#
    );
    let refused = broker.fails(&["produce", "p", r#"{"id": "x"}"#, "--encoder", "avro"], 1);
    assert!(refused.contains("$.id") && refused.contains("SCHEMA_VALIDATION_FAILED"), "{refused}");

    broker.ok(&["create", "q"]);
    let message = r#"syntax = "proto3"; message P { int64 id = 1; string to = 2; }"#;
    broker.ok(&["schema", "register", "parcel", "protobuf", message]);
    broker.ok(&["schema", "bind", "q", "parcel"]);
    broker.ok(&["produce", "q", r#"{"id": 7, "to": "Lund"}"#, "--encoder", "protobuf", "--schema", "parcel"]);
    assert_eq!(broker.ok(&["consume", "q", "--decoder", "protobuf"]), "{\"id\":7,\"to\":\"Lund\"}\n");
    let other = broker.fails(&["produce", "q", "{}", "--encoder", "avro", "--schema", "parcel"], 2);
    assert!(other.contains("not one of avro"), "{other}");
    assert!(broker.fails(&["produce", "q", "{}", "--schema", "parcel"], 2).contains("--encoder"));
    broker.ok(&["create", "r"]);
    broker.ok(&["produce", "r", "plain"]);
    assert!(broker.fails(&["consume", "r", "--decoder", "avro"], 2).contains("names no schema"));
}
