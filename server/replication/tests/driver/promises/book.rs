//! What the clients were told, and how that is held against what is there.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use flymq_engine::{Engine, EngineError, FetchSpec};
use flymq_types::{Isolation, Offset, PartitionId};
use tokio::time::{sleep, timeout};

use super::clients::{anywhere, group};
use super::expiry::Expiry;
use super::fates::Queued;
use super::queue::LETTERS;
use super::streams::{self, MADE};
use super::terms::Terms;
use crate::cluster::DEADLINE;
use crate::engines::spec;
use crate::peers::Peers;

pub(super) const TRANSACTIONS: &str = "transactions";
pub(super) const NUMBERED: &str = "numbered";
pub(super) const SCHEDULED: &str = "scheduled";
pub(super) const TOPICS: [(&str, u32); 5] =
    [(TRANSACTIONS, 2), (NUMBERED, 2), (SCHEDULED, 1), (MADE, 2), (LETTERS, 2)];

/// How a transaction ended, as its client knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum End {
    Committed,
    /// Aborted, or never ended by its client.
    #[default]
    Never,
    /// Nobody said what became of its commit.
    Unknown,
}

#[derive(Debug, Default)]
pub(super) struct Unit {
    pub client: u64,
    pub writes: Vec<(u32, String)>,
    pub offset: Option<u64>,
    pub end: End,
}

#[derive(Debug)]
pub(super) struct Sent {
    pub partition: u32,
    pub value: String,
    pub stored: bool,
    /// For good.
    pub refused: Option<String>,
}

#[derive(Debug)]
pub(super) struct Planned {
    pub value: String,
    pub due: i64,
    pub taken: bool,
    /// `None`: nobody was told.
    pub cancelled: Option<bool>,
}

#[derive(Debug, Default)]
pub(super) struct Book {
    next: u64,
    offsets: BTreeMap<u64, u64>,
    pub units: Vec<Unit>,
    pub numbered: Vec<Sent>,
    pub planned: Vec<Planned>,
    pub late_writes: Vec<String>,
    pub late_ends: u64,
    pub queue: Queued,
    pub expiry: Expiry,
    pub members: Terms,
}

/// What happened, and what must not.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub seeds: u64,
    pub stops: u64,
    pub power_cuts: u64,
    pub cuts: u64,
    pub losses: u64,
    pub committed: u64,
    pub aborted: u64,
    pub untold: u64,
    pub late: u64,
    pub numbered: u64,
    pub scheduled: u64,
    pub cancelled: u64,
    /// Messages that were made of others.
    pub made: u64,
    /// Records of a queue.
    pub queued: u64,
    pub handed_out: u64,
    pub accepted: u64,
    pub dead: u64,
    /// Transactions that moved dead ones.
    pub moved: u64,
    /// Batches of logs that were held against those of the other replicas.
    pub compared: u64,
    /// What else happened, by its name.
    happened: BTreeMap<&'static str, u64>,
    /// How often each promise was broken, by its name.
    broken: BTreeMap<&'static str, u64>,
}

/// So often a reader looks again, 5 ms later, before it counts as stuck.
const WAITS: u32 = 1_000;

/// All that is looked for.
const PROMISES: [&str; 32] = [
    "stuck",
    "duplicates",
    "aborted reads",
    "torn",
    "lost commits",
    "wrong offsets",
    "late requests taken",
    "lost",
    "out of place",
    "refused",
    "scheduled lost or twice",
    "early",
    "made twice",
    "not made",
    "made of nothing",
    "made out of order",
    "again after its end",
    "held by two",
    "too often",
    "in both",
    "in neither",
    "dead twice",
    "logs apart",
    "seen after its expiry",
    "gone before it",
    "with another expiry",
    "two owners",
    "stale commits taken",
    "committed offsets lost",
    "offsets that went back",
    "offsets of nobody",
    "owners refused",
];

impl Counts {
    pub fn of_a_seed() -> Self {
        Self { seeds: 1, ..Self::default() }
    }

    pub fn wrong(&self) -> u64 {
        self.broken.values().sum()
    }

    pub fn broke(&mut self, promise: &'static str, example: &str) {
        assert!(PROMISES.contains(&promise), "{promise}");
        println!("{promise}: {example}");
        *self.broken.entry(promise).or_default() += 1;
    }

    pub fn happened(&mut self, what: &'static str, times: u64) {
        *self.happened.entry(what).or_default() += times;
    }

