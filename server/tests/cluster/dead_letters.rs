//! Dead letters and queues while coordinators and leaders die: every record ends once.

use std::{
    collections::BTreeMap,
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
    let done = || told.lock().expect("no panic").accepted.len();
    eventually("the first are accepted", || (done() > 10).then_some(()));
    for (topic, partition) in [("__consumer_offsets", 0), ("__transactions", 0), ("t", 0)] {
        let before = done();
        let leader = cluster.leader(topic, partition);
        cluster.kill(leader);
        eventually("it goes on", || (done() > (before + 20).min(199)).then_some(()));
        cluster.restart(leader);
        cluster.in_sync(topic, partition, 3);
    }
    let expected: Vec<String> = (0..RECORDS).map(|number| number.to_string()).collect();
    let mut dead: Vec<String> = expected.iter().filter(|value| fails(value)).cloned().collect();
    dead.sort_unstable();
    let until = Instant::now() + Duration::from_secs(60);
    let found = loop {
        let found = runtime.block_on(shown(&client, "t.dlq", 2)).unwrap_or_default();
        if done() == expected.len() - dead.len() && found.len() >= dead.len() {
            break found;
        }
        assert!(Instant::now() < until, "{} accepted, {} dead: {found:?}", done(), found.len());
    };
    stop.store(true, Ordering::Relaxed);
    for reader in readers {
        runtime.block_on(reader).expect("it ended");
    }
    assert_eq!(found, dead, "each once");
    let told = told.lock().expect("no panic");
    assert!(told.accepted.keys().all(|value| !fails(value)), "accepted and dead");
    eprintln!(
        "{RECORDS} records, 3 kills of three nodes: {} accepted, {} dead letters; both 0, neither 0, twice 0; readers saw {:?}",
        told.accepted.len(),
        found.len(),
        told.failures
    );
}
