//! A subscription by pattern: the node that is asked fetches from the leaders, wherever they go.

use std::{
    collections::BTreeSet,
    io::{BufRead as _, BufReader, Write as _},
    net::TcpStream,
    time::Duration,
};

use crate::nodes::Cluster;

/// The lines of a stream of records.
struct Stream(BufReader<TcpStream>);

impl Stream {
    fn open(cluster: &Cluster, node: usize) -> Self {
        let mut socket = TcpStream::connect(cluster.node(node).addr("rest")).expect("the door is open");
        socket.set_read_timeout(Some(Duration::from_secs(60))).expect("a timeout");
        let path = "/api/v1/topics/logs%2F%23/stream?from=earliest&text=true";
        write!(socket, "GET {path} HTTP/1.1\r\nHost: flymq\r\n\r\n").expect("sent");
        Self(BufReader::new(socket))
    }

    /// Reads until all of `wanted` (`topic value`) came.
    fn read(&mut self, mut wanted: BTreeSet<String>) {
        while !wanted.is_empty() {
            let mut line = String::new();
            self.0.read_line(&mut line).unwrap_or_else(|error| panic!("{error}: {wanted:?} did not come"));
            assert!(!line.is_empty() && !line.contains("\"error\""), "the stream ended: {line}");
            wanted.retain(|one| {
                let (topic, value) = one.split_once(' ').expect("topic and value");
                !(line.contains(&format!("\"topic\":\"{topic}\"")) && line.contains(&format!("\"{value}\"")))
            });
        }
    }
}

fn produced(cluster: &Cluster, node: usize, round: &str) -> BTreeSet<String> {
    let mut sent = BTreeSet::new();
    for topic in ["a", "b", "c"] {
        let value = format!("{round}-{topic}");
        cluster.produce(node, &format!("logs%2F{topic}"), &value);
        sent.insert(format!("logs/{topic} {value}"));
    }
    sent
}

#[test]
fn a_pattern_is_read_at_any_node_while_leaders_die() {
    let mut cluster = Cluster::start(3);
    for topic in ["a", "b", "c"] {
        cluster.create_topic(&format!("logs/{topic}"), 1);
        cluster.in_sync(&format!("logs/{topic}"), 0, 3);
    }
    let dies = cluster.leader("logs/a", 0);
    let asked = (dies + 1) % 3;
    let mut stream = Stream::open(&cluster, asked);
    stream.read(produced(&cluster, dies, "before"));
    cluster.kill(dies);
    stream.read(produced(&cluster, asked, "after"));
    // One that is new is found by the node that was asked, whoever leads it.
    cluster.create_topic_on("logs/later", 1, 1);
    cluster.produce(asked, "logs%2Flater", "new");
    stream.read(["logs/later new".to_owned()].into());
}
