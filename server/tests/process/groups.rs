//! Members of a consumer group that share a topic.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::{broker::Process, member::Member};

const PARTITIONS: u64 = 6;
/// Records of each partition.
const RECORDS: u64 = 20;
const SESSION: Duration = Duration::from_secs(6);

fn with_records(broker: &Process) -> BTreeSet<(u64, String)> {
    let options = json!({"name": "t", "options": {"partitions": PARTITIONS}});
    let (status, answer) = broker.rest("POST", "/api/v1/topics", &options);
    assert_eq!(status, 200, "{answer}");
    let mut all = BTreeSet::new();
    for partition in 0..PARTITIONS {
        let values: Vec<String> = (0..RECORDS).map(|number| format!("{partition}-{number}")).collect();
        let records: Vec<Value> = values.iter().map(|value| json!({"value_text": value})).collect();
        let body = json!({"acks": "ACKS_ALL", "partition": partition, "records": records});
        let (status, answer) = broker.rest("POST", "/api/v1/topics/t/records", &body);
        assert_eq!(status, 200, "{answer}");
        all.extend(values.into_iter().map(|value| (partition, value)));
    }
    all
}

fn described(broker: &Process) -> (String, u64) {
    let (status, answer) = broker.rest("GET", "/api/v1/consumer-groups/g", &Value::Null);
    assert_eq!(status, 200, "{answer}");
    (answer["state"].as_str().expect("a state").to_owned(), answer["generation"].as_u64().expect("a number"))
}

#[test]
fn the_dead_ones_partitions_go_to_the_living_and_nothing_is_skipped() {
    let dir = tempfile::tempdir().expect("a directory");
    let broker = Process::start(dir.path());
    let all = with_records(&broker);
    let rest = broker.addr("rest");
    let session = u64::try_from(SESSION.as_millis()).expect("small");
    let mut a = Member::join(rest, "a", session);
    let mut b = Member::join(rest, "b", session);
    // Each waits at the broker while the other one acts.
    let b = std::thread::spawn(move || {
        b.beat_until_it_owns(3);
        b
    });
    a.beat_until_it_owns(3);
    let mut b = {
        a.beat(0);
        b.join().expect("it shares")
    };
    b.beat(0);
    assert_eq!(described(&broker), ("GROUP_STATE_STABLE".to_owned(), 2));
    assert!(a.owned.is_disjoint(&b.owned));

    for member in [&mut a, &mut b] {
        member.read(7);
        assert_eq!(member.commit().0, 200);
    }
    // Read and not committed: the next owner reads it again.
    b.read(5);
    b.beat(0);
    let dead = Instant::now();
    a.beat_until_it_owns(6);
    let after = dead.elapsed();
    assert!(after >= SESSION / 2, "before its session was over: {after:?}");
    let (status, answer) = b.commit();
    assert_eq!((status, answer["error"]["code"].as_str()), (404, Some("UNKNOWN_MEMBER")), "{answer}");
    assert_eq!(b.try_beat(0).expect_err("it is gone").0, 404);
    while !a.read.union(&b.read).eq(&all) {
        let before = a.read.len();
        a.read(7);
        a.beat(0);
        assert!(a.read.len() > before, "records are skipped");
    }
    assert_eq!(a.commit().0, 200);
    eprintln!("the partitions of the dead one moved after {after:?}, its session was {SESSION:?}");
}

#[test]
fn members_go_on_after_a_kill_of_the_broker() {
    let dir = tempfile::tempdir().expect("a directory");
    let broker = Process::start(dir.path());
    with_records(&broker);
    let mut a = Member::join(broker.addr("rest"), "a", 60_000);
    let mut b = Member::join(broker.addr("rest"), "b", 60_000);
    a.beat(0);
    a.beat(0);
    b.beat_until_it_owns(3);
    let before = (a.epoch, a.generation, a.owned.clone(), b.epoch, b.owned.clone());
    broker.crash();
    let broker = Process::start(dir.path());
    (a.rest, b.rest) = (broker.addr("rest"), broker.addr("rest"));
    a.beat(0);
    b.beat(0);
    assert_eq!((a.epoch, a.generation, a.owned.clone(), b.epoch, b.owned.clone()), before);
    assert_eq!(described(&broker), ("GROUP_STATE_STABLE".to_owned(), a.generation));
    a.read(1);
    assert_eq!(a.commit().0, 200);
    // They still move: who leaves, leaves at once.
    let left = broker.rest("DELETE", "/api/v1/consumer-groups/g/members/b", &Value::Null);
    assert_eq!(left.0, 200, "{}", left.1);
    a.beat_until_it_owns(6);
    assert!(a.generation > before.1);
}