    /// What never happened, of what happens by its name.
    pub fn missing(&self) -> Vec<&'static str> {
        self.happened.iter().filter(|(_, times)| **times == 0).map(|(what, _)| *what).collect()
    }

    pub fn add(&mut self, other: &Self) {
        self.seeds += other.seeds;
        self.stops += other.stops;
        self.power_cuts += other.power_cuts;
        self.cuts += other.cuts;
        self.losses += other.losses;
        self.committed += other.committed;
        self.aborted += other.aborted;
        self.untold += other.untold;
        self.late += other.late;
        self.numbered += other.numbered;
        self.scheduled += other.scheduled;
        self.cancelled += other.cancelled;
        self.made += other.made;
        self.queued += other.queued;
        self.handed_out += other.handed_out;
        self.accepted += other.accepted;
        self.dead += other.dead;
        self.moved += other.moved;
        self.compared += other.compared;
        for (what, times) in &other.happened {
            self.happened(what, *times);
        }
        for (promise, times) in &other.broken {
            *self.broken.entry(promise).or_default() += times;
        }
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} seeds of three engines: {} stops of a disk, {} power cuts of all, {} nodes cut off, {} times of losses; {} transactions committed, {} aborted, {} whose \
             client was not told, {} late requests, {} idempotent and {} scheduled messages, {} cancelled, {} made of others, {} records of a queue, {} times handed out, \
 {} accepted, {} dead, {} moves, {} batches \
             compared",
            self.seeds,
            self.stops,
            self.power_cuts,
            self.cuts,
            self.losses,
            self.committed,
            self.aborted,
            self.untold,
            self.late,
            self.numbered,
            self.scheduled,
            self.cancelled,
            self.made,
            self.queued,
            self.handed_out,
            self.accepted,
            self.dead,
            self.moved,
            self.compared
        )?;
        self.happened.iter().try_for_each(|(what, times)| write!(f, ", {times} {what}"))?;
        PROMISES.iter().try_for_each(|promise| {
            write!(f, ", {promise} {}", self.broken.get(promise).copied().unwrap_or_default())
        })
    }
}

impl Book {
    /// A value that nobody else has.
    pub fn fresh(&mut self) -> String {
        self.next += 1;
        format!("v{}", self.next)
    }

    /// The next offset that a client commits for its group.
    pub fn next_offset(&mut self, client: u64) -> u64 {
        let offset = self.offsets.entry(client).or_default();
        *offset += 1;
        *offset
    }

    pub async fn check(self, peers: &Peers, mut counts: Counts) -> Counts {
        self.check_transactions(peers, &mut counts).await;
        self.check_numbered(peers, &mut counts).await;
        self.check_schedules(peers, &mut counts).await;
        streams::check(peers, &mut counts).await;
        self.queue.check(peers, &mut counts).await;
        counts.late = self.late_ends + self.late_writes.len() as u64;
        self.expiry.check(peers, &mut counts).await;
        counts
    }

    async fn check_transactions(&self, peers: &Peers, counts: &mut Counts) {
        let mut there = BTreeMap::new();
        for partition in 0..2 {
            for (value, _) in read(peers, TRANSACTIONS, partition, counts).await {
                *there.entry((partition, value)).or_insert(0_u64) += 1;
            }
        }
        for (at, times) in there.iter().filter(|(_, times)| **times > 1) {
            counts.broke("duplicates", &format!("{times} times {at:?}"));
        }
        let mut offsets: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
        for unit in &self.units {
            let shown = unit.writes.iter().filter(|write| there.contains_key(write)).count();
            let (whole, none) = (shown == unit.writes.len(), shown == 0);
            let (right, promise, happened) = match unit.end {
                End::Committed => (whole, "lost commits", &mut counts.committed),
                End::Never => (none, "aborted reads", &mut counts.aborted),
                End::Unknown => (whole || none, "torn", &mut counts.untold),
            };
            *happened += 1;
            if !right {
                counts.broke(promise, &format!("{shown} of {unit:?}"));
            }
            let may_be = offsets.entry(unit.client).or_insert_with(|| vec![0]);
            match (unit.offset, unit.end) {
                (None, _) | (_, End::Never) => {}
                (Some(offset), End::Committed) => *may_be = vec![offset],
                // With its messages, where it has any.
                (Some(offset), End::Unknown) if unit.writes.is_empty() => may_be.push(offset),
                (Some(offset), End::Unknown) if !none => *may_be = vec![offset],
                (Some(_), End::Unknown) => {}
            }
        }
        for (client, may_be) in offsets {
            let group = group(client);
            let committed = async |engine: &Engine| match engine.committed(&group, None, None) {
                // It has never committed anything.
                Err(EngineError::GroupNotFound { .. }) => Ok(Vec::new()),
                committed => committed,
            };
            let committed = retry(peers, committed).await;
            let offset = committed.first().map_or(0, |at| at.offset.get());
            if !may_be.contains(&offset) {
                let example = format!("group of client {client}: offset {offset}, and {may_be:?} could be");
                counts.broke("wrong offsets", &example);
            }
        }
        for value in &self.late_writes {
            if there.keys().any(|(_, there)| there == value) {
                counts.broke("late requests taken", &format!("{value}, of a transaction that was over"));
            }
        }
    }

