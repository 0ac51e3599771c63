//! Nodes die and come back; what was acknowledged with `acks=all` stays.

use serde_json::{Value, json};

use crate::{
    membership::refused,
    nodes::{Cluster, agent, eventually, name},
};

#[test]
fn three_nodes_survive_the_loss_of_a_leader() {
    let mut cluster = Cluster::start(3);
    cluster.create_topic("t", 1);
    cluster.in_sync("t", 0, 3);
    let mut expected = Vec::new();
    for number in 0..9 {
        let value = format!("before-{number}");
        cluster.produce(number % 3, "t", &value);
        expected.push(value);
    }
    let leader = cluster.leader("t", 0);
    cluster.kill(leader);
    let alive = (leader + 1) % 3;
    for number in 0..5 {
        let value = format!("during-{number}");
        cluster.produce(alive, "t", &value);
        expected.push(value);
    }
    assert_eq!(cluster.values(alive, "t"), expected);
    assert_ne!(cluster.leader("t", 0), leader);

    cluster.restart(leader);
    cluster.in_sync("t", 0, 3);
    cluster.produce(leader, "t", "after");
    expected.push("after".to_owned());
    for number in 0..3 {
        assert_eq!(cluster.values(number, "t"), expected, "through node {number}");
    }
}

#[test]
fn a_clean_stop_hands_over_first_and_leadership_comes_back() {
    let mut cluster = Cluster::start(3);
    cluster.create_topic("t", 3);
    for partition in 0..3 {
        cluster.in_sync("t", partition, 3);
    }
    let leader = cluster.leader("t", 0);
    cluster.produce(leader, "t", "before");
    cluster.stop(leader);
    let alive = (leader + 1) % 3;
    assert_ne!(cluster.leader("t", 0), leader);
    cluster.produce(alive, "t", "during");
    assert_eq!(cluster.values(alive, "t"), ["before", "during"]);

    cluster.restart(leader);
    eventually("the preferred leader", || (cluster.leader("t", 0) == leader).then_some(()));
    assert_eq!(cluster.values(leader, "t"), ["before", "during"]);
}

#[test]
fn a_whole_cluster_comes_back_after_all_were_killed() {
    let mut cluster = Cluster::start(3);
    cluster.create_topic("t", 1);
    cluster.in_sync("t", 0, 3);
    cluster.produce(0, "t", "kept");
    // Their ports change with the restart, so that the addresses of the others must come from the metadata or be told
    // anew: two are started with the ports they had.
    let addresses: Vec<_> = (0..3).map(|number| cluster.node(number).addr("cluster").to_string()).collect();
    for number in 0..3 {
        cluster.kill(number);
    }
    cluster.restart_all(&addresses);
    assert_eq!(cluster.values(2, "t"), ["kept"]);
    cluster.produce(1, "t", "more");
    assert_eq!(cluster.values(0, "t"), ["kept", "more"]);
}

#[test]
fn a_node_that_lost_its_disk_comes_back_as_another_replica() {
    let mut cluster = Cluster::start(3);
    cluster.create_topic("t", 1);
    cluster.in_sync("t", 0, 3);
    cluster.produce(0, "t", "kept");
    let lost = cluster.leader("t", 0);
    cluster.kill(lost);
    std::fs::remove_dir_all(cluster.data(lost)).expect("its data");
    cluster.restart(lost);
    cluster.in_sync("t", 0, 3);
    cluster.produce(lost, "t", "more");
    // The new member gets the vote of the old one: before that, no majority could be without another node.
    cluster.have_votes(3);
    // Only the one that had nothing, and one other, are left: a majority, with everything.
    cluster.kill((lost + 1) % 3);
    cluster.produce(lost, "t", "again");
    assert_eq!(cluster.values(lost, "t"), ["kept", "more", "again"]);
}

#[test]
fn a_new_topic_is_there_at_once_through_every_node() {
    let cluster = Cluster::start(3);
    for number in 0..6 {
        let topic = format!("made-by-its-first-record-{number}");
        let path = format!("/api/v1/topics/{topic}/records");
        let body = json!({"acks": "ACKS_ALL", "partition": 0, "records": [{"value_text": "v"}]});
        let (status, answer) = cluster.node(number % 3).rest("POST", &path, &body);
        assert_eq!(status, 200, "{answer}");
        let path = format!("/api/v1/topics/{topic}/partitions/0/records?text=true&offset=0");
        let (status, answer) = cluster.node((number + 1) % 3).rest("GET", &path, &Value::Null);
        assert_eq!((status, answer["records"][0]["value_text"].as_str()), (200, Some("v")), "{answer}");
    }
}

#[test]
fn nodes_that_say_ready_survive_the_loss_of_the_first_at_once() {
    let mut cluster = Cluster::start_without_waiting(3);
    cluster.kill(0);
    cluster.create_topic("t", 1);
    cluster.produce(1, "t", "kept");
    assert_eq!(cluster.values(2, "t"), ["kept"]);
}

