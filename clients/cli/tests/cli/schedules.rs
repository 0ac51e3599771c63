//! produce-delayed and schedule.

use std::time::{Duration, Instant};

use crate::broker::Broker;

fn id_of(line: &str) -> &str {
    line.split_whitespace().next().expect("an id first")
}

#[test]
fn a_delayed_message_comes_later() {
    let broker = Broker::start();
    broker.ok(&["create", "orders"]);
    let said = broker.ok(&["produce-delayed", "orders", "later", "300", "--key", "k"]);
    assert!(said.contains("  due ") && said.contains("  5 bytes"), "{said}");
    assert_eq!(broker.ok(&["consume", "orders"]), "", "before its time");
    let give_up = Instant::now() + Duration::from_secs(20);
    while broker.ok(&["consume", "orders", "--show-key"]) != "[0] key=k: later\n" {
        assert!(Instant::now() < give_up);
    }
    assert!(broker.fails(&["produce-delayed", "orders", "x", "604800001"], 1).contains("604800000"));
}

#[test]
fn what_waits_is_listed_cancelled_and_delivered_now() {
    let broker = Broker::start();
    broker.ok(&["create", "orders"]);
    let again = broker.ok(&["schedule", "add", "orders", "stand-up", "--cron", "0 0 1 1 *"]);
    assert!(again.contains("cron 0 0 1 1 *"), "{again}");
    let far = broker.ok(&["schedule", "add", "orders", "far", "--delay", "3600000"]);
    let (again, far) = (id_of(&again), id_of(&far));
    let listed = broker.ok(&["schedule", "list", "orders"]);
    let ids: Vec<&str> = listed.lines().map(id_of).collect();
    assert!(ids.len() == 2 && ids.contains(&again) && ids.contains(&far), "{listed}");
    let now = broker.ok(&["schedule", "now", "orders", far]);
    assert_eq!(now, "delivered to orders, partition 0, offset 0\n");
    assert_eq!(broker.ok(&["schedule", "cancel", "orders", again]), format!("cancelled {again}\n"));
    assert_eq!(broker.ok(&["schedule", "list", "orders"]), "");
    assert!(broker.fails(&["schedule", "add", "orders", "x"], 2).contains("--cron"));
    assert_eq!(broker.ok(&["consume", "orders"]), "far\n");
}