    async fn check_numbered(&self, peers: &Peers, counts: &mut Counts) {
        for sent in &self.numbered {
            if let Some(why) = &sent.refused {
                counts.broke("refused", &format!("{}: {why}", sent.value));
            }
        }
        for partition in 0..2 {
            let there = read(peers, NUMBERED, partition, counts).await;
            counts.numbered += there.len() as u64;
            let mut sent = self.numbered.iter().filter(|one| one.partition == partition);
            // In the order in which they were sent, each once; what nobody was told of may be missing.
            for (value, _) in &there {
                match sent.by_ref().find(|one| one.value == *value || one.stored) {
                    Some(one) if one.value == *value => {}
                    found => {
                        let example = format!("numbered/{partition}: {value} where {found:?} is due");
                        counts.broke("out of place", &example);
                        return;
                    }
                }
            }
            if let Some(lost) = sent.find(|one| one.stored) {
                counts.broke("lost", &format!("numbered/{partition}: {lost:?}"));
            }
        }
    }

    async fn check_schedules(&self, peers: &Peers, counts: &mut Counts) {
        let mut there: BTreeMap<String, Vec<i64>> = BTreeMap::new();
        for (value, at) in read(peers, SCHEDULED, 0, counts).await {
            there.entry(value).or_default().push(at);
        }
        for one in &self.planned {
            let appended = there.get(&one.value).map_or(&[][..], Vec::as_slice);
            let right = match (one.taken, one.cancelled) {
                (true, Some(true)) => appended.is_empty(),
                (true, Some(false)) => appended.len() == 1,
                (true, None) | (false, _) => appended.len() <= 1,
            };
            if !right {
                counts.broke("scheduled lost or twice", &format!("{one:?} at {appended:?}"));
            }
            if let Some(early) = appended.iter().find(|at| **at < one.due) {
                counts.broke("early", &format!("{one:?} at {early}"));
            }
            counts.scheduled += appended.len() as u64;
            counts.cancelled += u64::from(one.cancelled == Some(true));
        }
    }
}

/// Whoever leads may not know at once how much is committed.
async fn retry<T>(peers: &Peers, call: impl AsyncFn(&Engine) -> Result<T, EngineError>) -> T {
    let answered = async {
        loop {
            match anywhere(peers, &call).await {
                Ok(answer) => return answer,
                Err(error) => tracing::debug!(%error, "asked again"),
            }
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(DEADLINE, answered).await.expect("nobody answers")
}

/// All that committed readers see of a partition in which nothing is open, with the times of appending. What they get no further in is a
/// promise that was broken, and no reason to wait for ever.
pub(super) async fn read(
    peers: &Peers,
    name: &str,
    partition: u32,
    counts: &mut Counts,
) -> Vec<(String, i64)> {
    let (mut all, mut offset, mut waits) = (Vec::new(), Offset(0), 0);
    loop {
        let spec = FetchSpec {
            partition: PartitionId(partition),
            isolation: Isolation::ReadCommitted,
            ..spec(name, offset.get())
        };
        let fetched = retry(peers, async |engine| engine.fetch(spec.clone()).await).await;
        for batch in &fetched.batches {
            for record in batch.records().unwrap() {
                let value = String::from_utf8(record.unwrap().value.unwrap().to_vec()).unwrap();
                all.push((value, batch.append_time().as_millis()));
            }
        }
        if fetched.next_offset == offset {
            if !fetched.held && offset >= fetched.high_watermark {
                return all;
            }
            waits += 1;
            if waits > WAITS {
                let end = fetched.high_watermark;
                counts.broke("stuck", &format!("{name}/{partition}: readers stand at {offset}, below {end}"));
                return all;
            }
            sleep(Duration::from_millis(5)).await;
        }
        offset = fetched.next_offset;
    }
}
