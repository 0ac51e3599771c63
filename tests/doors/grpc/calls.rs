//! Records, topics and groups through gRPC.

use std::time::{Duration, Instant};

use bytes::Bytes;
use flymq_proto::pb::{
    self, admin_service_client::AdminServiceClient, broker_service_client::BrokerServiceClient,
    group_service_client::GroupServiceClient, topic_service_client::TopicServiceClient,
};
use tonic::{Code, Request, codec::CompressionEncoding};
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};
use tonic_types::StatusExt as _;

use crate::broker::{channel, eventually, start};

fn record(key: &str, value: &str) -> pb::Record {
    pb::Record {
        key: Some(Bytes::copy_from_slice(key.as_bytes())),
        value: Bytes::copy_from_slice(value.as_bytes()),
        headers: vec![pb::Header { name: "trace".to_owned(), value: Bytes::from_static(&[0, 255]) }],
        ..Default::default()
    }
}

pub fn produce(topic: &str, values: &[&str]) -> pb::ProduceRequest {
    pb::ProduceRequest {
        topic: topic.to_owned(),
        acks: pb::Acks::All.into(),
        records: values.iter().map(|v| record("k", v)).collect(),
        ..Default::default()
    }
}

#[tokio::test]
async fn what_was_produced_is_fetched_and_consumed() {
    let broker = start().await;
    let mut client = BrokerServiceClient::new(broker.channel().await);
    let produced = client.produce(produce("orders", &["a", "b", "c"])).await.expect("produced").into_inner();
    assert_eq!((produced.partition, produced.base_offset, produced.record_count), (0, 0, 3));

    let fetch = pb::FetchRequest { topic: "orders".to_owned(), offset: 1, text: true, ..Default::default() };
    let fetched = client.fetch(fetch).await.expect("fetched").into_inner();
    let values: Vec<&str> = fetched.records.iter().map(|r| r.value_text()).collect();
    assert_eq!(values, ["b", "c"]);
    assert_eq!(fetched.records[0].headers[0].value[..], [0, 255]);
    assert_eq!((fetched.next_offset, fetched.high_watermark), (3, 3));

    let consume = pb::ConsumeRequest { topic: "orders".to_owned(), offset: 2, ..Default::default() };
    let consumed = client.consume(consume).await.expect("consumed").into_inner();
    let record = consumed.record.expect("there is one");
    assert_eq!((&record.value[..], record.key.as_deref()), (b"c".as_slice(), Some(b"k".as_slice())));
}

#[tokio::test]
async fn topics_and_groups_are_kept() {
    let broker = start().await;
    let channel = broker.channel().await;
    let mut topics = TopicServiceClient::new(channel.clone());
    let options = Some(pb::TopicOptions { partitions: 3, ..Default::default() });
    let new = pb::CreateTopicRequest { name: "a/b".to_owned(), options, ..pb::CreateTopicRequest::default() };
    let created = topics.create_topic(new.clone()).await.expect("created").into_inner();
    assert_eq!(created.topic.expect("told").partitions.len(), 3);
    assert_eq!(topics.create_topic(new).await.expect_err("exists").code(), Code::AlreadyExists);

    BrokerServiceClient::new(channel.clone()).produce(produce("a/b", &["x"])).await.expect("produced");
    let list = topics.list_topics(pb::ListTopicsRequest::default()).await.expect("listed").into_inner();
    assert_eq!(list.topics.iter().map(|t| (t.name.as_str(), t.records)).collect::<Vec<_>>(), [("a/b", 1)]);

    let mut groups = GroupServiceClient::new(channel);
    let at =
        pb::PartitionOffset { topic: "a/b".to_owned(), partition: 1, offset: 0, metadata: String::new() };
    let commit = pb::CommitOffsetsRequest { group: "g".to_owned(), offsets: vec![at], ..Default::default() };
    groups.commit_offsets(commit).await.expect("committed");
    let ask = pb::GetOffsetsRequest { group: "g".to_owned(), ..Default::default() };
    let offsets = groups.get_offsets(ask).await.expect("told").into_inner().offsets;
    assert_eq!(offsets.iter().map(|o| (o.partition, o.offset)).collect::<Vec<_>>(), [(1, 0)]);
    let lag = pb::GetLagRequest { group: "g".to_owned(), ..Default::default() };
    groups.get_lag(lag).await.expect("told");
    let list = groups.list_groups(pb::ListGroupsRequest::default()).await.expect("listed").into_inner();
    assert_eq!(list.groups.len(), 1);
}

