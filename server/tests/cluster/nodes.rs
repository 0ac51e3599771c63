//! Nodes of one cluster, each with a directory of its own.

use std::{
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    broker::{Process, flymq},
    ports::free_address,
};

pub const TOKEN: &str = "a-token-for-tests-only";
/// No state of a cluster is waited for any longer.
const DEADLINE: Duration = Duration::from_secs(40);

/// The directories and processes of a cluster.
pub struct Cluster {
    dir: TempDir,
    /// By number; none where it is down.
    pub nodes: Vec<Option<Process>>,
}

pub fn name(number: usize) -> String {
    format!("n{}", number + 1)
}

/// A node that is to be a member, with its port on loopback.
pub fn node(data: &Path, id: &str) -> Command {
    let mut command = flymq(data);
    command.env("FLYMQ_NODE_ID", id).env("FLYMQ_CLUSTER_ADDR", free_address());
    command
}

/// The first node of a cluster.
pub fn founder(data: &Path, id: &str) -> Command {
    let mut command = node(data, id);
    command.env("FLYMQ_ROLE", "bootstrap").env("FLYMQ_CLUSTER_TOKEN", TOKEN);
    command
}

/// A node that joins at `server`.
pub fn agent(data: &Path, id: &str, server: &str) -> Command {
    let mut command = node(data, id);
    command.env("FLYMQ_ROLE", "agent").env("FLYMQ_SERVER", server).env("FLYMQ_JOIN_TOKEN", TOKEN);
    command
}

/// Where a process takes other nodes' connections.
pub fn cluster_addr(process: &Process) -> String {
    process.addr("cluster").to_string()
}

/// Polls until `found` is something.
pub fn eventually<T>(what: &str, mut found: impl FnMut() -> Option<T>) -> T {
    let give_up = Instant::now() + DEADLINE;
    loop {
        if let Some(value) = found() {
            return value;
        }
        assert!(Instant::now() < give_up, "{what} did not come about");
        std::thread::sleep(Duration::from_millis(20));
    }
}

impl Cluster {
    /// `count` nodes that all run, and vote.
    pub fn start(count: usize) -> Self {
        let cluster = Self::start_without_waiting(count);
        // Two nodes have one vote: that of the first.
        cluster.have_votes(if count < 3 { 1 } else { 3 });
        cluster
    }

    /// `count` nodes that have said that they are ready.
    pub fn start_without_waiting(count: usize) -> Self {
        Self::start_with(count, &[])
    }

