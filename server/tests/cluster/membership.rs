//! Who gets into a cluster, and who does not.

use std::{
    io::Read as _,
    path::Path,
    process::{Command, Stdio},
};

use serde_json::{Value, json};

use crate::{
    broker::{Process, flymq, wait},
    nodes::{Cluster, TOKEN, agent, cluster_addr, eventually, founder, node},
    ports::free_address,
};

pub fn refused(command: &mut Command) -> (i32, String) {
    let mut child =
        command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("the binary is built");
    let mut stderr = child.stderr.take().expect("piped");
    // Read beside the wait: a full pipe would hold the process up for ever.
    let said = std::thread::spawn(move || {
        let mut text = Vec::new();
        stderr.read_to_end(&mut text).expect("its log");
        String::from_utf8_lossy(&text).into_owned()
    });
    let status = wait(&mut child);
    (status.code().expect("no signal"), said.join().expect("no panic"))
}

#[test]
fn a_wrong_token_is_refused_with_a_sentence() {
    let dir = tempfile::tempdir().expect("a directory");
    let first = Process::run(&mut founder(&dir.path().join("a"), "a"));
    let mut stranger = agent(&dir.path().join("b"), "b", &cluster_addr(&first));
    let (code, text) = refused(stranger.env("FLYMQ_JOIN_TOKEN", "another token"));
    assert_eq!(code, 9, "{text}");
    assert!(text.contains("token"), "{text}");
    let mut without = agent(&dir.path().join("c"), "c", &cluster_addr(&first));
    let (code, text) = refused(without.env_remove("FLYMQ_JOIN_TOKEN"));
    assert_eq!(code, 9, "{text}");
    assert!(text.contains("FLYMQ_JOIN_TOKEN"), "{text}");
}

#[test]
fn a_node_id_in_use_is_refused() {
    let dir = tempfile::tempdir().expect("a directory");
    let first = Process::run(&mut founder(&dir.path().join("a"), "a"));
    let (code, text) = refused(&mut agent(&dir.path().join("b"), "a", &cluster_addr(&first)));
    assert_eq!(code, 9, "{text}");
    assert!(text.contains("in use") && text.contains("FLYMQ_NODE_ID"), "{text}");
}

#[test]
fn an_agent_needs_somebody_to_join() {
    let dir = tempfile::tempdir().expect("a directory");
    let (code, text) = refused(node(dir.path(), "a").env("FLYMQ_ROLE", "agent"));
    assert_eq!(code, 3, "{text}");
    assert!(text.contains("FLYMQ_SERVER"), "{text}");
}

#[test]
fn another_encryption_key_is_refused() {
    let dir = tempfile::tempdir().expect("a directory");
    let first = Process::run(&mut founder(&dir.path().join("a"), "a"));
    let mut other = agent(&dir.path().join("b"), "b", &cluster_addr(&first));
    other.env("FLYMQ_ENCRYPTION_ENABLED", "true").env("FLYMQ_ENCRYPTION_KEY", "ab".repeat(32));
    let (code, text) = refused(&mut other);
    assert_eq!(code, 9, "{text}");
    assert!(text.contains("FLYMQ_ENCRYPTION_KEY"), "{text}");
}

#[test]
fn a_member_of_another_cluster_does_not_get_in() {
    let dir = tempfile::tempdir().expect("a directory");
    let (ours, theirs) = (dir.path().join("a"), dir.path().join("b"));
    let first = Process::run(&mut founder(&ours, "a"));
    let addr = cluster_addr(&first);
    let other = Process::run(&mut founder(&theirs, "b"));
    other.crash();
    // It stays what it was: the directory has the last word, and it still leads its own cluster alone.
    let again = Process::run(&mut agent(&theirs, "b", &addr));
    assert_ne!(cluster_id(&again), cluster_id(&first));
}

pub fn cluster_id(process: &Process) -> Value {
    process.rest("GET", "/api/v1/cluster", &Value::Null).1["cluster_id"].clone()
}

