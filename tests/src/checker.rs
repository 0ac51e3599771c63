//! Holds a history against what the broker promises. One pass: an event costs the same however long the history is,
//! because every value is unique and the log itself tells the order.

mod control;
pub mod linear;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::history::{Event, Op, Phase, Promise};
use control::{Commits, Topics};

/// How the value of a record begins that is not as any client makes them.
pub const WRONG_BYTES: &str = "damaged: ";

/// What must never be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Violation {
    /// A record that was acknowledged or read is gone.
    Lost,
    /// An offset that was acknowledged or read holds another record.
    Reused,
    /// A record that nobody sent, or whose sending failed for certain.
    Phantom,
    /// Bytes that no client ever makes.
    WrongBytes,
    /// One record at two offsets.
    Duplicate,
    /// A client's records in another order than it sent them.
    OutOfOrder,
    /// A jump between the offsets of a partition.
    Hole,
    /// A group is back before a commit that was acknowledged, or beyond any that was tried.
    Commit,
    /// A created topic is gone, or a deleted one is back.
    Topic,
    /// A range is refused as damaged although nothing damaged it.
    Refused,
    /// An answer that is older than what was acknowledged before the question.
    Stale,
    /// A record that stands before one that somebody had been told of when its sending began.
    Overtaken,
}

/// What was done to the broker, and so what may be missing afterwards.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Fault {
    /// `kill -9`, or a disk that says no: everything acknowledged or read is there.
    #[default]
    Kill,
    /// Leaders are lost: what only one of them had acknowledged may be missing, and another record may stand there.
    Failover,
    /// The machine is gone, and with it what no fdatasync had covered: `leader` records may be missing or refused.
    PowerCut,
    /// Stored bytes were changed: they may be refused, by name. Nothing else may be missing.
    Damage,
    /// The disk said that it had written what it had not: that may be missing, but nothing else stands in its place.
    Lie,
}

#[derive(Debug, Clone)]
struct Acked {
    value: String,
    /// Whether the fault leaves this acknowledgement in force.
    promised: bool,
}

#[derive(Debug, Default, Clone)]
struct Partition {
    /// The values from offset 0 on, as they were first read.
    log: Vec<String>,
    /// Acknowledged and not read yet.
    unread: BTreeMap<u64, Acked>,
    /// The last cycle and counter of each client in the log.
    last: HashMap<u32, (u32, u64)>,
    /// The end that somebody has been told of, by an acknowledgement that waits for all in sync, a read or an answer.
    told: u64,
    /// What each client must at least be answered.
    asked: HashMap<u32, u64>,
}

/// How much was checked.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Counts {
    pub leader: u64,
    pub all: u64,
    /// Sent, and the crash took the answer.
    pub open: u64,
    /// Records read, also more than once.
    pub read: u64,
    pub commits: u64,
    pub topics: u64,
    /// Answers to "where does it end?".
    pub latest: u64,
    /// Offsets refused as damaged.
    pub refused: u64,
}

#[derive(Debug, Default, Clone)]
pub struct Checker {
    fault: Fault,
    sent: HashSet<String>,
    /// Where the partitions ended, as somebody had been told, when the sending of a record began; until its place is known.
    began: HashMap<String, Vec<(i32, u64)>>,
    failed: HashSet<String>,
    stored: HashSet<String>,
    partitions: HashMap<i32, Partition>,
    commits: Commits,
    topics: Topics,
    pub counts: Counts,
    pub violations: Vec<(Violation, String)>,
}

impl Checker {
    pub fn after(fault: Fault) -> Self {
        Self { fault, ..Self::default() }
    }

    pub fn apply(&mut self, event: &Event) {
        let phase = event.phase;
        match &event.op {
            Op::Produce { value, acks, at } => self.produce(phase, value, *acks, *at),
            Op::Read { partition, offset, value } => self.read(*partition, *offset, value),
            Op::Latest { partition, offset } => self.latest(event.client, phase, *partition, *offset),
            Op::End { partition, offset } => self.end(*partition, *offset),
            Op::Start { partition, offset } => self.start(*partition, *offset),
            Op::Refused { partition, from, to } => self.refused(*partition, *from, *to),
            Op::Commit { group, partition, offset } => {
                self.counts.commits += u64::from(phase == Phase::Ok);
                self.commits.commit(phase, (group, *partition), *offset);
            }
            Op::Committed { group, partition, offset } => {
                let wrong = self.commits.committed((group, *partition), *offset);
                self.violations.extend(wrong.map(|text| (Violation::Commit, text)));
            }
            Op::CreateTopic { topic } | Op::DeleteTopic { topic } => {
                self.counts.topics += u64::from(phase == Phase::Ok);
                self.topics.change(phase, topic, matches!(event.op, Op::CreateTopic { .. }));
            }
            Op::Topics { topics } => {
                let wrong = self.topics.listed(topics);
                self.violations.extend(wrong.into_iter().map(|text| (Violation::Topic, text)));
            }
        }
    }

