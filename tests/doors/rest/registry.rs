//! What Confluent's serializers ask of a registry.

use serde_json::{Value, json};

use crate::{
    broker::start,
    http::{Answer, request, send},
};

async fn ask(addr: std::net::SocketAddr, method: &str, path: &str, body: &Value) -> Answer {
    let text = if body.is_null() { String::new() } else { body.to_string() };
    send(addr, request(method, &format!("/schema-registry{path}"), &[], text)).await
}

fn error_code(answer: &Answer) -> u64 {
    answer.json()["error_code"].as_u64().unwrap_or_else(|| panic!("no error: {}", answer.text()))
}

const FIRST: &str = r#"{"type":"record","name":"Order","fields":[{"name":"id","type":"long"}]}"#;
const SECOND: &str = r#"{"type":"record","name":"Order","fields":[{"name":"id","type":"long"},{"name":"n","type":"int","default":0}]}"#;

#[tokio::test]
async fn serializers_register_and_find_schemas() {
    let broker = start().await;
    let addr = broker.rest();
    let get = async |path: &str| ask(addr, "GET", path, &Value::Null).await;
    let post = async |path: &str, body: Value| ask(addr, "POST", path, &body).await;
    assert_eq!(get("/subjects").await.json(), json!([]));
    let made = post("/subjects/orders-value/versions?normalize=false", json!({"schema": FIRST})).await;
    assert_eq!((made.status.as_u16(), made.json()["id"].as_u64()), (200, Some(1)), "{}", made.text());
    let again = json!({"schema": format!(" {FIRST}"), "schemaType": "AVRO"});
    assert_eq!(
        post("/subjects/orders-value/versions", again).await.json()["id"],
        1,
        "spaces make no version"
    );
    assert_eq!(post("/subjects/orders-value/versions", json!({"schema": SECOND})).await.json()["id"], 2);
    assert_eq!(get("/schemas/ids/1").await.json(), json!({"schema": FIRST}));
    assert_eq!(
        get("/schemas/ids/2/versions").await.json(),
        json!([{"subject": "orders-value", "version": 2}])
    );
    assert_eq!(get("/schemas/ids/2/subjects").await.json(), json!(["orders-value"]));
    assert_eq!(get("/subjects/orders-value/versions").await.json(), json!([1, 2]));
    let latest = json!({"subject": "orders-value", "version": 2, "id": 2, "schema": SECOND});
    assert_eq!(get("/subjects/orders-value/versions/latest").await.json(), latest);
    assert_eq!(post("/subjects/orders-value", json!({"schema": SECOND})).await.json(), latest);
    let typed = json!({"schema": "{\"type\":\"object\"}", "schemaType": "JSON"});
    assert_eq!(post("/subjects/a%2Fb-value/versions", typed).await.json()["id"], 3);
    assert_eq!(get("/schemas/ids/3").await.json()["schemaType"], "JSON");
    assert_eq!(get("/subjects").await.json(), json!(["a/b-value", "orders-value"]));
    assert_eq!(get("/schemas/types").await.json(), json!(["JSON", "PROTOBUF", "AVRO"]));
    assert_eq!(get("/mode").await.json(), json!({"mode": "READWRITE"}));
}

#[tokio::test]
async fn compatibility_is_set_and_asked_for() {
    let broker = start().await;
    let addr = broker.rest();
    let (get, put) = (
        async |path: &str| ask(addr, "GET", path, &Value::Null).await,
        async |path: &str, rule: &str| ask(addr, "PUT", path, &json!({"compatibility": rule})).await,
    );
    let post = async |path: &str, schema: &str| ask(addr, "POST", path, &json!({"schema": schema})).await;
    assert_eq!(get("/config").await.json(), json!({"compatibilityLevel": "BACKWARD"}));
    post("/subjects/s/versions", FIRST).await;
    let asked = post("/compatibility/subjects/s/versions/latest", SECOND).await;
    assert_eq!(asked.json(), json!({"is_compatible": true}));
    let other = r#"{"type":"record","name":"Order","fields":[{"name":"x","type":"long"}]}"#;
    let asked = post("/compatibility/subjects/s/versions/1?verbose=true", other).await.json();
    assert_eq!(asked["is_compatible"], false, "{asked}");
    let refused = post("/subjects/s/versions", other).await;
    assert_eq!((refused.status.as_u16(), error_code(&refused)), (409, 409));
    assert_eq!(put("/config/s", "NONE").await.json(), json!({"compatibility": "NONE"}));
    assert_eq!(get("/config/s").await.json(), json!({"compatibilityLevel": "NONE"}));
    assert_eq!(post("/subjects/s/versions", other).await.json()["version"], 2);
    assert_eq!(put("/config", "FULL_TRANSITIVE").await.json(), json!({"compatibility": "FULL_TRANSITIVE"}));
    assert_eq!(ask(addr, "DELETE", "/config/s", &Value::Null).await.status, 200);
    assert_eq!(get("/config/s").await.json(), json!({"compatibilityLevel": "FULL_TRANSITIVE"}));
    assert_eq!(error_code(&put("/config", "SOMETIMES").await), 42_203);
    assert_eq!(error_code(&get("/config/nobody").await), 40_408);
}

#[tokio::test]
async fn errors_have_the_codes_that_clients_know() {
    let broker = start().await;
    let addr = broker.rest();
    let code = async |method, path: &str, body: Value| error_code(&ask(addr, method, path, &body).await);
    let (get, post, delete) = ("GET", "POST", "DELETE");
    ask(addr, "POST", "/subjects/s/versions", &json!({"schema": FIRST})).await;
    assert_eq!(code(get, "/subjects/nobody/versions", Value::Null).await, 40_401);
    assert_eq!(code(get, "/subjects/s/versions/9", Value::Null).await, 40_402);
    assert_eq!(code(get, "/schemas/ids/9", Value::Null).await, 40_403);
    assert_eq!(code(get, "/subjects/s/versions/zero", Value::Null).await, 42_202);
    assert_eq!(code(get, "/nothing", Value::Null).await, 404);
    assert_eq!(code(get, "/subjects/%ff/versions", Value::Null).await, 404);
    assert_eq!(code(post, "/subjects/s", json!({"schema": SECOND})).await, 40_403);
    assert_eq!(code(post, "/subjects/s/versions", json!({"schema": "{"})).await, 42_201);
    assert_eq!(code(post, "/subjects/s/versions", json!("no object")).await, 42_201);
    assert_eq!(code(post, "/subjects/s/versions", json!({"schema": "x", "schemaType": "XML"})).await, 42_201);
    assert_eq!(code(delete, "/subjects/s?permanent=true", Value::Null).await, 40_405);
    assert_eq!(code(delete, "/subjects/s/versions/1?permanent=true", Value::Null).await, 40_407);
    assert_eq!(ask(addr, delete, "/subjects/s/versions/1", &Value::Null).await.json(), json!(1));
    assert_eq!(code(get, "/subjects/s/versions", Value::Null).await, 40_401);
    assert_eq!(ask(addr, get, "/schemas/ids/1", &Value::Null).await.json(), json!({"schema": FIRST}));
    assert_eq!(ask(addr, delete, "/subjects/s?permanent=true", &Value::Null).await.json(), json!([1]));
    assert_eq!(code(delete, "/subjects/s", Value::Null).await, 40_401);
}
