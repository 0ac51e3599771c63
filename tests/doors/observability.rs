//! Metrics and health.

use flymq_gateway::{Health, HttpLimits};
use serde_json::json;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::{
    broker::{eventually, start},
    http::{get, post, request, send},
};

const DOCUMENTED: [(&str, &str); 8] = [
    ("flymq_messages_produced_total", "counter"),
    ("flymq_messages_consumed_total", "counter"),
    ("flymq_produce_latency_seconds", "histogram"),
    ("flymq_consume_latency_seconds", "histogram"),
    ("flymq_topic_messages_total", "counter"),
    ("flymq_consumer_group_lag", "gauge"),
    ("flymq_consumer_group_lag_seconds", "gauge"),
    ("flymq_consumer_group_members", "gauge"),
];

/// Value of the sample that begins with `series`.
fn sample(text: &str, series: &str) -> Option<f64> {
    let line =
        text.lines().find(|line| line.strip_prefix(series).is_some_and(|rest| rest.starts_with(' ')))?;
    line.rsplit(' ').next()?.parse().ok()
}

/// Every line is a comment or `name{labels} value`, each family has one HELP and one TYPE.
fn well_formed(text: &str) {
    let mut types = std::collections::HashSet::new();
    for line in text.lines().filter(|line| !line.is_empty()) {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            assert!(types.insert(rest.split(' ').next().expect("a name").to_owned()), "twice: {line}");
        } else if !line.starts_with('#') {
            let value = line.rsplit(' ').next().expect("a value");
            assert!(value.parse::<f64>().is_ok(), "{line}");
        }
    }
}

#[tokio::test]
async fn the_documented_metrics_are_there_from_the_start_and_move() {
    let broker = start().await;
    let metrics = broker.running.metrics_addr().expect("metrics are on");
    let first = get(metrics, "/metrics").await;
    assert!(first.headers["content-type"].to_str().expect("ascii").starts_with("text/plain; version=0.0.4"));
    let text = first.text();
    well_formed(&text);
    for (name, kind) in DOCUMENTED {
        assert!(text.contains(&format!("# TYPE {name} {kind}\n")), "{name} in {text}");
        assert!(text.contains(&format!("# HELP {name} ")), "{name}");
    }
    let produced = |text: &str| sample(text, "flymq_messages_produced_total").expect("a sample");
    let before = produced(&text);
    let records = json!({"acks": "all", "records": [{"value_text": "a"}, {"value_text": "b"}]});
    assert_eq!(post(broker.rest(), "/api/v1/topics/a%2Fb/records", &records).await.status, 200);
    let commit = json!({"offsets": [{"topic": "a/b", "partition": 0, "offset": 1}]});
    assert_eq!(post(broker.rest(), "/api/v1/consumer-groups/g/offsets", &commit).await.status, 200);

    let text = get(metrics, "/metrics").await.text();
    well_formed(&text);
    // Other tests of this process count into the same recorder.
    assert!(produced(&text) >= before + 2.0, "{text}");
    assert_eq!(sample(&text, "flymq_topic_messages_total{topic=\"a/b\"}"), Some(2.0), "{text}");
    let lag = "flymq_consumer_group_lag{group=\"g\",topic=\"a/b\",partition=\"0\"}";
    assert_eq!(sample(&text, lag), Some(1.0), "{text}");
    let old = "flymq_consumer_group_lag_seconds{group=\"g\",topic=\"a/b\",partition=\"0\"}";
    assert!(sample(&text, old).is_some_and(|seconds| seconds > 0.0 && seconds < 600.0), "{text}");
    assert_eq!(
        sample(&text, "flymq_consumer_group_members{group=\"g\",state=\"empty\"}"),
        Some(0.0),
        "{text}"
    );
    assert!(sample(&text, "flymq_produce_latency_seconds_count").is_some_and(|n| n >= 1.0), "{text}");
    assert!(text.contains("flymq_produce_latency_seconds_bucket{le=\"0.001\"}"), "{text}");
    assert_eq!(get(metrics, "/").await.status, 404);
}

#[tokio::test]
async fn a_deleted_topic_leaves_no_series() {
    let broker = start().await;
    let metrics = broker.running.metrics_addr().expect("metrics are on");
    post(broker.rest(), "/api/v1/topics", &json!({"name": "gone"})).await;
    assert!(get(metrics, "/metrics").await.text().contains("topic=\"gone\""));
    crate::http::delete(broker.rest(), "/api/v1/topics/gone").await;
    assert!(!get(metrics, "/metrics").await.text().contains("topic=\"gone\""));
}

#[tokio::test]
async fn health_is_well() {
    let broker = start().await;
    let addr = broker.running.health_addr().expect("health is on");
    for path in ["/health", "/health/live", "/health/ready"] {
        let answer = get(addr, path).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
    }
    let detail = get(addr, "/health").await.json();
    assert_eq!((&detail["status"], &detail["ready"]), (&json!("ok"), &json!(true)), "{detail}");
    assert_eq!(get(addr, "/healthy").await.status, 404);
    assert_eq!(send(addr, request("POST", "/health", &[], "")).await.status, 405);
    assert_eq!(send(addr, request("HEAD", "/health/ready", &[], "")).await.status, 200);
}

#[tokio::test]
async fn a_starting_broker_lives_but_is_not_ready() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let addr = listener.local_addr().expect("bound");
    let (health, stop) = (Health::starting(), CancellationToken::new());
    tokio::spawn(flymq_gateway::serve_health(listener, health.clone(), HttpLimits::default(), stop.clone()));
    assert_eq!(get(addr, "/health/live").await.status, 200);
    assert_eq!(get(addr, "/health/ready").await.status, 503);
    assert_eq!(get(addr, "/health").await.json()["status"], "starting");
    let broker = start().await;
    health.started(broker.running.broker());
    eventually("ready", async || get(addr, "/health/ready").await.status == 200).await;
}
