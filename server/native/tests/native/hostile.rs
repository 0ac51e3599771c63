//! Bytes that no client sends: the process lives, other connections go on, errors are typed.

use bytes::Bytes;
use flymq_proto::pb;
use flymq_wire::{
    frame::{FrameParts, Version},
    v1::{Empty, ErrorReply, Request, TopicList, op},
    v2::Message,
};
use proptest::prelude::*;
use tokio::io::AsyncWriteExt as _;

use super::support::{Broker, Client, detail, error_text, request};

/// A connection that the hostile ones must not disturb.
async fn still_serves(bystander: &mut Client) {
    let listed: TopicList = bystander.reply(Request::ListTopics(Empty)).await;
    assert_eq!(listed.topics, ["kept"]);
}

async fn with_bystander() -> (Broker, Client) {
    let broker = Broker::start().await;
    let mut bystander = broker.v1().await;
    let create = flymq_wire::v1::CreateTopic { topic: "kept".to_owned(), partitions: 1 };
    let _: flymq_wire::v1::Done = bystander.reply(Request::CreateTopic(create)).await;
    (broker, bystander)
}

#[tokio::test]
async fn headers_that_cannot_be_read_on() {
    let (broker, mut bystander) = with_bystander().await;
    let cases: [(&[u8], Option<&str>); 6] = [
        (b"GET / HTTP/1.1\r\n\r\n", None),
        (&[0x00; 64], None),
        (&[0xFB, 1, 1, 0, 0, 0, 0, 0], Some("retired 0xFB protocol")),
        (&[0xAF, 3, 1, 1, 0, 0, 0, 0], Some("unknown 0xAF protocol version 3")),
        (&[0xAF, 1, 1, 1, 0x02, 0, 0, 1], Some("33554433 bytes is above the limit of 33554432")),
        (&[0xAF, 1, 1, 1, 0xFF, 0xFF, 0xFF, 0xFF], Some("4294967295 bytes is above the limit")),
    ];
    for (bytes, text) in cases {
        let mut client = broker.v1().await;
        client.send_raw(bytes).await;
        if let Some(text) = text {
            let told = error_text(&client.frame().await);
            assert!(told.contains(text), "{told}");
        }
        client.expect_close().await;
        still_serves(&mut bystander).await;
    }
}

#[tokio::test]
async fn replies_before_a_broken_frame_still_arrive() {
    let (broker, _bystander) = with_bystander().await;
    let mut client = broker.v1().await;
    let mut bytes = Request::ListTopics(Empty).encode().unwrap().into_bytes().to_vec();
    bytes.extend_from_slice(&[0xAF, 2, 1, 1, 0, 0, 0, 0]);
    client.send_raw(&bytes).await;
    assert_eq!(client.frame().await.op, op::LIST_TOPICS);
    assert!(error_text(&client.frame().await).contains("V2 on a connection of version V1"));
    client.expect_close().await;
}

#[tokio::test]
async fn a_frame_of_exactly_32_mib_is_read() {
    let (broker, _bystander) = with_bystander().await;
    let mut client = broker.v1().await;
    client.send(FrameParts::new(Version::V1, 0x99, 1, Bytes::from(vec![0; 32 << 20])).unwrap()).await;
    assert_eq!(error_text(&client.frame().await), "unknown opcode: 153");
}

#[tokio::test]
async fn every_truncation_of_every_v1_request_is_answered() {
    let (broker, mut bystander) = with_bystander().await;
    let mut client = broker.v1().await;
    for (code, _) in op::TABLE {
        for len in 0..24 {
            let body = Bytes::from(vec![0xFF; len]);
            client.send(FrameParts::new(Version::V1, *code, 1, body).unwrap()).await;
            let frame = client.frame().await;
            assert!(frame.op == op::ERROR || len == 0 || frame.op == *code, "op {code} with {len} bytes");
        }
    }
    still_serves(&mut bystander).await;
}

