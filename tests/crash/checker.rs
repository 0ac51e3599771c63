//! Holds a history against what the broker promises. One pass: an event costs the same however long the history is,
//! because every value is unique and the log itself tells the order.

mod control;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::history::{Event, Op, Phase, Promise};
use control::{Commits, Topics};

/// What must never be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Violation {
    /// A record that was acknowledged or read is gone.
    Lost,
    /// An offset that was acknowledged or read holds another record.
    Reused,
    /// A record that nobody sent, or whose sending failed for certain.
    Phantom,
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
}

#[derive(Debug, Default)]
struct Partition {
    /// The values from offset 0 on, as they were first read.
    log: Vec<String>,
    /// Acknowledged and not read yet.
    unread: BTreeMap<u64, String>,
    /// The last cycle and counter of each client in the log.
    last: HashMap<u32, (u32, u64)>,
}

/// How much was checked.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Counts {
    pub leader: u64,
    pub all: u64,
    /// Sent, and the crash took the answer.
    pub open: u64,
    pub read: u64,
    pub commits: u64,
    pub topics: u64,
}

#[derive(Debug, Default)]
pub struct Checker {
    sent: HashSet<String>,
    failed: HashSet<String>,
    stored: HashSet<String>,
    partitions: HashMap<i32, Partition>,
    commits: Commits,
    topics: Topics,
    pub counts: Counts,
    pub violations: Vec<(Violation, String)>,
}

impl Checker {
    pub fn apply(&mut self, event: &Event) {
        let phase = event.phase;
        match &event.op {
            Op::Produce { value, acks, at } => self.produce(phase, value, *acks, *at),
            Op::Read { partition, offset, value } => self.read(*partition, *offset, value),
            Op::End { partition, offset } => self.end(*partition, *offset),
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
            }
            Phase::Info => self.counts.open += 1,
            Phase::Fail => {
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
                self.acknowledged(partition, offset, value);
            }
        }
    }

    fn acknowledged(&mut self, partition: i32, offset: u64, value: &str) {
        let place = self.partitions.entry(partition).or_default();
        let known = usize::try_from(offset).ok().and_then(|at| place.log.get(at)).cloned();
        let other = known.clone().or_else(|| place.unread.get(&offset).cloned()).filter(|v| v != value);
        if known.is_none() {
            place.unread.entry(offset).or_insert_with(|| value.to_owned());
        }
        if let Some(other) = other {
            let text = format!("{partition}@{offset} was acknowledged for {value} and holds {other}");
            self.found(Violation::Reused, text);
        }
    }

    fn read(&mut self, partition: i32, offset: u64, value: &str) {
        let place = self.partitions.entry(partition).or_default();
        let at = usize::try_from(offset).expect("a run has fewer records");
        if let Some(before) = place.log.get(at) {
            if before != value {
                let text = format!("{partition}@{offset} held {before} and now {value}");
                self.found(Violation::Reused, text);
            }
            return;
        }
        let hole =
            (place.log.len() != at).then(|| format!("{partition}@{offset} follows {}", place.log.len()));
        // What is missing stays empty, so that one hole is one finding.
        place.log.resize(at, String::new());
        place.log.push(value.to_owned());
        let acked = place.unread.remove(&offset).filter(|acked| acked != value);
        let order = order(place, value);
        self.counts.read += 1;
        if let Some(acked) = acked {
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
        let mut lost: Vec<String> = gone
            .iter()
            .map(|value| format!("{partition}: {value} was read; the log ends at {end}"))
            .collect();
        let unread = std::mem::take(&mut place.unread);
        lost.extend(unread.iter().map(|(offset, value)| {
            format!("{partition}@{offset}: {value} was acknowledged; the log ends at {end}")
        }));
        self.violations.extend(lost.into_iter().map(|text| (Violation::Lost, text)));
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
