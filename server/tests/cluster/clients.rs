//! The client core while nodes die: it finds the leaders, and goes on.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use flymq_client::{
    Acks, Client, ClientConfig, ConsumerConfig, Deliveries, ErrorCode, NewMessage, OffsetReset,
    ProducerConfig, pb,
};
use futures::StreamExt as _;
use serde_json::json;
use tokio::runtime::Runtime;

use crate::nodes::{Cluster, name};

const PARTITIONS: i32 = 3;
/// No read is waited for any longer.
const DEADLINE: Duration = Duration::from_secs(60);

pub fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("threads")
}

pub fn native(cluster: &Cluster, node: usize) -> ClientConfig {
    ClientConfig::parse(&cluster.node(node).addr("native").to_string()).expect("an address")
}

fn replicated(cluster: &Cluster, topic: &str) {
    cluster.create_topic(topic, PARTITIONS.unsigned_abs());
    for partition in 0..PARTITIONS.unsigned_abs() as usize {
        cluster.in_sync(topic, partition, 3);
    }
}

/// Sends numbered messages until it is told to stop, and waits for all answers; how many were sent.
async fn produce_until(client: Client, stop: Arc<AtomicBool>, acks: Acks) -> usize {
    let config = ProducerConfig { acks, linger: Duration::from_millis(2), ..ProducerConfig::default() };
    let producer = client.producer(config);
    let (mut deliveries, mut sent) = (Deliveries::default(), 0);
    while !stop.load(Ordering::Relaxed) {
        let partition = i32::try_from(sent).expect("few") % PARTITIONS;
        let message = NewMessage { partition: Some(partition), ..NewMessage::value(format!("{sent:06}")) };
        deliveries.push(producer.send("t", message).await.expect("queued"));
        sent += 1;
        // As fast as the slowest partition: the buffer is not what is tested.
        if sent % 50 == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
    producer.flush().await.expect("everything is acknowledged");
    assert_eq!(deliveries.wait().await.expect("each by itself, too"), sent);
    sent
}

/// Reads the topic from its beginning until every number below `sent` is there.
async fn read_all(client: &Client, sent: usize) {
    let config = ConsumerConfig::new(["t"], None).reset(OffsetReset::Earliest);
    let mut consumer = client.consumer(config).expect("sound settings");
    let mut seen = BTreeSet::new();
    let reading = async {
        while seen.len() < sent {
            for message in consumer.poll(Duration::from_secs(5), 0).await.expect("it can be read") {
                seen.insert(String::from_utf8(message.value.to_vec()).expect("text"));
            }
        }
    };
    let read = tokio::time::timeout(DEADLINE, reading).await;
    assert!(read.is_ok(), "{} of {sent} acknowledged messages are there", seen.len());
}

/// The node that dies is the only one the client was told, and leads a partition.
#[test]
fn a_producer_and_a_consumer_outlive_the_node_they_were_told() {
    let mut cluster = Cluster::start(3);
    replicated(&cluster, "t");
    let runtime = runtime();
    let first = cluster.leader("t", 0);
    let client = runtime.block_on(Client::with_config(native(&cluster, first))).expect("connected");
    let stop = Arc::new(AtomicBool::new(false));
    let producing = runtime.spawn(produce_until(client.clone(), stop.clone(), Acks::All));
    let spec = flymq_client::FetchSpec {
        max_wait: Duration::from_secs(1),
        ..flymq_client::FetchSpec::new("t", 0, 0)
    };
    let some = |at_least: u64| {
        let reached =
            async { while client.fetch(&spec).await.expect("it can be read").high_watermark < at_least {} };
        runtime.block_on(async { tokio::time::timeout(DEADLINE, reached).await }).expect("records arrive");
    };
    some(100);
    cluster.kill(first);
    let next = cluster.leader("t", 0);
    assert_ne!(next, first);
    some(300);
    stop.store(true, Ordering::Relaxed);
    let sent = runtime.block_on(producing).expect("no panic");
    runtime.block_on(read_all(&client, sent));
}

/// As pods do: in the end no node has the address that the client was told first.
#[test]
fn nodes_that_come_back_under_other_addresses_are_found() {
    let mut cluster = Cluster::start(3);
    replicated(&cluster, "t");
    let runtime = runtime();
    let client = runtime.block_on(Client::with_config(native(&cluster, 0))).expect("connected");
    for node in 0..3 {
        let before = cluster.node(node).addr("native");
        cluster.kill(node);
        cluster.restart(node);
        assert_ne!(cluster.node(node).addr("native"), before);
        for partition in 0..PARTITIONS.unsigned_abs() as usize {
            cluster.in_sync("t", partition, 3);
        }
        hears_of_others(&runtime, &client);
    }
}

/// A client asks once a second where the nodes are, while it is unsure; one that does nothing hears of nothing, and nodes that are started
/// again have other addresses here. Those of three that moved one after the other, and nobody asked meanwhile, it never finds.
pub fn hears_of_others(runtime: &Runtime, client: &Client) {
    let until = Instant::now() + Duration::from_millis(2_500);
    while Instant::now() < until {
        let all = pb::ListTopicsRequest::default();
        let listed = client.call::<_, pb::ListTopicsResponse>("ListTopics", &all);
        runtime.block_on(listed).expect("somebody answers");
    }
}

/// Nodes are drained, stopped and started again, and leaderships and replicas move, under a producer that waits for the
/// leader alone: as nothing fails, nothing is lost.
#[test]
fn planned_moves_lose_nothing_that_a_leader_has_acknowledged() {
    let mut cluster = Cluster::start(3);
    replicated(&cluster, "t");
    let runtime = runtime();
    let client = runtime.block_on(Client::with_config(native(&cluster, 0))).expect("connected");
    let stop = Arc::new(AtomicBool::new(false));
    let producing = runtime.spawn(produce_until(client.clone(), stop.clone(), Acks::Leader));
    let ask = |rpc: &'static str, body: serde_json::Value| {
        runtime
            .block_on(client.call_json(rpc, &body.to_string()))
            .unwrap_or_else(|error| panic!("{rpc}: {error}"))
    };
    for number in 0..3 {
        ask("DrainNode", json!({"node_id": name(number)}));
        assert!((0..3).all(|partition| cluster.leader("t", partition) != number));
        cluster.stop(number);
        cluster.restart(number);
        (0..3).for_each(|partition| cluster.in_sync("t", partition, 3));
        hears_of_others(&runtime, &client);
        ask("BalanceLeaders", json!({}));
    }
    for number in 0..2 {
        cluster.stop(number);
        cluster.restart(number);
        (0..3).for_each(|partition| cluster.in_sync("t", partition, 3));
        hears_of_others(&runtime, &client);
    }
    let leader = cluster.leader("t", 0);
    let others: Vec<_> = (0..3).filter(|number| *number != leader).map(name).collect();
    ask("ReassignPartitions", json!({"topic": "t", "partitions": [{"partition": 0, "replicas": others}]}));
    crate::nodes::eventually("another leader", || (cluster.leader("t", 0) != leader).then_some(()));
    stop.store(true, Ordering::Relaxed);
    let sent = runtime.block_on(producing).expect("no panic");
    runtime.block_on(read_all(&client, sent));
}

