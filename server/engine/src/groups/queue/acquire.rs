//! Which records a reader gets: those that are due first, then new ones, one at a time of each key where order counts.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use flymq_types::{Timestamp, TopicName};

use super::state::{Delivery, Phase, RetryPolicy, after};

/// Records of one partition that a group may have open at a time: beyond, nothing new is handed out.
pub(crate) const WINDOW: usize = 2_000;

/// What a reader asks for.
#[derive(Debug, Clone)]
pub struct Ask {
    pub member: Arc<str>,
    pub max: usize,
    /// How long each record is held.
    pub lock: Duration,
    /// One at a time of each key.
    pub ordered: bool,
    pub policy: RetryPolicy,
}

/// Records as they stand in the log, without gaps that hold any: each with the hash of its key.
#[derive(Debug, Clone, Default)]
pub struct Offered {
    pub from: u64,
    /// Offset after the last one that was looked at.
    pub upto: u64,
    pub records: Vec<(u64, Option<u32>)>,
}

/// What the reader gets, and what is to be written before.
#[derive(Debug, Clone, Default)]
pub(crate) struct Taken {
    /// Offset, and failures so far.
    pub records: Vec<(u64, u32)>,
    pub changes: Vec<(u64, Option<Delivery>)>,
    /// The next offset that nobody has got.
    pub next: Option<u64>,
    /// Locks that ended without an answer, which is a failure of their records.
    pub ended: u32,
    /// When the next of the others is due.
    pub wake: Option<Timestamp>,
}

struct Taking<'a> {
    ask: &'a Ask,
    now: Timestamp,
    /// Keys of open records before the one that is looked at.
    keys: HashSet<u32>,
    open: usize,
    taken: Taken,
}

/// `kept`: all that is kept of the partition, by offset; `next`: the committed offset.
pub(crate) fn acquire<'a>(
    topic: &TopicName,
    kept: impl Iterator<Item = (u64, &'a Delivery)> + Clone,
    next: u64,
    offered: &Offered,
    ask: &Ask,
    now: Timestamp,
) -> Taken {
    let open = kept.clone().filter(|(_, delivery)| delivery.is_open()).count();
    let mut taking = Taking { ask, now, keys: HashSet::new(), open, taken: Taken::default() };
    let new = (offered.from..offered.upto).contains(&next);
    // Where order counts, what was answered for ahead of all others has to wait for them.
    let in_turn = |offset: u64| ask.ordered && new && offset >= next;
    for (offset, delivery) in kept.clone().filter(|(offset, _)| !in_turn(*offset)) {
        taking.again(offset, delivery);
    }
    if new {
        let known: HashMap<u64, &Delivery> = kept.clone().collect();
        let end = taking.fresh(topic, next, offered, &known);
        if end > next {
            taking.taken.next = Some(end);
            // The committed offset says so from now on.
            let passed = kept.filter(|(offset, kept)| *offset < end && !kept.is_open());
            taking.taken.changes.extend(passed.map(|(offset, _)| (offset, None)));
        }
    }
    taking.taken
}

impl Taking<'_> {
    fn is_full(&self) -> bool {
        self.taken.records.len() >= self.ask.max
    }

    /// Whether an open record of the key is before this one; from now on this one is.
    fn is_behind(&mut self, key: Option<u32>) -> bool {
        self.ask.ordered && key.is_some_and(|key| !self.keys.insert(key))
    }

    fn lock(&mut self, offset: u64, delivery: Delivery) {
        let phase = Phase::Locked { until: after(self.now, self.ask.lock), member: self.ask.member.clone() };
        self.taken.records.push((offset, delivery.attempts));
        self.taken.changes.push((offset, Some(Delivery { phase, ..delivery })));
    }

    fn wake(&mut self, at: Timestamp) {
        self.taken.wake = Some(self.taken.wake.map_or(at, |known| known.min(at)));
    }

    /// One that was handed out or has failed before.
    fn again(&mut self, offset: u64, delivery: &Delivery) {
        if !delivery.is_open() {
            return;
        }
        let behind = self.is_behind(delivery.key);
        match &delivery.phase {
            Phase::Locked { until: at, .. } | Phase::Waiting { from: at } if *at > self.now => self.wake(*at),
            Phase::Locked { .. } => {
                let over: Arc<str> = "its lock ended without an answer".into();
                let failed = delivery.failed(&self.ask.policy, over, self.now);
                match failed.phase {
                    // It has waited for its lock to end already.
                    Phase::Waiting { .. } if !behind && !self.is_full() => self.lock(offset, failed),
                    // Nothing is written of it yet: it is looked at again.
                    Phase::Waiting { .. } => return,
                    _ => self.taken.changes.push((offset, Some(failed))),
                }
                self.taken.ended += 1;
            }
            Phase::Waiting { .. } if !behind && !self.is_full() => self.lock(offset, delivery.clone()),
            Phase::Waiting { .. } | Phase::Doomed { .. } | Phase::Settled => {}
        }
    }

    /// New ones from `next` on. Returns the offset after the last that is kept or passed now.
    fn fresh(
        &mut self,
        topic: &TopicName,
        next: u64,
        offered: &Offered,
        known: &HashMap<u64, &Delivery>,
    ) -> u64 {
        for &(offset, key) in offered.records.iter().filter(|(offset, _)| *offset >= next) {
            if let Some(delivery) = known.get(&offset) {
                if self.ask.ordered {
                    self.again(offset, delivery);
                }
                continue;
            }
            if self.is_full() || self.open >= WINDOW {
                return offset;
            }
            self.open += 1;
            let untouched = Delivery::untouched(topic, key, self.now);
            if self.is_behind(key) {
                self.taken.changes.push((offset, Some(untouched)));
            } else {
                self.lock(offset, untouched);
            }
        }
        offered.upto
    }
}
