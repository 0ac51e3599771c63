//! Streams over HTTP.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use flymq_gateway::RestOptions;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::{
    broker::{Counted, PATIENCE, eventually, start},
    http::{get, open, post, request},
};

/// The next piece of a body.
async fn piece(body: &mut Incoming) -> Option<Bytes> {
    let frame = tokio::time::timeout(PATIENCE, body.frame()).await.expect("in time")?;
    frame.expect("no transport error").into_data().ok()
}

async fn line(body: &mut Incoming) -> Value {
    let text = piece(body).await.expect("not the end");
    assert!(text.ends_with(b"\n"), "{text:?}");
    serde_json::from_slice(&text).expect("a line is JSON")
}

#[tokio::test]
async fn lines_arrive_as_records_do() {
    let broker = start().await;
    let addr = broker.rest();
    let one = |text: &str| json!({"acks": "all", "records": [{"value_text": text}]});
    assert_eq!(post(addr, "/api/v1/topics/t/records", &one("a")).await.status, 200);
    let path = "/api/v1/topics/t/stream?from=earliest&text";
    let response = open(addr, request("GET", path, &[], "")).await.expect("an answer");
    assert_eq!(response.headers()["content-type"], "application/x-ndjson");
    let mut body = response.into_body();
    assert_eq!(line(&mut body).await["records"][0]["value_text"], "a");
    assert_eq!(post(addr, "/api/v1/topics/t/records", &one("b")).await.status, 200);
    assert_eq!(line(&mut body).await["records"][0]["value_text"], "b");
}

#[tokio::test]
async fn an_unknown_topic_is_an_ordinary_error() {
    let broker = start().await;
    let answer = get(broker.rest(), "/api/v1/topics/none/stream").await;
    assert_eq!((answer.status.as_u16(), answer.code().as_str()), (404, "TOPIC_NOT_FOUND"));
}

#[tokio::test]
async fn events_have_their_form_and_keep_the_connection_alive() {
    let broker = start().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let addr = listener.local_addr().expect("bound");
    let options = RestOptions { event_keepalive: Duration::from_millis(50), ..RestOptions::default() };
    tokio::spawn(flymq_gateway::serve_rest(
        listener,
        broker.running.broker(),
        options,
        CancellationToken::new(),
    ));
    let record = json!({"acks": "all", "records": [{"value_text": "a"}]});
    assert_eq!(post(addr, "/api/v1/topics/t/records", &record).await.status, 200);
    let path = "/api/v1/topics/t/stream?from=earliest&text=true";
    let asked = request("GET", path, &[("accept", "text/event-stream")], "");
    let response = open(addr, asked).await.expect("an answer");
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    let mut body = response.into_body();
    let first = String::from_utf8(piece(&mut body).await.expect("an event").to_vec()).expect("UTF-8");
    let data =
        first.strip_prefix("event: records\ndata: ").and_then(|t| t.strip_suffix("\n\n")).expect("the form");
    assert_eq!(serde_json::from_str::<Value>(data).expect("JSON")["records"][0]["value_text"], "a");
    assert_eq!(&piece(&mut body).await.expect("a comment")[..], b": keep-alive\n\n");
}

#[tokio::test]
async fn the_subscription_ends_when_the_client_leaves_and_when_the_door_closes() {
    let broker = start().await;
    let counted = Counted::new(broker.running.broker());
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let addr = listener.local_addr().expect("bound");
    let stop = CancellationToken::new();
    let served = tokio::spawn(flymq_gateway::serve_rest(
        listener,
        Arc::new(counted.clone()),
        RestOptions::default(),
        stop.clone(),
    ));
    assert_eq!(post(addr, "/api/v1/topics", &json!({"name": "t"})).await.status, 200);
    let path = "/api/v1/topics/t/stream";
    let leaving = open(addr, request("GET", path, &[], "")).await.expect("an answer");
    let mut staying = open(addr, request("GET", path, &[], "")).await.expect("an answer").into_body();
    eventually("both are open", async || counted.open() == 2).await;
    drop(leaving);
    eventually("one is gone", async || counted.open() == 1).await;
    stop.cancel();
    assert_eq!(piece(&mut staying).await, None);
    tokio::time::timeout(PATIENCE, served).await.expect("the door ends").expect("no panic");
    assert_eq!(counted.open(), 0);
}

#[tokio::test]
async fn head_does_not_subscribe() {
    let broker = start().await;
    let response =
        open(broker.rest(), request("HEAD", "/api/v1/topics/t/stream", &[], "")).await.expect("an answer");
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["content-type"], "application/x-ndjson");
}

#[tokio::test]
async fn a_long_poll_ends_when_its_client_leaves() {
    let broker = start().await;
    let counted = Counted::new(broker.running.broker());
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let addr = listener.local_addr().expect("bound");
    let options = RestOptions::default();
    tokio::spawn(flymq_gateway::serve_rest(
        listener,
        Arc::new(counted.clone()),
        options,
        CancellationToken::new(),
    ));
    assert_eq!(post(addr, "/api/v1/topics", &json!({"name": "t"})).await.status, 200);
    let path = "/api/v1/topics/t/records?max_wait_ms=30000";
    let polling = tokio::spawn(open(addr, request("GET", path, &[], "")));
    eventually("it waits", async || counted.open() == 1).await;
    polling.abort();
    eventually("it is gone", async || counted.open() == 0).await;
}