#[test]
fn all_nodes_may_be_elsewhere_after_a_restart() {
    let mut cluster = Cluster::start(3);
    cluster.create_topic("t", 1);
    cluster.in_sync("t", 0, 3);
    cluster.produce(0, "t", "kept");
    for number in 0..3 {
        cluster.kill(number);
    }
    // Nobody is where the metadata has it; each is told where they are to be found now.
    cluster.restart_all_elsewhere();
    assert_eq!(cluster.values(2, "t"), ["kept"]);
    cluster.produce(1, "t", "more");
    assert_eq!(cluster.values(0, "t"), ["kept", "more"]);
}

/// The third one may be away for long: the two that are back have all that was acknowledged.
#[test]
fn two_of_three_go_on_after_all_were_killed() {
    let mut cluster = Cluster::start(3);
    cluster.create_topic("t", 1);
    let mut expected = Vec::new();
    for away in 0..3 {
        cluster.in_sync("t", 0, 3);
        cluster.produce(away, "t", &format!("before-{away}"));
        let addresses: Vec<_> =
            (0..3).map(|number| cluster.node(number).addr("cluster").to_string()).collect();
        (0..3).for_each(|number| cluster.kill(number));
        let back: Vec<_> = (0..3).filter(|number| *number != away).collect();
        cluster.restart_at(&back, &addresses);
        cluster.produce(back[0], "t", &format!("after-{away}"));
        expected.extend([format!("before-{away}"), format!("after-{away}")]);
        for number in back {
            assert_eq!(cluster.values(number, "t"), expected, "through node {number}");
        }
        cluster.restart_at(&[away], &addresses);
    }
    assert_eq!(cluster.values(2, "t"), expected);
}

/// Nothing is committed anew with one replica of two; what was before is readable all the same.
#[test]
fn what_was_read_stays_readable_where_the_leader_restarts_alone() {
    let mut cluster = Cluster::start(3);
    cluster.create_topic_on("t", 1, 2);
    cluster.in_sync("t", 0, 2);
    let expected: Vec<String> = (0..20).map(|number| format!("value-{number}")).collect();
    for value in &expected {
        cluster.produce(0, "t", value);
    }
    let last = cluster.leader("t", 0);
    let replicas = cluster.partition("t", 0)["replicas"].clone();
    let is_replica = |number: &usize| replicas.as_array().expect("a list").contains(&json!(name(*number)));
    let other = (0..3).find(|number| *number != last && is_replica(number)).expect("two replicas");
    let addresses: Vec<_> = (0..3).map(|number| cluster.node(number).addr("cluster").to_string()).collect();
    cluster.kill(other);
    cluster.in_sync("t", 0, 1);
    cluster.stop(last);
    cluster.restart_at(&[last], &addresses);
    let third = (0..3).find(|number| *number != last && *number != other).expect("three nodes");
    for number in [last, third] {
        assert_eq!(cluster.values(number, "t"), expected, "through node {number}");
    }
}

/// The last node that was in sync has lost the end of its log: the durable mark says how far it had been, so that nobody
/// is cut to what is left, and the others mend it.
#[test]
fn a_node_that_lost_the_end_of_its_log_does_not_lead_with_less() {
    let mut cluster = Cluster::start(3);
    cluster.create_topic("t", 1);
    cluster.in_sync("t", 0, 3);
    let expected: Vec<String> = (0..20).map(|number| format!("value-{number}")).collect();
    for value in &expected {
        cluster.produce(0, "t", value);
    }
    let last = cluster.leader("t", 0);
    let addresses: Vec<_> = (0..3).map(|number| cluster.node(number).addr("cluster").to_string()).collect();
    for number in (0..3).filter(|number| *number != last) {
        cluster.stop(number);
    }
    cluster.stop(last);
    cut_in_half(&cluster.log_of(last, "value-19"));
    cluster.restart_all(&addresses);
    for number in 0..3 {
        assert_eq!(cluster.values(number, "t"), expected, "through node {number}");
    }
    cluster.in_sync("t", 0, 3);
    cluster.produce(1, "t", "more");
    // Behind what was mended a new segment begins: one answer need not hold both.
    assert_eq!(cluster.node(last).values("t").len(), expected.len() + 1);
}

/// Leaves half of what is written in a segment.
fn cut_in_half(segment: &std::path::Path) {
    let bytes = std::fs::read(segment).expect("a segment");
    let end = bytes.iter().rposition(|byte| *byte != 0).expect("records");
    let file = std::fs::OpenOptions::new().write(true).open(segment).expect("a segment");
    file.set_len(end as u64 / 2).expect("cut");
}

