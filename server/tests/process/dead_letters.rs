//! Dead letters on a broker that is killed while records fail: B31.

use std::{
    collections::BTreeMap,
    io::Write as _,
    net::TcpStream,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::broker::{DEADLINE, Process};

fn ok((status, answer): (u16, Value)) -> Value {
    assert_eq!(status, 200, "{answer}");
    answer
}

/// Sends the request, and does not wait for its answer.
fn send_only(broker: &Process, path: &str, body: &Value) -> TcpStream {
    let mut socket = TcpStream::connect(broker.addr("rest")).expect("connected");
    let body = body.to_string();
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    socket.write_all(head.as_bytes()).expect("sent");
    socket
}

/// Values of all committed records of a topic.
fn values(broker: &Process, topic: &str) -> Vec<String> {
    let (mut all, mut offset) = (Vec::new(), 0);
    loop {
        let path = format!("/api/v1/topics/{topic}/partitions/0/records?offset={offset}&text=true");
        let (status, page) = broker.rest("GET", &path, &Value::Null);
        if status == 404 {
            return all;
        }
        assert_eq!(status, 200, "{page}");
        for record in page["records"].as_array().into_iter().flatten() {
            all.push(record["value_text"].as_str().expect("text").to_owned());
        }
        let next = number(&page["next_offset"]);
        if next == offset {
            return all;
        }
        offset = next;
    }
}

/// Numbers of 64 bits are text in JSON.
fn number(value: &Value) -> u64 {
    value.as_u64().or_else(|| value.as_str()?.parse().ok()).unwrap_or(0)
}

fn produce(broker: &Process, value: &str) {
    let body = json!({"acks": "ACKS_ALL", "partition": 0, "records": [{"value_text": value}]});
    ok(broker.rest("POST", "/api/v1/topics/t/records", &body));
}

/// What the group has still to do, handed to `member`.
fn acquire(broker: &Process, member: &str, retries_only: bool) -> Vec<(u64, String)> {
    let body = json!({"topic": "t", "member_id": member, "retries_only": retries_only, "text": true, "max_records": 1000});
    let got = ok(broker.rest("POST", "/api/v1/consumer-groups/g/acquire", &body));
    let records = got["records"].as_array().into_iter().flatten();
    let text = |record: &Value| record["value_text"].as_str().unwrap_or_default().to_owned();
    records.map(|one| (number(&one["record"]["offset"]), text(&one["record"]))).collect()
}

fn count(all: &[String]) -> BTreeMap<&str, usize> {
    let mut counts = BTreeMap::new();
    for value in all {
        *counts.entry(value.as_str()).or_default() += 1;
    }
    counts
}

/// The last failure of a record is reported, and the broker is killed so soon after that: at every step of the move in some
/// round. The record is in the dead letters then or still to be processed, never both, never neither, and once there only once.
#[test]
fn a_record_is_acknowledged_or_a_dead_letter_whenever_the_broker_dies() {
    const ROUNDS: u64 = 24;
    let dir = tempfile::tempdir().expect("a directory");
    let start = || Process::start_with(dir.path(), &[("FLYMQ_DLQ_MAX_RETRIES", "0")]);
    let mut broker = start();
    ok(broker.rest("POST", "/api/v1/topics", &json!({"name": "t", "options": {"partitions": 1}})));
    let (mut buried, mut in_doubt) = (0, 0);
    for round in 0..ROUNDS {
        produce(&broker, &format!("v{round}"));
        let nack = json!({"topic": "t", "partition": 0, "offset": round, "reason": "boom", "commit": true});
        let socket = send_only(&broker, "/api/v1/consumer-groups/g/nack", &nack);
        // The fault: nothing waits for this time.
        std::thread::sleep(Duration::from_micros(round * 900));
        broker.crash();
        drop(socket);
        broker = start();
        // Asking again finds out: it is done, it is known to be over, or it was never heard of.
        let (status, answer) = broker.rest("POST", "/api/v1/consumer-groups/g/nack", &nack);
        match status {
            200 => {
                assert_eq!(answer["dead_lettered"], json!(true), "{answer}");
                in_doubt += 1;
            }
            _ => {
                assert_eq!(answer["error"]["code"], "RECORD_NOT_HELD", "{answer}");
                buried += 1;
            }
        }
        let dead = values(&broker, "t.dlq");
        let counts = count(&dead);
        for one in 0..=round {
            assert_eq!(counts.get(format!("v{one}").as_str()), Some(&1), "round {round}: {dead:?}");
        }
        let open = acquire(&broker, "m", true);
        assert!(open.is_empty(), "round {round}: in the dead letters, and to be processed: {open:?}");
    }
    eprintln!(
        "{ROUNDS} kills: {buried} moves were done before, {in_doubt} after the restart; in both 0, in neither 0, twice 0"
    );
}

/// Back from the dead letters: each comes back once.
#[test]
fn a_dead_letter_comes_back_once_whenever_the_broker_dies() {
    const LETTERS: u64 = 16;
    let dir = tempfile::tempdir().expect("a directory");
    let start = || Process::start_with(dir.path(), &[("FLYMQ_DLQ_MAX_RETRIES", "0")]);
    let mut broker = start();
    ok(broker.rest("POST", "/api/v1/topics", &json!({"name": "t", "options": {"partitions": 1}})));
    for letter in 0..LETTERS {
        produce(&broker, &format!("v{letter}"));
        let nack = json!({"topic": "t", "partition": 0, "offset": letter, "reason": "boom", "commit": true});
        ok(broker.rest("POST", "/api/v1/consumer-groups/g/nack", &nack));
    }
    let mut kills = 0;
    for round in 0..12 {
        let socket = send_only(&broker, "/api/v1/topics/t/dead-letters/replay", &json!({"all": true}));
        // The fault: nothing waits for this time.
        std::thread::sleep(Duration::from_micros(round * 1_500));
        broker.crash();
        drop(socket);
        broker = start();
        kills += 1;
    }
    let began = Instant::now();
    loop {
        ok(broker.rest("POST", "/api/v1/topics/t/dead-letters/replay", &json!({"all": true})));
        let left = ok(broker.rest("GET", "/api/v1/topics/t/dead-letters?max_messages=100", &Value::Null));
        if left["dead_letters"].as_array().is_none_or(Vec::is_empty) {
            break;
        }
        assert!(began.elapsed() < DEADLINE, "{left}");
    }
    let all = values(&broker, "t");
    let counts = count(&all);
    for letter in 0..LETTERS {
        assert_eq!(counts.get(format!("v{letter}").as_str()), Some(&2), "the first, and its replay: {all:?}");
    }
    eprintln!("{LETTERS} dead letters, {kills} kills: each came back once");
}

/// A queue's locks and failures are kept over kills: what was accepted is never handed out again, all else is.
#[test]
fn a_queue_loses_and_repeats_nothing_that_was_answered_for() {
    const RECORDS: u64 = 120;
    let dir = tempfile::tempdir().expect("a directory");
    let mut broker = Process::start(dir.path());
    ok(broker.rest("POST", "/api/v1/topics", &json!({"name": "t", "options": {"partitions": 1}})));
    let records: Vec<Value> =
        (0..RECORDS).map(|number| json!({"value_text": format!("v{number}")})).collect();
    let body = json!({"acks": "ACKS_ALL", "partition": 0, "records": records});
    ok(broker.rest("POST", "/api/v1/topics/t/records", &body));
    let mut accepted = Vec::new();
    for round in 0..6_u64 {
        let member = format!("m{round}");
        let ask = json!({"topic": "t", "member_id": member, "max_records": 20});
        let got = ok(broker.rest("POST", "/api/v1/consumer-groups/g/acquire", &ask));
        let offsets: Vec<u64> = got["records"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|one| number(&one["record"]["offset"]))
            .collect();
        assert_eq!(offsets.len(), 20, "{got}");
        assert!(offsets.iter().all(|offset| !accepted.contains(offset)), "handed out again: {offsets:?}");
        let (done, left) = offsets.split_at(15);
        let answer = |kind: &str, offsets: &[u64]| json!({"topic": "t", "partition": 0, "offsets": offsets, "kind": kind, "member_id": member});
        let path = "/api/v1/consumer-groups/g/acknowledge";
        ok(broker.rest("POST", path, &answer("ACK_KIND_ACCEPT", done)));
        ok(broker.rest("POST", path, &answer("ACK_KIND_RELEASE", left)));
        accepted.extend_from_slice(done);
        broker.crash();
        broker = Process::start(dir.path());
    }
    let rest = acquire(&broker, "last", false);
    assert_eq!(rest.len() + accepted.len(), usize::try_from(RECORDS).expect("small"), "none is lost");
    assert!(rest.iter().all(|(offset, _)| !accepted.contains(offset)), "none comes again");
    eprintln!(
        "{RECORDS} records, 6 kills: {} accepted, {} left, lost 0, repeated 0",
        accepted.len(),
        rest.len()
    );
}

/// What a topic and a group say of failures is there after a kill.
#[test]
fn dead_letter_policies_survive_kills() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut broker = Process::start(dir.path());
    let options = json!({"partitions": 1, "dead_letters": {"max_retries": 5, "topic": "graves"}});
    ok(broker.rest("POST", "/api/v1/topics", &json!({"name": "t", "options": options})));
    let change =
        json!({"options": {"group_dead_letters": {"g": {"retry_delay_ms": 7, "backoff_factor": 1.25}}}});
    ok(broker.rest("PATCH", "/api/v1/topics/t", &change));
    for _ in 0..3 {
        broker.crash();
        broker = Process::start(dir.path());
        let found = ok(broker.rest("GET", "/api/v1/topics/t", &Value::Null));
        let options = &found["topic"]["options"];
        assert_eq!(options["dead_letters"]["max_retries"], json!(5), "{options}");
        assert_eq!(options["dead_letters"]["topic"], json!("graves"), "{options}");
        assert_eq!(options["group_dead_letters"]["g"]["backoff_factor"], json!(1.25), "{options}");
        produce(&broker, "v");
    }
    let nack = json!({"topic": "t", "partition": 0, "offset": 0, "reason": "boom"});
    let failed = ok(broker.rest("POST", "/api/v1/consumer-groups/g/nack", &nack));
    assert_eq!(failed["retry_after_ms"], json!(7), "{failed}");
}