#[test]
fn listed_nodes_find_each_other() {
    let dir = tempfile::tempdir().expect("a directory");
    let addresses = [0; 3].map(|_| free_address());
    let start = |number: usize| {
        let mut command = node(&dir.path().join(number.to_string()), &format!("n{number}"));
        command
            .env("FLYMQ_CLUSTER_ADDR", &addresses[number])
            .env("FLYMQ_PEERS", addresses.join(","))
            .env("FLYMQ_CLUSTER_TOKEN", TOKEN);
        std::thread::spawn(move || Process::run(&mut command))
    };
    let starts = [start(0), start(1), start(2)];
    let nodes = starts.map(|start| start.join().expect("it starts"));
    let ids = nodes.each_ref().map(cluster_id);
    assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
    nodes[1].produce("t", "v");
    assert_eq!(nodes[2].values("t"), ["v"]);
    nodes[0].wait_for_metric("flymq_cluster_nodes{node=\"n0\",state=\"active\"}", 3.0);
    for (number, node) in nodes.iter().enumerate() {
        node.wait_for_metric(&format!("flymq_cluster_voters{{node=\"n{number}\"}}"), 3.0);
    }
}

#[test]
fn a_broker_without_cluster_grows_into_one_with_its_records() {
    let dir = tempfile::tempdir().expect("a directory");
    let data = dir.path().join("a");
    let alone = Process::run(flymq(&data).env("FLYMQ_NODE_ID", "a"));
    alone.produce("kept", "one");
    let made = json!({"name": "empty", "options": {"partitions": 4}});
    assert_eq!(alone.rest("POST", "/api/v1/topics", &made).0, 200);
    assert!(!data.join("raft").exists() && !data.join("cluster").exists(), "no file of a cluster");
    alone.crash();

    let first = Process::run(&mut founder(&data, "a"));
    assert_eq!(first.values("kept"), ["one"]);
    assert!(!data.join("metadata").exists() && data.join("metadata.standalone").exists());
    first.produce("kept", "two");
    let second = Process::run(&mut agent(&dir.path().join("b"), "b", &cluster_addr(&first)));
    let values = eventually("the records through the second node", || {
        let path = "/api/v1/topics/kept/partitions/0/records?text=true&offset=0";
        let (status, answer) = second.rest("GET", path, &Value::Null);
        (status == 200).then(|| answer["records"].as_array().map(Vec::len)).flatten()
    });
    assert_eq!(values, 2);
    first.crash();
    let again = Process::run(&mut founder(&data, "a"));
    assert_eq!(again.values("kept"), ["one", "two"]);
}

#[test]
fn the_offsets_of_a_broker_that_grew_survive_its_first_node() {
    const OFFSETS: &str = "__consumer_offsets";
    let mut cluster = Cluster::grown();
    let commit = json!({"offsets": [{"topic": "t", "partition": 0, "offset": 1}]});
    let path = "/api/v1/consumer-groups/g/offsets";
    eventually("three replicas of the offsets", || (least(&cluster, OFFSETS)? == (3, 3)).then_some(()));
    // Topics of users stay where they are, unless somebody moves them.
    assert_eq!(least(&cluster, "t"), Some((1, 1)));
    move_to(&cluster, "t", &["n2", "n3"]);
    eventually("two other replicas of the topic", || (least(&cluster, "t")? == (2, 2)).then_some(()));
    cluster.kill(0);
    eventually("the committed offset", || {
        let (status, answer) = cluster.node(1).rest("GET", path, &Value::Null);
        (status == 200 && answer["offsets"][0]["offset"].as_u64() == Some(1)).then_some(())
    });
    eventually("a commit", || (cluster.node(2).rest("POST", path, &commit).0 == 200).then_some(()));
    // Nothing keeps the first node any more, once those who operate the cluster have said so.
    move_to(&cluster, OFFSETS, &["n2", "n3"]);
    let remove = || cluster.any().rest("DELETE", "/api/v1/cluster/members/n1", &Value::Null).0 == 200;
    eventually("its removal", || remove().then_some(()));
}

