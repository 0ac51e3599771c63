//! Who reads what in a consumer group: the pure state machine of membership, after the field's KIP-848.
//!
//! The server computes a *target* assignment whenever members, their subscriptions or the topics change, and moves the
//! group there step by step. There is no barrier: a partition that stays with its member is read on, one that moves is
//! given to its new owner only once the old one has said that it let go, or is gone.
//!
//! - The *generation* counts targets.
//! - A member's *epoch* tells one assignment of that member from the next; the member echoes the last one it has applied.
//!   Epochs of all members come from one counter, so that none ever comes again in a group.
//!
//! ```text
//!             target has it, nobody owns it          target lacks it
//!  (nobody) ───────────────────────────► assigned ──────────────────► revoking ──► (nobody)
//!                                            ▲     target has it again    │   let go under the epoch of the
//!                                            └────────────────────────────┘   revocation, left, or expired
//! ```
//!
//! No IO, no clock, no chance: time and topics are given.

mod assignor;
mod fence;
mod filters;
mod join;
mod member;
mod reconcile;
mod stored;
#[cfg(test)]
mod tests;
mod view;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use flymq_types::{PartitionId, TopicName};

pub use assignor::{Assignor, UnknownAssignor};
pub(super) use fence::Refusal;
pub(super) use filters::Topics;
pub use filters::{InvalidFilter, TopicFilters};
pub(super) use join::Join;
use member::Member;
pub(super) use view::View;
pub use view::{Assigned, GroupMember};

/// A partition by its topic's name.
pub(super) type Place = (TopicName, PartitionId);
/// Unique in its group.
pub(super) type MemberId = Arc<str>;

/// Most members of one group.
pub(super) const MAX_MEMBERS: usize = 1_000;

/// One group. Times are those of one monotonic clock.
#[derive(Debug, Default)]
pub(super) struct Group {
    generation: u64,
    /// The newest member epoch.
    epochs: u64,
    members: BTreeMap<MemberId, Member>,
    /// Topics that a member subscribes to, with their partitions.
    topics: BTreeMap<TopicName, u32>,
    /// Everything that is assigned or being revoked.
    owners: HashMap<Place, MemberId>,
    /// Counts the changes of what [`Group::encode`] gives; not kept itself.
    revision: u64,
    /// When it last looked at the clock.
    looked: Duration,
}

/// What a member says when it says that it lives.
#[derive(Debug, Clone, Default)]
pub(super) struct Beat {
    /// Of the last assignment that it has applied; 0: none yet.
    pub epoch: u64,
    /// The newest generation that it knows of.
    pub generation: u64,
    /// What it reads, or has read and not committed yet.
    pub owned: BTreeSet<Place>,
}

impl Group {
    pub fn revision(&self) -> u64 {
        self.revision
    }

    pub fn members(&self) -> usize {
        self.members.len()
    }

    /// A sign of life. What the member has let go of since it was told to goes to its new owner.
    ///
    /// # Errors
    /// `UnknownMember`, `InstanceFenced`, `Generation`.
    pub fn heartbeat(&mut self, now: Duration, id: &str, beat: &Beat) -> Result<(), Refusal> {
        self.check_member(id)?;
        let member = self.members.get_mut(id).ok_or(Refusal::UnknownMember)?;
        if beat.epoch > member.epoch || beat.generation > self.generation {
            return Err(Refusal::Generation { asked: beat.generation, current: self.generation });
        }
        member.lives(now);
        member.seen = member.seen.max(beat.epoch);
        let let_go = |place: &Place, epoch: u64| beat.epoch >= epoch && !beat.owned.contains(place);
        let freed = member.release(let_go);
        if !freed.is_empty() {
            self.free(freed);
            self.reconcile(now);
        }
        Ok(())
    }

    /// The member goes, and what it owned is free.
    ///
    /// # Errors
    /// `UnknownMember`, `InstanceFenced`.
    pub fn leave(&mut self, now: Duration, id: &str) -> Result<(), Refusal> {
        self.check_member(id)?;
        self.remove(&[id.into()]);
        self.rebalance(now);
        Ok(())
    }

    /// Ends the sessions whose time is over, and those of members that do not let go of what they are to.
    pub fn expire(&mut self, now: Duration) {
        let longest = self.members.values().map(|member| member.session).max().unwrap_or_default();
        if now.saturating_sub(self.looked) > longest / 2 {
            // Nobody came for long: either all are gone, or this node stood still, and what they sent waits to be read.
            self.members.values_mut().for_each(|member| member.spare(now));
        }
        self.looked = now;
        let over = self.members.iter().filter(|(_, member)| member.ends() <= now);
        let over: Vec<MemberId> = over.map(|(id, _)| id.clone()).collect();
        if !over.is_empty() {
            self.remove(&over);
            self.rebalance(now);
        }
    }

    /// When [`Group::expire`] has something to do next, if no member comes before.
    pub fn next_end(&self) -> Option<Duration> {
        self.members.values().map(Member::ends).min()
    }

    /// Takes notice of new, grown and deleted topics.
    pub fn follow(&mut self, now: Duration, topics: &dyn Topics) {
        if self.resolve(topics) {
            self.rebalance(now);
        }
    }

    /// Whether what anybody subscribes to has changed.
    fn resolve(&mut self, topics: &dyn Topics) -> bool {
        let mut known: BTreeMap<TopicFilters, Arc<BTreeMap<TopicName, u32>>> = BTreeMap::new();
        let mut all = BTreeMap::new();
        let mut changed = false;
        for member in self.members.values_mut() {
            let found = known.entry(member.filters.clone());
            let found = found.or_insert_with(|| Arc::new(member.filters.resolve(topics))).clone();
            changed |= !member.topics.keys().eq(found.keys());
            all.extend(found.iter().map(|(topic, count)| (topic.clone(), *count)));
            member.topics = found;
        }
        changed |= all != self.topics;
        self.topics = all;
        changed
    }

    /// The group is deleted.
    pub fn reset(&mut self) {
        *self = Self { revision: self.revision + 1, ..Self::default() };
    }

    fn remove(&mut self, ids: &[MemberId]) {
        for id in ids {
            let places = self.members.remove(id).map(Member::places);
            self.free(places.unwrap_or_default());
        }
        let left = self.members.values();
        self.topics.retain(|topic, _| left.clone().any(|member| member.topics.contains_key(topic)));
    }

    fn free(&mut self, places: Vec<Place>) {
        self.revision += u64::from(!places.is_empty());
        for place in places {
            self.owners.remove(&place);
        }
    }

    /// A new target, and the first steps to it.
    fn rebalance(&mut self, now: Duration) {
        self.generation += 1;
        self.revision += 1;
        for (id, target) in assignor::assign(&self.members, &self.topics) {
            if let Some(member) = self.members.get_mut(&id) {
                member.target = target;
            }
        }
        self.reconcile(now);
    }
}
