//! What the workers were told of each record, and how that is held against what they get and against what is there in the end.

use std::collections::BTreeMap;

use flymq_engine::Engine;

use super::{LETTERS, MAX_RETRIES, PARTITIONS, QUEUE, is_ordered};
use crate::chance::book::Sent;
use crate::chance::counts::{Broken, Counts, Event};
use crate::support::*;

/// Partition and offset.
pub(super) type At = (u32, u64);

/// Who has a record, as was told.
#[derive(Debug, Clone)]
struct Held {
    by: String,
    /// At least until then, Unix ms.
    until: i64,
    /// Since that turn.
    since: u64,
}

/// What was told of one record.
#[derive(Debug, Clone, Default)]
struct Fate {
    /// In which turn.
    accepted: Option<u64>,
    dead: Option<u64>,
    /// Accepted, perhaps: the broker stopped.
    untold: bool,
    failures: u32,
    key: Option<String>,
    held: Option<Held>,
}

/// How an answer for a record ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Told {
    Accepted,
    /// It is to be redelivered, having failed so often.
    Failed(u32),
    /// It goes to the dead letters.
    Dead,
    /// The same worker has it, at least until then.
    Extended(i64),
    Released,
    Refused,
    /// The broker stopped; whether the record was to be accepted.
    Unknown(bool),
}

/// A call of a worker: what is told later may have been true before.
#[derive(Debug, Clone, Copy)]
pub(super) struct Call {
    turn: u64,
    /// Unix ms.
    began: i64,
}

/// All records of the queue.
#[derive(Debug, Default)]
pub(in crate::chance) struct Queued {
    turn: u64,
    sent: Vec<Sent>,
    /// Where those are that were acknowledged.
    pub(super) stored: Vec<At>,
    fates: BTreeMap<At, Fate>,
}

impl Queued {
    /// A record was sent, and perhaps acknowledged.
    pub(super) fn sent(&mut self, partition: u32, key: Option<String>, value: String, at: Option<u64>) {
        if let Some(offset) = at {
            self.stored.push((partition, offset));
            self.fates.entry((partition, offset)).or_default().key = key;
        }
        self.sent.push(Sent { partition, value, stored: at.is_some() });
    }

    /// Records that were acknowledged, of those from `start` up to `end`.
    pub fn stored_in(&self, partition: u32, start: u64, end: u64) -> Vec<At> {
        let all = self
            .stored
            .iter()
            .filter(|(number, offset)| *number == partition && (start..end).contains(offset));
        all.copied().collect()
    }

    pub(super) fn key_of(&self, at: At) -> Option<String> {
        self.fates.get(&at).and_then(|fate| fate.key.clone())
    }

    pub(super) fn call(&mut self, now: i64) -> Call {
        self.turn += 1;
        Call { turn: self.turn, began: now }
    }

    /// The worker is about to answer: from now on it may have the record no more.
    pub(super) fn answering(&mut self, at: At, by: &str) {
        let fate = self.fates.entry(at).or_default();
        fate.held.take_if(|held| held.by == by);
    }

    /// A worker was given a record that has failed so often.
    pub(super) fn given(
        &mut self,
        (at, key): (At, Option<String>),
        (by, lock_ms): (&str, i64),
        failed: u32,
        (call, now): (Call, i64),
        counts: &mut Counts,
    ) {
        self.turn += 1;
        let holds = |held: &&Held| held.since <= call.turn && held.until > now;
        let before = |told: Option<u64>| told.is_some_and(|turn| turn <= call.turn);
        let same_key = self.fates.range((at.0, 0)..at).filter(|(_, fate)| key.is_some() && fate.key == key);
        let overtaken = same_key.filter_map(|(_, fate)| fate.held.as_ref()).find(holds).cloned();
        if let Some(held) = overtaken.filter(|_| is_ordered(at.0)) {
            counts.broke(Broken::OutOfTurn, &format!("{at:?} of {key:?} to {by}: {held:?} is before it"));
        }
        let fate = self.fates.entry(at).or_default();
        fate.key = key;
        if before(fate.accepted) || before(fate.dead) {
            counts.broke(Broken::AgainAfterItsEnd, &format!("{at:?} to {by}: {fate:?}"));
        }
        if fate.held.as_ref().is_some_and(|held| holds(&held)) {
            counts.broke(Broken::HeldByTwo, &format!("{at:?} to {by} at {now}: {fate:?}"));
        }
        if failed < fate.failures || failed > MAX_RETRIES {
            counts.broke(Broken::TooOften, &format!("{at:?} to {by}, failed {failed} times: {fate:?}"));
        }
        counts.happened(Event::HandedOut, 1);
        counts.happened(Event::HandedOutAgain, u64::from(failed > 0));
        let until = call.began + lock_ms;
        if fate.held.as_ref().is_none_or(|held| held.until < until) {
            fate.held = Some(Held { by: by.to_owned(), until, since: self.turn });
        }
    }