fn partitions(cluster: &Cluster, topic: &str) -> Option<Vec<Value>> {
    let path = format!("/api/v1/cluster/metadata?topics={topic}");
    let (status, answer) = cluster.any().rest("GET", &path, &Value::Null);
    answer["topics"][0]["partitions"].as_array().filter(|_| status == 200).cloned()
}

/// The smallest numbers of replicas and of those in sync that a partition of the topic has.
pub fn least(cluster: &Cluster, topic: &str) -> Option<(usize, usize)> {
    let partitions = partitions(cluster, topic)?;
    let least =
        |what: &str| partitions.iter().map(|partition| partition[what].as_array().map_or(0, Vec::len)).min();
    least("replicas").zip(least("isr"))
}

fn move_to(cluster: &Cluster, topic: &str, nodes: &[&str]) {
    eventually("the reassignment", || {
        let asked = (0..partitions(cluster, topic)?.len())
            .map(|number| json!({"partition": number, "replicas": nodes}))
            .collect::<Vec<_>>();
        let body = json!({"topic": topic, "partitions": asked});
        (cluster.any().rest("POST", "/api/v1/cluster/reassign", &body).0 == 200).then_some(())
    });
}

#[test]
fn records_of_a_broker_without_cluster_are_not_taken_into_another() {
    let dir = tempfile::tempdir().expect("a directory");
    let data = dir.path().join("b");
    let alone = Process::run(&mut flymq(&data));
    alone.produce("mine", "one");
    alone.crash();
    let first = Process::run(&mut founder(&dir.path().join("a"), "a"));
    let (code, text) = refused(agent(&data, "node-1", &cluster_addr(&first)).env("FLYMQ_NODE_ID", "node-1"));
    assert_eq!(code, 9, "{text}");
    assert!(text.contains("FLYMQ_ROLE=bootstrap"), "{text}");
}

#[test]
fn a_node_that_was_removed_stops_and_says_so() {
    let mut cluster = Cluster::start(4);
    let gone = cluster.nodes.pop().flatten().expect("the fourth");
    gone.signal("STOP");
    let remove = || cluster.any().rest("DELETE", "/api/v1/cluster/members/n4", &Value::Null).0 == 200;
    eventually("its removal", || remove().then_some(()));
    gone.signal("CONT");
    let (code, text) = ended(gone);
    assert_eq!(code, 9, "{text}");
    assert!(text.contains("was removed from the cluster"), "{text}");
}

#[test]
fn a_node_that_was_removed_does_not_come_back_by_itself() {
    let mut cluster = Cluster::start(4);
    cluster.stop(3);
    let remove = || cluster.any().rest("DELETE", "/api/v1/cluster/members/n4", &Value::Null).0 == 200;
    eventually("its removal", || remove().then_some(()));
    // With its directory, without a role and without a token: it was a member.
    let (code, text) = refused(&mut node(&cluster.data(3), "n4"));
    assert_eq!(code, 9, "{text}");
    assert!(text.contains("was removed from the cluster") && text.contains("FLYMQ_JOIN_TOKEN"), "{text}");
    // Nor with the token.
    let server = cluster_addr(cluster.any());
    let (code, text) = refused(&mut agent(&cluster.data(3), "n4", &server));
    assert_eq!(code, 9, "{text}");
    assert_eq!(cluster.member_names(), ["n1", "n2", "n3"]);
    // An empty directory and the token make a new node of it.
    let again = Process::run(&mut agent(&cluster.data(7), "n4", &server));
    assert_eq!(cluster_id(&again), cluster_id(cluster.any()));
    assert_eq!(cluster.member_names(), ["n1", "n2", "n3", "n4"]);
}

