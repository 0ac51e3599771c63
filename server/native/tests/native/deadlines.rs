//! Connections on which nothing happens.

use std::time::Duration;

use flymq_native::NativeOptions;
use flymq_proto::pb;
use flymq_wire::{
    v1::{Empty, Request, op},
    v2::Acks,
};

use super::support::{Broker, batch, fetch, produce, request};

fn short(options: NativeOptions) -> NativeOptions {
    NativeOptions { idle_timeout: Duration::from_millis(150), ..options }
}

#[tokio::test]
async fn half_a_first_frame_is_not_waited_for() {
    let options =
        NativeOptions { first_frame_deadline: Duration::from_millis(100), ..NativeOptions::default() };
    let broker = Broker::with(options).await;
    let mut client = broker.v1().await;
    client.send_raw(&[0xAF, 1, 8]).await;
    client.expect_close().await;
}

#[tokio::test]
async fn silence_before_a_login_is_shorter() {
    let options = NativeOptions {
        auth_required: true,
        first_frame_deadline: Duration::from_millis(100),
        ..NativeOptions::default()
    };
    let broker = Broker::with(options).await;
    broker.v1().await.expect_close().await;
}

#[tokio::test]
async fn silent_connections_are_closed() {
    let broker = Broker::with(short(NativeOptions::default())).await;
    broker.v1().await.expect_close().await;
    let mut client = broker.v1().await;
    assert_eq!(client.ask(Request::ListTopics(Empty)).await.op, op::LIST_TOPICS);
    client.expect_close().await;
    broker.v2().await.expect_close().await;
    let mut half = broker.v2().await;
    half.send_raw(&[0xAF, 2, 8]).await;
    half.expect_close().await;
}

#[tokio::test]
async fn a_long_poll_and_a_quiet_stream_are_not_silence() {
    let broker = Broker::with(short(NativeOptions::default())).await;
    let mut client = broker.v2().await;
    client.create_topic("t", 1).await;
    client.send(fetch("t", 0, 700).encode(2).unwrap()).await;
    let empty = client.message().await;
    assert!(!empty.is_error() && empty.correlation == 2);
    let subscribe = pb::SubscribeRequest { topic: "t".to_owned(), ..Default::default() };
    client.send(request(0x0D, 3, &subscribe)).await;
    let mut other = broker.v2().await;
    client.send(fetch("t", 0, 700).encode(4).unwrap()).await;
    assert_eq!(client.message().await.correlation, 4);
    other.expect_close().await;
    let mut other = broker.v2().await;
    other.send(produce("t", 0, Acks::Leader, batch(&[b"v"])).encode(1).unwrap()).await;
    let push = client.message().await;
    assert!(push.has_more() && push.correlation == 3);
}

#[tokio::test]
async fn a_client_that_takes_no_replies_is_dropped() {
    let broker = Broker::with(short(NativeOptions::default())).await;
    let mut filler = broker.v2().await;
    let value = vec![7; 1 << 20];
    for n in 0..8 {
        filler.send(produce("t", 0, Acks::Leader, batch(&[&value])).encode(n).unwrap()).await;
        assert!(!filler.message().await.is_error());
    }
    let mut client = broker.v2().await;
    for n in 0..64 {
        client.send(fetch("t", 0, 0).encode(n).unwrap()).await;
    }
    super::support::eventually("the door gives up", || {
        broker.node.connections.load(std::sync::atomic::Ordering::Relaxed) == 0
    })
    .await;
}

#[tokio::test]
async fn too_many_connections_are_turned_away() {
    let broker = Broker::with(NativeOptions { max_connections: 2, ..NativeOptions::default() }).await;
    let (first, _second) = (broker.v2().await, broker.v2().await);
    broker.v1().await.expect_close().await;
    drop(first);
    let connections = || broker.node.connections.load(std::sync::atomic::Ordering::Relaxed);
    super::support::eventually("a place is free", || connections() == 1).await;
    let mut third = broker.v1().await;
    assert_eq!(third.ask(Request::ListTopics(Empty)).await.op, op::LIST_TOPICS);
}

#[tokio::test]
async fn a_stopping_door_answers_what_runs_and_closes() {
    let broker = Broker::start().await;
    let mut client = broker.v2().await;
    client.create_topic("t", 1).await;
    let mut idle = broker.v1().await;
    client
        .send(request(0x0D, 3, &pb::SubscribeRequest { topic: "t".to_owned(), ..Default::default() }))
        .await;
    client.send(produce("t", 0, Acks::All, batch(&[b"v"])).encode(1).unwrap()).await;
    let mut seen = [client.message().await.correlation, client.message().await.correlation];
    seen.sort_unstable();
    assert_eq!(seen, [1, 3], "the reply and the push");
    client.send(fetch("t", 1, 20_000).encode(2).unwrap()).await;
    super::support::eventually("the long poll runs", || {
        broker.probe.started.load(std::sync::atomic::Ordering::SeqCst) == 3
    })
    .await;
    broker.stop().await;
    let mut ends = Vec::new();
    while let Some(frame) = client.try_frame().await {
        ends.push(flymq_wire::v2::Message::from_frame(frame).unwrap());
    }
    assert!(ends.iter().any(|end| end.correlation == 3 && end.is_end() && end.is_error()));
    assert!(ends.iter().any(|reply| reply.correlation == 2 && !reply.is_error()), "{ends:?}");
    idle.expect_close().await;
}
