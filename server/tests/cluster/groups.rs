//! A group whose coordinator dies.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::{
    member::Member,
    membership::least,
    nodes::{Cluster, eventually, name},
};

fn coordinator(cluster: &Cluster, through: usize) -> Option<String> {
    let (status, answer) = cluster.node(through).rest("GET", "/api/v1/consumer-groups/g", &Value::Null);
    (status == 200).then(|| answer["coordinator"].as_str().unwrap_or_default().to_owned())
}

#[test]
fn members_go_on_with_the_next_coordinator() {
    let mut cluster = Cluster::start(3);
    cluster.create_topic("t", 6);
    let rest = |cluster: &Cluster, number: usize| cluster.node(number).addr("rest");
    let mut a = Member::join(rest(&cluster, 0), "a", 60_000);
    let mut b = Member::join(rest(&cluster, 1), "b", 60_000);
    a.beat(0);
    a.beat(0);
    b.beat_until_it_owns(3);
    b.beat(0);
    a.read(1);
    assert_eq!(a.commit().0, 200);
    eventually("three replicas of the offsets", || {
        (least(&cluster, "__consumer_offsets")? == (3, 3)).then_some(())
    });

    let first = coordinator(&cluster, 0).expect("a coordinator");
    let dead = (0..3).find(|number| name(*number) == first).expect("one of them");
    let alive: Vec<usize> = (0..3).filter(|number| *number != dead).collect();
    (a.rest, b.rest) = (rest(&cluster, alive[0]), rest(&cluster, alive[1]));
    let before = (a.epoch, a.generation, a.owned.clone(), b.epoch, b.owned.clone());
    // One waits for a change while the coordinator dies.
    let waiting = std::thread::spawn(move || {
        let _cut = a.try_beat(20_000);
        a
    });
    cluster.kill(dead);
    let mut a = waiting.join().expect("its wait ends");
    let second =
        eventually("another coordinator", || coordinator(&cluster, alive[0]).filter(|now| *now != first));
    eventually("a heartbeat of a", || a.try_beat(0).ok());
    eventually("a heartbeat of b", || b.try_beat(0).ok());
    assert_eq!((a.epoch, a.generation, a.owned.clone(), b.epoch, b.owned.clone()), before, "led by {second}");
    eventually("a commit of a", || (a.commit().0 == 200).then_some(()));

    // The next target is a later one, and the assignments still move.
    let mut c = Member::join(rest(&cluster, alive[0]), "c", 60_000);
    assert!(c.generation > before.1, "the generation went back");
    for _ in 0..2 {
        a.beat(0);
        b.beat(0);
    }
    c.beat_until_it_owns(2);
    let mut all: BTreeSet<u64> = a.owned.union(&b.owned).copied().collect();
    all.extend(&c.owned);
    assert_eq!((a.owned.len(), b.owned.len(), all.len()), (2, 2, 6));
}
