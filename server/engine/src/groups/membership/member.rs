//! One member of a group.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use flymq_types::TopicName;

use super::assignor::Assignor;
use super::filters::TopicFilters;
use super::{MemberId, Place};

/// What is to be let go of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Revoking {
    /// The generation in which it was given.
    pub given: u64,
    /// The member's epoch in which it was taken: one that knows this epoch knows that it is not to read on.
    pub epoch: u64,
    /// Then the member is taken for gone.
    pub until: Duration,
}

#[derive(Debug, Clone, Default)]
pub(super) struct Member {
    pub instance: Option<Arc<str>>,
    pub client_id: String,
    pub host: String,
    pub filters: TopicFilters,
    pub assignor: Assignor,
    pub session: Duration,
    /// How long it may take to let go.
    pub patience: Duration,
    pub epoch: u64,
    pub target: BTreeSet<Place>,
    /// What it may read, with the generation in which it was given.
    pub assigned: BTreeMap<Place, u64>,
    pub revoking: BTreeMap<Place, Revoking>,
    /// Member ids of earlier processes with the same instance id, the newest last.
    pub replaced: Vec<MemberId>,
    /// The topics that it subscribes to now.
    pub topics: Arc<BTreeMap<TopicName, u32>>,
    /// The newest epoch that it is known to have applied.
    pub seen: u64,
    /// The end of its session.
    pub expires: Duration,
    /// The session was made longer since its last sign of life.
    pub spared: bool,
}

impl Member {
    /// The time between two heartbeats of a member with that session.
    pub fn interval(&self) -> Duration {
        self.session / 3
    }

    pub fn lives(&mut self, now: Duration) {
        self.expires = now + self.session;
        self.spared = false;
    }

    /// Lets it live for at least another heartbeat, once.
    pub fn spare(&mut self, now: Duration) {
        let least = now + self.interval();
        if self.spared || self.ends() >= least {
            return;
        }
        self.spared = true;
        self.expires = self.expires.max(least);
        self.revoking.values_mut().for_each(|revoking| revoking.until = revoking.until.max(least));
    }

    /// When it is taken for gone.
    pub fn ends(&self) -> Duration {
        self.revoking.values().map(|revoking| revoking.until).fold(self.expires, Duration::min)
    }

    /// Everything that it owns.
    pub fn places(self) -> Vec<Place> {
        self.assigned.into_keys().chain(self.revoking.into_keys()).collect()
    }

    /// Forgets what is being revoked and `let_go` (by the epoch of the revocation) says yes to.
    pub fn release(&mut self, let_go: impl Fn(&Place, u64) -> bool) -> Vec<Place> {
        let freed = self.revoking.iter().filter(|(place, revoking)| let_go(place, revoking.epoch));
        let freed: Vec<Place> = freed.map(|(place, _)| place.clone()).collect();
        for place in &freed {
            self.revoking.remove(place);
        }
        freed
    }

    /// Whether it has come where it is to be.
    pub fn is_settled(&self) -> bool {
        self.seen == self.epoch && self.revoking.is_empty() && self.assigned.len() == self.target.len()
    }

    /// What decides over its place among the others: a restart with the same instance id keeps it.
    pub fn rank<'a>(&'a self, id: &'a MemberId) -> &'a str {
        self.instance.as_deref().unwrap_or(id)
    }
}
