//! Coming into a group: new, again, or in the place of an earlier process.

use std::sync::Arc;
use std::time::Duration;

use super::assignor::Assignor;
use super::fence::Refusal;
use super::filters::{TopicFilters, Topics};
use super::member::Member;
use super::{Group, MAX_MEMBERS, MemberId};

/// How many earlier processes of an instance id are remembered.
const MAX_REPLACED: usize = 8;

/// Who joins, and what for.
#[derive(Debug, Clone, Default)]
pub(in crate::groups) struct Join {
    pub id: MemberId,
    /// A member that keeps its assignment over a restart within its session.
    pub instance: Option<Arc<str>>,
    pub client_id: String,
    pub host: String,
    pub filters: TopicFilters,
    pub assignor: Assignor,
    pub session: Duration,
    pub patience: Duration,
}

impl Group {
    /// Takes the member in, or changes what it subscribes to. Joining again without a change changes nothing.
    ///
    /// # Errors
    /// `InstanceFenced`, `TooManyMembers`.
    pub fn join(&mut self, now: Duration, topics: &dyn Topics, join: Join) -> Result<(), Refusal> {
        match self.check_member(&join.id) {
            Ok(()) | Err(Refusal::UnknownMember) => {}
            Err(refusal) => return Err(refusal),
        }
        let (before, merged) = self.take_out(&join);
        if before.is_none() && self.members.len() >= MAX_MEMBERS {
            return Err(Refusal::TooManyMembers);
        }
        let as_before = before
            .as_ref()
            .is_some_and(|before| before.filters == join.filters && before.assignor == join.assignor);
        let anew = merged || !as_before;
        let id = join.id.clone();
        let mut member = join.member(before);
        member.lives(now);
        self.members.insert(id, member);
        self.revision += 1;
        // Both, also where the first says that it has to be.
        if self.resolve(topics) | anew {
            self.rebalance(now);
        } else {
            self.reconcile(now);
        }
        Ok(())
    }

    /// The member as it was, where it joins again or in the place of an earlier process; and whether it was another one before.
    fn take_out(&mut self, join: &Join) -> (Option<Member>, bool) {
        let replaced = join.instance.as_ref().and_then(|instance| {
            let same = |(id, member): &(&MemberId, &Member)| {
                **id != join.id && member.instance.as_ref() == Some(instance)
            };
            self.members.iter().find(same).map(|(id, _)| id.clone())
        });
        let known = self.members.remove(&join.id);
        let Some((old, mut member)) = replaced.and_then(|id| self.members.remove_entry(&id)) else {
            return (known, false);
        };
        let merged = known.is_some();
        if let Some(known) = known {
            // It takes another member's place and leaves its own.
            self.free(known.places());
        }
        // The earlier process is fenced: what it was to let go of is free.
        let freed = member.release(|_, _| true);
        self.free(freed);
        for place in member.assigned.keys() {
            self.owners.insert(place.clone(), join.id.clone());
        }
        self.epochs += 1;
        member.epoch = self.epochs;
        member.replaced.push(old);
        member.replaced.retain(|id| *id != join.id);
        let over = member.replaced.len().saturating_sub(MAX_REPLACED);
        member.replaced.drain(..over);
        (Some(member), merged)
    }
}

impl Join {
    fn member(self, before: Option<Member>) -> Member {
        let Self { id: _, instance, client_id, host, filters, assignor, session, patience } = self;
        let before = before.unwrap_or_default();
        Member { instance, client_id, host, filters, assignor, session, patience, ..before }
    }
}
