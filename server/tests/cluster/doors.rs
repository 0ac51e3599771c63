//! Clients that know nothing of leaders: the node that gets a request sends it on.

use std::{
    collections::BTreeSet,
    io::{Read as _, Write as _},
    net::TcpStream,
    time::Duration,
};

use flymq_client::{Acks, Client, ClientConfig, ErrorCode, NewMessage, pb};
use flymq_wire::{
    frame::{Frame, HEADER_LEN, Version},
    v1,
};

use crate::{
    clients::native,
    nodes::{Cluster, eventually},
};

/// One request of version 1, and its reply.
fn ask_v1(cluster: &Cluster, node: usize, request: &v1::Request) -> Frame {
    let mut socket = TcpStream::connect(cluster.node(node).addr("native")).expect("the door is open");
    socket.set_read_timeout(Some(Duration::from_secs(30))).expect("a timeout");
    socket.write_all(&request.encode().expect("small").into_bytes()).expect("sent");
    let mut head = [0; HEADER_LEN];
    socket.read_exact(&mut head).expect("a reply");
    let len = u32::from_be_bytes([head[4], head[5], head[6], head[7]]);
    let mut payload = vec![0; len as usize];
    socket.read_exact(&mut payload).expect("all of it");
    Frame { version: Version::V1, op: head[2], flags: head[3], payload: payload.into() }
}

fn produce_v1(value: &str) -> v1::Request {
    let (key, value) = (bytes::Bytes::new(), value.to_owned().into());
    v1::Request::Produce(v1::Produce { topic: "t".to_owned(), key, value, partition: 0 })
}

fn metric(cluster: &Cluster, node: usize, name: &str) -> f64 {
    cluster.node(node).metric(name).unwrap_or(0.0)
}

#[test]
fn version_1_grpc_and_rest_reach_the_leader_through_any_node() {
    let cluster = Cluster::start(3);
    // One node leads, one follows, one keeps nothing of it.
    cluster.create_topic_on("t", 1, 2);
    cluster.in_sync("t", 0, 2);
    let leader = cluster.leader("t", 0);
    for node in 0..3 {
        let reply = ask_v1(&cluster, node, &produce_v1(&format!("v1-{node}")));
        let stored: v1::RecordMetadata = v1::read_reply(v1::op::PRODUCE, &reply).expect("stored");
        assert_eq!(stored.partition, 0);
        cluster.produce(node, "t", &format!("rest-{node}"));
    }
    let runtime = tokio::runtime::Runtime::new().expect("threads");
    runtime.block_on(async {
        for node in 0..3 {
            let addr = format!("grpc://{}", cluster.node(node).addr("grpc"));
            let client = Client::connect(&addr).await.expect("connected");
            // By name, as grpcurl does it: to the node that was named.
            let request = format!(
                r#"{{"topic":"t","partition":0,"acks":"ACKS_ALL","records":[{{"value_text":"grpc-{node}"}}]}}"#
            );
            client.call_json("Produce", &request).await.expect("stored");
            let fetch = r#"{"topic":"t","partition":0,"max_records":100,"text":true}"#;
            let read = client.call_json("Fetch", fetch).await.expect("read");
            assert!(read.contains(&format!("grpc-{node}")), "{read}");
        }
    });
    let values = cluster.values((leader + 1) % 3, "t");
    assert_eq!(values.len(), 9, "each once: {values:?}");

    let produced = "flymq_requests_forwarded_total{rpc=\"Produce\",code=\"OK\"}";
    for node in (0..3).filter(|node| *node != leader) {
        assert!(metric(&cluster, node, produced) >= 3.0, "node {node} sent its requests on");
    }
    assert!(metric(&cluster, leader, produced) < 1.0, "the leader had none to send on");
    let received = "flymq_requests_from_peers_total{rpc=\"Produce\",code=\"OK\"}";
    assert!(metric(&cluster, leader, received) >= 6.0);
}

/// One request with records for partitions of several leaders, to each of the nodes.
#[test]
fn records_of_one_request_reach_several_leaders() {
    let cluster = Cluster::start(3);
    cluster.create_topic_on("t", 3, 2);
    for partition in 0..3 {
        cluster.in_sync("t", partition, 2);
    }
    eventually("leaders on several nodes", || {
        let leaders: BTreeSet<_> = (0..3).map(|partition| cluster.leader("t", partition)).collect();
        (leaders.len() > 1).then_some(())
    });
    let runtime = tokio::runtime::Runtime::new().expect("threads");
    runtime.block_on(async {
        for node in 0..3 {
            let client = Client::with_config(native(&cluster, node)).await.expect("connected");
            let message = |number: usize| NewMessage {
                key: Some(format!("key-{number}").into()),
                ..NewMessage::value(format!("{node}-{number}"))
            };
            let messages = (0..30).map(message).collect();
            let stored = client.produce_batch("t", messages, Acks::All).await.expect("stored");
            let partitions: BTreeSet<_> = stored.iter().map(|one| one.partition).collect();
            assert_eq!((stored.len(), partitions.len()), (30, 3));
            // Each record is where its metadata say.
            for (number, at) in stored.iter().enumerate() {
                let read = client.consume("t", at.partition, at.offset).await.expect("readable");
                assert_eq!(read.value, format!("{node}-{number}"));
            }
        }
    });
}

