//! A broker stops promptly, whatever its clients do.

use std::time::{Duration, Instant};

use flymq_proto::pb::{self, broker_service_client::BrokerServiceClient};
use http_body_util::Full;
use hyper::Request;
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio::net::TcpStream;

use crate::{
    broker::start,
    http::{open, post, request},
};

#[tokio::test]
async fn idle_clients_streams_and_long_polls_do_not_hold_up_a_stop() {
    let broker = start().await;
    let rest = broker.rest();
    assert_eq!(post(rest, "/api/v1/topics", &json!({"name": "t"})).await.status, 200);

    let channel = broker.channel().await;
    let mut client = BrokerServiceClient::new(channel.clone());
    let request_t = pb::SubscribeRequest { topic: "t".to_owned(), ..Default::default() };
    let stream = client.subscribe(request_t).await.expect("subscribed");
    let poll = pb::FetchRequest { topic: "t".to_owned(), max_wait_ms: 30_000, ..Default::default() };
    let polling = tokio::spawn(async move { client.fetch(poll).await });

    let lines = open(rest, request("GET", "/api/v1/topics/t/stream", &[], "")).await.expect("an answer");
    let silent = TcpStream::connect(rest).await.expect("open");
    let socket = TcpStream::connect(rest).await.expect("open");
    let (mut kept, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(socket)).await.expect("open");
    let kept_open = tokio::spawn(connection);
    let ask: Request<Full<bytes::Bytes>> = request("GET", "/api/v1/topics", &[], "");
    assert_eq!(kept.send_request(ask).await.expect("an answer").status(), 200);

    let began = Instant::now();
    broker.running.shutdown().await;
    let took = began.elapsed();
    assert!(took < Duration::from_secs(3), "{took:?}");
    let _ = polling.await;
    drop((stream, lines, silent, kept, kept_open, channel));
}
