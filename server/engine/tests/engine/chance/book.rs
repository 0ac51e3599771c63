//! What the clients were told, and how that is held against what is there.

use std::{collections::BTreeMap, time::Duration};

use flymq_engine::Engine;

use super::counts::{Broken, Counts, Event};
use super::expiry::Short;
use super::members::Members;
use super::queue::Queued;
use super::transform::Transforms;
use crate::support::*;

pub(super) const TRANSACTIONS: &str = "transactions";
pub(super) const NUMBERED: &str = "numbered";
pub(super) const SCHEDULED: &str = "scheduled";

/// How a transaction ended, as its client knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum End {
    Committed,
    /// Aborted, or never ended by its client.
    #[default]
    Never,
    /// The broker stopped while it was committed.
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
}

#[derive(Debug)]
pub(super) struct Planned {
    pub value: String,
    pub due: i64,
    pub taken: bool,
    /// `None`: nobody was told.
    pub cancelled: Option<bool>,
}

#[derive(Debug)]
pub(super) struct Book {
    next: u64,
    offsets: BTreeMap<u64, u64>,
    pub units: Vec<Unit>,
    pub numbered: Vec<Sent>,
    pub planned: Vec<Planned>,
    pub late_writes: Vec<String>,
    pub late_ends: u64,
    /// Answers that any client had.
    pub answered: u64,
    pub queue: Queued,
    pub transforms: Transforms,
    pub short: Vec<Short>,
    pub members: Members,
    pub counts: Counts,
}

impl Book {
    pub fn new() -> Self {
        Self {
            next: 0,
            offsets: BTreeMap::new(),
            units: Vec::new(),
            numbered: Vec::new(),
            planned: Vec::new(),
            late_writes: Vec::new(),
            late_ends: 0,
            answered: 0,
            queue: Queued::default(),
            transforms: Transforms::default(),
            short: Vec::new(),
            members: Members::default(),
            counts: Counts::of_a_seed(),
        }
    }

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

    pub fn stopped(&mut self, stopped: bool) {
        self.counts.happened(Event::Stops, stopped.into());
    }

    /// Waits until nothing is open or pending, reads everything, and compares.
    pub async fn check(mut self, node: &Node, engine: &Engine) -> Counts {
        let settled = || engine.open_transactions().is_empty() && engine.pending_schedules() == 0;
        until("nothing is open", || {
            node.clock.advance(Duration::from_millis(500));
            settled()
        })
        .await;
        self.check_transactions(engine).await;
        self.check_numbered(engine).await;
        self.check_schedules(engine).await;
        self.queue.check(engine, &mut self.counts).await;
        self.transforms.check(engine, &mut self.counts).await;
        self.members.check(engine, &mut self.counts);
        self.counts.happened(Event::Late, self.late_ends + self.late_writes.len() as u64);
        self.counts
    }

    async fn check_transactions(&mut self, engine: &Engine) {
        let mut there = BTreeMap::new();
        for partition in 0..2 {
            for (_, value) in soon(read_all(engine, TRANSACTIONS, partition)).await {
                *there.entry((partition, value)).or_insert(0_u64) += 1;
            }
        }
        let counts = &mut self.counts;
        for (at, times) in there.iter().filter(|(_, times)| **times > 1) {
            counts.broke(Broken::Duplicates, &format!("{times} times {at:?}"));
        }
        let mut offsets: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
        for unit in &self.units {
            let shown = unit.writes.iter().filter(|write| there.contains_key(write)).count();
            let (whole, none) = (shown == unit.writes.len(), shown == 0);
            let (right, kind, event) = match unit.end {
                End::Committed => (whole, Broken::LostCommits, Event::Committed),
                End::Never => (none, Broken::AbortedReads, Event::Aborted),
                End::Unknown => (whole || none, Broken::Torn, Event::Untold),
            };
            if !right {
                counts.broke(kind, &format!("{shown} of {unit:?}"));
            }
            counts.happened(event, 1);
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
            let committed = engine.committed(&group(&format!("g-{client}")), None, None).unwrap_or_default();
            let offset = committed.first().map_or(0, |at| at.offset.get());
            if !may_be.contains(&offset) {
                let what = format!("group of client {client}: offset {offset}, and {may_be:?} could be");
                counts.broke(Broken::WrongOffsets, &what);
            }
        }
        for value in &self.late_writes {
            if there.keys().any(|(_, there)| there == value) {
                counts.broke(Broken::LateTaken, &format!("{value}, of a transaction that was over"));
            }
        }
    }

    async fn check_numbered(&mut self, engine: &Engine) {
        for partition in 0..2 {
            let there: Vec<String> = soon(read_all(engine, NUMBERED, partition))
                .await
                .into_iter()
                .map(|(_, value)| value)
                .collect();
            let mut sent = self.numbered.iter().filter(|one| one.partition == partition);
            // In the order in which they were sent, each once; what nobody was told of may be missing.
            for value in &there {
                match sent.by_ref().find(|one| one.value == *value || one.stored) {
                    Some(one) if one.value == *value => {}
                    found => {
                        let wrong = format!("numbered/{partition}: {value} where {found:?} is due");
                        self.counts.broke(Broken::OutOfPlace, &wrong);
                        return;
                    }
                }
            }
            if let Some(lost) = sent.find(|one| one.stored) {
                self.counts.broke(Broken::Lost, &format!("numbered/{partition}: {lost:?}"));
            }
            self.counts.happened(Event::Numbered, there.len() as u64);
        }
    }

    async fn check_schedules(&mut self, engine: &Engine) {
        let mut there: BTreeMap<String, Vec<i64>> = BTreeMap::new();
        let fetched = soon(fetch_all(engine, SCHEDULED, 0)).await.unwrap();
        for batch in fetched.iter().flat_map(|fetched| &fetched.batches) {
            for record in batch.records().unwrap() {
                let value = String::from_utf8(record.unwrap().value.unwrap().to_vec()).unwrap();
                there.entry(value).or_default().push(batch.append_time().as_millis());
            }
        }
        let counts = &mut self.counts;
        for one in &self.planned {
            let appended = there.get(&one.value).map_or(&[][..], Vec::as_slice);
            match (appended.len(), one.taken, one.cancelled) {
                (1.., true, Some(true)) => counts.broke(Broken::CancelledCame, &format!("{one:?}")),
                (0, true, Some(false)) => counts.broke(Broken::ScheduledLost, &format!("{one:?}")),
                (2.., ..) => counts.broke(Broken::ScheduledTwice, &format!("{one:?} at {appended:?}")),
                _ => {}
            }
            // As the record itself says.
            if let Some(early) = appended.iter().find(|at| **at < one.due) {
                counts.broke(Broken::Early, &format!("{one:?} at {early}"));
            }
            counts.happened(Event::Scheduled, appended.len() as u64);
            counts.happened(Event::Cancelled, u64::from(one.cancelled == Some(true)));
        }
    }
}
