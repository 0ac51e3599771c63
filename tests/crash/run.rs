//! One data directory, its history and its checker, through as many lives of the broker as a scenario wants.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use tokio::task::JoinSet;

use crate::{
    broker::{Launch, Process},
    checker::{Checker, Fault},
    history::{self, History, Phase},
    load::{self, PARTITIONS, TOPIC, Writers},
    read_back,
    row::Scenario,
};

/// A client that is told of the crash no sooner than this hangs.
const PATIENCE: Duration = Duration::from_secs(20);
/// Records before the last known end that a quick look reads again.
const OVERLAP: u64 = 100;

pub struct Run {
    pub launch: Launch,
    pub history: Arc<History>,
    pub checker: Checker,
    file: PathBuf,
    lives: u32,
}

impl Run {
    /// A broker to be started over `data_dir`, whose history goes to a file.
    pub fn new(id: &str, data_dir: &Path, fault: Fault) -> Self {
        let file = std::env::var_os("FLYMQ_TEST_HISTORY").map_or_else(
            || std::env::temp_dir().join(format!("flymq-crash-{id}-{}.jsonl", std::process::id())),
            PathBuf::from,
        );
        Self {
            launch: Launch::new(data_dir),
            history: Arc::new(History::new()),
            checker: Checker::after(fault),
            file,
            lives: 0,
        }
    }

    /// The broker and, in its first life, the topic.
    pub async fn start(&mut self, scenario: &mut Scenario) -> Process {
        let launch = self.launch.clone();
        self.start_with(&launch, scenario).await
    }

    /// As [`Run::start`], started in another way.
    pub async fn start_with(&mut self, launch: &Launch, scenario: &mut Scenario) -> Process {
        let broker = launch.start();
        scenario.started(broker.start);
        if self.lives == 0 {
            load::connect(&broker.native).await.create_topic(TOPIC, PARTITIONS).await.expect("created");
        }
        self.lives += 1;
        broker
    }

    /// Starts the clients; they go on until the broker is gone or says no.
    pub async fn load(&self, broker: &Process, writers: Writers) -> JoinSet<String> {
        let from = (0..PARTITIONS).map(|p| self.checker.known(p)).collect();
        load::start(&broker.native, &self.history, self.lives, from, writers).await
    }

    /// Waits for all clients: whoever never learns that the broker is gone fails the test.
    pub async fn ended(&mut self, clients: JoinSet<String>) {
        self.gone(clients).await;
        self.check();
    }

    /// As [`Run::ended`]; the answers since the last check promise nothing.
    pub async fn ended_without_promise(&mut self, clients: JoinSet<String>) {
        self.gone(clients).await;
        let events = self.history.take();
        history::append(&self.file, &events);
        events
            .iter()
            .filter(|event| event.phase == Phase::Invoke)
            .for_each(|event| self.checker.apply(event));
    }

    async fn gone(&mut self, mut clients: JoinSet<String>) {
        let mut ended = Vec::new();
        while !clients.is_empty() {
            match tokio::time::timeout(PATIENCE, clients.join_next()).await {
                Ok(client) => ended.extend(client.map(|client| client.expect("no client panics"))),
                Err(_) => {
                    self.check();
                    panic!("{} clients never learn of the crash; these did: {ended:?}", clients.len());
                }
            }
        }
    }

    /// Reads everything, or what is new, and holds it against the history.
    pub async fn look(&mut self, broker: &Process, everything: bool) {
        let client = load::connect(&broker.native).await;
        for partition in 0..PARTITIONS {
            let from = if everything { 0 } else { self.checker.known(partition).saturating_sub(OVERLAP) };
            read_back::partition(&client, &self.history, TOPIC, partition, from).await;
        }
        read_back::commits(&client, &self.history).await;
        read_back::topics(&client, &self.history).await;
        self.check();
    }

    /// As [`Run::look`], of all records alone.
    pub async fn look_at_records(&mut self, broker: &Process) {
        let client = load::connect(&broker.native).await;
        for partition in 0..PARTITIONS {
            read_back::partition(&client, &self.history, TOPIC, partition, 0).await;
        }
        self.check();
    }

    /// Takes in what happened; ends the run at the first violation, with the history kept.
    pub fn check(&mut self) {
        let events = self.history.take();
        history::append(&self.file, &events);
        for event in &events {
            self.checker.apply(event);
        }
        let found = &self.checker.violations;
        assert!(
            found.is_empty(),
            "{:#?}\nthe history: {}",
            &found[..found.len().min(20)],
            self.file.display()
        );
    }

    /// Counts into the scenario.
    pub fn finish(self, scenario: &mut Scenario) {
        scenario.add(&self.checker);
        self.forget();
    }

    /// A history that nobody asked for and that shows nothing goes.
    pub fn forget(self) {
        if std::env::var_os("FLYMQ_TEST_HISTORY").is_none() && self.checker.violations.is_empty() {
            // A run that was never checked has none.
            let _ = std::fs::remove_file(&self.file);
        }
    }
}
