//! Records with a time to live, on three nodes.

use serde_json::{Value, json};

use crate::nodes::{Cluster, eventually};

fn number(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| value.as_str()?.parse().ok())
}

/// No read returns them, they leave the log of every node, and they are counted; what lives stays.
#[test]
fn what_has_expired_leaves_the_logs_of_all_nodes_and_is_counted() {
    let cluster = Cluster::start_with(3, &[("FLYMQ_TTL_CLEANUP_INTERVAL", "1s")]);
    cluster.have_votes(3);
    cluster.create_topic("t", 1);
    cluster.in_sync("t", 0, 3);
    let produce = |value: String, ttl_ms: i64| {
        let records = json!([{"value_text": value}]);
        let body = json!({"acks": "ACKS_ALL", "ttl_ms": ttl_ms, "records": records});
        let (status, answer) = cluster.any().rest("POST", "/api/v1/topics/t/records", &body);
        assert_eq!(status, 200, "{answer}");
    };
    for number in 0..20 {
        produce(format!("short {number}"), 300);
    }
    produce("long".to_owned(), 0);
    produce("short, behind it".to_owned(), 300);
    let low = |node: usize| {
        let (_, topic) = cluster.node(node).rest("GET", "/api/v1/topics/t", &Value::Null);
        number(&topic["topic"]["partitions"][0]["low_watermark"])
    };
    eventually("the log begins with what lives", || (0..3).any(|node| low(node) == Some(20)).then_some(()));
    // They are counted once they are gone.
    let counted =
        || (0..3).filter_map(|node| cluster.node(node).metric("flymq_records_expired_total")).sum::<f64>();
    eventually("they are counted", || (counted() >= 20.0).then_some(()));
    assert!((counted() - 20.0).abs() < 0.5, "{}", counted());
    let path = "/api/v1/topics/t/partitions/0/records?text=true&offset=20";
    let (status, answer) = cluster.any().rest("GET", path, &Value::Null);
    let seen: Vec<_> =
        answer["records"].as_array().into_iter().flatten().map(|one| one["value_text"].as_str()).collect();
    assert_eq!((status, seen), (200, vec![Some("long")]), "what has expired behind it is not seen");
}
