//! What a stranger cannot do.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use flymq_grpc::GrpcOptions;
use flymq_proto::pb::{self, broker_service_client::BrokerServiceClient};
use prost::Message as _;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};
use tokio_util::sync::CancellationToken;
use tonic::{Code, codec::CompressionEncoding};

use super::{errors::reason, raw::call};
use crate::broker::{PATIENCE, TestBroker, channel, eventually, start};

/// A second gRPC door on the broker, with other limits.
async fn door(broker: &TestBroker, options: GrpcOptions) -> (std::net::SocketAddr, CancellationToken) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let addr = listener.local_addr().expect("bound");
    let stop = CancellationToken::new();
    tokio::spawn(flymq_grpc::serve(listener, broker.running.broker(), options, stop.clone()));
    (addr, stop)
}

fn big(bytes: usize) -> pb::ProduceRequest {
    let record = pb::Record { value: Bytes::from(vec![0; bytes]), ..Default::default() };
    pb::ProduceRequest { topic: "big".to_owned(), records: vec![record], ..Default::default() }
}

#[tokio::test]
async fn an_oversized_message_is_refused_before_it_is_read_and_a_bomb_before_it_unfolds() {
    let broker = start().await;
    let options = GrpcOptions { max_message_bytes: 64 * 1024, ..GrpcOptions::default() };
    let (addr, _stop) = door(&broker, options).await;
    let mut client = BrokerServiceClient::new(channel(addr).await);
    let status = client.produce(big(65 * 1024)).await.expect_err("too large");
    assert_eq!((status.code(), reason(&status).as_str()), (Code::InvalidArgument, "FRAME_TOO_LARGE"));
    let mut zipped = client.clone().send_compressed(CompressionEncoding::Gzip);
    let status = zipped.produce(big(8 * 1024 * 1024)).await.expect_err("a bomb");
    assert_eq!(reason(&status), "FRAME_TOO_LARGE");
    client.produce(big(1024)).await.expect("the connection lives");
}

#[tokio::test]
async fn a_small_message_that_unfolds_to_much_is_refused() {
    let broker = start().await;
    let channel = broker.channel().await;
    // Field 4, no bytes: an empty record, 2,000,000 times.
    let records = b"\x22\x00".repeat(2_000_000);
    let status = call(&channel, "/flymq.v1.BrokerService/Produce", false, records).await.expect_err("heavy");
    assert_eq!(reason(&status), "FRAME_TOO_LARGE", "{status:?}");
    call(&channel, "/flymq.v1.AdminService/GetHealth", false, "").await.expect("the connection lives");
}

#[tokio::test]
async fn requests_together_hold_a_bounded_share_of_memory() {
    let broker = start().await;
    let options = GrpcOptions { max_requests_bytes: 1024 * 1024, ..GrpcOptions::default() };
    let (addr, _stop) = door(&broker, options).await;
    let mut client = BrokerServiceClient::new(channel(addr).await);
    let status = client.produce(big(600 * 1024)).await.expect_err("its bytes and what they become");
    assert_eq!(reason(&status), "FRAME_TOO_LARGE", "{status:?}");
    for _ in 0..8 {
        client.produce(big(300 * 1024)).await.expect("its share comes back each time");
    }
}

#[tokio::test]
async fn a_silent_or_wrong_connection_is_closed() {
    let broker = start().await;
    let options = GrpcOptions { handshake_timeout: Duration::from_millis(200), ..GrpcOptions::default() };
    let (addr, _stop) = door(&broker, options).await;
    for hello in [&b""[..], b"PRI * HTTP/2.0", b"GET / HTTP/1.1\r\n\r\n", &[0xAF, 1, 1, 0, 0, 0, 0, 0]] {
        let mut socket = TcpStream::connect(addr).await.expect("open");
        socket.write_all(hello).await.expect("written");
        let mut rest = Vec::new();
        let closed = tokio::time::timeout(PATIENCE, socket.read_to_end(&mut rest)).await;
        assert!(closed.is_ok(), "still open after {hello:?}");
    }
    let channel = channel(addr).await;
    call(&channel, "/flymq.v1.AdminService/GetHealth", false, "").await.expect("others are served");
}

#[tokio::test]
async fn connections_beyond_the_limit_wait_their_turn() {
    let broker = start().await;
    let (addr, _stop) = door(&broker, GrpcOptions { max_connections: 1, ..GrpcOptions::default() }).await;
    let first = channel(addr).await;
    call(&first, "/flymq.v1.AdminService/GetHealth", false, "").await.expect("served");
    let second = tokio::spawn(async move {
        let channel = channel(addr).await;
        call(&channel, "/flymq.v1.AdminService/GetHealth", false, "").await
    });
    let early = tokio::time::timeout(Duration::from_millis(200), async {
        while !second.is_finished() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert!(early.is_err(), "the second connection was served beside the first");
    drop(first);
    let answer = tokio::time::timeout(PATIENCE, second).await.expect("its turn came").expect("no panic");
    answer.expect("served");
}

#[tokio::test]
async fn shutdown_ends_streams_and_closes_connections_in_time() {
    let broker = Arc::new(start().await);
    let options = GrpcOptions { drain_timeout: Duration::from_millis(500), ..GrpcOptions::default() };
    let (addr, stop) = door(&broker, options).await;
    let mut client = BrokerServiceClient::new(channel(addr).await);
    client.produce(big(10)).await.expect("produced");
    let request = pb::SubscribeRequest {
        topic: "big".to_owned(),
        from: pb::StartFrom::Latest.into(),
        ..Default::default()
    };
    let mut stream = client.subscribe(request).await.expect("subscribed").into_inner();
    let began = Instant::now();
    stop.cancel();
    let end = tokio::time::timeout(PATIENCE, stream.message()).await.expect("it ends");
    let status = end.expect_err("with a reason");
    assert_eq!(status.code(), Code::Unavailable, "{status:?}");
    assert!(began.elapsed() < Duration::from_secs(5));
    assert!(client.produce(big(10)).await.is_err(), "the door is closed");
}

#[tokio::test]
async fn answers_that_nobody_reads_hold_a_bounded_share_of_memory() {
    let broker = start().await;
    let options = GrpcOptions { max_answers_bytes: 20_000_000, ..GrpcOptions::default() };
    let (addr, _stop) = door(&broker, options).await;
    let mut client = BrokerServiceClient::new(channel(addr).await);
    client.produce(big(6_000_000)).await.expect("stored");
    let consume = pb::ConsumeRequest { topic: "big".to_owned(), ..Default::default() };
    for _ in 0..8 {
        client
            .clone()
            .max_decoding_message_size(usize::MAX)
            .consume(consume.clone())
            .await
            .expect("read at once");
    }
    let mut unread = Vec::new();
    for _ in 0..4 {
        let mut grpc = tonic::client::Grpc::new(channel(addr).await);
        grpc.ready().await.expect("connected");
        let path = "/flymq.v1.BrokerService/Consume".parse().expect("a path");
        let request = tonic::Request::new(Bytes::from(consume.encode_to_vec()));
        match grpc.server_streaming(request, path, flymq_tests::RawCodec).await {
            Ok(answer) => unread.push(answer),
            Err(status) => assert_eq!(reason(&status), "OVERLOADED", "{status:?}"),
        }
    }
    assert!(unread.len() < 4, "others are told to come back");
    drop(unread);
    let again =
        async || client.clone().max_decoding_message_size(usize::MAX).consume(consume.clone()).await.is_ok();
    eventually("what they held comes back", again).await;
}
