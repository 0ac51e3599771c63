//! Scheduled messages over real sockets, on a broker that is killed while they are delivered.

use std::{
    collections::HashMap,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use flymq_client::{Client, FetchSpec, pb};
use serde_json::{Value, json};

use crate::broker::{DEADLINE, Process};

fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("behind 1970");
    i64::try_from(since.as_millis()).expect("small")
}

fn ok((status, answer): (u16, Value)) -> Value {
    assert_eq!(status, 200, "{answer}");
    answer
}

fn create_topic(broker: &Process, partitions: u32) {
    ok(broker.rest("POST", "/api/v1/topics", &json!({"name": "t", "options": {"partitions": partitions}})));
}

fn schedule(broker: &Process, value: &str, delay_ms: i64) -> (u16, Value) {
    let body = json!({"record": {"value_text": value, "key_text": "k"}, "delay_ms": delay_ms});
    broker.rest("POST", "/api/v1/topics/t/schedules", &body)
}

fn id_of(answer: &Value) -> String {
    answer["schedule"]["id"].as_str().expect("an id").to_owned()
}

fn listed(broker: &Process) -> Vec<String> {
    let all = ok(broker.rest("GET", "/api/v1/topics/t/schedules?page_size=1000", &Value::Null));
    let ids = all["schedules"].as_array().into_iter().flatten();
    ids.map(|one| one["id"].as_str().expect("an id").to_owned()).collect()
}

/// Values and record times of the topic's first partition.
async fn delivered(client: &Client) -> Vec<(String, i64)> {
    let (mut all, mut offset) = (Vec::new(), 0);
    loop {
        let fetched = client.fetch(&FetchSpec::new("t", 0, offset)).await.expect("readable");
        let one =
            |m: &flymq_client::Message| (String::from_utf8_lossy(&m.value).into_owned(), m.timestamp_ms);
        all.extend(fetched.messages.iter().map(one));
        if fetched.next_offset == offset {
            return all;
        }
        offset = fetched.next_offset;
    }
}

async fn until_delivered(client: &Client, count: usize) -> Vec<(String, i64)> {
    let began = Instant::now();
    loop {
        let there = delivered(client).await;
        if there.len() >= count {
            return there;
        }
        assert!(began.elapsed() < DEADLINE, "{} of {count}", there.len());
    }
}

async fn connect(broker: &Process) -> Client {
    Client::connect(&broker.addr("native").to_string()).await.expect("connected")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_waits_over_a_kill_and_comes_on_time() {
    let dir = tempfile::tempdir().expect("a directory");
    let broker = Process::start(dir.path());
    create_topic(&broker, 1);
    let client = connect(&broker).await;
    let began = now_ms();
    id_of(&ok(schedule(&broker, "soon", 300)));
    let request = pb::ScheduleMessageRequest {
        topic: "t".to_owned(),
        record: Some(pb::Record { value: "at".into(), ..Default::default() }),
        at_ms: began + 600,
        ..Default::default()
    };
    let _: pb::ScheduleMessageResponse = client.call("ScheduleMessage", &request).await.expect("kept");
    let there = until_delivered(&client, 2).await;
    let late: Vec<i64> = there.iter().zip([300, 600]).map(|((_, at), due)| at - began - due).collect();
    assert!(late.iter().all(|late| *late >= 0), "early: {late:?}");
    eprintln!("lateness, ms: {late:?}");

    let far = id_of(&ok(schedule(&broker, "far", 3_600_000)));
    let gone = id_of(&ok(schedule(&broker, "gone", 3_600_000)));
    let demanded = id_of(&ok(schedule(&broker, "demanded", 3_600_000)));
    let path = |id: &str| format!("/api/v1/topics/t/schedules/{id}");
    ok(broker.rest("DELETE", &path(&gone), &Value::Null));
    let again = broker.rest("DELETE", &path(&gone), &Value::Null);
    assert_eq!((again.0, again.1["error"]["code"].as_str()), (404, Some("SCHEDULE_NOT_FOUND")));
    let long = schedule(&broker, "long", 604_800_001);
    assert_eq!((long.0, long.1["error"]["code"].as_str()), (400, Some("DELAY_TOO_LONG")));
    id_of(&ok(schedule(&broker, "while down", 500)));
    broker.crash();

    let broker = Process::start(dir.path());
    let client = connect(&broker).await;
    assert_eq!(until_delivered(&client, 3).await[2].0, "while down");
    assert_eq!(listed(&broker), [far, demanded.clone()]);
    let now = ok(broker.rest("POST", &format!("{}/deliver", path(&demanded)), &json!({})));
    assert_eq!(now["record"]["partition"], 0, "{now}");
    let values: Vec<String> = delivered(&client).await.into_iter().map(|(value, _)| value).collect();
    assert_eq!(values, ["soon", "at", "while down", "demanded"]);
}

/// B31: the broker is killed again and again while messages are delivered.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_while_it_delivers_no_message_is_lost_early_or_twice() {
    const ROUNDS: i64 = 15;
    const EACH: i64 = 40;
    let dir = tempfile::tempdir().expect("a directory");
    let mut broker = Process::start(dir.path());
    create_topic(&broker, 1);
    let (mut acknowledged, mut order_of) = (Vec::new(), HashMap::new());
    for round in 0..ROUNDS {
        for number in 0..EACH {
            let sent = now_ms();
            // Due one after the other, from before the kill until after the restart.
            let delay = 30 + number * 10;
            let value = format!("{round}-{number}-{}", sent + delay);
            let (status, answer) = schedule(&broker, &value, delay);
            if status == 200 {
                let due = &answer["schedule"]["due_ms"];
                let due = due.as_i64().or_else(|| due.as_str()?.parse().ok()).expect("a number");
                order_of.insert(value.clone(), due);
                acknowledged.push(value);
            }
        }
        // The fault: nothing waits for this time.
        std::thread::sleep(Duration::from_millis(u64::try_from(round).expect("small") * 7));
        broker.crash();
        broker = Process::start(dir.path());
    }
    let client = connect(&broker).await;
    let there = until_delivered(&client, acknowledged.len()).await;
    let began = Instant::now();
    while !listed(&broker).is_empty() {
        assert!(began.elapsed() < DEADLINE);
    }
    let mut values: Vec<&str> = there.iter().map(|(value, _)| value.as_str()).collect();
    values.sort_unstable();
    let whole = values.len();
    values.dedup();
    let twice = whole - values.len();
    let lost = acknowledged.iter().filter(|value| values.binary_search(&value.as_str()).is_err()).count();
    let due = |value: &str| value.rsplit('-').next().and_then(|due| due.parse().ok()).unwrap_or(i64::MAX);
    let early = there.iter().filter(|(value, at)| *at < due(value)).count();
    // All have the same key.
    let in_order: Vec<i64> = there.iter().filter_map(|(value, _)| order_of.get(value).copied()).collect();
    let order = in_order.windows(2).filter(|pair| pair[0] > pair[1]).count();
    eprintln!(
        "{ROUNDS} kills, {} messages: lost {lost}, early {early}, twice {twice}, out of order {order}",
        acknowledged.len()
    );
    assert_eq!((lost, early, twice, order), (0, 0, 0, 0));
}