#[tokio::test]
async fn gzip_is_understood_both_ways() {
    let broker = start().await;
    let mut client = BrokerServiceClient::new(broker.channel().await)
        .send_compressed(CompressionEncoding::Gzip)
        .accept_compressed(CompressionEncoding::Gzip);
    let value = "x".repeat(10_000);
    client.produce(produce("zipped", &[&value])).await.expect("produced");
    let fetch = pb::FetchRequest { topic: "zipped".to_owned(), ..Default::default() };
    let response = client.fetch(fetch).await.expect("fetched");
    assert_eq!(response.metadata().get("grpc-encoding").expect("told"), "gzip");
    assert_eq!(response.into_inner().records[0].value.len(), 10_000);
}

#[tokio::test]
async fn the_request_id_comes_back_with_answers_and_errors() {
    let broker = start().await;
    let mut admin = AdminServiceClient::new(broker.channel().await);
    let mut request = Request::new(pb::GetHealthRequest {});
    request.metadata_mut().insert("x-request-id", "my-id-7".parse().expect("ascii"));
    let answer = admin.get_health(request).await.expect("healthy");
    assert_eq!(answer.metadata().get("x-request-id").expect("told"), "my-id-7");

    let mut topics = TopicServiceClient::new(broker.channel().await);
    let error = topics.get_topic(pb::GetTopicRequest { name: "none".to_owned() }).await.expect_err("unknown");
    let told = error.metadata().get("x-request-id").expect("told").to_str().expect("ascii").to_owned();
    assert_eq!(error.get_error_details().request_info().expect("told").request_id, told);
}

#[tokio::test]
async fn a_long_poll_answers_before_its_caller_gives_up() {
    let broker = start().await;
    let channel = broker.channel().await;
    let new = pb::CreateTopicRequest { name: "quiet".to_owned(), ..pb::CreateTopicRequest::default() };
    TopicServiceClient::new(channel.clone()).create_topic(new).await.expect("created");
    let fetch = pb::FetchRequest { topic: "quiet".to_owned(), max_wait_ms: 20_000, ..Default::default() };
    let mut request = Request::new(fetch);
    // As a header, so that only the server keeps the time.
    request.metadata_mut().insert("grpc-timeout", "500m".parse().expect("ascii"));
    let began = Instant::now();
    let answer = BrokerServiceClient::new(channel).fetch(request).await.expect("in time").into_inner();
    assert!(answer.records.is_empty());
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
}

#[tokio::test]
async fn health_tells_of_every_service() {
    let broker = start().await;
    let mut client = HealthClient::new(broker.channel().await);
    for service in ["", "flymq.v1.BrokerService", "flymq.v1.AdminService"] {
        let request = HealthCheckRequest { service: service.to_owned() };
        let status = client.check(request).await.expect("known").into_inner().status;
        assert_eq!(status, 1, "{service}");
    }
    let request = HealthCheckRequest { service: "flymq.v1.NoSuch".to_owned() };
    assert_eq!(client.check(request).await.expect_err("unknown").code(), Code::NotFound);
}

/// Two of three nodes are gone: the third is cut off from its cluster, and clients are better sent elsewhere.
#[tokio::test(flavor = "multi_thread")]
async fn health_tells_of_a_node_without_a_majority() {
    let data = tempfile::TempDir::new().expect("a directory");
    let config = flymq_server::Config::embedded(data.path());
    let mut cluster = flymq_server::dev::start(3, config, Some(data.path())).await.expect("it starts");
    let third = cluster.nodes.pop().expect("three nodes");
    let mut client = HealthClient::new(channel(third.grpc_addr()).await);
    let mut status = async || {
        let asked = HealthCheckRequest { service: "flymq.v1.BrokerService".to_owned() };
        client.check(asked).await.expect("known").into_inner().status()
    };
    eventually("it serves", async || status().await == ServingStatus::Serving).await;
    for node in cluster.nodes.drain(..).rev() {
        node.shutdown().await;
    }
    eventually("it does not serve", async || status().await == ServingStatus::NotServing).await;
    third.shutdown().await;
}
