//! The brokers of one cluster.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use flymq_client::{Client, ClientConfig};
use flymq_tests::ports::free_address;
use rustix::process::{Pid, Signal, kill_process};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    task::JoinHandle,
};

use crate::{
    broker::{Launch, Process, Refusal},
    net::Net,
};

/// What a node must prove to join.
const TOKEN: &str = "a token of the cluster test";
/// Client and cluster port on addresses that nobody else has.
const PORTS: [u16; 2] = [9092, 9093];
const METRICS_PORT: u16 = 9404;
/// Members and one that may become one.
pub const PLACES: u8 = 4;

/// Three nodes (1, 2, 3), of which each may be up or not, and room for a fourth.
#[derive(Debug)]
pub struct Cluster {
    nodes: Vec<Node>,
    /// Which of them belong to the cluster.
    members: Vec<u8>,
    /// Last, so that the processes are gone before their network.
    net: Option<Net>,
}

#[derive(Debug)]
struct Node {
    launch: Launch,
    data: PathBuf,
    /// For clients.
    address: String,
    /// For the other nodes.
    cluster_address: String,
    process: Option<Process>,
}

impl Cluster {
    /// Three nodes that are not started. Without `net` they share the loopback interface, and nothing can be cut.
    pub fn new(dir: &Path, net: Option<Net>) -> Self {
        let places: Vec<[String; 2]> = (1..=PLACES).map(|number| place(net.as_ref(), number)).collect();
        let nodes = (1..=PLACES).zip(&places).map(|(number, [client, cluster])| {
            let data = dir.join(format!("node-{number}"));
            let mut launch = Launch::new(&data)
                .with("NODE_ID", &format!("node-{number}"))
                .with("BIND_ADDR", client)
                .with("ADVERTISE_ADDR", client)
                .with("CLUSTER_ADDR", cluster)
                .with("ADVERTISE_CLUSTER", cluster)
                .with("ALLOW_INSECURE", "true");
            launch = match number {
                1 => launch.with("ROLE", "bootstrap").with("CLUSTER_TOKEN", TOKEN),
                _ => launch.with("ROLE", "agent").with("SERVER", &places[0][1]).with("JOIN_TOKEN", TOKEN),
            };
            if let Some(net) = &net {
                let metrics = format!("{}:{METRICS_PORT}", net.address(number));
                launch = launch.with("METRICS_ADDR", &metrics).under(net.inside(number));
            }
            Node { launch, data, address: client.clone(), cluster_address: cluster.clone(), process: None }
        });
        Self { nodes: nodes.collect(), members: vec![1, 2, 3], net }
    }

    /// Which nodes belong to the cluster now.
    pub fn members(&self) -> &[u8] {
        &self.members
    }

    /// Which node has room in the cluster.
    pub fn spare(&self) -> u8 {
        (1..=PLACES).find(|number| !self.members.contains(number)).expect("one place more than members")
    }

    /// The spare node has joined, or a member is gone.
    pub fn set_members(&mut self, members: &[u8]) {
        self.members = members.to_vec();
    }

    /// Nodes that run, with their processes.
    pub fn running(&self) -> impl Iterator<Item = (u8, &Process)> {
        (1..).zip(&self.nodes).filter_map(|(number, node)| Some((number, node.process.as_ref()?)))
    }

