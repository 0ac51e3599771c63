//! Whatever is asked, the answer is JSON of the error table.

use flymq_proto::rpcs;
use serde_json::{Value, json};

use crate::{
    broker::start,
    http::{get, post, request, send},
};

/// The guard: every route of every rpc answers, and refuses with the code's own status.
#[tokio::test]
async fn every_route_answers() {
    let broker = start().await;
    let addr = broker.rest();
    let mut unbuilt = 0;
    for rpc in rpcs().iter().filter(|rpc| !rpc.server_streaming) {
        for (method, path, body) in &rpc.routes {
            let filled: String = path
                .split('/')
                .map(|s| if s.starts_with('{') { "7/" } else { s }.trim_end_matches('/').to_owned() + "/")
                .collect();
            let body = if body.is_empty() { "" } else { "{}" };
            let answer = send(addr, request(method, filled.trim_end_matches('/'), &[], body)).await;
            let code = answer.code();
            assert_ne!(code, "INTERNAL", "{method} {path}: {}", answer.text());
            assert!(!matches!(code.as_str(), "ROUTE_NOT_FOUND" | "METHOD_NOT_ALLOWED"), "{method} {path}");
            assert_eq!(answer.status == 200, code.is_empty(), "{method} {path}: {}", answer.text());
            if code == "UNIMPLEMENTED" {
                assert_eq!(answer.status, 501);
                unbuilt += 1;
            }
        }
    }
    println!("{unbuilt} routes lead to rpcs that are not built yet");
    assert!(unbuilt < rpcs().len());
}

#[tokio::test]
async fn bad_requests_name_what_is_wrong() {
    let broker = start().await;
    let addr = broker.rest();
    for (method, path, body, field) in [
        ("POST", "/api/v1/topics", r#"{"nam": "a"}"#, "nam"),
        (
            "POST",
            "/api/v1/topics",
            r#"{"name": "a", "options": {"partitions": "many"}}"#,
            "options.partitions",
        ),
        ("POST", "/api/v1/topics/t/records", r#"{"records": [{"value": 3}]}"#, "records[0].value"),
        ("POST", "/api/v1/topics/t/records", r#"{"topic": "other"}"#, "topic"),
        ("GET", "/api/v1/topics/t/records?offset=-1", "", "offset"),
        ("GET", "/api/v1/topics/t/records?ofset=1", "", "ofset"),
        ("GET", "/api/v1/topics/t/partitions/x/records", "", "partition"),
        ("GET", "/api/v1/topics/t/partitions/99999999999/records", "", "partition"),
        ("GET", "/api/v1/topics/%zz", "", "name"),
        ("GET", "/api/v1/topics/%ff", "", "name"),
        ("POST", "/api/v1/topics", "{", ""),
        ("POST", "/api/v1/topics", "\u{0}", ""),
        ("POST", "/api/v1/topics?name=a", "{}", ""),
        ("POST", "/api/v1/topics", "[]", ""),
    ] {
        let answer = send(addr, request(method, path, &[], body)).await;
        let error = &answer.json()["error"];
        assert_eq!(
            (answer.status.as_u16(), error["code"].as_str()),
            (400, Some("INVALID_ARGUMENT")),
            "{path} {body}: {error}"
        );
        assert_eq!(
            error["metadata"].get("field").and_then(Value::as_str).unwrap_or_default(),
            field,
            "{path} {body}"
        );
    }
}

#[tokio::test]
async fn bad_names_are_refused_by_the_broker() {
    let broker = start().await;
    let addr = broker.rest();
    let long = "x".repeat(250);
    for name in ["", "..", "a/../b", "a\u{7}", "a//b", &long] {
        let answer = post(addr, "/api/v1/topics", &json!({"name": name})).await;
        assert_eq!((answer.status.as_u16(), answer.code().as_str()), (400, "INVALID_ARGUMENT"), "{name:?}");
    }
    let reserved = post(addr, "/api/v1/topics", &json!({"name": "__hidden"})).await;
    assert!(matches!(reserved.status.as_u16(), 400 | 403), "{}", reserved.text());
}

#[tokio::test]
async fn unknown_paths_and_methods_tell_what_there_is() {
    let broker = start().await;
    let addr = broker.rest();
    for path in
        ["/api/v1/topicz", "/api/v1/topics/", "/api/v1/topics/a/b", "/api/v2/topics", "//", "/favicon.ico"]
    {
        let answer = get(addr, path).await;
        assert_eq!((answer.status.as_u16(), answer.code().as_str()), (404, "ROUTE_NOT_FOUND"), "{path}");
        assert!(!answer.json()["error"]["routes"].as_array().expect("a list").is_empty());
    }
    for (method, path) in
        [("PUT", "/api/v1/topics"), ("POST", "/"), ("TRACE", "/api/v1/topics"), ("BREW", "/api/v1/stats")]
    {
        let answer = send(addr, request(method, path, &[], "")).await;
        assert_eq!(
            (answer.status.as_u16(), answer.code().as_str()),
            (405, "METHOD_NOT_ALLOWED"),
            "{method} {path}"
        );
        assert!(answer.headers["allow"].to_str().expect("ascii").contains("GET"));
    }
}