#[tokio::test]
async fn v2_bodies_that_do_not_decode_are_typed_errors_and_the_connection_lives() {
    let (broker, mut bystander) = with_bystander().await;
    let mut client = broker.v2().await;
    for code in 1..=u8::MAX {
        let body = Bytes::from_static(&[0xFF; 21]);
        let frame = Message { op: code, flags: 0, correlation: u32::from(code), body }.into_frame().unwrap();
        client.send(frame).await;
        let reply = client.message().await;
        assert_eq!((reply.op, reply.correlation), (code, u32::from(code)));
        let error = detail(&reply);
        let expected = [pb::ErrorCode::Protocol, pb::ErrorCode::Unimplemented];
        assert!(expected.contains(&error.code()), "op {code}: {error:?}");
        assert!(!error.message.is_empty() && !error.hint.is_empty() && !error.request_id.is_empty());
    }
    let health: pb::GetHealthResponse = client.call(144, &pb::GetHealthRequest {}).await;
    assert!(health.live);
    still_serves(&mut bystander).await;
}

#[tokio::test]
async fn a_v2_frame_without_correlation_id_ends_the_connection() {
    let (broker, mut bystander) = with_bystander().await;
    let mut client = broker.v2().await;
    client.send(FrameParts::new(Version::V2, 1, 0, Bytes::from_static(b"abc")).unwrap()).await;
    assert_eq!(detail(&client.message().await).code(), pb::ErrorCode::Protocol);
    client.expect_close().await;
    still_serves(&mut bystander).await;
}

#[tokio::test]
async fn hello_comes_first_and_once() {
    let (broker, _bystander) = with_bystander().await;
    let mut client = broker.v1().await;
    client.send(request(144, 9, &pb::GetHealthRequest {})).await;
    let refused = client.message().await;
    assert_eq!((refused.correlation, detail(&refused).code()), (9, pb::ErrorCode::Protocol));
    client.expect_close().await;
    let mut client = broker.v2().await;
    client.send(request(0x0C, 5, &pb::HelloRequest::default())).await;
    assert_eq!(detail(&client.message().await).code(), pb::ErrorCode::Protocol);
    let _: pb::GetHealthResponse = client.call(144, &pb::GetHealthRequest {}).await;
}

/// Bytes that look like frames, more or less.
fn noise() -> impl Strategy<Value = Vec<u8>> {
    let body = prop::collection::vec(any::<u8>(), 0..200);
    let frame = (prop_oneof![Just(1u8), Just(2u8), any::<u8>()], any::<u8>(), any::<u8>(), body, -3i32..4)
        .prop_map(|(version, op, flags, body, lie)| {
            let len = (body.len() as i32 + lie).max(0) as u32;
            let mut bytes = vec![0xAF, version, op, flags];
            bytes.extend_from_slice(&len.to_be_bytes());
            bytes.extend_from_slice(&body);
            bytes
        });
    let frames = prop::collection::vec(frame, 1..6).prop_map(|frames| frames.concat());
    prop_oneof![3 => frames, 1 => prop::collection::vec(any::<u8>(), 1..300)]
}

async fn throw(broker: &Broker, bytes: &[u8], after_hello: bool) {
    let mut client = if after_hello { broker.v2().await } else { broker.v1().await };
    // The door may have closed already.
    let _ = client.socket.write_all(bytes).await;
    let _ = client.socket.shutdown().await;
    while let Some(frame) = client.try_frame().await {
        if frame.version == Version::V1 && frame.op == op::ERROR {
            assert!(ErrorReply::read(&frame.payload).code.is_some(), "errors are coded");
        }
    }
}

#[test]
fn noise_ends_in_typed_errors_and_hurts_nobody() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (broker, bystander) = runtime.block_on(with_bystander());
    let bystander = tokio::sync::Mutex::new(bystander);
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig::with_cases(200));
    runner
        .run(&(noise(), any::<bool>()), |(bytes, after_hello)| {
            runtime.block_on(async {
                throw(&broker, &bytes, after_hello).await;
                let listed = bystander.lock().await.ask(Request::ListTopics(Empty)).await;
                assert_eq!(listed.op, op::LIST_TOPICS);
            });
            Ok(())
        })
        .unwrap();
}