    /// The worker was answered.
    pub(super) fn told(
        &mut self,
        at: At,
        by: &str,
        told: Told,
        (call, now): (Call, i64),
        counts: &mut Counts,
    ) {
        self.turn += 1;
        let turn = self.turn;
        let fate = self.fates.entry(at).or_default();
        let taken = !matches!(told, Told::Refused | Told::Unknown(_));
        let other =
            fate.held.as_ref().filter(|held| held.by != by && held.since <= call.turn && held.until > now);
        if taken && let Some(other) = other {
            counts.broke(Broken::HeldByTwo, &format!("{by} answers {told:?} for {at:?}: {other:?} has it"));
        }
        let was_over = fate.accepted.is_some_and(|turn| turn <= call.turn);
        if taken && was_over {
            counts.broke(Broken::AgainAfterItsEnd, &format!("{by} is told {told:?} for {at:?}: {fate:?}"));
        }
        match told {
            Told::Accepted => fate.accepted = Some(turn),
            Told::Dead => fate.dead = Some(turn),
            Told::Failed(attempts) => fate.failures = fate.failures.max(attempts),
            Told::Extended(until) => {
                let by = by.to_owned();
                fate.held = Some(Held { by, until, since: turn });
            }
            Told::Unknown(accepted) => fate.untold |= accepted,
            Told::Released | Told::Refused => {}
        }
        counts.happened(Event::AnswersUntold, u64::from(matches!(told, Told::Unknown(_))));
        counts.happened(Event::AnswersRefused, u64::from(told == Told::Refused));
    }

    /// Once everything is worked off.
    pub async fn check(&self, engine: &Engine, counts: &mut Counts) {
        for partition in 0..PARTITIONS {
            let mut letters: BTreeMap<String, u32> = BTreeMap::new();
            for (_, value) in soon(read_all(engine, LETTERS, partition)).await {
                *letters.entry(value).or_default() += 1;
            }
            let there = soon(read_all(engine, QUEUE, partition)).await;
            for one in self.sent.iter().filter(|one| one.stored && one.partition == partition) {
                if !there.iter().any(|(_, value)| *value == one.value) {
                    counts.broke(Broken::Lost, &format!("{QUEUE}: {one:?}"));
                }
            }
            counts.happened(Event::Queued, there.len() as u64);
            for (offset, value) in there {
                let fate = self.fates.get(&(partition, offset)).cloned().unwrap_or_default();
                let dead = letters.get(&value).copied().unwrap_or_default();
                check_one(&fate, dead, &format!("{QUEUE}/{partition} {offset} {value}"), counts);
            }
        }
    }
}

fn check_one(fate: &Fate, dead: u32, name: &str, counts: &mut Counts) {
    let accepted = fate.accepted.is_some();
    let what = format!("{name}: {dead} dead letters, {fate:?}");
    match (accepted, dead) {
        (true, 1..) => counts.broke(Broken::InBoth, &what),
        (false, 0) if !fate.untold || fate.dead.is_some() => counts.broke(Broken::InNeither, &what),
        (_, 2..) => counts.broke(Broken::DeadTwice, &what),
        // Accepted although it was told to be dead.
        (true, 0) if fate.dead.is_some() => counts.broke(Broken::InBoth, &what),
        _ => {}
    }
    counts.happened(Event::Accepted, accepted.into());
    counts.happened(Event::Dead, dead.into());
}
