//! Schemas over real sockets, on a broker that is killed.

use serde_json::{Value, json};

use crate::broker::Process;

fn ok((status, answer): (u16, Value)) -> Value {
    assert_eq!(status, 200, "{answer}");
    answer
}

fn register(broker: &Process, name: &str, text: &Value) -> (u16, Value) {
    let body = json!({"name": name, "type": "SCHEMA_TYPE_JSON", "definition": text.to_string()});
    broker.rest("POST", "/api/v1/schemas", &body)
}

fn produce(broker: &Process, value: &str) -> (u16, Value) {
    let body = json!({"records": [{"value_text": value}]});
    broker.rest("POST", "/api/v1/topics/t/records", &body)
}

fn code(answer: &(u16, Value)) -> (u16, &str) {
    (answer.0, answer.1["code"].as_str().or(answer.1["error"]["code"].as_str()).unwrap_or("none"))
}

#[test]
fn schemas_and_bindings_survive_a_kill() {
    let data = tempfile::tempdir().expect("a folder");
    let broker = Process::start(data.path());
    ok(broker.rest("POST", "/api/v1/topics", &json!({"name": "t"})));
    let text = json!({"type": "object", "required": ["id"], "properties": {"id": {"type": "integer"}}});
    let registered = ok(register(&broker, "order", &text));
    assert_eq!(registered["schema"]["id"], "order-v1");
    ok(broker.rest("PUT", "/api/v1/topics/t/schema", &json!({"name": "order"})));
    ok(broker.rest(
        "PUT",
        "/api/v1/schemas/order/compatibility",
        &json!({"compatibility": "COMPATIBILITY_FULL"}),
    ));
    broker.crash();
    let broker = Process::start(data.path());
    let got = ok(broker.rest("GET", "/api/v1/schemas/order", &Value::Null));
    assert_eq!(got["schema"]["definition"], text.to_string());
    assert_eq!(got["schema"]["compatibility"], "COMPATIBILITY_FULL");
    let refused = produce(&broker, "{}");
    assert_eq!(code(&refused).0, 422, "{refused:?}");
    assert!(refused.1.to_string().contains("missing required field: id"), "{refused:?}");
    ok(produce(&broker, r#"{"id": 1}"#));
    let narrower = register(&broker, "order", &json!({"type": "string"}));
    assert_eq!(narrower.0, 409, "{narrower:?}");
    let second =
        json!({"type": "object", "required": ["id"], "properties": {"id": {"type": "integer"}, "x": {}}});
    assert_eq!(ok(register(&broker, "order", &second))["schema"]["version"], 2);
    let topic = ok(broker.rest("GET", "/api/v1/topics/t", &Value::Null));
    assert_eq!(topic["topic"]["schema"]["name"], "order", "{topic}");
    let checked = broker.rest("POST", "/api/v1/schemas/order/validate", &json!({"value_text": "[]"}));
    assert_eq!(ok(checked)["valid"], false);
    assert_eq!(broker.rest("DELETE", "/api/v1/schemas/order", &Value::Null).0, 409, "a topic needs it");
    ok(broker.rest("PUT", "/api/v1/topics/t/schema", &json!({})));
    ok(broker.rest("DELETE", "/api/v1/schemas/order", &Value::Null));
    ok(produce(&broker, "anything"));
}