    pub fn count(&self, violation: Violation) -> usize {
        self.violations.iter().filter(|(found, _)| *found == violation).count()
    }

    /// How many records of a partition were read.
    pub fn known(&self, partition: i32) -> u64 {
        self.partitions.get(&partition).map_or(0, |p| p.log.len() as u64)
    }

    fn found(&mut self, violation: Violation, text: String) {
        self.violations.push((violation, text));
    }

    fn produce(&mut self, phase: Phase, value: &str, acks: Promise, at: Option<(i32, u64)>) {
        match phase {
            Phase::Invoke => {
                self.sent.insert(value.to_owned());
                let told = self.partitions.iter().map(|(partition, place)| (*partition, place.told));
                self.began.insert(value.to_owned(), told.filter(|(_, end)| *end > 0).collect());
            }
            Phase::Info => self.counts.open += 1,
            Phase::Fail => {
                self.began.remove(value);
                self.failed.insert(value.to_owned());
                if self.stored.contains(value) {
                    self.found(Violation::Phantom, format!("{value} failed for certain and was read"));
                }
            }
            Phase::Ok => {
                match acks {
                    Promise::Leader => self.counts.leader += 1,
                    Promise::All => self.counts.all += 1,
                }
                let (partition, offset) = at.expect("an acknowledgement names partition and offset");
                self.stands(partition, offset, value);
                if acks == Promise::All {
                    self.told(partition, offset + 1);
                }
                let promised = match self.fault {
                    Fault::Kill | Fault::Damage => true,
                    Fault::PowerCut | Fault::Failover => acks == Promise::All,
                    Fault::Lie => false,
                };
                if self.fault == Fault::Failover && !promised {
                    return;
                }
                self.acknowledged(partition, offset, Acked { value: value.to_owned(), promised });
            }
        }
    }

    /// Real time: whoever begins to send a record after somebody was told of another one has it stored behind that.
    fn stands(&mut self, partition: i32, offset: u64, value: &str) {
        // A disk that lied may end before what was told.
        let Some(told) = self.began.remove(value).filter(|_| self.fault != Fault::Lie) else { return };
        let least = told.iter().find(|(of, _)| *of == partition).map_or(0, |(_, end)| *end);
        if offset < least {
            let text =
                format!("{value} stands at {partition}@{offset}; its sending began when {least} was told");
            self.found(Violation::Overtaken, text);
        }
    }

    fn told(&mut self, partition: i32, end: u64) {
        let place = self.partitions.entry(partition).or_default();
        place.told = place.told.max(end);
    }

    /// Real time, in one pass: what was told before the question must be in the answer
    /// ([linearizability](https://dl.acm.org/doi/10.1145/78969.78972) of a counter that only rises).
    fn latest(&mut self, client: u32, phase: Phase, partition: i32, end: u64) {
        let place = self.partitions.entry(partition).or_default();
        match phase {
            Phase::Invoke => {
                place.asked.insert(client, place.told);
            }
            Phase::Fail | Phase::Info => {
                place.asked.remove(&client);
            }
            Phase::Ok => {
                let least = place.asked.remove(&client).unwrap_or(0);
                self.counts.latest += 1;
                if end < least {
                    let text = format!(
                        "{partition} ends at {end}, said to {client}, who asked after {least} was told"
                    );
                    self.found(Violation::Stale, text);
                }
                self.told(partition, end);
            }
        }
    }

    fn acknowledged(&mut self, partition: i32, offset: u64, acked: Acked) {
        let place = self.partitions.entry(partition).or_default();
        let known = usize::try_from(offset).ok().and_then(|at| place.log.get(at)).filter(|v| !v.is_empty());
        let before = known.or_else(|| place.unread.get(&offset).map(|before| &before.value)).cloned();
        let value = acked.value.clone();
        if known.is_none() {
            place.unread.entry(offset).or_insert(acked);
        }
        if let Some(other) = before.filter(|other| *other != value) {
            let text = format!("{partition}@{offset} was acknowledged for {value} and holds {other}");
            self.found(Violation::Reused, text);
        }
    }

