//! Version 2: requests, replies out of order, appends in order.

use bytes::{Bytes, BytesMut};
use flymq_api::{CallContext, Door};
use flymq_proto::pb;
use flymq_wire::{
    batch::{HEADER_LEN, RecordIter, verify},
    v2::{Acks, FetchReply, ProduceReply, op},
};

use super::support::{Broker, Client, batch, detail, fetch, produce, request};

/// Values of all records of a fetch reply.
fn values(reply: &FetchReply) -> Vec<Bytes> {
    let mut values = Vec::new();
    for item in reply.batches() {
        let (_, bytes) = item.unwrap();
        verify(&bytes).unwrap();
        let records = RecordIter::new(&bytes).unwrap();
        values.extend(records.map(|record| Bytes::copy_from_slice(record.unwrap().value.unwrap())));
    }
    values
}

async fn produced(client: &mut Client) -> (u32, ProduceReply) {
    let message = client.message().await;
    assert!(!message.is_error(), "{:?}", detail(&message));
    (message.correlation, ProduceReply::decode(message.body).unwrap())
}

async fn fetched(client: &mut Client) -> FetchReply {
    let message = client.message().await;
    assert!(!message.is_error(), "{:?}", detail(&message));
    FetchReply::decode(message.body).unwrap()
}

#[tokio::test]
async fn hello_tells_what_the_server_is() {
    let broker = Broker::start().await;
    let mut client = broker.v1().await;
    client.send(request(op::HELLO, 77, &pb::HelloRequest::default())).await;
    let reply = client.message().await;
    assert_eq!((reply.op, reply.correlation, reply.flags), (op::HELLO, 77, 0));
    let hello = <pb::HelloResponse as prost::Message>::decode(reply.body).unwrap();
    assert_eq!((hello.max_frame_bytes, hello.auth_required), (32 << 20, false));
    assert!(!hello.server_version.is_empty() && !hello.features.is_empty());
}

#[tokio::test]
async fn batches_come_back_as_they_were_sent() {
    let broker = Broker::start().await;
    let mut client = broker.v2().await;
    client.create_topic("t", 2).await;
    for acks in [Acks::Default, Acks::None, Acks::Leader, Acks::All] {
        let body = produce("t", 1, acks, batch(&[b"one", b"two"]));
        client.send(body.encode(5).unwrap()).await;
        let (correlation, reply) = produced(&mut client).await;
        assert_eq!((correlation, reply.partition), (5, 1));
        assert!(reply.append_time > 0);
    }
    client.send(produce("t", -1, Acks::All, batch(&[b"three"])).encode(6).unwrap()).await;
    assert_eq!(produced(&mut client).await.1.partition, 0, "round robin from 0");
    let mut body = fetch("t", 0, 1_000);
    body.partition = 1;
    let mut all = Vec::new();
    while all.len() < 8 {
        client.send(body.encode(7).unwrap()).await;
        let reply = fetched(&mut client).await;
        assert_eq!((reply.log_start, reply.log_end), (0, 8));
        assert!(reply.next_offset > body.offset && reply.high_watermark >= reply.next_offset);
        all.extend(values(&reply));
        body.offset = reply.next_offset;
    }
    assert_eq!(all, ["one", "two"].repeat(4));
}

#[tokio::test]
async fn failures_are_typed() {
    let broker = Broker::start().await;
    let mut client = broker.v2().await;
    client.create_topic("t", 1).await;
    let mut damaged = BytesMut::from(&batch(&[b"value"])[..]);
    *damaged.last_mut().unwrap() ^= 1;
    let mut past = fetch("t", 9, 0);
    past.partition = 4;
    let cases = [
        (produce("t", 0, Acks::All, damaged.freeze()).encode(1), pb::ErrorCode::CorruptBatch),
        (produce("t", 0, Acks::All, Bytes::new()).encode(2), pb::ErrorCode::InvalidArgument),
        (produce("t", 8, Acks::All, batch(&[b"v"])).encode(3), pb::ErrorCode::PartitionNotFound),
        (
            produce("__consumer_offsets", 0, Acks::All, batch(&[b"v"])).encode(4),
            pb::ErrorCode::PermissionDenied,
        ),
        (fetch("nosuch", 0, 0).encode(5), pb::ErrorCode::TopicNotFound),
        (fetch("t", 9, 0).encode(6), pb::ErrorCode::OffsetOutOfRange),
        (past.encode(7), pb::ErrorCode::PartitionNotFound),
    ];
    for (frame, code) in cases {
        client.send(frame.unwrap()).await;
        let reply = client.message().await;
        let error = detail(&reply);
        assert_eq!(error.code(), code, "{error:?}");
        assert!(error.request_id.ends_with(&format!("-{}", reply.correlation)));
    }
    let metadata: pb::GetMetadataResponse = client.call(83, &pb::GetMetadataRequest::default()).await;
    assert_eq!(metadata.topics.len(), 1);
}

