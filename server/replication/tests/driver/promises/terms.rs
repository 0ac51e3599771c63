//! Who was told to own which partition, and how far it is committed: what is taken, refused or shown later is held against that.
//!
//! Members ask at the same time: what one was told counts from then on, and until it begins to say anything else.

use std::collections::{BTreeMap, BTreeSet};

use super::book::Counts;

/// In every few seeds.
const HAPPEN: [&str; 4] =
    ["joins", "looks at offsets", "commits of members taken", "commits of members refused"];

/// A member that owns a partition, as it was told.
#[derive(Debug, Clone)]
struct Owner {
    member: String,
    /// Since that turn.
    since: u64,
    /// Its session is not over before, Unix ms.
    until: i64,
}

/// How far a partition is committed, as somebody knows.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Floor {
    /// The commit was answered.
    told: u64,
    /// A reader was shown it.
    shown: u64,
}

/// A call of a member, which the coordinator acts upon between its beginning and its answer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Call {
    turn: u64,
    /// Unix ms.
    began: i64,
}

/// How a commit ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Told {
    Taken,
    /// `late`: it was of a generation in which the member had lost the partition.
    Refused {
        late: bool,
    },
    Unknown,
}

#[derive(Debug, Default)]
pub(super) struct Terms {
    turn: u64,
    owners: BTreeMap<u32, Owner>,
    /// Members that have left or were replaced, as they were told.
    gone: BTreeSet<String>,
    floors: BTreeMap<u32, Floor>,
    /// The highest offset that anybody tried to commit.
    tried: BTreeMap<u32, u64>,
    happened: BTreeMap<&'static str, u64>,
    broken: Vec<(&'static str, String)>,
}

impl Terms {
    pub fn call(&mut self, now: i64) -> Call {
        self.turn += 1;
        Call { turn: self.turn, began: now }
    }

    pub fn count(&mut self, what: &'static str, times: u64) {
        *self.happened.entry(what).or_default() += times;
    }

    fn broke(&mut self, promise: &'static str, what: String) {
        self.broken.push((promise, what));
    }

    /// The member may own no more than these from now on.
    pub fn lets_go(&mut self, member: &str, keeps: &BTreeSet<u32>) {
        self.owners.retain(|partition, owner| owner.member != member || keeps.contains(partition));
    }

    pub fn is_gone(&mut self, member: &str) {
        self.gone.insert(member.to_owned());
        self.lets_go(member, &BTreeSet::new());
    }

    /// Whether somebody surely has owned the partition all the time since the call began.
    fn sure(&self, partition: u32, (call, now): (Call, i64)) -> Option<&Owner> {
        self.owners.get(&partition).filter(|owner| owner.since <= call.turn && owner.until > now)
    }

    /// The member was told that it is none, or is ahead of its group.
    pub fn thrown_out(&mut self, member: &str, at: (Call, i64), why: &str) {
        let mut all = self.owners.keys().filter_map(|partition| self.sure(*partition, at));
        if let Some(owner) = all.find(|owner| owner.member == member).cloned() {
            self.broke("owners refused", format!("{owner:?}, at {at:?}: {why}"));
        }
        self.count("members thrown out", 1);
        self.lets_go(member, &BTreeSet::new());
    }

    /// The member was told what is its own.
    pub fn told(&mut self, (member, session_ms): (&str, i64), assigned: &BTreeSet<u32>, at: (Call, i64)) {
        self.turn += 1;
        for partition in assigned {
            if let Some(other) = self.sure(*partition, at).filter(|owner| owner.member != member).cloned() {
                let what = format!("{partition} for {member}, at {at:?}, and {other:?} has it");
                self.broke("two owners", what);
            }
            let known = self.owners.get(partition).filter(|owner| owner.member == member);
            // With a session that may have been over, somebody else may have had it in between.
            let since = known.filter(|owner| owner.until > at.1).map_or(self.turn, |owner| owner.since);
            let given = u64::from(known.is_none());
            let until = at.0.began + session_ms;
            self.owners.insert(*partition, Owner { member: member.to_owned(), since, until });
            self.count("partitions given", given);
        }
    }

    pub fn tries(&mut self, partition: u32, offset: u64) {
        let tried = self.tried.entry(partition).or_default();
        *tried = (*tried).max(offset);
    }

    /// A commit was answered.
    pub fn commit(&mut self, member: &str, (partition, offset): (u32, u64), told: Told, at: (Call, i64)) {
        let owner = self.sure(partition, at).cloned();
        let other = owner.as_ref().filter(|owner| owner.member != member);
        let what = || format!("{member} commits {offset} of {partition} at {at:?}, told {told:?}; {owner:?}");
        match told {
            Told::Taken => {
                if other.is_some() || self.gone.contains(member) {
                    self.broke("stale commits taken", what());
                }
                let floor = self.floors.entry(partition).or_default();
                floor.told = floor.told.max(offset);
                self.count("commits of members taken", 1);
            }
            Told::Refused { late } => {
                if owner.is_some() && other.is_none() && !late {
                    self.broke("owners refused", what());
                }
                self.count("commits of members refused", 1);
            }
            Told::Unknown => self.count("commits of members untold", 1),
        }
    }

    /// Before a look at what is committed.
    pub fn floor(&self, partition: u32) -> Floor {
        self.floors.get(&partition).copied().unwrap_or_default()
    }

    /// What the coordinator says is committed; `floor` was known before it was asked.
    pub fn looked(&mut self, partition: u32, offset: u64, floor: Floor) {
        let tried = self.tried.get(&partition).copied().unwrap_or_default();
        let what = || format!("{partition} is at {offset}, was at {floor:?}, {tried} was tried");
        if offset < floor.told {
            self.broke("committed offsets lost", what());
        } else if offset < floor.shown {
            self.broke("offsets that went back", what());
        }
        if offset > tried {
            self.broke("offsets of nobody", what());
        }
        let floor = self.floors.entry(partition).or_default();
        floor.shown = floor.shown.max(offset);
        self.count("looks at offsets", 1);
    }

    pub fn sum_up(self, counts: &mut Counts) {
        for what in HAPPEN {
            counts.happened(what, 0);
        }
        for (what, times) in self.happened {
            counts.happened(what, times);
        }
        for (promise, example) in self.broken {
            counts.broke(promise, &example);
        }
    }
}