    fn read(&mut self, partition: i32, offset: u64, value: &str) {
        self.counts.read += 1;
        self.stands(partition, offset, value);
        self.told(partition, offset + 1);
        let place = self.partitions.entry(partition).or_default();
        let at = usize::try_from(offset).expect("a run has fewer records");
        match place.log.get_mut(at) {
            // Missing before.
            Some(before) if before.is_empty() => {
                value.clone_into(before);
                return self.origin(partition, offset, value);
            }
            Some(before) if before != value => {
                let text = format!("{partition}@{offset} held {before} and now {value}");
                return self.found(Violation::Reused, text);
            }
            Some(_) => return,
            None => {}
        }
        let hole =
            (place.log.len() != at).then(|| format!("{partition}@{offset} follows {}", place.log.len()));
        // What is missing stays empty, so that one hole is one finding.
        place.log.resize(at, String::new());
        place.log.push(value.to_owned());
        let acked = place.unread.remove(&offset).filter(|acked| acked.value != value);
        let order = order(place, value);
        if let Some(Acked { value: acked, .. }) = acked {
            self.found(
                Violation::Reused,
                format!("{partition}@{offset} was acknowledged for {acked}, holds {value}"),
            );
        }
        if let Some(text) = hole {
            self.found(Violation::Hole, text);
        }
        if let Some(text) = order {
            self.found(Violation::OutOfOrder, text);
        }
        self.origin(partition, offset, value);
    }

    fn origin(&mut self, partition: i32, offset: u64, value: &str) {
        if value.starts_with(WRONG_BYTES) {
            return self.found(Violation::WrongBytes, format!("{partition}@{offset}: {value}"));
        }
        if !self.sent.contains(value) || self.failed.contains(value) {
            self.found(
                Violation::Phantom,
                format!("{partition}@{offset} holds {value}, which was never sent"),
            );
        }
        if !self.stored.insert(value.to_owned()) {
            self.found(Violation::Duplicate, format!("{partition}@{offset} holds {value} once more"));
        }
    }

    fn end(&mut self, partition: i32, end: u64) {
        let place = self.partitions.entry(partition).or_default();
        let at = usize::try_from(end).expect("a run has fewer records");
        let gone = place.log.split_off(at.min(place.log.len()));
        if self.fault == Fault::Lie {
            return;
        }
        let mut lost: Vec<String> = gone
            .iter()
            .filter(|value| !value.is_empty())
            .map(|value| format!("{partition}: {value} was read; the log ends at {end}"))
            .collect();
        let unread = std::mem::take(&mut place.unread);
        lost.extend(unread.iter().filter(|(_, acked)| acked.promised).map(|(offset, acked)| {
            format!("{partition}@{offset}: {} was acknowledged; the log ends at {end}", acked.value)
        }));
        self.violations.extend(lost.into_iter().map(|text| (Violation::Lost, text)));
    }

    /// Retention has removed everything below.
    fn start(&mut self, partition: i32, start: u64) {
        let place = self.partitions.entry(partition).or_default();
        let at = usize::try_from(start).expect("a run has fewer records");
        if place.log.len() < at {
            place.log.resize(at, String::new());
        }
        place.unread = place.unread.split_off(&start);
    }

    /// A read was answered with a damaged range.
    fn refused(&mut self, partition: i32, from: u64, to: u64) {
        self.counts.refused += to.saturating_sub(from);
        let place = self.partitions.entry(partition).or_default();
        let (first, last) = (usize::try_from(from).unwrap_or(0), usize::try_from(to).unwrap_or(0));
        let known = place.log.iter().enumerate().skip(first).take(last.saturating_sub(first));
        let mut lost: Vec<String> = known
            .filter(|(_, value)| !value.is_empty())
            .map(|(at, value)| format!("{at}: {value}"))
            .collect();
        let behind = place.unread.split_off(&from);
        for (offset, acked) in behind {
            if offset >= to {
                place.unread.insert(offset, acked);
            } else if acked.promised {
                lost.push(format!("{offset}: {}", acked.value));
            }
        }
        if place.log.len() < last {
            place.log.resize(last, String::new());
        }
        match self.fault {
            Fault::Damage | Fault::Lie => {}
            Fault::PowerCut => self.violations.extend(
                lost.iter()
                    .map(|text| (Violation::Lost, format!("{partition}@{text} is refused as damaged"))),
            ),
            Fault::Kill | Fault::Failover => {
                self.found(Violation::Refused, format!("{partition}: {from}..{to} is refused as damaged"));
            }
        }
    }
}

/// A client sends `client/cycle/counter` in rising order, and waits for nothing in between.
fn order(place: &mut Partition, value: &str) -> Option<String> {
    let mut parts = value.split('/');
    let client: u32 = parts.next()?.parse().ok()?;
    let number = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
    let before = place.last.insert(client, number)?;
    (before >= number).then(|| format!("{value} stands behind {client}/{}/{}", before.0, before.1))
}
