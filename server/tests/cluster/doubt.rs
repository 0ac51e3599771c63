//! What is said where nobody can know: an error that names what is missing, never an answer that looks whole.

use std::time::Duration;

use flymq_client::{Client, ErrorCode, FetchSpec, pb};
use serde_json::json;

use crate::{
    clients::{native, runtime},
    nodes::{Cluster, eventually, name},
};

/// The next leader has the newest records, and cannot tell whether the one that died had committed them.
#[test]
fn a_new_leader_without_enough_replicas_never_ends_before_what_was_acknowledged() {
    let mut cluster = Cluster::start(3);
    let runtime = runtime();
    // The default for two replicas is that both have to be in sync.
    cluster.create_topic_on("t", 1, 2);
    cluster.in_sync("t", 0, 2);
    let leader = cluster.leader("t", 0);
    for number in 0..20 {
        cluster.produce(leader, "t", &format!("{number}"));
    }
    cluster.kill(leader);
    let alive = (0..3).find(|number| *number != leader).expect("two are left");
    let next = eventually("another leader", || {
        let next = cluster.leader("t", 0);
        (next != leader).then_some(next)
    });
    let mut config = native(&cluster, alive);
    config.request_timeout = Duration::from_secs(5);
    let client = runtime.block_on(Client::with_config(config)).expect("connected");
    let latest = pb::FindOffsetRequest {
        topic: "t".to_owned(),
        at: pb::StartFrom::Latest.into(),
        ..pb::FindOffsetRequest::default()
    };
    let found = runtime.block_on(client.call::<_, pb::FindOffsetResponse>("FindOffset", &latest));
    let read = runtime.block_on(async {
        let mut spec = FetchSpec::new("t", 0, 0);
        while spec.offset < 20 {
            let page = client.fetch(&spec).await?;
            assert!(page.next_offset > spec.offset, "{next} says that there is nothing at {}", spec.offset);
            spec.offset = page.next_offset;
        }
        Ok::<_, flymq_client::ClientError>(())
    });
    match (found, read) {
        // The follower had heard of the last commit before its leader died.
        (Ok(found), Ok(())) => assert_eq!(found.offset, 20),
        // The client asks again for as long as the request may take, and says then what it heard.
        (Err(found), Err(read)) => {
            for error in [&found, &read] {
                assert!(
                    matches!(error.code, ErrorCode::NotEnoughReplicas | ErrorCode::Timeout)
                        && error.message.contains("1 replicas are in sync, 2 have to be"),
                    "{error}"
                );
            }
        }
        other => panic!("one knows and the other does not: {other:?}"),
    }
    cluster.restart(leader);
    let found: pb::FindOffsetResponse =
        eventually("enough replicas", || runtime.block_on(client.call("FindOffset", &latest)).ok());
    assert_eq!(found.offset, 20);
}

/// A list without the groups of nodes that do not answer says so.
#[test]
fn a_list_of_groups_names_the_nodes_that_did_not_answer() {
    let mut cluster = Cluster::start(3);
    let runtime = runtime();
    let client = runtime.block_on(Client::with_config(native(&cluster, 0))).expect("connected");
    let list = || {
        let request = pb::ListGroupsRequest::default();
        runtime.block_on(client.call::<_, pb::ListGroupsResponse>("ListGroups", &request))
    };
    assert!(list().expect("all answer").missing_nodes.is_empty());
    // Without a majority nobody can be told to be gone.
    cluster.kill(1);
    cluster.kill(2);
    assert_eq!(list().expect("what is known").missing_nodes, [name(1), name(2)]);
}

/// What nobody else can lead stays, and is not told as a success.
#[test]
fn a_drain_says_what_stays() {
    let cluster = Cluster::start(3);
    let runtime = runtime();
    cluster.create_topic_on("alone", 3, 1);
    let leader = name(cluster.leader("alone", 0));
    let client = runtime.block_on(Client::with_config(native(&cluster, 0))).expect("connected");
    let drained = runtime.block_on(client.call_json("DrainNode", &json!({"node_id": leader}).to_string()));
    let drained: serde_json::Value = serde_json::from_str(&drained.expect("drained")).expect("an object");
    assert!(drained["kept"].as_i64().is_some_and(|kept| kept >= 1), "{drained}");
}
