//! Web pages that have no business here.

use crate::{
    broker::{start, start_with},
    http::{request, send},
};

#[tokio::test]
async fn a_foreign_page_is_refused_and_changes_nothing() {
    let broker = start().await;
    let addr = broker.rest();
    let own = format!("http://{addr}");
    let host = addr.to_string();
    for (origin, status) in [("http://evil.example", 403), ("null", 403), (own.as_str(), 200)] {
        let headers = [("host", host.as_str()), ("origin", origin)];
        let answer = send(addr, request("POST", "/api/v1/topics", &headers, r#"{"name": "by-page"}"#)).await;
        assert_eq!(answer.status, status, "{origin}: {}", answer.text());
        if status == 403 {
            assert_eq!(answer.code(), "PERMISSION_DENIED");
            assert!(answer.headers.get("access-control-allow-origin").is_none());
        }
    }
}

#[tokio::test]
async fn a_rebound_host_name_is_refused() {
    let broker = start().await;
    let addr = broker.rest();
    let answer = send(addr, request("GET", "/api/v1/topics", &[("host", "evil.example:9096")], "")).await;
    assert_eq!((answer.status.as_u16(), answer.code().as_str()), (403, "PERMISSION_DENIED"));
    let preflight = [("origin", "http://evil.example"), ("access-control-request-method", "POST")];
    let answer = send(addr, request("OPTIONS", "/api/v1/topics", &preflight, "")).await;
    assert_eq!(answer.status, 403);
}

#[tokio::test]
async fn the_configuration_lets_names_and_pages_in() {
    let broker = start_with(|config| {
        let access = &mut config.observability.admin_access;
        access.allowed_hosts = vec!["mq.example".to_owned()];
        access.allowed_origins = vec!["https://console.example".to_owned()];
    })
    .await;
    let headers = [("host", "mq.example:9096"), ("origin", "https://console.example")];
    let answer = send(broker.rest(), request("GET", "/api/v1/topics", &headers, "")).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.headers["access-control-allow-origin"], "https://console.example");
}