/// A client that routes itself is told where the leader is, in the address of its own door.
#[test]
fn version_2_and_a_stream_are_told_where_the_leader_is() {
    let cluster = Cluster::start(3);
    cluster.create_topic("t", 1);
    cluster.in_sync("t", 0, 3);
    let leader = cluster.leader("t", 0);
    let other = (leader + 1) % 3;
    let runtime = tokio::runtime::Runtime::new().expect("threads");
    let refused = runtime.block_on(async {
        let mut config = native(&cluster, other);
        config.request_timeout = Duration::from_millis(200);
        let client = Client::with_config(config).await.expect("connected");
        client.call_json("Fetch", r#"{"topic":"t","partition":0,"batches":true}"#).await
    });
    let refused = refused.expect_err("it is not the leader");
    assert_eq!(refused.code, ErrorCode::NotLeader);
    assert_eq!(refused.metadata["leader_addr"], cluster.node(leader).addr("native").to_string());
    assert_eq!(refused.metadata["leader"], crate::nodes::name(leader));

    let reply = ask_v1(&cluster, other, &v1::Request::ClusterMetadata(v1::ClusterMetadata { topic: None }));
    let told: v1::ClusterInfo = v1::read_reply(v1::op::CLUSTER_METADATA, &reply).expect("told");
    let partition = &told.topics[0].partitions[0];
    assert_eq!(partition.leader_addr, cluster.node(leader).addr("native").to_string());
    assert_eq!((partition.replicas.len(), partition.isr.len(), partition.state.as_str()), (3, 3, "online"));
}

/// Commits, looks and lists through every node.
#[test]
fn groups_are_served_by_their_coordinator_through_any_node() {
    let cluster = Cluster::start(3);
    cluster.create_topic("t", 1);
    cluster.in_sync("t", 0, 3);
    let runtime = tokio::runtime::Runtime::new().expect("threads");
    runtime.block_on(async {
        let mut clients = Vec::new();
        for node in 0..3 {
            clients.push(Client::with_config(native(&cluster, node)).await.expect("connected"));
        }
        for (node, client) in clients.iter().enumerate() {
            let offset = 0;
            let commit = pb::PartitionOffset { topic: "t".to_owned(), offset, ..Default::default() };
            client.commit(&format!("g{node}"), vec![commit]).await.expect("committed");
        }
        for client in &clients {
            for group in ["g0", "g1", "g2"] {
                assert_eq!(client.committed(group, "t").await.expect("told").len(), 1, "{group}");
            }
            let listed: pb::ListGroupsResponse =
                client.call("ListGroups", &pb::ListGroupsRequest::default()).await.expect("listed");
            let names: Vec<_> = listed.groups.iter().map(|group| group.group.as_str()).collect();
            assert_eq!(names, ["g0", "g1", "g2"]);
        }
        let describe = pb::DescribeGroupRequest { group: "g0".to_owned() };
        let coordinators = futures::future::join_all(clients.iter().map(|client| async {
            let told: pb::DescribeGroupResponse =
                client.call("DescribeGroup", &describe).await.expect("described");
            told.coordinator
        }));
        let coordinators = coordinators.await;
        assert!(coordinators.iter().all(|one| *one == coordinators[0]), "{coordinators:?}");
    });
}

/// The addresses are those of the door that asks.
#[test]
fn each_door_is_told_its_own_addresses() {
    let cluster = Cluster::start(3);
    cluster.create_topic("t", 1);
    cluster.in_sync("t", 0, 3);
    let leader = cluster.leader("t", 0);
    let runtime = tokio::runtime::Runtime::new().expect("threads");
    for door in ["native", "grpc"] {
        let scheme = if door == "grpc" { "grpc" } else { "flymq" };
        let addr = format!("{scheme}://{}", cluster.node(0).addr(door));
        let config = ClientConfig::parse(&addr).expect("an address");
        let told: pb::GetMetadataResponse = runtime.block_on(async {
            let client = Client::with_config(config).await.expect("connected");
            client.call("GetMetadata", &pb::GetMetadataRequest::default()).await.expect("told")
        });
        let there = cluster.node(leader).addr(door).to_string();
        assert_eq!(told.topics[0].partitions[0].leader_addr, there, "{door}");
        assert_eq!(told.members.len(), 3);
        assert!(told.members.iter().any(|member| member.client_addr == there), "{door}");
    }
}