    /// The node that is not running begins with an empty disk, and joins through another one with this token.
    pub fn renew_through(&mut self, number: u8, through: u8, token: &str) {
        let server = self.node(through).cluster_address.clone();
        let node = self.node_mut(number);
        assert!(node.process.is_none(), "node {number} runs");
        match std::fs::remove_dir_all(&node.data) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => panic!("{error}"),
            Ok(()) | Err(_) => {}
        }
        node.launch.set("ROLE", "agent");
        node.launch.set("SERVER", &server);
        node.launch.set("JOIN_TOKEN", token);
    }

    /// The network, where it can be cut.
    pub fn net(&self) -> Option<&Net> {
        self.net.as_ref()
    }

    /// Client addresses of all members.
    pub fn addresses(&self) -> String {
        let address = |number: &u8| self.node(*number).address.as_str();
        self.members.iter().map(address).collect::<Vec<_>>().join(",")
    }

    /// Where clients reach a node.
    pub fn client_address(&self, number: u8) -> String {
        self.node(number).address.clone()
    }

    pub fn data(&self, number: u8) -> &Path {
        &self.node(number).data
    }

    /// Begins the start of a node; [`Cluster::started`] takes it.
    pub fn begin_start(&self, number: u8) -> JoinHandle<Process> {
        let launch = self.node(number).launch.clone();
        tokio::task::spawn_blocking(move || launch.start())
    }

    /// The node runs; how long it took.
    pub async fn started(&mut self, number: u8, start: JoinHandle<Process>) -> Duration {
        let process = start.await.expect("a start that fails says why");
        let took = process.start;
        self.node_mut(number).process = Some(process);
        took
    }

    /// Starts these nodes at the same time and waits until each is ready; how long the slowest took.
    pub async fn start(&mut self, numbers: &[u8]) -> Duration {
        let starting: Vec<_> = numbers.iter().map(|number| (*number, self.begin_start(*number))).collect();
        let mut slowest = Duration::ZERO;
        for (number, start) in starting {
            slowest = slowest.max(self.started(number, start).await);
        }
        slowest
    }

    /// Sets `FLYMQ_<name>` on every node, from its next start on.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.nodes.iter_mut().for_each(|node| node.launch.set(name, value));
        self
    }

    /// As [`Cluster::start`], of one node that may refuse.
    pub async fn try_start(&mut self, number: u8) -> Result<Duration, Refusal> {
        let launch = self.node(number).launch.clone();
        let start = tokio::task::spawn_blocking(move || launch.try_start());
        let process = start.await.expect("a start that hangs says what it said")?;
        let time = process.start;
        self.node_mut(number).process = Some(process);
        Ok(time)
    }

    /// What an operator does with a node whose directory cannot be used: an empty one, and it joins as another member. The
    /// node is down.
    pub fn renew(&mut self, number: u8) {
        let server = self.nodes[usize::from(number % 3)].cluster_address.clone();
        let node = self.node_mut(number);
        assert!(node.process.is_none(), "node {number} runs");
        std::fs::remove_dir_all(&node.data).expect("its directory is there");
        for (name, value) in [("ROLE", "agent"), ("SERVER", &*server), ("JOIN_TOKEN", TOKEN)] {
            node.launch.set(name, value);
        }
    }

    /// The same nodes, with other data directories: of node 1, 2, 3. They are down.
    pub fn move_to(&mut self, directories: [&Path; 3]) {
        for (node, directory) in self.nodes.iter_mut().zip(directories) {
            assert!(node.process.is_none(), "a node runs");
            node.launch.move_to(directory);
            directory.clone_into(&mut node.data);
        }
    }

    /// `kill -9`.
    pub fn kill(&mut self, number: u8) {
        self.node_mut(number).process.take().expect("it runs").kill();
    }

    /// SIGTERM, and waits for the end.
    pub async fn stop(&mut self, number: u8) {
        let process = self.node_mut(number).process.take().expect("it runs");
        tokio::task::spawn_blocking(|| process.stop()).await.expect("it ends in order");
    }

    /// SIGSTOP.
    pub fn freeze(&self, number: u8) {
        self.signal(number, Signal::STOP);
    }

    /// SIGCONT.
    pub fn thaw(&self, number: u8) {
        self.signal(number, Signal::CONT);
    }

    fn signal(&self, number: u8, signal: Signal) {
        let process = self.node(number).process.as_ref().expect("it runs");
        kill_process(Pid::from_raw(process.pid()).expect("not 0"), signal).expect("it runs");
    }

    /// The process of a node that runs.
    pub fn pid(&self, number: u8) -> i32 {
        self.node(number).process.as_ref().expect("it runs").pid()
    }

    /// What a node has said so far.
    pub fn log(&self, number: u8) -> Vec<String> {
        self.node(number).process.as_ref().map(Process::log).unwrap_or_default()
    }

    pub fn is_up(&self, number: u8) -> bool {
        self.node(number).process.is_some()
    }

    /// Sets `FLYMQ_<name>` for every node that is to start.
    pub fn set_all(&mut self, name: &str, value: &str) {
        self.nodes.iter_mut().for_each(|node| node.launch.set(name, value));
    }

    /// The others are told that the node is found there.
    pub fn advertise(&mut self, number: u8, address: &str) {
        self.node_mut(number).launch.set("ADVERTISE_CLUSTER", address);
    }

    /// Clients are told that the node is found there.
    pub fn advertise_to_clients(&mut self, number: u8, address: &str) {
        self.node_mut(number).launch.set("ADVERTISE_ADDR", address);
    }

    /// The node's process, when it is started, runs under this command, in its network.
    pub fn run_under(&mut self, number: u8, command: Vec<String>) {
        let inside = self.net.as_ref().map(|net| net.inside(number)).into_iter().flatten();
        let words: Vec<_> = inside.chain(command).collect();
        let node = self.node_mut(number);
        node.launch = node.launch.clone().under(words);
    }

    /// What a node counts, where its metrics are reached from here.
    pub async fn metric(&self, number: u8, name: &str) -> Option<f64> {
        let net = self.net.as_ref()?;
        let mut stream = TcpStream::connect((net.address(number), METRICS_PORT)).await.ok()?;
        stream.write_all(b"GET /metrics HTTP/1.0\r\n\r\n").await.ok()?;
        let mut text = String::new();
        stream.read_to_string(&mut text).await.ok()?;
        let line = text
            .lines()
            .find(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' '])))?;
        line.rsplit_once(' ')?.1.parse().ok()
    }

    /// A client that knows all nodes, and repeats nothing that may have taken effect.
    pub async fn connect(&self) -> Client {
        connect(&self.addresses()).await
    }

    fn node(&self, number: u8) -> &Node {
        &self.nodes[usize::from(number) - 1]
    }

    fn node_mut(&mut self, number: u8) -> &mut Node {
        &mut self.nodes[usize::from(number) - 1]
    }
}

/// Addresses for clients and for the other nodes.
fn place(net: Option<&Net>, number: u8) -> [String; 2] {
    match net {
        Some(net) => PORTS.map(|port| format!("{}:{port}", net.address(number))),
        None => [(); 2].map(|()| free_address()),
    }
}

/// See [`Cluster::connect`]. Tries until one node answers.
pub async fn connect(addresses: &str) -> Client {
    let config = ClientConfig {
        max_retries: 0,
        // A frozen node answers nothing: whoever waits for it longer would measure that.
        request_timeout: Duration::from_secs(3),
        connect_timeout: Duration::from_secs(1),
        ..ClientConfig::parse(addresses).expect("addresses")
    };
    let give_up = tokio::time::Instant::now() + Duration::from_secs(60);
    loop {
        match Client::with_config(config.clone()).await {
            Ok(client) => return client,
            Err(error) => {
                assert!(tokio::time::Instant::now() < give_up, "no node answers: {error}");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}