    /// As [`Cluster::start_without_waiting`], each with these variables.
    pub fn start_with(count: usize, variables: &[(&str, &str)]) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let mut cluster = Self { dir, nodes: Vec::new() };
        let variables = || variables.iter().copied();
        let first = Process::run(founder(&cluster.data(0), &name(0)).envs(variables()));
        let server = cluster_addr(&first);
        cluster.nodes.push(Some(first));
        for number in 1..count {
            let mut command = agent(&cluster.data(number), &name(number), &server);
            let process = Process::run(command.envs(variables()));
            cluster.nodes.push(Some(process));
        }
        cluster
    }

    /// Three nodes; the first one was a broker without cluster, and has a record of topic `t` and an offset of group `g`.
    pub fn grown() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let mut cluster = Self { dir, nodes: Vec::new() };
        let mut alone = Process::run(flymq(&cluster.data(0)).env("FLYMQ_NODE_ID", name(0)));
        alone.produce("t", "v");
        let commit = json!({"offsets": [{"topic": "t", "partition": 0, "offset": 1}]});
        assert_eq!(alone.rest("POST", "/api/v1/consumer-groups/g/offsets", &commit).0, 200);
        alone.signal("TERM");
        assert!(alone.exit().success());
        let first = Process::run(&mut founder(&cluster.data(0), &name(0)));
        let server = cluster_addr(&first);
        cluster.nodes.push(Some(first));
        for number in 1..3 {
            let process = Process::run(&mut agent(&cluster.data(number), &name(number), &server));
            cluster.nodes.push(Some(process));
        }
        cluster.have_votes(3);
        cluster
    }

    pub fn data(&self, number: usize) -> PathBuf {
        self.dir.path().join(name(number))
    }

    /// The segment of a node that has this value in it.
    pub fn log_of(&self, number: usize, value: &str) -> PathBuf {
        let entries = |dir: PathBuf| {
            let entries = std::fs::read_dir(dir).expect("a directory");
            entries.map(|entry| entry.expect("an entry").path()).filter(|path| !path.ends_with("lost+found"))
        };
        let partitions =
            entries(self.data(number).join("topics")).filter(|path| path.is_dir()).flat_map(entries);
        let mut files = partitions.filter(|path| path.is_dir()).flat_map(entries);
        let has = |path: &PathBuf| {
            let bytes = std::fs::read(path).unwrap_or_default();
            path.extension().is_some_and(|name| name == "log")
                && bytes.windows(value.len()).any(|window| window == value.as_bytes())
        };
        files.find(has).expect("a segment with the value")
    }

    pub fn node(&self, number: usize) -> &Process {
        self.nodes[number].as_ref().expect("it runs")
    }

    /// `kill -9`.
    pub fn kill(&mut self, number: usize) {
        self.nodes[number].take().expect("it runs").crash();
    }

    /// SIGTERM, and its end.
    pub fn stop(&mut self, number: usize) {
        let mut process = self.nodes[number].take().expect("it runs");
        process.signal("TERM");
        assert!(process.exit().success());
    }

    /// Starts it again on another port, as the agent of any living node. The directory says what it is.
    pub fn restart(&mut self, number: usize) {
        self.nodes[number] = Some(Process::run(&mut self.another_start(number)));
    }

    /// The command of such a start.
    pub fn another_start(&self, number: usize) -> Command {
        let server = self.nodes.iter().flatten().next().map(cluster_addr);
        let server = server.unwrap_or_else(|| "127.0.0.1:1".to_owned());
        agent(&self.data(number), &name(number), &server)
    }

    /// Starts all nodes again on the cluster ports that they had, at once: none is ready before a majority is there.
    pub fn restart_all(&mut self, addresses: &[String]) {
        let all: Vec<_> = (0..addresses.len()).collect();
        self.restart_at(&all, addresses);
    }

    /// The same for some of them.
    pub fn restart_at(&mut self, numbers: &[usize], addresses: &[String]) {
        let start = |number: &usize| {
            let address = &addresses[*number];
            let mut command = agent(&self.data(*number), &name(*number), address);
            command.env("FLYMQ_CLUSTER_ADDR", address);
            std::thread::spawn(move || Process::run(&mut command))
        };
        let starts: Vec<_> = numbers.iter().map(start).collect();
        for (number, start) in numbers.iter().zip(starts) {
            self.nodes[*number] = Some(start.join().expect("it starts"));
        }
    }

    /// Starts all nodes again on other cluster ports, each with the list of them.
    pub fn restart_all_elsewhere(&mut self) {
        let addresses: Vec<_> = self.nodes.iter().map(|_| free_address()).collect();
        let starts: Vec<_> = addresses
            .iter()
            .enumerate()
            .map(|(number, address)| {
                let mut command = node(&self.data(number), &name(number));
                command
                    .env("FLYMQ_CLUSTER_ADDR", address)
                    .env("FLYMQ_PEERS", addresses.join(","))
                    .env("FLYMQ_CLUSTER_TOKEN", TOKEN);
                std::thread::spawn(move || Process::run(&mut command))
            })
            .collect();
        self.nodes = starts.into_iter().map(|start| Some(start.join().expect("it starts"))).collect();
    }

    /// The first node that runs, for questions that any can answer.
    pub fn any(&self) -> &Process {
        self.nodes.iter().flatten().next().expect("one runs")
    }

    pub fn create_topic(&self, topic: &str, partitions: u32) {
        self.create_topic_on(topic, partitions, 3);
    }

    pub fn create_topic_on(&self, topic: &str, partitions: u32, replicas: u32) {
        let options = json!({"partitions": partitions, "replication_factor": replicas});
        let body = json!({"name": topic, "options": options});
        let (status, answer) = self.any().rest("POST", "/api/v1/topics", &body);
        assert_eq!(status, 200, "{answer}");
    }

    /// The ids of all nodes, as the first living node has them.
    pub fn member_names(&self) -> Vec<String> {
        let (status, answer) = self.any().rest("GET", "/api/v1/cluster/members", &Value::Null);
        assert_eq!(status, 200, "{answer}");
        let members = answer["members"].as_array().expect("a list");
        members.iter().filter_map(|member| Some(member["node_id"].as_str()?.to_owned())).collect()
    }

    /// Metadata of a partition, as the first living node has it.
    pub fn partition(&self, topic: &str, partition: usize) -> Value {
        let (status, answer) = self.any().rest("GET", "/api/v1/cluster/metadata?internal=true", &Value::Null);
        assert_eq!(status, 200, "{answer}");
        let topics = answer["topics"].as_array().expect("a list");
        let found = topics.iter().find(|one| one["name"] == topic).cloned().unwrap_or_default();
        found["partitions"][partition].clone()
    }

    /// The number of the node that leads.
    pub fn leader(&self, topic: &str, partition: usize) -> usize {
        eventually("a leader", || {
            let leader = self.partition(topic, partition)["leader"].as_str()?.to_owned();
            (0..self.nodes.len()).find(|number| name(*number) == leader && self.nodes[*number].is_some())
        })
    }

    /// Waits until that many replicas are in sync.
    pub fn in_sync(&self, topic: &str, partition: usize, count: usize) {
        eventually("the in-sync set", || {
            let isr = self.partition(topic, partition)["isr"].as_array()?.len();
            (isr == count).then_some(())
        });
    }

    /// Waits until so many living nodes have a vote, as every one of those that run knows.
    pub fn have_votes(&self, count: usize) {
        for (number, process) in
            self.nodes.iter().enumerate().filter_map(|(n, node)| Some((n, node.as_ref()?)))
        {
            let gauge = format!("flymq_cluster_voters{{node=\"{}\"}}", name(number));
            let votes = || process.metric(&gauge).filter(|votes| *votes as usize == count);
            eventually("a vote for each node", votes);
        }
    }

    /// Produces with `acks=all` through one node, as often as it takes; returns the offset.
    pub fn produce(&self, number: usize, topic: &str, value: &str) -> u64 {
        let body = json!({"acks": "ACKS_ALL", "partition": 0, "records": [{"value_text": value}]});
        let path = format!("/api/v1/topics/{topic}/records");
        let give_up = Instant::now() + DEADLINE;
        loop {
            let (status, answer) = self.node(number).rest("POST", &path, &body);
            if let Some(offset) = answer["base_offset"].as_u64().filter(|_| status == 200) {
                return offset;
            }
            assert!(
                Instant::now() < give_up,
                "no acknowledgement: {status} {answer} {}",
                self.partition(topic, 0)
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// The values of partition 0, read through one node, each once even if it was stored again by a retry.
    pub fn values(&self, number: usize, topic: &str) -> Vec<String> {
        let path =
            format!("/api/v1/topics/{topic}/partitions/0/records?text=true&max_records=100000&offset=0");
        eventually("an answer", || {
            let (status, answer) = self.node(number).rest("GET", &path, &Value::Null);
            let records = answer["records"].as_array().filter(|_| status == 200)?;
            let mut values: Vec<String> =
                records.iter().filter_map(|record| Some(record["value_text"].as_str()?.to_owned())).collect();
            values.dedup();
            Some(values)
        })
    }
}
