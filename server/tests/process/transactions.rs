//! Transactions over real sockets, on a broker that is killed while they run.

use std::{
    collections::BTreeMap,
    io::Write as _,
    net::TcpStream,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use flymq_client::{Client, ClientConfig, FetchSpec, NewMessage, TransactionalConfig, pb::ErrorCode};
use serde_json::{Value, json};

use crate::broker::{DEADLINE, Process};

const PARTITIONS: i64 = 4;

fn post(broker: &Process, path: &str, body: &Value) -> (u16, Value) {
    broker.rest("POST", path, body)
}

fn ok((status, answer): (u16, Value)) -> Value {
    assert_eq!(status, 200, "{answer}");
    answer
}

fn code((status, answer): &(u16, Value)) -> &str {
    assert_ne!(*status, 200, "{answer}");
    answer["error"]["code"].as_str().expect("an error has a code")
}

fn create_topic(broker: &Process, name: &str) {
    let options = json!({"name": name, "options": {"partitions": PARTITIONS}});
    ok(post(broker, "/api/v1/topics", &options));
}

/// A producer of `id`, and its begun transaction.
fn begin(broker: &Process, id: &str, timeout_ms: u32) -> String {
    let body = json!({"transactional_id": id, "timeout_ms": timeout_ms});
    let begun = ok(post(broker, "/api/v1/transactions", &body));
    begun["transaction_id"].as_str().expect("it is named").to_owned()
}

fn path(transaction: &str, what: &str) -> String {
    format!("/api/v1/transactions/{transaction}/{what}")
}

fn write(broker: &Process, transaction: &str, partition: i64, value: &str) -> (u16, Value) {
    let body = json!({"topic": "t", "partition": partition, "records": [{"value_text": value}]});
    post(broker, &path(transaction, "records"), &body)
}

fn write_offset(broker: &Process, transaction: &str, offset: u64) -> (u16, Value) {
    let body = json!({"group": "g", "offsets": [{"topic": "t", "partition": 0, "offset": offset}]});
    post(broker, &path(transaction, "offsets"), &body)
}

fn end(broker: &Process, transaction: &str, how: &str) -> (u16, Value) {
    post(broker, &path(transaction, how), &json!({}))
}

/// Values of each partition that a reader sees.
async fn shown(client: &Client, topic: &str) -> Vec<Vec<String>> {
    let mut all = Vec::new();
    for partition in 0..i32::try_from(PARTITIONS).expect("small") {
        let (mut values, mut offset) = (Vec::new(), 0);
        loop {
            let fetched = client.fetch(&FetchSpec::new(topic, partition, offset)).await.expect("fetched");
            let texts = fetched.messages.iter().map(|m| String::from_utf8_lossy(&m.value).into_owned());
            values.extend(texts);
            if fetched.next_offset == offset {
                break;
            }
            offset = fetched.next_offset;
        }
        all.push(values);
    }
    all
}

async fn committed(client: &Client) -> Option<u64> {
    client.committed("g", "t").await.expect("answered").first().map(|offset| offset.offset)
}

/// The end is asked for, and the broker is killed so soon after that: at every step of the end in some round.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_that_a_kill_interrupts_is_whole_after_the_restart() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut broker = Process::start(dir.path());
    create_topic(&broker, "t");
    let (mut expected, mut interrupted) = (vec![Vec::new(); 4], 0);
    let mut offset = 0;
    for round in 0..12_u64 {
        let transaction = begin(&broker, "tx", 60_000);
        let (commits, value) = (round % 3 != 2, format!("v{round}"));
        for partition in 0..PARTITIONS {
            ok(write(&broker, &transaction, partition, &value));
        }
        ok(write_offset(&broker, &transaction, round + 1));
        let how = if commits { "commit" } else { "abort" };
        let mut socket = TcpStream::connect(broker.addr("rest")).expect("connected");
        let path = path(&transaction, how);
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{{}}"
        );
        socket.write_all(head.as_bytes()).expect("sent");
        // The fault: nothing waits for this time.
        std::thread::sleep(Duration::from_micros(round * 700));
        broker.crash();
        broker = Process::start(dir.path());
        // Asking again finds out, and does it where it was not begun.
        let ended = end(&broker, &transaction, how);
        assert_eq!(
            ok(ended.clone())["producer_epoch"].as_u64(),
            Some(epoch_of(&transaction) + 1),
            "{ended:?}"
        );
        let other = if commits { "abort" } else { "commit" };
        assert_eq!(code(&end(&broker, &transaction, other)), "TRANSACTION_STATE");
        if commits {
            expected.iter_mut().for_each(|values| values.push(value.clone()));
            offset = round + 1;
        }
        let client = Client::connect(&broker.addr("native").to_string()).await.expect("connected");
        assert_eq!(shown(&client, "t").await, expected, "round {round}");
        assert_eq!(committed(&client).await.unwrap_or(0), offset, "round {round}");
        interrupted += 1;
    }
    eprintln!("{interrupted} ends were interrupted by kill -9, none was partial");
}

