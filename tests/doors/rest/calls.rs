//! Records, topics and groups through REST.

use serde_json::json;

use crate::{
    broker::start,
    http::{delete, get, post, request, send},
};

#[tokio::test]
async fn the_documented_example_creates_lists_and_deletes() {
    let broker = start().await;
    let addr = broker.rest();
    let created =
        post(addr, "/api/v1/topics", &json!({"name": "orders", "options": {"partitions": 3}})).await;
    assert_eq!(created.status, 200, "{}", created.text());
    assert_eq!(created.json()["topic"]["partitions"].as_array().expect("a list").len(), 3);
    let list = get(addr, "/api/v1/topics").await.json();
    assert_eq!(list["topics"][0]["name"], "orders");
    assert_eq!(list["topics"][0]["partitions"], 3);

    let again = post(addr, "/api/v1/topics", &json!({"name": "orders"})).await;
    assert_eq!((again.status.as_u16(), again.code().as_str()), (409, "TOPIC_ALREADY_EXISTS"));
    assert_eq!(delete(addr, "/api/v1/topics/orders").await.status, 200);
    let gone = delete(addr, "/api/v1/topics/orders").await;
    assert_eq!((gone.status.as_u16(), gone.code().as_str()), (404, "TOPIC_NOT_FOUND"));
    assert_eq!(gone.json()["error"]["metadata"]["topic"], "orders");
}

#[tokio::test]
async fn records_go_in_and_out_as_text_and_as_bytes() {
    let broker = start().await;
    let addr = broker.rest();
    let body = json!({"acks": "all", "records": [
        {"key_text": "k", "value_text": "grüße"},
        {"value": "AP+A", "headers": [{"name": "n", "value": "dg=="}]},
    ]});
    let produced = post(addr, "/api/v1/topics/t/records", &body).await;
    assert_eq!(produced.status, 200, "{}", produced.text());
    assert_eq!(produced.json()["base_offset"], 0);

    let fetched = get(addr, "/api/v1/topics/t/records?text=true&maxRecords=10").await.json();
    assert_eq!(fetched["records"][0]["key_text"], "k");
    assert_eq!(fetched["records"][0]["value_text"], "grüße");
    assert_eq!(fetched["records"][1]["value"], "AP+A");
    assert!(fetched["records"][1].get("value_text").is_none(), "{fetched}");
    assert_eq!(fetched["next_offset"], 2);

    let one = get(addr, "/api/v1/topics/t/partitions/0/records/1").await.json();
    assert_eq!(one["record"]["offset"], 1);
    let end = get(addr, "/api/v1/topics/t/partitions/0/records/2").await;
    assert_eq!((end.status.as_u16(), end.code().as_str()), (404, "END_OF_PARTITION"));
}

#[tokio::test]
async fn a_topic_with_levels_is_one_path_segment() {
    let broker = start().await;
    let addr = broker.rest();
    let body = json!({"records": [{"value_text": "21"}]});
    let produced = post(addr, "/api/v1/topics/sensors%2Fhall%2Ftemp/records", &body).await;
    assert_eq!(produced.json()["topic"], "sensors/hall/temp", "{}", produced.text());
    let info = get(addr, "/api/v1/topics/sensors%2fhall%2Ftemp").await.json();
    assert_eq!(info["topic"]["name"], "sensors/hall/temp");
}

#[tokio::test]
async fn groups_commit_and_tell_their_lag() {
    let broker = start().await;
    let addr = broker.rest();
    let records =
        json!({"records": [{"value_text": "a"}, {"value_text": "b"}, {"value_text": "c"}], "acks": "all"});
    assert_eq!(post(addr, "/api/v1/topics/t/records", &records).await.status, 200);
    let commit = json!({"offsets": [{"topic": "t", "partition": 0, "offset": 1}]});
    let committed = post(addr, "/api/v1/consumer-groups/g/offsets", &commit).await;
    assert_eq!(committed.status, 200, "{}", committed.text());
    let lag = get(addr, "/api/v1/consumer-groups/g/lag").await.json();
    assert_eq!((&lag["total"], &lag["partitions"][0]["lag"]), (&json!(2), &json!(2)));
    let groups = get(addr, "/api/v1/consumer-groups").await.json();
    assert_eq!(groups["groups"][0]["group"], "g");
}

#[tokio::test]
async fn head_options_index_and_openapi() {
    let broker = start().await;
    let addr = broker.rest();
    let head = send(addr, request("HEAD", "/api/v1/topics", &[], "")).await;
    assert_eq!((head.status.as_u16(), head.body.len()), (200, 0));
    let options = send(addr, request("OPTIONS", "/api/v1/topics/a", &[], "")).await;
    assert_eq!(options.status, 204);
    let allow = options.headers["allow"].to_str().expect("ascii");
    assert!(["GET", "DELETE", "PATCH", "HEAD", "OPTIONS"].iter().all(|m| allow.contains(m)), "{allow}");

    let index = get(addr, "/").await.json();
    let document = get(addr, index["openapi"].as_str().expect("a path")).await;
    assert_eq!(document.json(), flymq_gateway::openapi_document());
    let health = get(addr, "/api/v1/health").await;
    assert_eq!(health.json()["ready"], true, "{}", health.text());
    assert_eq!(health.headers["x-content-type-options"], "nosniff");
}

#[tokio::test]
async fn a_request_id_comes_back() {
    let broker = start().await;
    let addr = broker.rest();
    let answer = send(addr, request("GET", "/api/v1/topics/none", &[("x-request-id", "id-9")], "")).await;
    assert_eq!(answer.headers["x-request-id"], "id-9");
    assert_eq!(answer.json()["error"]["request_id"], "id-9");
    assert_eq!(get(addr, "/api/v1/topics").await.headers["x-request-id"].len(), 32);
}
