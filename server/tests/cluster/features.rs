//! Nodes of different releases, as an operator holds one back (`cluster.max_feature_version`): what the earlier release does not know is
//! refused everywhere, and comes by itself once every node has it.

use serde_json::{Value, json};

use crate::{
    broker::Process,
    membership::refused,
    nodes::{Cluster, eventually},
};

const HOLD: &str = "FLYMQ_CLUSTER_MAX_FEATURE_VERSION";

/// One call of each feature, with the version of the cluster from which on it is answered.
fn calls() -> [(u32, &'static str, &'static str, Value); 5] {
    let policy = json!({"options": {"dead_letters": {"max_retries": 5}}});
    [
        (2, "POST", "/api/v1/transactions", json!({})),
        (
            3,
            "POST",
            "/api/v1/topics/t/schedules",
            json!({"delay_ms": 600_000, "record": {"value_text": "v"}}),
        ),
        (4, "POST", "/api/v1/consumer-groups/g/acquire", json!({"topic": "t", "member_id": "m"})),
        (5, "POST", "/api/v1/schemas", json!({"name": "s", "type": "SCHEMA_TYPE_JSON", "definition": "{}"})),
        (6, "PATCH", "/api/v1/topics/t", policy),
    ]
}

/// Every node answers exactly the calls of the features that the cluster's version has.
fn offers(node: &Process, version: u32) {
    for (needed, method, path, body) in calls() {
        let (status, answer) = node.rest(method, path, &body);
        if needed <= version {
            assert_eq!(status, 200, "{path} at version {version}: {answer}");
        } else {
            let error = &answer["error"];
            assert_eq!((status, &error["code"]), (501, &json!("UNIMPLEMENTED")), "{path}: {answer}");
            assert!(
                error["message"].as_str().is_some_and(|text| text.contains(&needed.to_string())),
                "{answer}"
            );
        }
    }
}

#[test]
fn what_one_node_does_not_know_nobody_uses_and_it_comes_with_the_last_one() {
    let mut cluster = Cluster::start_with(3, &[(HOLD, "1")]);
    cluster.have_votes(3);
    cluster.create_topic("t", 1);
    cluster.produce(0, "t", "before");
    (0..3).for_each(|number| offers(cluster.node(number), 1));

    // One is upgraded after the other. The last one is held back at version 3 for a while.
    for number in 0..2 {
        cluster.stop(number);
        cluster.restart(number);
        cluster.in_sync("t", 0, 3);
        (0..3).for_each(|number| offers(cluster.node(number), 1));
        cluster.produce(number, "t", "meanwhile");
    }
    cluster.stop(2);
    cluster.nodes[2] = Some(Process::run(cluster.another_start(2).env(HOLD, "3")));
    let transaction = || cluster.node(2).rest("POST", "/api/v1/transactions", &json!({})).0 == 200;
    eventually("the version rises to 3", || transaction().then_some(()));
    (0..3).for_each(|number| offers(cluster.node(number), 3));

    cluster.stop(2);
    cluster.restart(2);
    let (newest, method, path, body) = calls()[4].clone();
    let taken = || cluster.node(2).rest(method, path, &body).0 == 200;
    eventually("the version rises to the newest", || taken().then_some(()));
    (0..3).for_each(|number| offers(cluster.node(number), newest));
    assert_eq!(cluster.values(0, "t"), ["before", "meanwhile"]);

    // There is no way back from what may stand in the logs by now.
    cluster.stop(2);
    let (code, text) = refused(cluster.another_start(2).env(HOLD, "3"));
    assert_ne!(code, 0);
    assert!(text.contains("understands feature version 3, the cluster uses 6"), "{text}");
    cluster.restart(2);
    cluster.produce(2, "t", "after");
}