fn epoch_of(transaction: &str) -> u64 {
    transaction.split('.').nth(1).and_then(|epoch| epoch.parse().ok()).expect("PRODUCER.EPOCH.ID")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_zombie_a_late_end_and_a_timeout_do_nothing() {
    let dir = tempfile::tempdir().expect("a directory");
    let broker = Process::start(dir.path());
    create_topic(&broker, "t");
    let client = Client::connect(&broker.addr("native").to_string()).await.expect("connected");
    let zombie = begin(&broker, "tx", 60_000);
    ok(write(&broker, &zombie, 0, "old"));
    let new = begin(&broker, "tx", 60_000);
    for refused in [
        write(&broker, &zombie, 0, "old"),
        write(&broker, &zombie, 1, "old"),
        write_offset(&broker, &zombie, 7),
        end(&broker, &zombie, "commit"),
    ] {
        assert_eq!(code(&refused), "PRODUCER_FENCED", "{refused:?}");
    }
    ok(write(&broker, &new, 0, "new"));
    let open = ok(broker.rest("GET", "/api/v1/transactions", &Value::Null));
    assert_eq!(open["transactions"][0]["transaction_id"], json!(new), "{open}");
    assert_eq!(open["transactions"][0]["state"], "TRANSACTION_STATE_ONGOING");
    ok(end(&broker, &new, "commit"));
    // A late end of a transaction that is over, while the next one is open.
    let next = begin(&broker, "tx", 60_000);
    ok(write(&broker, &next, 0, "next"));
    let _late = end(&broker, &new, "commit");
    assert_eq!(shown(&client, "t").await[0], ["new"]);
    ok(end(&broker, &next, "abort"));
    // A timeout ends it without anybody's help.
    let slow = begin(&broker, "tx", 300);
    ok(write(&broker, &slow, 0, "slow"));
    let began = Instant::now();
    loop {
        let open = ok(broker.rest("GET", "/api/v1/transactions", &Value::Null));
        if open["transactions"].as_array().is_none_or(Vec::is_empty) {
            break;
        }
        assert!(began.elapsed() < DEADLINE, "{open}");
    }
    assert_eq!(code(&end(&broker, &slow, "commit")), "PRODUCER_FENCED");
    assert_eq!(shown(&client, "t").await[0], ["new"]);
    assert_eq!(code(&end(&broker, "1.0.nobody", "commit")), "TRANSACTION_NOT_FOUND");
    assert_eq!(code(&end(&broker, "nonsense", "commit")), "INVALID_ARGUMENT");
}

/// Consume, transform, produce: each input has one output, although the broker is killed over and over.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_read_is_transformed_exactly_once_over_kills_of_the_broker() {
    const MESSAGES: u64 = 600;
    let dir = tempfile::tempdir().expect("a directory");
    let mut broker = Process::start(dir.path());
    let addr = broker.addr("native").to_string();
    create_topic(&broker, "t");
    create_topic(&broker, "out");
    let mut config = ClientConfig::parse(&addr).expect("an address");
    config.max_retries = 40;
    let client = Client::with_config(config).await.expect("connected");
    for number in 0..MESSAGES {
        let message = NewMessage::value(number.to_string()).to_partition(0);
        client.produce("t", message).await.expect("stored");
    }
    let done = Arc::new(AtomicU64::new(0));
    let seen = Arc::clone(&done);
    let killer = tokio::spawn(async move {
        for kill in 0..4_u64 {
            // In the middle of one of the next transactions.
            while seen.load(Ordering::Relaxed) < 100 * (kill + 1) {
                tokio::time::sleep(Duration::from_millis(3)).await;
            }
            assert!(seen.load(Ordering::Relaxed) < MESSAGES, "it was killed too late");
            broker.crash();
            broker = Process::start_with(dir.path(), &[("FLYMQ_BIND_ADDR", &addr)]);
        }
        (broker, dir)
    });
    let mut producer = client.transactional_producer(TransactionalConfig::new("mill")).await.expect("init");
    let began = Instant::now();
    let mut failures: BTreeMap<ErrorCode, usize> = BTreeMap::new();
    loop {
        assert!(began.elapsed() < 2 * DEADLINE, "{failures:?}");
        let offsets = client.committed("g", "t").await;
        let Ok(offsets) = offsets else { continue };
        let at = offsets.first().map_or(0, |offset| offset.offset);
        done.store(at, Ordering::Relaxed);
        if at == MESSAGES {
            break;
        }
        let spec = FetchSpec { max_messages: 7, ..FetchSpec::new("t", 0, at) };
        let Ok(fetched) = client.fetch(&spec).await else { continue };
        let transformed = producer.transform("g", &fetched.messages, |message| {
            let text = String::from_utf8_lossy(&message.value).into_owned();
            vec![("out".to_owned(), NewMessage::keyed(text.clone(), format!("made of {text}")))]
        });
        if let Err(error) = transformed.await {
            *failures.entry(error.code).or_default() += 1;
            if error.code == ErrorCode::ProducerFenced {
                producer.init().await.expect("begun anew");
            }
        }
    }
    let (_broker, _dir) = killer.await.expect("it killed");
    let mut out: Vec<String> = shown(&client, "out").await.into_iter().flatten().collect();
    let mut expected: Vec<String> = (0..MESSAGES).map(|number| format!("made of {number}")).collect();
    out.sort_unstable();
    expected.sort_unstable();
    assert_eq!(out, expected, "{failures:?}");
    eprintln!("{MESSAGES} messages, 4 kills, failures that the producer saw: {failures:?}");
}
