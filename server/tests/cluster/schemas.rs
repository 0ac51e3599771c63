//! Schemas on three nodes: what one node registers, all know, and each checks what it appends.

use serde_json::{Value, json};

use crate::nodes::{Cluster, eventually};

#[test]
fn a_schema_holds_on_every_node_and_over_the_death_of_one() {
    let mut cluster = Cluster::start(3);
    cluster.create_topic("t", 3);
    (0..3).for_each(|partition| cluster.in_sync("t", partition, 3));
    let text = json!({"type": "object", "required": ["id"]}).to_string();
    let body = json!({"name": "s", "type": "SCHEMA_TYPE_JSON", "definition": text});
    eventually("the feature is on", || {
        (cluster.node(0).rest("POST", "/api/v1/schemas", &body).0 == 200).then_some(())
    });
    let bound = cluster.node(1).rest("PUT", "/api/v1/topics/t/schema", &json!({"name": "s"}));
    assert_eq!(bound.0, 200, "{bound:?}");
    let produce = |cluster: &Cluster, node: usize, partition: i32, value: &str| {
        let body = json!({"partition": partition, "records": [{"value_text": value}]});
        cluster.node(node).rest("POST", "/api/v1/topics/t/records", &body)
    };
    for node in 0..3 {
        let got = cluster.node(node).rest("GET", "/api/v1/schemas/s", &Value::Null);
        assert_eq!((got.0, &got.1["schema"]["definition"]), (200, &json!(text)), "node {node}: {got:?}");
        for partition in 0..3 {
            // The binding reaches the other nodes a moment later than the one that was asked.
            eventually("the binding holds", || {
                (produce(&cluster, node, partition, "{}").0 == 422).then_some(())
            });
            let taken = produce(&cluster, node, partition, r#"{"id": 1}"#);
            assert_eq!(taken.0, 200, "node {node}, partition {partition}: {taken:?}");
        }
    }
    let dead = cluster.leader("t", 0);
    cluster.kill(dead);
    let other = (dead + 1) % 3;
    eventually("another node leads", || (produce(&cluster, other, 0, r#"{"id": 2}"#).0 == 200).then_some(()));
    let refused = produce(&cluster, other, 0, "{}");
    assert_eq!(refused.0, 422, "{refused:?}");
    let second = json!({"type": "object"}).to_string();
    let body = json!({"name": "s", "type": "SCHEMA_TYPE_JSON", "definition": second});
    let registered = eventually("the metadata has a leader", || {
        let (status, answer) = cluster.node(other).rest("POST", "/api/v1/schemas", &body);
        (status == 200).then_some(answer)
    });
    assert_eq!(registered["schema"]["version"], 2, "{registered}");
    cluster.restart(dead);
    eventually("the node has caught up", || {
        let (_, got) = cluster.node(dead).rest("GET", "/api/v1/schemas/s", &Value::Null);
        (got["schema"]["version"] == 2).then_some(())
    });
}