/// How much memory messages that wait take, and how late they come. The figures of docs/scheduled-messages.md come from
/// `FLYMQ_SCHEDULES=1000000 cargo test -p flymq-server --test process what_waits_takes -- --nocapture`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_takes_little_memory_and_comes_on_time() {
    const AT_ONCE: usize = 256;
    let wanted: usize =
        std::env::var("FLYMQ_SCHEDULES").ok().and_then(|text| text.parse().ok()).unwrap_or(2_000);
    let dir = tempfile::tempdir().expect("a directory");
    let broker = Process::start(dir.path());
    create_topic(&broker, 1);
    let client = connect(&broker).await;
    let request = |value: String, delay_ms: i64| pb::ScheduleMessageRequest {
        topic: "t".to_owned(),
        record: Some(pb::Record {
            value: value.into(),
            key_text: Some("k".to_owned()),
            ..Default::default()
        }),
        delay_ms,
        ..Default::default()
    };
    let before = broker.resident_bytes();
    let began = Instant::now();
    let mut tasks = tokio::task::JoinSet::new();
    for worker in 0..AT_ONCE {
        let client = client.clone();
        tasks.spawn(async move {
            for number in (worker..wanted).step_by(AT_ONCE) {
                let far = 3_600_000 + i64::try_from(number * 7_919 % 86_400_000).expect("small");
                let value = "x".repeat(100);
                let _: pb::ScheduleMessageResponse =
                    client.call("ScheduleMessage", &request(value, far)).await.expect("kept");
            }
        });
    }
    while tasks.join_next().await.is_some() {}
    let took = began.elapsed().as_secs_f64();
    let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    let scheduled = mib(broker.resident_bytes().saturating_sub(before));
    eprintln!(
        "{wanted} scheduled in {took:.0} s ({:.0}/s), memory +{scheduled:.1} MiB",
        wanted as f64 / took
    );
    broker.crash();
    let began = Instant::now();
    let broker = Process::start(dir.path());
    let started = began.elapsed().as_secs_f64();
    let client = connect(&broker).await;
    let after = mib(broker.resident_bytes());
    eprintln!(
        "restart {started:.1} s, the process has {after:.1} MiB then (without messages {:.1})",
        mib(before)
    );
    for number in 0..200 {
        let _: pb::ScheduleMessageResponse = client
            .call("ScheduleMessage", &request(format!("{number}"), 1_000 + number * 10))
            .await
            .expect("kept");
    }
    let there = until_delivered(&client, 200).await;
    let late = broker.metric("flymq_schedules_lateness_seconds_sum").unwrap_or_default() / 200.0;
    let fifty = broker.metric("flymq_schedules_lateness_seconds_bucket{le=\"0.05\"}");
    eprintln!("{} delivered, {:.1} ms late on average, {fifty:?} within 50 ms", there.len(), late * 1_000.0);
    assert_eq!(there.len(), 200);
}
