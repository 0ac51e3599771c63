//! `kill -9` of the broker's process under load, again and again: what was acknowledged or read is there afterwards,
//! no offset is used twice, nothing appears that nobody sent, and commits and topics hold as records do.
//!
//! `FLYMQ_TEST_CRASH_CYCLES`: how often (`make crash`: 200). `FLYMQ_TEST_SEED`: the moments of the kills.
//! `FLYMQ_TEST_HISTORY`: a file for the history; after a failure it is kept in any case, and its path is printed.

mod broker;
mod checker;
mod history;
mod load;
mod read_back;

use std::{path::PathBuf, sync::Arc, time::Duration};

use broker::Process;
use checker::{Checker, Violation};
use history::History;
use load::{PARTITIONS, TOPIC};
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};

const DEFAULT_CYCLES: u64 = 10;
/// Every so many cycles all records are read again, else the new ones and the last known.
const FULL_READ: u64 = 20;
/// How long the broker lives under load, ms.
const LIFE_MS: std::ops::Range<u64> = 50..500;
/// A client that is told of the crash no sooner than this hangs.
const PATIENCE: Duration = Duration::from_secs(20);

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_survives_kill_9() {
    let cycles = number("FLYMQ_TEST_CRASH_CYCLES").unwrap_or(DEFAULT_CYCLES);
    let seed = number("FLYMQ_TEST_SEED").unwrap_or_else(rand::random);
    let dir = tempfile::tempdir().expect("a directory");
    let mut run = Run::new(seed, dir.path().join("data"));
    for cycle in 0..cycles {
        run.cycle(cycle).await;
    }
    run.last_look().await;
    run.finish(cycles, seed);
}

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable}={text} is no number")))
}

struct Run {
    rng: StdRng,
    data_dir: PathBuf,
    history: Arc<History>,
    file: PathBuf,
    checker: Checker,
    slowest_start: Duration,
}

impl Run {
    fn new(seed: u64, data_dir: PathBuf) -> Self {
        let file = std::env::var_os("FLYMQ_TEST_HISTORY").map_or_else(
            || std::env::temp_dir().join(format!("flymq-crash-{}-{seed}.jsonl", std::process::id())),
            PathBuf::from,
        );
        eprintln!("kill -9: seed {seed}, history {}", file.display());
        Self {
            rng: StdRng::seed_from_u64(seed),
            data_dir,
            history: Arc::new(History::new()),
            file,
            checker: Checker::default(),
            slowest_start: Duration::ZERO,
        }
    }

    fn start(&mut self) -> Process {
        let broker = Process::start(&self.data_dir);
        self.slowest_start = self.slowest_start.max(broker.start);
        broker
    }

    async fn cycle(&mut self, cycle: u64) {
        let broker = self.start();
        if cycle == 0 {
            load::connect(&broker.native).await.create_topic(TOPIC, PARTITIONS).await.expect("created");
        }
        self.look(&broker, cycle.is_multiple_of(FULL_READ)).await;
        let from = (0..PARTITIONS).map(|p| self.checker.known(p)).collect();
        let number = u32::try_from(cycle).expect("few cycles");
        let mut clients = load::start(&broker.native, &self.history, number, from).await;
        // The moment of the kill is chance: nothing is waited for.
        tokio::time::sleep(Duration::from_millis(self.rng.random_range(LIFE_MS))).await;
        broker.kill();
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
        self.check();
    }

    async fn last_look(&mut self) {
        let broker = self.start();
        self.look(&broker, true).await;
    }

    /// Reads everything, or what is new, and holds it against the history.
    async fn look(&mut self, broker: &Process, everything: bool) {
        let client = load::connect(&broker.native).await;
        for partition in 0..PARTITIONS {
            let known = self.checker.known(partition);
            let from = if everything { 0 } else { known.saturating_sub(100) };
            read_back::partition(&client, &self.history, partition, from).await;
        }
        read_back::commits(&client, &self.history).await;
        read_back::topics(&client, &self.history).await;
        self.check();
    }

    /// Takes in what happened; ends the run at the first violation, with the history kept.
    fn check(&mut self) {
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

    fn finish(&self, cycles: u64, seed: u64) {
        let (counts, count) = (&self.checker.counts, |kind| self.checker.count(kind));
        println!(
            "kill -9: {cycles} cycles, seed {seed}: acked leader {}, acked all {}, no answer {}, read {}, commits {}, \
             topic changes {}; lost {}, reused {}, phantom {}, duplicate {}, out of order {}, holes {}, commits lost {}, \
             topics lost {}; slowest start {:.2?}",
            counts.leader,
            counts.all,
            counts.open,
            counts.read,
            counts.commits,
            counts.topics,
            count(Violation::Lost),
            count(Violation::Reused),
            count(Violation::Phantom),
            count(Violation::Duplicate),
            count(Violation::OutOfOrder),
            count(Violation::Hole),
            count(Violation::Commit),
            count(Violation::Topic),
            self.slowest_start,
        );
        let least = counts.leader.min(counts.all).min(counts.commits);
        assert!(least > cycles, "the load was no load: {counts:?}");
        if std::env::var_os("FLYMQ_TEST_HISTORY").is_none() {
            std::fs::remove_file(&self.file).expect("it was written");
        }
    }
}