/// SIGSTOP: connections stay open, nothing is answered; the session ends and others lead.
#[test]
fn a_node_that_only_falls_silent_is_left_behind() {
    let cluster = Cluster::start(3);
    replicated(&cluster, "t");
    let runtime = runtime();
    let silent = cluster.leader("t", 1);
    let client = runtime.block_on(Client::with_config(native(&cluster, silent))).expect("connected");
    let stop = Arc::new(AtomicBool::new(false));
    let producing = runtime.spawn(produce_until(client.clone(), stop.clone(), Acks::All));
    let spec = flymq_client::FetchSpec {
        max_wait: Duration::from_secs(1),
        ..flymq_client::FetchSpec::new("t", 1, 0)
    };
    let some = |at_least: u64| {
        let reached =
            async { while client.fetch(&spec).await.expect("it can be read").high_watermark < at_least {} };
        runtime.block_on(async { tokio::time::timeout(DEADLINE, reached).await }).expect("records arrive");
    };
    some(100);
    cluster.node(silent).signal("STOP");
    some(500);
    stop.store(true, Ordering::Relaxed);
    let sent = runtime.block_on(producing).expect("no panic");
    runtime.block_on(read_all(&client, sent));
    cluster.node(silent).signal("CONT");
}

/// A subscription, natively and by gRPC, while a leader dies.
#[test]
fn a_subscription_goes_on_at_the_next_leader() {
    let mut cluster = Cluster::start(3);
    replicated(&cluster, "t");
    let runtime = runtime();
    let dies = cluster.leader("t", 2);
    let lives = (dies + 1) % 3;
    let grpc = format!("grpc://{}", cluster.node(lives).addr("grpc"));
    let configs = [native(&cluster, lives), ClientConfig::parse(&grpc).expect("an address")];
    let clients = configs.map(|config| runtime.block_on(Client::with_config(config)).expect("connected"));
    let streams: Vec<_> = clients
        .iter()
        .map(|client| {
            let request = pb::SubscribeRequest {
                topic: "t".to_owned(),
                from: flymq_client::StartFrom::Earliest.into(),
                ..Default::default()
            };
            runtime.block_on(client.subscribe(request)).expect("opens").boxed()
        })
        .collect();
    let producer = clients[0].producer(ProducerConfig::default());
    let send = |text: &'static str| {
        runtime.block_on(async {
            for partition in 0..PARTITIONS {
                let message = NewMessage { partition: Some(partition), ..NewMessage::value(text) };
                producer.send("t", message).await.expect("queued");
            }
            producer.flush().await.expect("stored");
        });
    };
    send("before");
    cluster.kill(dies);
    send("after");
    for mut stream in streams {
        let mut seen = BTreeSet::new();
        let reading = async {
            while seen.len() < 2 * PARTITIONS.unsigned_abs() as usize {
                let message = stream.next().await.expect("it has no end").expect("no error");
                seen.insert((message.partition, message.value));
            }
        };
        let read = runtime.block_on(async { tokio::time::timeout(DEADLINE, reading).await });
        assert!(read.is_ok(), "only {seen:?}");
    }
}

