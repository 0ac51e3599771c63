//! What the workers of a queue were told of each record, and how that is held against what they get and what is there in the end.

use std::collections::BTreeMap;

use flymq_types::Offset;

use super::book::{Counts, read};
use super::queue::{Held, LETTERS, MAX_RETRIES, QUEUE};
use crate::peers::Peers;

/// Who has a record, as was told.
#[derive(Debug, Clone)]
struct Holder {
    by: String,
    /// At least until then, Unix ms.
    until: i64,
    /// Since that turn.
    since: u64,
}

/// What was told of one record.
#[derive(Debug, Clone, Default)]
struct Fate {
    stored: bool,
    /// In which turn.
    accepted: Option<u64>,
    dead: Option<u64>,
    /// Accepted, perhaps: no answer came.
    untold: bool,
    failures: u32,
    held: Option<Holder>,
}

/// How an answer for a record ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Told {
    Accepted,
    /// It is to be redelivered, having failed so often.
    Failed(u32),
    /// It goes to the dead letters.
    Dead,
    Released,
    Refused,
    /// No answer came.
    Unknown {
        accepted: bool,
    },
}

/// A call of a worker: what is told later may have been true before.
#[derive(Debug, Clone, Copy)]
pub(super) struct Call {
    turn: u64,
    /// Unix ms.
    began: i64,
}

/// All records of the queue, by what they say.
#[derive(Debug, Default)]
pub(super) struct Queued {
    turn: u64,
    fates: BTreeMap<String, Fate>,
    /// Where those are that were acknowledged.
    stored: Vec<Held>,
    handed_out: u64,
    /// Transactions that moved dead records.
    pub moved: u64,
    /// What was broken, and of which record.
    broken: Vec<(&'static str, String)>,
}

impl Queued {
    pub fn sent(&mut self, value: &str, at: Option<(u32, Offset)>) {
        self.fate(value).stored = at.is_some();
        self.stored.extend(at.map(|(partition, offset)| (partition, offset, value.to_owned())));
    }

    pub fn stored(&self) -> &[Held] {
        &self.stored
    }

    fn fate(&mut self, value: &str) -> &mut Fate {
        self.fates.entry(value.to_owned()).or_default()
    }

    pub fn call(&mut self, now: i64) -> Call {
        self.turn += 1;
        Call { turn: self.turn, began: now }
    }

    /// The worker is about to answer: from now on it may have the record no more.
    pub fn answering(&mut self, value: &str, by: &str) {
        self.fate(value).held.take_if(|held| held.by == by);
    }

    /// A worker was given a record that has failed so often.
    pub fn given(&mut self, value: &str, (by, lock_ms): (&str, i64), failed: u32, call: Call) {
        self.turn += 1;
        self.handed_out += 1;
        let turn = self.turn;
        let before = |told: Option<u64>| told.is_some_and(|turn| turn <= call.turn);
        let fate = self.fate(value);
        let mut broken = Vec::new();
        if before(fate.accepted) || before(fate.dead) {
            broken.push("again after its end");
        }
        if fate.surely_held(call).is_some() {
            broken.push("held by two");
        }
        if failed < fate.failures || failed > MAX_RETRIES {
            broken.push("too often");
        }
        let example = format!("{value} to {by}, failed {failed} times: {fate:?}");
        fate.held = Some(Holder { by: by.to_owned(), until: call.began + lock_ms, since: turn });
        self.broken.extend(broken.into_iter().map(|promise| (promise, example.clone())));
    }

    /// The worker was answered.
    pub fn told(&mut self, value: &str, by: &str, told: Told, call: Call) {
        self.turn += 1;
        let turn = self.turn;
        let fate = self.fate(value);
        let taken = !matches!(told, Told::Refused | Told::Unknown { .. });
        let example = format!("{by} is told {told:?} of {value}: {fate:?}");
        let mut broken = Vec::new();
        if taken && fate.surely_held(call).is_some_and(|held| held.by != by) {
            broken.push("held by two");
        }
        if taken && fate.accepted.is_some_and(|turn| turn <= call.turn) {
            broken.push("again after its end");
        }
        match told {
            Told::Accepted => fate.accepted = Some(turn),
            Told::Dead => fate.dead = Some(turn),
            Told::Failed(attempts) => fate.failures = fate.failures.max(attempts),
            Told::Unknown { accepted } => fate.untold |= accepted,
            Told::Released | Told::Refused => {}
        }
        self.broken.extend(broken.into_iter().map(|promise| (promise, example.clone())));
    }

    /// Once everything is worked off.
    pub async fn check(&self, peers: &Peers, counts: &mut Counts) {
        for (promise, example) in &self.broken {
            counts.broke(promise, example);
        }
        let mut there: BTreeMap<String, u64> = BTreeMap::new();
        let mut letters = there.clone();
        for partition in 0..2 {
            for (topic, all) in [(QUEUE, &mut there), (LETTERS, &mut letters)] {
                for (value, _) in read(peers, topic, partition, counts).await {
                    *all.entry(value).or_default() += 1;
                }
            }
        }
        for (value, fate) in &self.fates {
            let dead = letters.get(value).copied().unwrap_or_default();
            let example = format!("{QUEUE} {value}: {dead} dead letters, {fate:?}");
            match (there.contains_key(value), fate.accepted.is_some(), dead) {
                (false, ..) if fate.stored => counts.broke("lost", &example),
                (false, ..) => {}
                (true, true, 1..) => counts.broke("in both", &example),
                (true, true, 0) if fate.dead.is_some() => counts.broke("in both", &example),
                (true, false, 0) if !fate.untold || fate.dead.is_some() => {
                    counts.broke("in neither", &example);
                }
                (true, _, 2..) => counts.broke("dead twice", &example),
                _ => {}
            }
            counts.queued += u64::from(fate.stored);
            counts.accepted += u64::from(fate.accepted.is_some());
            counts.dead += dead;
        }
        counts.handed_out += self.handed_out;
        counts.moved += self.moved;
    }
}

impl Fate {
    /// Who has it from before the call on, for longer than it can have taken to be answered.
    fn surely_held(&self, call: Call) -> Option<&Holder> {
        use flymq_types::Clock as _;
        let now = flymq_types::SystemClock::new().wall().as_millis();
        self.held.as_ref().filter(|held| held.since <= call.turn && held.until > now)
    }
}
