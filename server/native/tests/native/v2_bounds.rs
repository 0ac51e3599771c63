//! What one connection may hold.

use std::sync::atomic::Ordering::SeqCst;

use flymq_native::NativeOptions;
use flymq_proto::pb;
use flymq_wire::v2::{Acks, FetchReply, PushBody, op};

use super::support::{Broker, batch, eventually, fetch, produce, request};

#[tokio::test]
async fn a_client_that_does_not_read_stops_its_own_requests_only() {
    const MIB: usize = 1 << 20;
    let options = NativeOptions { max_queued_bytes: MIB, ..NativeOptions::default() };
    let broker = Broker::with(options).await;
    let mut other = broker.v2().await;
    for n in 0..16 {
        let large = batch(&[&vec![5; MIB]]);
        other.send(produce("t", 0, Acks::All, large).encode(n).unwrap()).await;
        assert!(!other.message().await.is_error());
    }
    let before = broker.probe.started.load(SeqCst);
    let mut slow = broker.v2().await;
    for n in 0..100 {
        slow.send(fetch("t", u64::from(n % 16), 0).encode(n).unwrap()).await;
    }
    eventually("the first fetches run", || broker.probe.started.load(SeqCst) > before).await;
    for _ in 0..50 {
        let _: pb::GetHealthResponse = other.call(144, &pb::GetHealthRequest {}).await;
    }
    // What the sockets' buffers took does not count; they hold a few MiB at most.
    let started = broker.probe.started.load(SeqCst) - before - 50;
    assert!(started < 60, "{started} of 100 fetches of 1 MiB were made although nobody reads");
    for n in 0..100 {
        let message = slow.message().await;
        assert_eq!(message.correlation, n);
        assert!(!FetchReply::decode(message.body).unwrap().runs.is_empty());
    }
}

#[tokio::test]
async fn a_subscriber_that_does_not_read_costs_what_the_queue_holds() {
    const MIB: usize = 1 << 20;
    let options = NativeOptions { max_queued_bytes: MIB, ..NativeOptions::default() };
    let broker = Broker::with(options).await;
    let mut writer = broker.v2().await;
    for n in 0..64 {
        writer.send(produce("t", 0, Acks::Leader, batch(&[&vec![5; MIB]])).encode(n).unwrap()).await;
        assert!(!writer.message().await.is_error());
    }
    let mut slow = broker.v2().await;
    let from = pb::StartFrom::Earliest.into();
    let subscribe =
        pb::SubscribeRequest { topic: "t".to_owned(), from, credit_bytes: u32::MAX, ..Default::default() };
    slow.send(request(op::SUBSCRIBE_STREAM, 9, &subscribe)).await;
    eventually("the stream has begun", || broker.probe.pulled.load(SeqCst) > 0).await;
    for _ in 0..50 {
        let _: pb::GetHealthResponse = writer.call(144, &pb::GetHealthRequest {}).await;
    }
    let pulled = broker.probe.pulled.load(SeqCst);
    assert!(pulled < 32, "{pulled} of 64 runs of 1 MiB were read although nobody takes them");
    let mut next = 0;
    while next < 64 {
        next = PushBody::decode(slow.message().await.body).unwrap().next_offset;
    }
}

#[tokio::test]
async fn requests_in_flight_are_bounded() {
    let options = NativeOptions { max_in_flight: 4, ..NativeOptions::default() };
    let broker = Broker::with(options).await;
    let mut client = broker.v2().await;
    client.create_topic("t", 1).await;
    for n in 0..20 {
        client.send(fetch("t", 0, 50).encode(n).unwrap()).await;
    }
    for _ in 0..20 {
        assert!(!client.message().await.is_error());
    }
    assert_eq!(broker.probe.peak.load(SeqCst), 4);
}

#[tokio::test]
async fn bytes_in_flight_are_bounded() {
    let options = NativeOptions { max_in_flight_bytes: 1_000, ..NativeOptions::default() };
    let broker = Broker::with(options).await;
    let mut client = broker.v2().await;
    client.create_topic("t", 1).await;
    let mut frames = Vec::new();
    for n in 0..50 {
        let body = produce("t", 0, Acks::All, batch(&[&[1; 900]]));
        frames.extend_from_slice(&body.encode(n).unwrap().into_bytes());
    }
    client.send_raw(&frames).await;
    for _ in 0..50 {
        assert!(!client.message().await.is_error());
    }
    assert_eq!(broker.probe.peak.load(SeqCst), 1, "one request fills the bound");
}