#[tokio::test]
async fn a_long_poll_lets_others_pass() {
    let broker = Broker::start().await;
    let mut client = broker.v2().await;
    client.create_topic("t", 1).await;
    client.send(fetch("t", 0, 20_000).encode(100).unwrap()).await;
    let _: pb::GetHealthResponse = client.call(144, &pb::GetHealthRequest {}).await;
    client.send(produce("t", 0, Acks::Leader, batch(&[b"woken"])).encode(101).unwrap()).await;
    let (first, second) = (client.message().await, client.message().await);
    let mut order = [first.correlation, second.correlation];
    order.sort_unstable();
    assert_eq!(order, [100, 101]);
    let reply = if first.correlation == 100 { first } else { second };
    assert_eq!(values(&FetchReply::decode(reply.body).unwrap()), ["woken"]);
}

/// A thousand produces in flight to a topic that the first of them creates: the log has them in the order of their
/// frames, whatever order the replies have.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn appends_keep_the_order_of_a_connection() {
    const COUNT: u32 = 1_000;
    for acks in [Acks::All, Acks::Leader] {
        let broker = Broker::start().await;
        let mut client = broker.v2().await;
        let mut frames = Vec::new();
        for n in 0..COUNT {
            let value = n.to_be_bytes();
            let body = produce("made/by/first", 0, acks, batch(&[&value]));
            frames.extend_from_slice(&body.encode(n).unwrap().into_bytes());
        }
        client.send_raw(&frames).await;
        let mut seen = vec![None; COUNT as usize];
        for _ in 0..COUNT {
            let (correlation, reply) = produced(&mut client).await;
            assert_eq!(seen[correlation as usize].replace(reply.base_offset), None);
        }
        let expected: Vec<_> = (0..u64::from(COUNT)).map(Some).collect();
        assert_eq!(seen, expected);
    }
}

/// The first append to a partition is more work than the others, which must not overtake it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_appends_to_each_partition_are_in_order() {
    for chosen_by_server in [false, true] {
        let broker = Broker::start().await;
        let mut client = broker.v2().await;
        client.create_topic("t", 3).await;
        let mut frames = Vec::new();
        for n in 0..300 {
            let partition = if chosen_by_server { -1 } else { n % 3 };
            let body = produce("t", partition, Acks::All, batch(&[b"v"]));
            frames.extend_from_slice(&body.encode(n as u32).unwrap().into_bytes());
        }
        client.send_raw(&frames).await;
        for _ in 0..300 {
            let (correlation, reply) = produced(&mut client).await;
            let expected = ((correlation % 3) as i32, u64::from(correlation / 3));
            assert_eq!((reply.partition, reply.base_offset), expected, "request {correlation}");
        }
    }
}

#[tokio::test]
async fn two_topics_interleaved_are_each_in_order() {
    let broker = Broker::start().await;
    let mut client = broker.v2().await;
    let mut frames = Vec::new();
    for n in 0..200 {
        let topic = ["a", "b"][n as usize % 2];
        frames
            .extend_from_slice(&produce(topic, 0, Acks::All, batch(&[b"v"])).encode(n).unwrap().into_bytes());
    }
    client.send_raw(&frames).await;
    for _ in 0..200 {
        let (correlation, reply) = produced(&mut client).await;
        assert_eq!(reply.base_offset, u64::from(correlation / 2));
    }
}

#[tokio::test]
async fn a_reply_holds_a_batch_even_if_it_is_larger_than_asked() {
    let broker = Broker::start().await;
    let mut client = broker.v2().await;
    let value = vec![1; 3 << 20];
    for n in 0..2 {
        client.send(produce("t", 0, Acks::All, batch(&[&value])).encode(n).unwrap()).await;
        produced(&mut client).await;
    }
    let mut body = fetch("t", 0, 0);
    body.max_bytes = 1;
    client.send(body.encode(1).unwrap()).await;
    let reply = fetched(&mut client).await;
    assert_eq!((values(&reply).len(), reply.next_offset), (1, 1));
}

/// The bytes of a large batch are those that the socket was read into, through the log's cache and out again.
#[tokio::test]
async fn a_batch_is_not_copied_on_its_way_through_the_broker() {
    let broker = Broker::start().await;
    let sent = batch(&[&vec![3; 100_000]]);
    let context = || CallContext::new(Door::NativeV2, "test");
    let topic = || "t".to_owned();
    let produce = pb::ProduceRequest { topic: topic(), batch: sent.clone(), acks: 3, ..Default::default() };
    broker.broker.call(context(), produce.into()).await.unwrap();
    let fetch = pb::FetchRequest { topic: topic(), batches: true, ..Default::default() };
    let fetched = broker.broker.call(context(), fetch.into()).await.unwrap();
    let fetched = pb::FetchResponse::try_from(fetched).unwrap();
    let [head, payload] = &fetched.batches[..] else { panic!("{} pieces", fetched.batches.len()) };
    assert_eq!((head.len(), payload.as_ptr()), (HEADER_LEN, sent[HEADER_LEN..].as_ptr()));
}

#[tokio::test]
async fn a_half_closed_client_gets_its_replies() {
    use tokio::io::AsyncWriteExt as _;
    let broker = Broker::start().await;
    let mut client = broker.v2().await;
    for n in 0..10 {
        client.send(produce("t", 0, Acks::All, batch(&[b"v"])).encode(n).unwrap()).await;
    }
    client.socket.shutdown().await.unwrap();
    for _ in 0..10 {
        produced(&mut client).await;
    }
    client.expect_close().await;
}