/// Each figure moves by what was done, and by nothing else.
#[test]
fn failures_and_dead_letters_are_counted() {
    let dir = tempfile::tempdir().expect("a directory");
    let broker = Process::start(dir.path());
    ok(broker.rest("POST", "/api/v1/topics", &json!({"name": "t", "options": {"partitions": 1}})));
    (0..3).for_each(|number| produce(&broker, &format!("v{number}")));
    let ask = json!({"topic": "t", "member_id": "m", "max_records": 3, "lock_ms": 1_000});
    ok(broker.rest("POST", "/api/v1/consumer-groups/g/acquire", &ask));
    let reject =
        json!({"topic": "t", "partition": 0, "offsets": [0], "kind": "ACK_KIND_REJECT", "member_id": "m"});
    ok(broker.rest("POST", "/api/v1/consumer-groups/g/acknowledge", &reject));
    let nack = json!({"topic": "t", "partition": 0, "offset": 1, "member_id": "m", "max_retries": 0});
    ok(broker.rest("POST", "/api/v1/consumer-groups/g/nack", &nack));
    // The third one's lock ends.
    let again = json!({"topic": "t", "member_id": "n", "retries_only": true, "max_wait_ms": 20_000});
    let again = ok(broker.rest("POST", "/api/v1/consumer-groups/g/acquire", &again));
    assert_eq!(again["records"].as_array().map(Vec::len), Some(1), "{again}");
    broker.wait_for_metric("flymq_dead_letters_total{reason=\"rejected\"}", 1.0);
    broker.wait_for_metric("flymq_dead_letters_total{reason=\"max_retries_exceeded\"}", 1.0);
    let replay = json!({"filter": "v0"});
    ok(broker.rest("POST", "/api/v1/topics/t/dead-letters/replay", &replay));
    ok(broker.rest("DELETE", "/api/v1/topics/t/dead-letters", &Value::Null));
    for (name, expected) in [
        ("flymq_dead_letters_total{reason=\"rejected\"}", 1.0),
        ("flymq_dead_letters_total{reason=\"max_retries_exceeded\"}", 1.0),
        ("flymq_dead_letters_replayed_total", 1.0),
        ("flymq_dead_letters_purged_total", 1.0),
        ("flymq_record_failures_total{how=\"nack\"}", 1.0),
        ("flymq_record_failures_total{how=\"lock_ended\"}", 1.0),
        ("flymq_records_acquired_total", 4.0),
        ("flymq_records_redelivered_total", 1.0),
    ] {
        assert_eq!(broker.metric(name), Some(expected), "{name}");
    }
}