#[test]
fn a_node_of_whose_removal_nobody_tells_asks_and_stops() {
    let mut cluster = Cluster::start(4);
    cluster.stop(3);
    let remove = || cluster.any().rest("DELETE", "/api/v1/cluster/members/n4", &Value::Null).0 == 200;
    eventually("its removal", || remove().then_some(()));
    // The metadata group drops it some time later; from then on nobody sends it any metadata.
    let dropped = |node: &Process| node.says_within("members without a node leave the metadata group", 90);
    assert!(dropped(cluster.any()), "the first node leads the group");
    let (code, text) = refused(&mut node(&cluster.data(3), "n4"));
    assert_eq!(code, 9, "{text}");
    assert!(text.contains("was removed from the cluster"), "{text}");
}

#[test]
fn a_node_beside_which_a_copy_of_its_directory_is_started_stops_and_says_so() {
    let mut cluster = Cluster::start(3);
    let old = cluster.nodes.pop().flatten().expect("the third");
    let copy = cluster.data(7);
    copy_dir(&cluster.data(2), &copy);
    let server = cluster_addr(cluster.any());
    let taker = Process::run(&mut agent(&copy, "n3", &server));
    let (code, text) = ended(old);
    assert_eq!(code, 9, "{text}");
    assert!(text.contains("another process runs with that"), "{text}");
    assert_eq!(cluster_id(&taker), cluster_id(cluster.any()));
}

#[test]
fn a_node_whose_id_was_taken_stops_and_says_so() {
    let mut cluster = Cluster::start(3);
    let old = cluster.nodes.pop().flatten().expect("the third");
    old.signal("STOP");
    let other = cluster.data(7);
    let server = cluster_addr(cluster.any());
    let taker = Process::run(&mut agent(&other, "n3", &server));
    old.signal("CONT");
    let (code, text) = ended(old);
    assert_eq!(code, 9, "{text}");
    assert!(text.contains("has taken the node id n3"), "{text}");
    assert_eq!(cluster_id(&taker), cluster_id(cluster.any()));
}

/// Its exit code, and what it said.
fn ended(mut process: Process) -> (i32, String) {
    let code = process.exit().code().expect("no signal");
    (code, process.rest_of_lines())
}

/// What a process has written so far, as `cp -r` takes it.
fn copy_dir(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a directory");
    for entry in std::fs::read_dir(from).expect("a directory").filter_map(Result::ok) {
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_dir(&entry.path(), &target);
        } else if entry.file_name() != "reserve" {
            // A temporary file may be gone by now.
            let _ = std::fs::copy(entry.path(), &target);
        }
    }
}

/// With an empty log it could make a majority that has agreed to nothing; the founder would form a second cluster of the same id.
#[test]
fn a_member_whose_part_of_the_metadata_group_is_gone_does_not_start() {
    let mut cluster = Cluster::start(3);
    cluster.create_topic("t", 1);
    cluster.produce(0, "t", "kept");
    let aside = cluster.data(9);
    for number in 0..2 {
        let others = cluster_addr(cluster.node(2));
        cluster.stop(number);
        let data = cluster.data(number);
        let start = || match number {
            0 => refused(&mut founder(&data, "n1")),
            _ => refused(&mut agent(&data, "n2", &others)),
        };
        for (gone, said) in
            [("raft", "its part of the metadata group is gone"), ("cluster", "cluster/identity")]
        {
            let there = data.join(gone);
            std::fs::rename(&there, &aside).expect("it is there");
            let (code, text) = start();
            assert_eq!(code, 7, "{text}");
            assert!(text.contains(said) && text.contains("Nothing was changed"), "{text}");
            assert!(!there.join("log").exists() && !there.join("identity").exists(), "{text}");
            let _ = std::fs::remove_dir_all(&there);
            std::fs::rename(&aside, &there).expect("put back");
        }
        cluster.restart(number);
    }
    eventually("the record", || (cluster.values(1, "t") == ["kept"]).then_some(()));
}
