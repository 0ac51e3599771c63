//! What a stranger cannot do.

use std::time::Duration;

use flymq_gateway::{HttpLimits, RestOptions};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};
use tokio_util::sync::CancellationToken;

use crate::{
    broker::{PATIENCE, TestBroker, eventually, start},
    http::{get, post, request, send},
};

async fn door(broker: &TestBroker, options: RestOptions) -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let addr = listener.local_addr().expect("bound");
    tokio::spawn(flymq_gateway::serve_rest(
        listener,
        broker.running.broker(),
        options,
        CancellationToken::new(),
    ));
    addr
}

/// Sends bytes and reads until the door closes the connection.
async fn raw(addr: std::net::SocketAddr, bytes: &[u8]) -> String {
    let mut socket = TcpStream::connect(addr).await.expect("open");
    // The door may close before it has read all of it.
    let _ = socket.write_all(bytes).await;
    let mut answer = Vec::new();
    let read = async {
        let mut part = [0; 4096];
        while let Ok(n @ 1..) = socket.read(&mut part).await {
            answer.extend_from_slice(&part[..n]);
        }
    };
    tokio::time::timeout(PATIENCE, read).await.expect("the door closes the connection");
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn a_large_body_is_refused_and_the_door_lives() {
    let broker = start().await;
    let addr = door(&broker, RestOptions { max_body_bytes: 10_000, ..RestOptions::default() }).await;
    let body = json!({"records": [{"value_text": "x".repeat(20_000)}]});
    let answer = post(addr, "/api/v1/topics/t/records", &body).await;
    assert_eq!((answer.status.as_u16(), answer.code().as_str()), (413, "FRAME_TOO_LARGE"));
    assert_eq!(get(addr, "/api/v1/topics").await.status, 200);
}

#[tokio::test]
async fn a_small_body_that_unfolds_to_much_is_refused() {
    let broker = start().await;
    let body = format!("{{\"records\": [{{}}{}]}}", ",{}".repeat(600_000));
    let answer = send(broker.rest(), request("POST", "/api/v1/topics/t/records", &[], body)).await;
    assert_eq!((answer.status.as_u16(), answer.code().as_str()), (413, "FRAME_TOO_LARGE"));
    assert_eq!(get(broker.rest(), "/api/v1/topics").await.status, 200);
}

#[tokio::test]
async fn requests_together_hold_a_bounded_share_of_memory() {
    let broker = start().await;
    let addr = door(&broker, RestOptions { max_requests_bytes: 1_000_000, ..RestOptions::default() }).await;
    let body = json!({"records": [{"value_text": "x".repeat(300_000)}]});
    assert_eq!(post(addr, "/api/v1/topics/t/records", &body).await.status, 200);

    // A request that never ends holds most of it.
    let mut slow = TcpStream::connect(addr).await.expect("open");
    let head = "POST /api/v1/topics HTTP/1.1\r\nhost: a\r\ncontent-length: 900000\r\n\r\n";
    slow.write_all(head.as_bytes()).await.expect("written");
    slow.write_all(&[b' '; 850_000]).await.expect("written");
    eventually("others are told to come back", async || {
        post(addr, "/api/v1/topics/t/records", &body).await.code() == "OVERLOADED"
    })
    .await;
    drop(slow);
    eventually("they are served again", async || {
        post(addr, "/api/v1/topics/t/records", &body).await.status == 200
    })
    .await;
}

#[tokio::test]
async fn slow_or_huge_headers_end_the_connection() {
    let broker = start().await;
    let http = HttpLimits {
        header_timeout: Duration::from_millis(200),
        max_header_bytes: 8192,
        ..HttpLimits::default()
    };
    let addr = door(&broker, RestOptions { http, ..RestOptions::default() }).await;
    for slow in ["", "P", "PRI * HTTP/2.0\r\n", "GET /api/v1/topics HTTP/1.1\r\nhost: local"] {
        let answer = raw(addr, slow.as_bytes()).await;
        assert!(!answer.contains("200 OK"), "{answer}");
    }
    let huge =
        format!("GET /api/v1/topics HTTP/1.1\r\nhost: localhost\r\nx: {}\r\n\r\n", "y".repeat(100_000));
    let answer = raw(addr, huge.as_bytes()).await;
    assert!(!answer.contains("200 OK"), "{answer}");
    assert_eq!(get(addr, "/api/v1/topics").await.status, 200);
}

#[tokio::test]
async fn a_body_that_comes_a_byte_at_a_time_is_cut_off_with_an_error() {
    let broker = start().await;
    let http = HttpLimits { max_connections: 1, ..HttpLimits::default() };
    let options = RestOptions { http, body_timeout: Duration::from_millis(500), ..RestOptions::default() };
    let addr = door(&broker, options).await;
    let slow = TcpStream::connect(addr).await.expect("open");
    let (mut read, mut write) = slow.into_split();
    let sending = tokio::spawn(async move {
        let head = "POST /api/v1/topics HTTP/1.1\r\nhost: a\r\ncontent-length: 100000\r\n\r\n";
        let _ = write.write_all(head.as_bytes()).await;
        // For as long as the door takes them.
        while write.write_all(b" ").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    let mut answer = Vec::new();
    let closed = async {
        let mut part = [0; 4096];
        while let Ok(n @ 1..) = read.read(&mut part).await {
            answer.extend_from_slice(&part[..n]);
        }
    };
    tokio::time::timeout(PATIENCE, closed).await.expect("the door closes the connection");
    let answer = String::from_utf8_lossy(&answer);
    assert!(answer.starts_with("HTTP/1.1 504") && answer.contains("TIMEOUT"), "{answer}");
    assert!(answer.contains("bytes of the body came within 500 ms, nothing was done"), "{answer}");
    // Its place is free again: there is only one.
    assert_eq!(get(addr, "/api/v1/topics").await.status, 200);
    sending.abort();
}

#[tokio::test]
async fn garbage_is_answered_or_cut_off_and_the_door_lives() {
    let broker = start().await;
    let http = HttpLimits { header_timeout: Duration::from_millis(200), ..HttpLimits::default() };
    let addr = door(&broker, RestOptions { http, ..RestOptions::default() }).await;
    for bytes in [
        &[0xAF, 1, 1, 0, 0, 0, 0, 0][..],
        &[0; 64],
        b"\r\n\r\n\r\n",
        b"GET  HTTP/9.9\r\n\r\n",
        b"GET /api/v1/topics HTTP/1.1\r\n\r\n",
        b"POST /api/v1/topics HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\n{}",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nnonsense that is no frame",
    ] {
        let answer = raw(addr, bytes).await;
        assert!(!answer.contains(" 200 "), "{bytes:?}: {answer}");
    }
    assert_eq!(get(addr, "/api/v1/topics").await.status, 200);
}

/// Found by a stranger: 120 clients that read nothing held 4 GB.
#[tokio::test]
async fn answers_that_nobody_reads_hold_a_bounded_share_of_memory_for_a_bounded_time() {
    let broker = start().await;
    let http = HttpLimits { unread_timeout: Duration::from_millis(800), ..HttpLimits::default() };
    let options = RestOptions { max_answers_bytes: 20_000_000, http, ..RestOptions::default() };
    let addr = door(&broker, options).await;
    let body = json!({"records": [{"value_text": "x".repeat(6_000_000)}]});
    assert_eq!(post(addr, "/api/v1/topics/big/records", &body).await.status, 200);
    let path = "/api/v1/topics/big/partitions/0/records?offset=0";
    assert_eq!(get(addr, path).await.status, 200, "an answer that is read is none of them");
    let mut unread = Vec::new();
    for path in [path, "/api/v1/topics/big/stream?from=earliest"] {
        for _ in 0..4 {
            let mut socket = TcpStream::connect(addr).await.expect("open");
            let head = format!("GET {path} HTTP/1.1\r\nhost: a\r\n\r\n");
            socket.write_all(head.as_bytes()).await.expect("written");
            unread.push(socket);
        }
    }
    eventually("others are told to come back", async || get(addr, path).await.code() == "OVERLOADED").await;
    eventually("their connections are given up", async || get(addr, path).await.status == 200).await;
    drop(unread);
}
