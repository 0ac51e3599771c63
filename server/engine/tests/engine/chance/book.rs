//! What the clients were told, and how that is held against what is there.

use std::{collections::BTreeMap, fmt, time::Duration};

use flymq_engine::Engine;

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
    counts: Counts,
}

/// What happened, and what must not have.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub seeds: u64,
    stops: u64,
    committed: u64,
    aborted: u64,
    unknown: u64,
    late: u64,
    numbered: u64,
    scheduled: u64,
    cancelled: u64,
    pub violations: Vec<String>,
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
            counts: Counts { seeds: 1, ..Counts::default() },
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
        self.counts.stops += u64::from(stopped);
    }

    pub fn look_for_early(&mut self, now: i64, there: &[(u64, String)]) {
        for one in self.planned.iter().filter(|one| one.due > now) {
            if there.iter().any(|(_, value)| *value == one.value) {
                let early = format!("early: {} is due at {}, and there at {now}", one.value, one.due);
                self.counts.violations.push(early);
            }
        }
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
        self.counts.late = self.late_ends + self.late_writes.len() as u64;
        self.counts
    }

    async fn check_transactions(&mut self, engine: &Engine) {
        let mut there = BTreeMap::new();
        for partition in 0..2 {
            for (_, value) in soon(read_all(engine, TRANSACTIONS, partition)).await {
                *there.entry((partition, value)).or_insert(0_u64) += 1;
            }
        }
        let violations = &mut self.counts.violations;
        violations
            .extend(there.iter().filter(|(_, times)| **times > 1).map(|(at, _)| format!("twice: {at:?}")));
        let mut offsets: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
        for unit in &self.units {
            let shown = unit.writes.iter().filter(|write| there.contains_key(write)).count();
            let (whole, none) = (shown == unit.writes.len(), shown == 0);
            let (right, what) = match unit.end {
                End::Committed => (whole, "a lost commit"),
                End::Never => (none, "an aborted read"),
                End::Unknown => (whole || none, "torn"),
            };
            if !right {
                violations.push(format!("{what}: {shown} of {unit:?}"));
            }
            match unit.end {
                End::Committed => self.counts.committed += 1,
                End::Never => self.counts.aborted += 1,
                End::Unknown => self.counts.unknown += 1,
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
            let committed = engine.committed(&group(&format!("g-{client}")), None, None).unwrap_or_default();
            let offset = committed.first().map_or(0, |at| at.offset.get());
            if !may_be.contains(&offset) {
                violations
                    .push(format!("group of client {client}: offset {offset}, and {may_be:?} could be"));
            }
        }
        for value in &self.late_writes {
            if there.keys().any(|(_, there)| there == value) {
                violations.push(format!("a write of a transaction that was over: {value}"));
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
                        self.counts.violations.push(wrong);
                        return;
                    }
                }
            }
            if let Some(lost) = sent.find(|one| one.stored) {
                self.counts.violations.push(format!("numbered/{partition}: lost {lost:?}"));
            }
            self.counts.numbered += there.len() as u64;
        }
    }

    async fn check_schedules(&mut self, engine: &Engine) {
        let mut there = BTreeMap::new();
        for (_, value) in soon(read_all(engine, SCHEDULED, 0)).await {
            *there.entry(value).or_insert(0_u64) += 1;
        }
        for one in &self.planned {
            let times = there.get(&one.value).copied().unwrap_or_default();
            let right = match (one.taken, one.cancelled) {
                (true, Some(false)) => times == 1,
                (true, Some(true)) => times == 0,
                _ => times <= 1,
            };
            if !right {
                self.counts.violations.push(format!("scheduled: {times} times {one:?}"));
            }
            self.counts.scheduled += times;
            self.counts.cancelled += u64::from(one.cancelled == Some(true));
        }
    }
}

impl Counts {
    pub fn add(&mut self, other: &Self) {
        self.seeds += other.seeds;
        self.stops += other.stops;
        self.committed += other.committed;
        self.aborted += other.aborted;
        self.unknown += other.unknown;
        self.late += other.late;
        self.numbered += other.numbered;
        self.scheduled += other.scheduled;
        self.cancelled += other.cancelled;
    }

    /// A simulation in which something never happens shows nothing of it.
    pub fn assert_all_happened(&self) {
        let all = [
            self.stops,
            self.committed,
            self.aborted,
            self.unknown,
            self.late,
            self.numbered,
            self.scheduled,
            self.cancelled,
        ];
        assert!(all.iter().all(|count| *count > 0), "something never happened: {self}");
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} seeds, {} stops of the disk in the middle: {} transactions committed, {} aborted, {} unknown, {} late requests; {} idempotent messages; \
             {} scheduled messages delivered, {} cancelled; duplicates 0, aborted reads 0, torn 0, lost commits 0, lost 0, early 0",
            self.seeds,
            self.stops,
            self.committed,
            self.aborted,
            self.unknown,
            self.late,
            self.numbered,
            self.scheduled,
            self.cancelled,
        )
    }
}
