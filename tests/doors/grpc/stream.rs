//! Subscriptions.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use flymq_grpc::GrpcOptions;
use flymq_proto::pb::{self, broker_service_client::BrokerServiceClient};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::{Code, Streaming};

use super::{calls::produce, errors::reason};
use crate::broker::{Counted, PATIENCE, channel, eventually, start};

async fn values(stream: &mut Streaming<pb::SubscribeResponse>, count: usize) -> Vec<String> {
    let mut found = Vec::new();
    while found.len() < count {
        let next = tokio::time::timeout(PATIENCE, stream.message()).await.expect("in time");
        let batch = next.expect("no error").expect("not the end");
        found.extend(batch.records.iter().map(|r| String::from_utf8_lossy(&r.value).into_owned()));
    }
    found
}

fn from_earliest(topic: &str) -> pb::SubscribeRequest {
    pb::SubscribeRequest {
        topic: topic.to_owned(),
        from: pb::StartFrom::Earliest.into(),
        ..Default::default()
    }
}

#[tokio::test]
async fn old_and_new_records_arrive() {
    let broker = start().await;
    let mut client = BrokerServiceClient::new(broker.channel().await);
    client.produce(produce("t", &["a", "b"])).await.expect("produced");
    let mut stream = client.subscribe(from_earliest("t")).await.expect("subscribed").into_inner();
    assert_eq!(values(&mut stream, 2).await, ["a", "b"]);
    client.produce(produce("t", &["c"])).await.expect("produced");
    assert_eq!(values(&mut stream, 1).await, ["c"]);
}

#[tokio::test]
async fn an_unknown_topic_is_refused() {
    let broker = start().await;
    let mut client = BrokerServiceClient::new(broker.channel().await);
    let status = match client.subscribe(from_earliest("none")).await {
        Ok(stream) => stream.into_inner().message().await.expect_err("refused"),
        Err(status) => status,
    };
    assert_eq!((status.code(), reason(&status).as_str()), (Code::NotFound, "TOPIC_NOT_FOUND"));
}

#[tokio::test]
async fn a_subscription_ends_when_its_reader_leaves_also_one_that_never_reads() {
    let broker = start().await;
    let counted = Counted::new(broker.running.broker());
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let addr = listener.local_addr().expect("bound");
    let stop = CancellationToken::new();
    tokio::spawn(flymq_grpc::serve(
        listener,
        Arc::new(counted.clone()),
        GrpcOptions::default(),
        stop.clone(),
    ));

    let mut client = BrokerServiceClient::new(channel(addr).await);
    let value = "x".repeat(1024 * 1024);
    for _ in 0..8 {
        client.produce(produce("t", &[&value])).await.expect("produced");
    }
    let idle = client.subscribe(from_earliest("t")).await.expect("subscribed");
    let mut read = client.subscribe(from_earliest("t")).await.expect("subscribed").into_inner();
    assert_eq!(values(&mut read, 8).await.len(), 8);
    eventually("both are open", async || counted.open() == 2).await;
    drop(read);
    eventually("the reader is gone", async || counted.open() == 1).await;
    drop(idle);
    eventually("both are gone", async || counted.open() == 0).await;
}

#[tokio::test]
async fn values_are_bytes_and_may_be_empty() {
    let broker = start().await;
    let mut client = BrokerServiceClient::new(broker.channel().await);
    let records = vec![
        pb::Record { value: Bytes::new(), ..Default::default() },
        pb::Record { value: Bytes::from_static(&[0, 159, 146, 150]), ..Default::default() },
    ];
    let request = pb::ProduceRequest { topic: "b".to_owned(), records, ..Default::default() };
    client.produce(request).await.expect("produced");
    let mut stream = client.subscribe(from_earliest("b")).await.expect("subscribed").into_inner();
    let mut found = Vec::new();
    while found.len() < 2 {
        let next = tokio::time::timeout(Duration::from_secs(10), stream.message()).await.expect("in time");
        found.extend(next.expect("no error").expect("not the end").records);
    }
    assert_eq!((&found[0].value[..], &found[1].value[..]), (&b""[..], &[0u8, 159, 146, 150][..]));
}

#[tokio::test]
async fn a_long_poll_ends_when_its_caller_leaves() {
    let broker = start().await;
    let counted = Counted::new(broker.running.broker());
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let addr = listener.local_addr().expect("bound");
    let stop = CancellationToken::new();
    tokio::spawn(flymq_grpc::serve(
        listener,
        Arc::new(counted.clone()),
        GrpcOptions::default(),
        stop.clone(),
    ));
    let mut client = BrokerServiceClient::new(channel(addr).await);
    client.produce(produce("t", &["a"])).await.expect("produced");
    let fetch =
        pb::FetchRequest { topic: "t".to_owned(), offset: 1, max_wait_ms: 30_000, ..Default::default() };
    let polling = tokio::spawn(async move { client.fetch(fetch).await });
    eventually("it waits", async || counted.open() == 1).await;
    polling.abort();
    eventually("it is gone", async || counted.open() == 0).await;
}
