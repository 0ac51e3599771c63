//! Start, crash and stop.

use std::{net::TcpStream, time::Instant};

use serde_json::Value;

use crate::broker::{DEADLINE, Process, http};

#[test]
fn what_was_acked_is_there_after_kill_9() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut expected = Vec::new();
    for round in 0..3 {
        let broker = Process::start(dir.path());
        assert_eq!(broker.values_or_none("t"), expected, "round {round}");
        for i in 0..5 {
            let value = format!("{round}-{i}");
            assert_eq!(
                broker.produce("t", &value),
                expected.len() as u64,
                "offsets are dense and not reused"
            );
            expected.push(value);
        }
        broker.crash();
    }
    let broker = Process::start(dir.path());
    assert_eq!(broker.values("t"), expected);
}

#[test]
fn sigterm_ends_in_order_and_the_directory_is_free_again() {
    for signal in ["TERM", "INT"] {
        let dir = tempfile::tempdir().expect("a directory");
        let mut broker = Process::start(dir.path());
        let (native, rest) = (broker.addr("native"), broker.addr("rest"));
        broker.produce("t", "kept");
        // A long poll and an idle connection do not hold the shutdown up.
        let _idle = TcpStream::connect(native).expect("open");
        let poll = std::thread::spawn(move || {
            http(
                rest,
                "GET",
                "/api/v1/topics/t/partitions/0/records?offset=1&max_wait_ms=60000",
                &Value::Null,
            )
        });
        broker.wait_for_metric("flymq_requests_in_flight", 1.0);
        let began = Instant::now();
        broker.signal(signal);
        broker.line("stopped");
        assert!(broker.exit().success(), "{signal}");
        assert!(began.elapsed() < DEADLINE / 2, "{signal}: took {:?}", began.elapsed());
        let (status, page) = poll.join().expect("answered");
        assert_eq!((status, page["next_offset"].as_u64()), (200, Some(1)), "the long poll got an answer");

        let again = Process::start(dir.path());
        assert_eq!(again.values("t"), ["kept"]);
    }
}

#[test]
fn open_connections_are_counted() {
    let dir = tempfile::tempdir().expect("a directory");
    let broker = Process::start(dir.path());
    let connections = || broker.rest("GET", "/api/v1/stats", &Value::Null).1["connections"].as_i64();
    assert_eq!(connections(), Some(0));
    let sockets = ["native", "grpc"].map(|door| TcpStream::connect(broker.addr(door)).expect("open"));
    wait_until(|| connections() == Some(2));
    drop(sockets);
    wait_until(|| connections() == Some(0));
}

fn wait_until(condition: impl Fn() -> bool) {
    let give_up = Instant::now() + DEADLINE;
    while !condition() {
        assert!(Instant::now() < give_up, "it does not come about");
    }
}

#[test]
fn health_and_metrics_answer() {
    let dir = tempfile::tempdir().expect("a directory");
    let broker = Process::start(dir.path());
    for path in ["/health", "/health/live", "/health/ready"] {
        let (status, body) = http(broker.addr("health"), "GET", path, &Value::Null);
        assert_eq!((status, body["status"].as_str()), (200, Some("ok")), "{path}");
    }
    let (status, _) = http(broker.addr("metrics"), "GET", "/metrics", &Value::Null);
    assert_eq!(status, 200);
    let (status, config) = broker.rest("GET", "/api/v1/config", &Value::Null);
    assert_eq!(status, 200);
    let values = config["values"].as_array().expect("a list");
    let node = values.iter().find(|v| v["key"] == "node_id").expect("every key is listed");
    assert_eq!(
        (node["value"].as_str(), node["source"].as_str()),
        (Some("node-1"), Some("env FLYMQ_NODE_ID"))
    );
}

impl Process {
    /// [`Process::values`], or nothing where the topic is not there yet.
    fn values_or_none(&self, topic: &str) -> Vec<String> {
        let (status, _) = self.rest("GET", &format!("/api/v1/topics/{topic}"), &Value::Null);
        if status == 404 { Vec::new() } else { self.values(topic) }
    }
}