/// The log of the last node in sync is gone altogether. It must not lead: the others would cut theirs to nothing.
#[test]
fn a_node_whose_log_is_gone_does_not_lead_with_nothing() {
    let mut cluster = Cluster::start(3);
    cluster.create_topic_on("t", 1, 2);
    cluster.in_sync("t", 0, 2);
    let expected: Vec<String> = (0..20).map(|number| format!("value-{number}")).collect();
    for value in &expected {
        cluster.produce(0, "t", value);
    }
    let last = cluster.leader("t", 0);
    let addresses: Vec<_> = (0..3).map(|number| cluster.node(number).addr("cluster").to_string()).collect();
    // The third node and the last one agree that the other replica is out, before they stop as well.
    let replicas = cluster.partition("t", 0)["replicas"].clone();
    let is_replica = |number: &usize| replicas.as_array().expect("a list").contains(&json!(name(*number)));
    let (other, third): (Vec<_>, Vec<_>) = (0..3).filter(|number| *number != last).partition(is_replica);
    cluster.stop(other[0]);
    cluster.in_sync("t", 0, 1);
    cluster.stop(third[0]);
    cluster.stop(last);
    let log = cluster.log_of(last, "value-19");
    let (there, aside) = (log.parent().expect("a directory"), cluster.data(9));
    std::fs::rename(there, &aside).expect("its log");
    cluster.restart_at(&[other[0], third[0]], &addresses);
    let mut command = agent(&cluster.data(last), &name(last), &addresses[other[0]]);
    let (code, text) = refused(command.env("FLYMQ_CLUSTER_ADDR", &addresses[last]));
    assert_eq!(code, 7, "{text}");
    assert!(text.contains("is gone") && text.contains("Restore that directory"), "{text}");
    std::fs::rename(&aside, there).expect("its log");
    cluster.restart_at(&[last], &addresses);
    for number in 0..3 {
        // All is committed again once two are in sync.
        eventually("every value", || (cluster.values(number, "t") == expected).then_some(()));
    }
}

/// The whole directory of a partition is an older one, its own mark of how far it had been as well.
#[test]
fn a_node_with_an_older_copy_of_a_log_does_not_lead_with_it() {
    let mut cluster = Cluster::start(3);
    cluster.create_topic_on("t", 1, 2);
    cluster.in_sync("t", 0, 2);
    let expected: Vec<String> = (0..20).map(|number| format!("value-{number}")).collect();
    let produce = |cluster: &Cluster, values: &[String]| {
        values.iter().for_each(|value| {
            cluster.produce(0, "t", value);
        });
    };
    produce(&cluster, &expected[..10]);
    let replicas = cluster.partition("t", 0)["replicas"].clone();
    let is_replica = |number: &usize| replicas.as_array().expect("a list").contains(&json!(name(*number)));
    // Node 0 is asked; another replica stops last.
    let last = (1..3).find(is_replica).expect("two of three");
    let (other, third): (Vec<_>, Vec<_>) = (0..3).filter(|number| *number != last).partition(is_replica);
    cluster.stop(last);
    let there = cluster.log_of(last, "value-9").parent().expect("a directory").to_owned();
    let (older, newer) = (cluster.data(8), cluster.data(9));
    copy(&there, &older);
    cluster.restart(last);
    cluster.in_sync("t", 0, 2);
    produce(&cluster, &expected[10..]);
    let addresses: Vec<_> = (0..3).map(|number| cluster.node(number).addr("cluster").to_string()).collect();
    cluster.stop(other[0]);
    cluster.in_sync("t", 0, 1);
    cluster.stop(third[0]);
    cluster.stop(last);
    std::fs::rename(&there, &newer).expect("its log");
    copy(&older, &there);
    cluster.restart_at(&[other[0], third[0]], &addresses);
    let mut command = agent(&cluster.data(last), &name(last), &addresses[other[0]]);
    let (code, text) = refused(command.env("FLYMQ_CLUSTER_ADDR", &addresses[last]));
    assert_eq!(code, 7, "{text}");
    // A follower hears of the last commit with the next batch: it knew of 19 or 20.
    assert!(text.contains("ends at 10") && text.contains("an older copy lies in its place"), "{text}");
    std::fs::remove_dir_all(&there).expect("the copy");
    std::fs::rename(&newer, &there).expect("its log");
    cluster.restart_at(&[last], &addresses);
    for number in 0..3 {
        eventually("every value", || (cluster.values(number, "t") == expected).then_some(()));
    }
}

fn copy(from: &std::path::Path, to: &std::path::Path) {
    std::fs::create_dir(to).expect("a new directory");
    for file in std::fs::read_dir(from).expect("a directory") {
        let file = file.expect("a file").path();
        std::fs::copy(&file, to.join(file.file_name().expect("a name"))).expect("copied");
    }
}
