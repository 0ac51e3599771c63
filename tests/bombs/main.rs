//! Decompression bombs at every door (reliability C2): each is refused with a typed error, the broker serves on, and its memory
//! rises by less than 32 MiB, whatever the bomb says that it is.

mod bomb;
mod broker;
mod v1;

use std::{future::Future, net::SocketAddr};

use broker::Process;
use bytes::Bytes;
use flymq_client::{Client, ClientError, ErrorCode};
use flymq_proto::pb::{self, broker_service_client::BrokerServiceClient};
use http_body_util::{BodyExt as _, Full};
use serde_json::{Value, json};
use tonic::codec::CompressionEncoding;

/// What memory may rise by.
const MOST: u64 = 32 << 20;
/// Of each bomb.
const TIMES: usize = 5;

/// Runs an attack; checks by how much the broker's memory rose at the most.
async fn bounded<T>(process: &Process, what: &str, attack: impl Future<Output = T>) -> T {
    process.forget_peak();
    let (before, _) = process.memory();
    let result = attack.await;
    let (_, peak) = process.memory();
    let rise = peak.saturating_sub(before);
    println!("{what}: memory rose by {:.1} MiB", rise as f64 / f64::from(1 << 20));
    assert!(rise < MOST, "{what}: {rise} bytes");
    result
}

fn produce(batch: Bytes) -> pb::ProduceRequest {
    pb::ProduceRequest {
        topic: "t".to_owned(),
        partition: Some(0),
        acks: pb::Acks::All.into(),
        batch,
        ..Default::default()
    }
}

async fn send(client: &Client, batch: Bytes) -> Result<pb::ProduceResponse, ClientError> {
    client.call("Produce", &produce(batch)).await
}

async fn http(addr: SocketAddr, request: hyper::Request<Full<Bytes>>) -> (u16, Value) {
    let socket = tokio::net::TcpStream::connect(addr).await.expect("the door is open");
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(hyper_util::rt::TokioIo::new(socket)).await.expect("HTTP");
    tokio::spawn(connection);
    let answer = sender.send_request(request).await.expect("an answer");
    let status = answer.status().as_u16();
    let body = answer.into_body().collect().await.expect("a body").to_bytes();
    (status, serde_json::from_slice(&body).unwrap_or(Value::Null))
}

fn post(body: impl Into<Bytes>, encoding: Option<&str>) -> hyper::Request<Full<Bytes>> {
    let mut request = hyper::Request::post("/api/v1/topics/t/records").header("host", "localhost");
    if let Some(encoding) = encoding {
        request = request.header("content-encoding", encoding);
    }
    request.body(Full::new(body.into())).expect("a request")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bombs_are_refused_at_every_door_and_cost_little_memory() {
    let data = tempfile::tempdir().expect("a temporary directory");
    let process = Process::start(data.path());
    let native = Client::connect(&process.addr("native").to_string()).await.expect("connected");
    let grpc = Client::connect(&format!("grpc://{}", process.addr("grpc"))).await.expect("connected");
    native.produce("t", flymq_client::NewMessage::value("first")).await.expect("produced");

    let bombs = bomb::boastful();
    for (door, client) in [("native v2", &native), ("gRPC", &grpc)] {
        bounded(&process, &format!("{door}, batches that say their length"), async {
            for (codec, bomb) in bombs.iter().cycle().take(TIMES * bombs.len()) {
                let error = send(client, bomb.clone()).await.expect_err("a bomb");
                assert_eq!(error.code, ErrorCode::FrameTooLarge, "{door} {codec}: {error}");
            }
        })
        .await;
    }
    version_1(&process).await;
    rest(&process).await;
    grpc_messages(&process).await;
    sly(&process, &native, &grpc).await;
    native.produce("t", flymq_client::NewMessage::value("last")).await.expect("the broker serves on");
}

async fn version_1(process: &Process) {
    let payloads = v1::payloads();
    let attack = async {
        let mut attackers = Vec::new();
        for _ in 0..8 {
            let (addr, payloads) = (process.addr("native"), payloads.clone());
            attackers.push(tokio::spawn(async move {
                let mut connection = v1::Connection::open(addr).await;
                for payload in payloads.iter().cycle().take(TIMES * payloads.len()) {
                    let text = connection.refused(payload).await;
                    assert!(text.starts_with("gzip: "), "{text}");
                }
            }));
        }
        for attacker in attackers {
            attacker.await.expect("refused each time");
        }
    };
    bounded(process, "native v1, gzip requests, 8 connections at once", attack).await;
}

async fn rest(process: &Process) {
    use base64::Engine as _;
    let addr = process.addr("rest");
    let zipped = flymq_wire::v1::deflate(&vec![b' '; bomb::INFLATED]);
    bounded(process, "REST, content-encoding", async {
        for _ in 0..TIMES {
            let (status, answer) = http(addr, post(zipped.clone(), Some("gzip"))).await;
            assert_eq!((status, &answer["error"]["code"]), (400, &json!("INVALID_ARGUMENT")), "{answer}");
        }
    })
    .await;
    bounded(process, "REST, batches that say their length", async {
        for (codec, bomb) in bomb::boastful() {
            let batch = base64::engine::general_purpose::STANDARD.encode(bomb);
            let body = json!({"partition": 0, "batch": batch}).to_string();
            let (status, answer) = http(addr, post(body, None)).await;
            assert_eq!(
                (status, &answer["error"]["code"]),
                (413, &json!("FRAME_TOO_LARGE")),
                "{codec}: {answer}"
            );
        }
    })
    .await;
}

/// `grpc-encoding: gzip` around a message of one large value.
async fn grpc_messages(process: &Process) {
    let endpoint = tonic::transport::Endpoint::from_shared(format!("http://{}", process.addr("grpc")));
    let channel = endpoint.expect("an address").connect().await.expect("connected");
    let mut client = BrokerServiceClient::new(channel).send_compressed(CompressionEncoding::Gzip);
    let record = pb::Record { value: vec![0; bomb::INFLATED].into(), ..Default::default() };
    let request = pb::ProduceRequest { records: vec![record], ..produce(Bytes::new()) };
    bounded(process, "gRPC, grpc-encoding gzip", async {
        for _ in 0..TIMES {
            let status = client.produce(request.clone()).await.expect_err("a bomb");
            assert!(status.message().contains("larger than"), "{status:?}");
        }
    })
    .await;
}

/// What a look from outside does not show is stopped when it is opened.
async fn sly(process: &Process, native: &Client, grpc: &Client) {
    let bombs = bomb::sly();
    for (door, client) in [("native v2", native), ("gRPC", grpc)] {
        bounded(process, &format!("{door}, batches that say nothing, or lie"), async {
            for (what, bomb) in bombs.iter().cycle().take(TIMES * bombs.len()) {
                let error = send(client, bomb.clone()).await.expect_err("a bomb");
                let codes = [ErrorCode::FrameTooLarge, ErrorCode::Protocol];
                assert!(codes.contains(&error.code), "{door}, {what}: {error}");
            }
        })
        .await;
    }
    bounded(process, "native v2, the same, 8 connections at once", async {
        let attackers = (0..8).map(|_| async {
            let client = Client::connect(&process.addr("native").to_string()).await.expect("connected");
            for (what, bomb) in bombs.iter().cycle().take(TIMES * bombs.len()) {
                send(&client, bomb.clone()).await.expect_err(what);
            }
        });
        futures::future::join_all(attackers).await;
    })
    .await;
}
