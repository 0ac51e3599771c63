//! Dead letters and queues while coordinators and leaders die: every record ends once.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use flymq_client::{Client, FetchSpec, NewMessage, pb};

use crate::{
    clients::{native, runtime},
    nodes::{Cluster, eventually},
};

const RECORDS: u64 = 300;

/// What became of the records, as their readers were told.
#[derive(Default)]
struct Told {
    /// Those that came, however it was said how it went.
    seen: BTreeSet<String>,
    accepted: BTreeMap<String, usize>,
    failures: Vec<pb::ErrorCode>,
}

/// Every third record fails whenever it comes.
fn fails(value: &str) -> bool {
    value.parse::<u64>().is_ok_and(|number| number % 3 == 0)
}

async fn read(client: Client, member: String, told: Arc<Mutex<Told>>, stop: Arc<AtomicBool>) {
    while !stop.load(Ordering::Relaxed) {
        let ask = pb::AcquireRequest {
            group: "g".to_owned(),
            topic: "t".to_owned(),
            member_id: member.clone(),
            max_records: 5,
            lock_ms: 1_500,
            max_wait_ms: 500,
            ..Default::default()
        };
        let got: pb::AcquireResponse = match client.call("Acquire", &ask).await {
            Ok(got) => got,
            Err(error) => {
                told.lock().expect("no panic").failures.push(error.code);
                continue;
            }
        };
        for one in got.records {
            let record = one.record.unwrap_or_default();
            let value = String::from_utf8_lossy(&record.value).into_owned();
            told.lock().expect("no panic").seen.insert(value.clone());
            let (group, topic) = ("g".to_owned(), "t".to_owned());
            let member_id = member.clone();
            let failed = if fails(&value) {
                let nack = pb::NackRequest {
                    group,
                    topic,
                    partition: one.partition,
                    offset: record.offset,
                    reason: "boom".to_owned(),
                    member_id,
                    max_retries: Some(1),
                    retry_delay_ms: Some(50),
                    ..Default::default()
                };
                client.call::<_, pb::NackResponse>("Nack", &nack).await.map(drop)
            } else {
                let accept = pb::AcknowledgeRequest {
                    group,
                    topic,
                    partition: one.partition,
                    offsets: vec![record.offset],
                    kind: pb::AckKind::Accept.into(),
                    member_id,
                    ..Default::default()
                };
                let accepted = client.call::<_, pb::AcknowledgeResponse>("Acknowledge", &accept).await;
                if accepted.is_ok() {
                    *told.lock().expect("no panic").accepted.entry(value).or_default() += 1;
                }
                accepted.map(drop)
            };
            if let Err(error) = failed {
                told.lock().expect("no panic").failures.push(error.code);
            }
        }
    }
}

async fn shown(client: &Client, topic: &str, partitions: i32) -> Option<Vec<String>> {
    let mut all = Vec::new();
    for partition in 0..partitions {
        let mut offset = 0;
        loop {
            let fetched = client.fetch(&FetchSpec::new(topic, partition, offset)).await.ok()?;
            all.extend(fetched.messages.iter().map(|m| String::from_utf8_lossy(&m.value).into_owned()));
            if fetched.next_offset == offset {
                break;
            }
            offset = fetched.next_offset;
        }
    }
    all.sort_unstable();
    Some(all)
}

#[test]
fn every_record_is_accepted_or_a_dead_letter_over_the_death_of_coordinators_and_leaders() {
    let mut cluster = Cluster::start(3);
    cluster.create_topic("t", 2);
    (0..2).for_each(|partition| cluster.in_sync("t", partition, 3));
    let runtime = runtime();
    let client = runtime.block_on(Client::with_config(native(&cluster, 0))).expect("connected");
    runtime.block_on(async {
        for number in 0..RECORDS {
            let message = NewMessage::keyed(number.to_string(), number.to_string());
            client.produce("t", message).await.expect("stored");
        }
    });
    let (told, stop) = (Arc::new(Mutex::new(Told::default())), Arc::new(AtomicBool::new(false)));
    let readers: Vec<_> = (0..2)
        .map(|reader| runtime.spawn(read(client.clone(), format!("m{reader}"), told.clone(), stop.clone())))
        .collect();
    let done = || told.lock().expect("no panic").seen.len();
    eventually("the first have come", || (done() > 10).then_some(()));
    for (topic, partition) in [("__consumer_offsets", 0), ("__transactions", 0), ("t", 0)] {
        // Two of three are enough everywhere, whoever dies.
        for (topic, partition) in [("t", 0), ("t", 1), ("t.dlq", 0), ("t.dlq", 1)] {
            cluster.in_sync(topic, partition, 3);
        }
        for topic in ["__consumer_offsets", "__transactions"] {
            cluster.in_sync(topic, 0, 3);
        }
        let before = done();
        let leader = cluster.leader(topic, partition);
        cluster.kill(leader);
        let until = Instant::now() + Duration::from_secs(30);
        while done() <= (before + 20).min(299) {
            let failures = told.lock().expect("no panic").failures.clone();
            assert!(Instant::now() < until, "{topic}/{partition}: {before} to {}: {failures:?}", done());
            std::thread::sleep(Duration::from_millis(20));
        }
        cluster.restart(leader);
    }
    let expected: Vec<String> = (0..RECORDS).map(|number| number.to_string()).collect();
    let mut dead: Vec<String> = expected.iter().filter(|value| fails(value)).cloned().collect();
    dead.sort_unstable();
    let until = Instant::now() + Duration::from_secs(60);
    let found = loop {
        let found = runtime.block_on(shown(&client, "t.dlq", 2)).unwrap_or_default();
        // An acceptance whose answer was lost counts: the broker has nothing more to do.
        let lag = pb::GetLagRequest { group: "g".to_owned(), ..Default::default() };
        let lag = runtime.block_on(client.call::<_, pb::GetLagResponse>("GetLag", &lag));
        let left = lag.map_or(u64::MAX, |lag| lag.total);
        if done() == expected.len() && left == 0 && found.len() >= dead.len() {
            break found;
        }
        assert!(Instant::now() < until, "{} came, {left} are left, {} dead: {found:?}", done(), found.len());
    };
    stop.store(true, Ordering::Relaxed);
    for reader in readers {
        runtime.block_on(reader).expect("it ended");
    }
    assert_eq!(found, dead, "each once");
    let told = told.lock().expect("no panic");
    assert!(told.accepted.keys().all(|value| !fails(value)), "accepted and dead");
    assert!(told.accepted.values().all(|times| *times == 1), "accepted twice: {:?}", told.accepted);
    eprintln!(
        "{RECORDS} records, 3 kills of three nodes: {} seen to be accepted, {} dead letters; both 0, neither 0, twice 0; readers saw {:?}",
        told.accepted.len(),
        found.len(),
        told.failures
    );
}
