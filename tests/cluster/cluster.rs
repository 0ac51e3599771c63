//! The brokers of one cluster.

use std::{
    net::TcpListener,
    path::{Path, PathBuf},
    time::Duration,
};

use flymq_client::{Client, ClientConfig};
use rustix::process::{Pid, Signal, kill_process};

use crate::{
    broker::{Launch, Process, Refusal},
    net::Net,
};

/// What a node must prove to join.
const TOKEN: &str = "a token of the cluster test";
/// Client and cluster port on addresses that nobody else has.
const PORTS: [u16; 2] = [9092, 9093];

/// Three nodes (1, 2, 3), of which each may be up or not.
#[derive(Debug)]
pub struct Cluster {
    nodes: Vec<Node>,
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
        let places: Vec<[String; 2]> = (1..=3).map(|number| place(net.as_ref(), number)).collect();
        let nodes = (1..=3_u8).zip(&places).map(|(number, [client, cluster])| {
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
                launch = launch.under(net.inside(number));
            }
            Node { launch, data, address: client.clone(), cluster_address: cluster.clone(), process: None }
        });
        Self { nodes: nodes.collect(), net }
    }

    /// The network, where it can be cut.
    pub fn net(&self) -> Option<&Net> {
        self.net.as_ref()
    }

    /// Client addresses of all nodes.
    pub fn addresses(&self) -> String {
        self.nodes.iter().map(|node| node.address.as_str()).collect::<Vec<_>>().join(",")
    }

    pub fn data(&self, number: u8) -> &Path {
        &self.node(number).data
    }

    /// Starts these nodes at the same time and waits until each is ready; how long the slowest took.
    pub async fn start(&mut self, numbers: &[u8]) -> Duration {
        let mut starting = Vec::new();
        for number in numbers {
            let launch = self.node(*number).launch.clone();
            starting.push((*number, tokio::task::spawn_blocking(move || launch.start())));
        }
        let mut slowest = Duration::ZERO;
        for (number, start) in starting {
            let process = start.await.expect("a start that fails says why");
            slowest = slowest.max(process.start);
            self.node_mut(number).process = Some(process);
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
        // Free a moment ago: nothing better can be had for a port that has to be known before the start.
        None => [(); 2].map(|()| {
            let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
            listener.local_addr().expect("bound").to_string()
        }),
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
