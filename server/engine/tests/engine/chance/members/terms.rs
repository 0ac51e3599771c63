//! Who was told to own which partition, and how far it is committed: what is taken or refused later is held against that.

use std::collections::{BTreeMap, BTreeSet};

use crate::chance::counts::{Broken, Counts, Event};

/// A member that owns a partition, as it was told.
#[derive(Debug, Clone)]
struct Owner {
    member: String,
    /// Since that turn.
    since: u64,
    /// Its session is not over before, Unix ms.
    until: i64,
}

/// A committed offset that somebody was told or shown.
#[derive(Debug, Clone, Copy, Default)]
struct Floor {
    offset: u64,
    life: u64,
}

/// A call of a member: what is told later may have been true before.
#[derive(Debug, Clone, Copy)]
pub(super) struct Call {
    pub turn: u64,
    /// Unix ms.
    pub began: i64,
}

/// How a commit ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Told {
    Taken,
    /// `late`: it was of a generation in which the member had lost the partition.
    Refused {
        late: bool,
    },
    /// The broker stopped.
    Unknown,
}

#[derive(Debug, Default)]
pub(super) struct Terms {
    turn: u64,
    life: u64,
    owners: BTreeMap<u32, Owner>,
    /// Members that left, were replaced or were told that they are none.
    gone: BTreeSet<String>,
    floors: BTreeMap<u32, Floor>,
    /// The highest offset that anybody tried to commit.
    tried: BTreeMap<u32, u64>,
}

impl Terms {
    pub fn new_life(&mut self) {
        self.life += 1;
    }

    pub fn call(&mut self, now: i64) -> Call {
        self.turn += 1;
        Call { turn: self.turn, began: now }
    }

    /// The member may own no more than these from now on.
    pub fn lets_go(&mut self, member: &str, keeps: &BTreeSet<u32>) {
        self.owners.retain(|partition, owner| owner.member != member || keeps.contains(partition));
    }

    pub fn is_gone(&mut self, member: &str) {
        self.gone.insert(member.to_owned());
        self.lets_go(member, &BTreeSet::new());
    }

    /// Whether somebody surely has owned the partition all the time since the call.
    fn sure(&self, partition: u32, (call, now): (Call, i64)) -> Option<&Owner> {
        self.owners.get(&partition).filter(|owner| owner.since <= call.turn && owner.until > now)
    }

    /// The member was told that it is none, or is ahead of its group.
    pub fn thrown_out(&mut self, member: &str, at: (Call, i64), why: &str, counts: &mut Counts) {
        let mut all = self.owners.keys().filter_map(|partition| self.sure(*partition, at));
        if let Some(owner) = all.find(|owner| owner.member == member) {
            counts.broke(Broken::OwnerRefused, &format!("{owner:?}: {why}"));
        }
        counts.happened(Event::ThrownOut, 1);
        self.lets_go(member, &BTreeSet::new());
    }

    /// The member was told what is its own.
    pub fn told(
        &mut self,
        (member, session_ms): (&str, i64),
        assigned: &BTreeSet<u32>,
        at: (Call, i64),
        counts: &mut Counts,
    ) {
        self.turn += 1;
        for partition in assigned {
            if let Some(other) = self.sure(*partition, at).filter(|owner| owner.member != member) {
                counts.broke(Broken::TwoOwners, &format!("{partition} for {member}, and {other:?} has it"));
            }
            let same = self.owners.get(partition).filter(|owner| owner.member == member);
            counts.happened(Event::Given, u64::from(same.is_none()));
            let since = same.map_or(self.turn, |owner| owner.since);
            let until = at.0.began + session_ms;
            self.owners.insert(*partition, Owner { member: member.to_owned(), since, until });
        }
    }

    pub fn tries(&mut self, partition: u32, offset: u64) {
        let tried = self.tried.entry(partition).or_default();
        *tried = (*tried).max(offset);
    }

    /// A commit was answered.
    pub fn commit(
        &mut self,
        member: &str,
        (partition, offset): (u32, u64),
        told: Told,
        at: (Call, i64),
        counts: &mut Counts,
    ) {
        let owner = self.sure(partition, at).cloned();
        let other = owner.as_ref().filter(|owner| owner.member != member);
        let what = || format!("{member} commits {offset} of {partition}, told {told:?}; {owner:?}");
        match told {
            Told::Taken => {
                if other.is_some() || self.gone.contains(member) {
                    counts.broke(Broken::StaleTaken, &what());
                }
                counts.happened(Event::CommitsTaken, 1);
                self.seen(partition, offset);
            }
            Told::Refused { late } => {
                if owner.is_some() && other.is_none() && !late {
                    counts.broke(Broken::OwnerRefused, &what());
                }
                counts.happened(Event::CommitsRefused, 1);
            }
            Told::Unknown => counts.happened(Event::CommitsUntold, 1),
        }
    }

    fn seen(&mut self, partition: u32, offset: u64) {
        let floor = self.floors.entry(partition).or_default();
        if floor.offset <= offset {
            *floor = Floor { offset, life: self.life };
        }
    }

    /// What the broker says is committed.
    pub fn looked(&mut self, partition: u32, offset: u64, counts: &mut Counts) {
        let floor = self.floors.get(&partition).copied().unwrap_or_default();
        let tried = self.tried.get(&partition).copied().unwrap_or_default();
        if offset < floor.offset || offset > tried {
            let what = format!("{partition} is at {offset}, was at {floor:?}, {tried} tried");
            let lost = floor.life != self.life || offset > tried;
            counts.broke(if lost { Broken::OffsetsLost } else { Broken::WentBack }, &what);
        }
        self.floors.insert(partition, Floor { offset, life: self.life });
    }
}
