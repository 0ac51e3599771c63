//! One cluster with its load, its history and its checker, through all faults of a scenario.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use flymq_client::Client;
use flymq_tests::history::append;
use tokio::time::Instant;

use crate::{
    checker::{Checker, Fault},
    cluster::Cluster,
    history::{Event, History, Op, Phase, Promise},
    load::{Load, PARTITIONS, Style, TOPIC},
    look,
    net::Net,
    row::Scenario,
};

/// A cluster in which a partition takes no record for so long after a fault is stuck.
const STUCK: Duration = Duration::from_secs(60);

pub struct Run {
    pub cluster: Cluster,
    pub client: Client,
    history: Arc<History>,
    /// Every event so far: the times of a fault are found in them.
    events: Vec<Event>,
    checker: Checker,
    load: Option<Load>,
    next: Arc<AtomicU32>,
    topic_id: String,
    dir: Option<tempfile::TempDir>,
}

/// What had been promised at one moment of a run.
pub struct Promised {
    checker: Checker,
    events: usize,
}

impl Run {
    /// Three nodes that are up, with a topic on all of them and clients at work.
    pub async fn start(scenario: &mut Scenario, net: Option<Net>) -> Self {
        Self::start_with(scenario, net, |_| {}).await
    }

    /// As [`Run::start`], with nodes that are changed before they start.
    pub async fn start_with(
        scenario: &mut Scenario,
        net: Option<Net>,
        change: impl FnOnce(&mut Cluster),
    ) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let mut cluster = Cluster::new(dir.path(), net);
        change(&mut cluster);
        let mut run = Self::with(scenario, cluster, Fault::Kill).await;
        run.dir = Some(dir);
        run.begin(Style::ALL).await;
        run
    }

    /// As [`Run::start`], of a cluster that is down and empty, and without clients.
    pub async fn with(scenario: &mut Scenario, mut cluster: Cluster, fault: Fault) -> Self {
        scenario.started(cluster.start(&[1]).await);
        scenario.started(cluster.start(&[2, 3]).await);
        all_vote(&cluster, 0).await;
        let client = cluster.connect().await;
        let topic_id = create_topic(&client).await;
        look::whole(&client).await;
        Self {
            cluster,
            client,
            history: Arc::new(History::new()),
            events: Vec::new(),
            checker: Checker::after(fault),
            load: None,
            next: Arc::new(AtomicU32::new(1)),
            topic_id,
            dir: None,
        }
    }

    /// Sets clients to work, and waits until each partition takes records.
    pub async fn begin(&mut self, style: Style) {
        let since = self.now();
        self.load = Some(Load::start(&self.cluster.addresses(), &self.history, &self.next, style).await);
        self.writes_flow(since).await;
    }

    /// All that was promised by now, for a cluster that goes on from here elsewhere.
    pub fn promised(&mut self) -> Promised {
        self.check();
        Promised { checker: self.checker.clone(), events: self.events.len() }
    }

    /// What was asked for since may be there, too; its answers promise nothing.
    pub fn asked_since(&self, promised: &mut Promised) {
        let meanwhile = self.history.peek();
        let asked = meanwhile.iter().filter(|event| event.phase == Phase::Invoke);
        asked.for_each(|event| promised.checker.apply(event));
    }

    /// Ends the load, and kills all nodes.
    pub async fn power_off(&mut self) {
        if let Some(load) = self.load.take() {
            load.stop().await;
        }
        (1..=3).for_each(|number| self.cluster.kill(number));
    }

    /// Starts the nodes over other directories, of which only this was promised.
    pub async fn power_on(&mut self, scenario: &mut Scenario, promised: Promised, data: [&Path; 3]) {
        self.cluster.move_to(data);
        scenario.started(self.cluster.start(&[1, 2, 3]).await);
        self.client = self.cluster.connect().await;
        // Of the time after the picture, nothing has happened.
        self.history.take();
        self.events.truncate(promised.events);
        self.checker = promised.checker;
        self.checker.counts.read = 0;
    }

    /// Now, on the clock of the history.
    pub fn now(&self) -> u64 {
        self.history.now()
    }

    /// A value for a record that is sent beside the load, and may or may not be stored.
    pub fn unsure(&self) -> String {
        let client = self.next.fetch_add(1, Ordering::Relaxed);
        let value = format!("{client}/0/0");
        for phase in [Phase::Invoke, Phase::Info] {
            let op = Op::Produce { value: value.clone(), acks: Promise::All, at: None };
            self.history.add(client, phase, op);
        }
        value
    }

    /// Who leads a partition: node number; none where nobody does.
    pub async fn leader(&self, partition: i32) -> Option<u8> {
        let metadata = look::metadata(&self.client).await.ok()?;
        let found = metadata.partitions.into_iter().find(|p| p.partition == partition)?;
        found.leader.strip_prefix("node-")?.parse().ok()
    }

    /// Whether one of these nodes leads a partition.
    pub async fn leads(&self, nodes: &[u8]) -> bool {
        for partition in 0..PARTITIONS {
            if self.leader(partition).await.is_some_and(|leader| nodes.contains(&leader)) {
                return true;
            }
        }
        false
    }

    /// Waits until every partition has taken a record that was sent after `since`; the longest that one was without.
    pub async fn writes_flow(&mut self, since: u64) -> Duration {
        let began = Instant::now();
        loop {
            self.check();
            let firsts: Vec<Option<u64>> = (0..PARTITIONS).map(|p| self.first_ack(p, since)).collect();
            if let Some(last) =
                firsts.iter().copied().collect::<Option<Vec<_>>>().and_then(|all| all.into_iter().max())
            {
                return Duration::from_nanos(last - since);
            }
            assert!(began.elapsed() < STUCK, "no record is taken: {firsts:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// How long the slowest of a hundred requests took that were sent and answered within the next `time`.
    pub async fn p99(&mut self, time: Duration) -> Duration {
        let since = self.now();
        tokio::time::sleep(time).await;
        self.check();
        let after = self.events.partition_point(|event| event.at_ns < since);
        let (mut sent, mut took) = (HashMap::new(), Vec::new());
        for event in &self.events[after..] {
            let Op::Produce { value, .. } = &event.op else { continue };
            match event.phase {
                Phase::Invoke => drop(sent.insert(value, event.at_ns)),
                Phase::Ok => took.extend(sent.remove(value).map(|sent| event.at_ns - sent)),
                Phase::Fail | Phase::Info => {}
            }
        }
        took.sort_unstable();
        let index = (took.len() * 99 / 100).min(took.len().saturating_sub(1));
        Duration::from_nanos(took.get(index).copied().unwrap_or_default())
    }

    /// When the first record was acknowledged that was sent after `since`.
    fn first_ack(&self, partition: i32, since: u64) -> Option<u64> {
        let after = self.events.partition_point(|event| event.at_ns < since);
        let events = &self.events[after..];
        let mut sent = std::collections::HashSet::new();
        events.iter().find_map(|event| match &event.op {
            Op::Produce { value, .. } if event.phase == Phase::Invoke => {
                sent.insert(value.clone());
                None
            }
            Op::Produce { value, at: Some((at, _)), .. } if *at == partition && sent.contains(value) => {
                Some(event.at_ns)
            }
            _ => None,
        })
    }

    /// How long each acknowledgement took since then.
    pub fn latencies(&mut self, since: u64) -> Vec<Duration> {
        self.check();
        let after = self.events.partition_point(|event| event.at_ns < since);
        let (mut sent, mut took) = (HashMap::new(), Vec::new());
        for event in &self.events[after..] {
            match (&event.op, event.phase) {
                (Op::Produce { value, .. }, Phase::Invoke) => {
                    sent.insert(value, event.at_ns);
                }
                (Op::Produce { value, .. }, Phase::Ok) => {
                    took.extend(sent.remove(value).map(|at| Duration::from_nanos(event.at_ns - at)));
                }
                _ => {}
            }
        }
        took
    }

    /// The longest time in which a partition took no record, between `since` and now.
    pub fn longest_pause(&mut self, since: u64) -> Duration {
        self.check();
        let now = self.now();
        let mut last: HashMap<i32, u64> = (0..PARTITIONS).map(|partition| (partition, since)).collect();
        let after = self.events.partition_point(|event| event.at_ns < since);
        let mut longest = 0;
        for event in &self.events[after..] {
            if let Op::Produce { at: Some((partition, _)), .. } = &event.op {
                let before = last.insert(*partition, event.at_ns).unwrap_or(since);
                longest = longest.max(event.at_ns - before);
            }
        }
        let rest = last.values().map(|at| now - at).max().unwrap_or_default();
        Duration::from_nanos(longest.max(rest))
    }

    /// Takes in what happened; ends the run at the first violation, with the history kept.
    pub fn check(&mut self) {
        let events = self.history.take();
        for event in &events {
            self.checker.apply(event);
        }
        self.events.extend(events);
        let found = &self.checker.violations;
        if found.is_empty() {
            return;
        }
        let kept = std::env::var_os("FLYMQ_TEST_KEEP").map_or_else(std::env::temp_dir, PathBuf::from);
        let file = kept.join(format!("flymq-cluster-{}.jsonl", std::process::id()));
        append(&file, &self.events);
        panic!("{:#?}\nthe history: {}", &found[..found.len().min(10)], file.display());
    }

    /// Ends the load, reads everything back, stops the nodes in order and compares their disks.
    pub async fn finish(mut self, scenario: &mut Scenario) {
        let healed = self.settle().await;
        let latest = self.checker.counts.latest;
        scenario.note(format!(
            "{latest} answers to \"where does it end?\", stale 0; whole again after {} ms",
            healed.as_millis()
        ));
        let batches = self.compare(scenario);
        scenario.note(format!("{batches} batches, the same on all three disks"));
        scenario.add(&self.checker);
    }

    /// Changes the metadata until each node has a snapshot of it.
    pub async fn write_snapshots(&self) {
        let is_there = |number| self.cluster.data(number).join("raft/snapshot").exists();
        for number in 0..20_000 {
            if (1..=3).all(is_there) {
                return;
            }
            let topic = format!("for-a-moment-{number}");
            // What is refused is tried again with the next one.
            let _ = self.client.create_topic(&topic, 1).await;
            let _ = self.client.delete_topic(&topic).await;
        }
        panic!("no snapshot of the metadata:\n{}", self.logs());
    }

    /// Reads everything that is there, and holds it against what was promised.
    pub async fn read_back(&mut self) {
        look::everything(&self.client, &self.history).await;
        self.check();
    }

    /// Ends the load, reads everything back and stops the nodes in order; how long it took until all was in sync.
    pub async fn settle(&mut self) -> Duration {
        if let Some(load) = self.load.take() {
            load.stop().await;
        }
        let healed = look::whole(&self.client).await;
        self.read_back().await;
        let counts = &self.checker.counts;
        assert!(
            counts.all + counts.leader > 0 && counts.read >= counts.all,
            "the load was no load: {counts:?}"
        );
        for number in self.cluster.members().to_vec() {
            self.cluster.stop(number).await;
        }
        healed
    }

    /// Replicas hold the same batches, each with the same epoch, time and records: so many.
    pub fn compare(&self, scenario: &mut Scenario) -> usize {
        let members = self.cluster.members().iter();
        let mut all =
            members.map(|number| (number, look::stored(self.cluster.data(*number), &self.topic_id)));
        let (one, first) = all.next().expect("three nodes");
        assert!(!first.is_empty(), "nothing is stored");
        if first.windows(2).any(|pair| !pair[0].is_followed_by(&pair[1])) {
            scenario.violated("append times of a partition go back");
        }
        for (number, other) in all {
            let differs = first.iter().zip(&other).find(|(a, b)| a != b);
            if let Some((a, b)) = differs {
                scenario.violated(&format!("node {one} has {a:?}, node {number} {b:?}"));
            }
            if first.len() != other.len() {
                let (a, b) = (first.len(), other.len());
                scenario.violated(&format!("node {one} has {a} batches, node {number} {b}"));
            }
        }
        first.len()
    }

    pub fn checker(&self) -> &Checker {
        &self.checker
    }

    /// What the nodes that are up have said, for a failure.
    fn logs(&self) -> String {
        let tail = |number| {
            let log = self.cluster.log(number);
            let from = log.len().saturating_sub(60);
            format!("node {number}:\n{}\n", log[from..].join("\n"))
        };
        let text: String = self.cluster.running().map(|(number, _)| tail(number)).collect();
        // The directory goes with the run.
        let _ = &self.dir;
        text
    }
}

impl Drop for Run {
    /// A failed test says what the nodes said.
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.logs());
        }
    }
}

/// How often a node that runs has said that three nodes vote in the metadata group.
pub fn elections(cluster: &Cluster) -> usize {
    let votes = |line: &String| {
        line.contains("the voters of the metadata group have changed") && line.contains("\"voters\":3")
    };
    (1..=3).map(|number| cluster.log(number).iter().filter(|line| votes(line)).count()).sum()
}

/// Waits until that was said again. Until the others have a vote in the metadata group, the first node must not be lost;
/// after one was replaced, no other one.
pub async fn all_vote(cluster: &Cluster, before: usize) {
    let give_up = Instant::now() + STUCK;
    while elections(cluster) <= before {
        assert!(Instant::now() < give_up, "not every node gets a vote:\n{}", cluster.log(1).join("\n"));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn create_topic(client: &Client) -> String {
    let give_up = Instant::now() + STUCK;
    loop {
        match client.create_topic(TOPIC, PARTITIONS).await {
            Ok(topic) => return topic.id,
            Err(error) => assert!(Instant::now() < give_up, "{error}"),
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
