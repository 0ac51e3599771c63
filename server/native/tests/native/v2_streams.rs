//! Push streams: credit, cancel, fairness.

use flymq_proto::pb;
use flymq_wire::{
    frame::FrameParts,
    v2::{Acks, CancelBody, CreditBody, Message, PushBody, op},
};

use super::support::{Broker, Client, batch, detail, produce, request};

const STREAM: u32 = 40;

fn subscribe(topic: &str, credit: u32) -> FrameParts {
    let body = pb::SubscribeRequest {
        topic: topic.to_owned(),
        from: pb::StartFrom::Earliest.into(),
        credit_bytes: credit,
        ..Default::default()
    };
    request(op::SUBSCRIBE_STREAM, STREAM, &body)
}

fn push(message: Message) -> PushBody {
    assert_eq!((message.op, message.correlation), (op::SUBSCRIBE_STREAM, STREAM));
    assert!(message.has_more() && !message.is_error(), "{message:?}");
    PushBody::decode(message.body).unwrap()
}

/// Appends `count` batches of `len` bytes and gives the size of one.
async fn fill(client: &mut Client, count: u32, len: usize) -> usize {
    let batch = batch(&[&vec![9; len]]);
    for n in 0..count {
        client.send(produce("t", 0, Acks::All, batch.clone()).encode(n).unwrap()).await;
        assert!(!client.message().await.is_error());
    }
    batch.len()
}

fn batches(push: &PushBody) -> usize {
    push.batches().filter(|item| item.as_ref().is_ok()).count()
}

#[tokio::test]
async fn no_more_than_the_credit_and_a_batch_is_outstanding() {
    let broker = Broker::start().await;
    let mut client = broker.v2().await;
    let size = fill(&mut client, 20, 10_000).await;
    let credit = (size * 3 + 1) as u32;
    client.send(subscribe("t", credit)).await;
    let mut received = 0;
    while received < 4 {
        received += batches(&push(client.message().await));
    }
    assert_eq!(received, 4, "three fit, and the last byte of credit lets a fourth through");
    // Were there more to come, it would come before the answer to this.
    let _: pb::GetHealthResponse = client.call(144, &pb::GetHealthRequest {}).await;
    client.send(CreditBody { stream: STREAM, bytes: (size * 2) as u32 }.encode(1).unwrap()).await;
    while received < 6 {
        received += batches(&push(client.message().await));
    }
    assert_eq!(received, 6);
    let _: pb::GetHealthResponse = client.call(144, &pb::GetHealthRequest {}).await;
    client.send(CreditBody { stream: STREAM, bytes: u32::MAX }.encode(1).unwrap()).await;
    let mut last = 0;
    while received < 20 {
        let push = push(client.message().await);
        received += batches(&push);
        last = push.next_offset;
    }
    assert_eq!((received, last), (20, 20));
}

#[tokio::test]
async fn a_stream_follows_the_log_until_it_is_cancelled() {
    let broker = Broker::start().await;
    let (mut reader, mut writer) = (broker.v2().await, broker.v2().await);
    writer.create_topic("t", 1).await;
    reader.send(subscribe("t", 0)).await;
    for n in 0..50u64 {
        writer.send(produce("t", 0, Acks::Leader, batch(&[b"v"])).encode(1).unwrap()).await;
        assert!(!writer.message().await.is_error());
        let push = push(reader.message().await);
        assert_eq!((push.topic.as_str(), push.partition, push.next_offset), ("t", 0, n + 1));
        assert!(push.high_watermark >= push.next_offset, "nothing above the high watermark");
    }
    reader.send(CancelBody { stream: STREAM }.encode(2).unwrap()).await;
    let end = reader.message().await;
    assert!(end.is_end() && !end.is_error() && end.correlation == STREAM);
    writer.send(produce("t", 0, Acks::All, batch(&[b"v"])).encode(1).unwrap()).await;
    assert!(!writer.message().await.is_error());
    let _: pb::GetHealthResponse = reader.call(144, &pb::GetHealthRequest {}).await;
}

#[tokio::test]
async fn a_subscription_that_cannot_be_ends_with_an_error() {
    let broker = Broker::start().await;
    let mut client = broker.v2().await;
    client.send(subscribe("nosuch", 0)).await;
    let end = client.message().await;
    assert!(end.is_end());
    assert_eq!(detail(&end).code(), pb::ErrorCode::TopicNotFound);
    client.create_topic("t", 1).await;
    client.send(subscribe("t", 0)).await;
    client.send(subscribe("t", 0)).await;
    assert_eq!(detail(&client.message().await).code(), pb::ErrorCode::InvalidArgument);
    client.send(CreditBody { stream: 999, bytes: 1 }.encode(1).unwrap()).await;
    client.send(CancelBody { stream: 999 }.encode(1).unwrap()).await;
    let _: pb::GetHealthResponse = client.call(144, &pb::GetHealthRequest {}).await;
}

#[tokio::test]
async fn a_busy_stream_leaves_room_for_requests() {
    let broker = Broker::start().await;
    let mut client = broker.v2().await;
    fill(&mut client, 32, 1 << 20).await;
    client.send(subscribe("t", u32::MAX)).await;
    client.send(request(144, 7, &pb::GetHealthRequest {})).await;
    let (mut pushed, mut answered_after) = (0, None);
    while pushed < 32 {
        let message = client.message().await;
        match message.correlation {
            7 => answered_after = Some(pushed),
            _ => pushed += batches(&push(message)),
        }
    }
    assert!(answered_after.is_some_and(|pushed| pushed < 32), "{answered_after:?}");
}