/// What operators do is done through any node, and refusals say why.
#[test]
fn operations_go_through_any_node() {
    let cluster = Cluster::start(3);
    replicated(&cluster, "t");
    let runtime = runtime();
    runtime.block_on(async {
        let client = Client::with_config(native(&cluster, 2)).await.expect("connected");
        let drained = pb::DrainNodeRequest { node_id: "n1".to_owned() };
        let moved: pb::DrainNodeResponse = client.call("DrainNode", &drained).await.expect("drained");
        assert!(moved.moved >= 1, "n1 led something: {}", moved.moved);
        let metadata: pb::GetMetadataResponse =
            client.call("GetMetadata", &pb::GetMetadataRequest::default()).await.expect("told");
        let leaders: Vec<_> = metadata.topics[0].partitions.iter().map(|p| p.leader.as_str()).collect();
        assert!(!leaders.contains(&"n1"), "{leaders:?}");
        let state = metadata.members.iter().find(|member| member.node_id == "n1").expect("a member");
        assert_eq!(state.state, "draining");
        let balanced: pb::BalanceLeadersResponse =
            client.call("BalanceLeaders", &pb::BalanceLeadersRequest {}).await.expect("balanced");
        assert!(balanced.moved >= 0);

        let remove = pb::LeaveClusterRequest { node_id: "n2".to_owned() };
        let refused = client.call::<_, pb::LeaveClusterResponse>("LeaveCluster", &remove).await;
        assert!(refused.expect_err("it lives").message.contains("n2 is active"));
        let unknown = pb::DrainNodeRequest { node_id: "n9".to_owned() };
        let refused = client.call::<_, pb::DrainNodeResponse>("DrainNode", &unknown).await;
        let refused = refused.expect_err("no such node");
        assert_eq!(refused.code, ErrorCode::InvalidArgument);
        assert!(refused.message.contains("it has n1, n2, n3"), "{refused}");

        let token: pb::CreateJoinTokenResponse =
            client.call("CreateJoinToken", &pb::CreateJoinTokenRequest::default()).await.expect("made");
        assert!(!token.token.is_empty());
        let replicas = vec!["n2".to_owned(), "n3".to_owned()];
        let reassign = pb::ReassignPartitionsRequest {
            topic: "t".to_owned(),
            partitions: vec![pb::PartitionReplicas { partition: 0, replicas }],
            ..Default::default()
        };
        let _: pb::ReassignPartitionsResponse =
            client.call("ReassignPartitions", &reassign).await.expect("taken");
    });
    crate::nodes::eventually("two replicas", || {
        (cluster.partition("t", 0)["replicas"].as_array()?.len() == 2).then_some(())
    });
}
