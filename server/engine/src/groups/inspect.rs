//! Looking at groups: what they committed and who is in them.

use std::collections::BTreeSet;

use flymq_types::{GroupId, PartitionId, TopicName};

use super::book::Book;
use super::membership::View;
use super::{
    CommittedOffset, GroupDescription, GroupMember, GroupState, GroupSummary, MemberGuard, MemberInfo,
};
use crate::engine::Engine;
use crate::error::EngineError;

impl Engine {
    /// The group's committed offsets by topic name and partition; `None` is all of them. A group with members and
    /// no offset has an empty list.
    ///
    /// # Errors
    /// `GroupNotFound`, `TopicNotFound`, `NotCoordinator`.
    pub fn committed(
        &self,
        group: &GroupId,
        topic: Option<&TopicName>,
        partition: Option<PartitionId>,
    ) -> Result<Vec<CommittedOffset>, EngineError> {
        if let Some(topic) = topic {
            self.topics.get(topic)?;
        }
        self.check_coordinator(group)?;
        let book = self.groups.settled();
        let mut offsets = self.offsets_in(&book, group);
        drop(book);
        if offsets.is_empty() && !self.is_known(group) {
            return Err(EngineError::GroupNotFound { group: group.clone() });
        }
        offsets.retain(|committed| {
            topic.is_none_or(|topic| *topic == committed.topic)
                && partition.is_none_or(|partition| partition == committed.partition)
        });
        Ok(offsets)
    }

    /// Groups with offsets or members (on that topic), by name; on a cluster those that this node coordinates.
    pub fn groups(&self, topic: Option<&TopicName>) -> Vec<GroupSummary> {
        let mut names: BTreeSet<GroupId> = self.groups.settled().groups().cloned().collect();
        names.extend(self.groups.members.groups());
        // The broker's own.
        names.retain(|group| !group.is_internal());
        let summaries = names.into_iter().map(|group| {
            let readers = self.groups.members.of(&group);
            let view = self.view(&group);
            let mut topics: BTreeSet<_> = readers.iter().map(|member| member.topic.clone()).collect();
            topics.extend(view.iter().flat_map(|view| &view.topics).cloned());
            let offsets = self.offsets_in(&self.groups.settled(), &group);
            topics.extend(offsets.into_iter().map(|committed| committed.topic));
            let state = state(&readers, view.as_ref());
            let members = readers.len() + view.map_or(0, |view| view.members.len());
            GroupSummary { group, state, members, topics: topics.into_iter().collect() }
        });
        summaries.filter(|group| topic.is_none_or(|topic| group.topics.contains(topic))).collect()
    }

    /// All that is known of a group.
    ///
    /// # Errors
    /// `GroupNotFound`.
    pub fn describe_group(&self, group: &GroupId) -> Result<GroupDescription, EngineError> {
        let offsets = self.committed(group, None, None)?;
        let readers = self.groups.members.of(group);
        let view = self.view(group);
        let state = state(&readers, view.as_ref());
        let generation = view.as_ref().map_or(0, |view| view.generation);
        let mut members = view.map(|view| view.members).unwrap_or_default();
        members.extend(readers.into_iter().map(GroupMember::from));
        Ok(GroupDescription { group: group.clone(), state, generation, members, offsets })
    }

    /// Refuses a group that somebody reads (that topic) in.
    pub(super) fn check_empty(&self, group: &GroupId, topic: Option<&TopicName>) -> Result<(), EngineError> {
        let readers = self.groups.members.of(group).into_iter();
        let readers = readers.filter(|member| topic.is_none_or(|topic| *topic == member.topic)).count();
        let view = self.view(group);
        let view = view.filter(|view| topic.is_none_or(|topic| view.topics.contains(topic)));
        let members = readers + view.map_or(0, |view| view.members.len());
        if members == 0 { Ok(()) } else { Err(EngineError::GroupNotEmpty { group: group.clone(), members }) }
    }

    /// Refuses a group with offsets in a transaction that is not over.
    pub(super) fn check_no_transaction(&self, group: &GroupId) -> Result<(), EngineError> {
        let book = self.groups.settled();
        let open = book.all_pending(group).find(|(_, pending)| !pending.offsets.is_empty());
        let Some((producer_id, pending)) = open else { return Ok(()) };
        let (group, epoch) = (group.clone(), pending.epoch);
        Err(EngineError::GroupInTransaction { group, producer_id, epoch })
    }

    /// Refuses a group with members that share the partitions of the topic. Readers without membership are not asked for: they see
    /// what is committed only when they begin.
    pub(super) fn check_no_members(&self, group: &GroupId, topic: &TopicName) -> Result<(), EngineError> {
        let members = match self.view(group) {
            Some(view) if view.topics.contains(topic) => view.members.len(),
            Some(_) | None => 0,
        };
        if members == 0 { Ok(()) } else { Err(EngineError::GroupNotEmpty { group: group.clone(), members }) }
    }

    /// Counts the caller as a member of (group, topic) until the guard is dropped.
    ///
    /// # Errors
    /// `TopicNotFound`.
    pub fn join_member(&self, group: &GroupId, member: MemberInfo) -> Result<MemberGuard, EngineError> {
        self.check_running()?;
        self.topics.get(&member.topic)?;
        Ok(self.groups.members.join(group.clone(), member))
    }

    fn is_known(&self, group: &GroupId) -> bool {
        self.groups.members.contains(group) || self.groups.settled().contains(group)
    }

    /// Of topics that exist; by topic name and partition.
    fn offsets_in(&self, book: &Book, group: &GroupId) -> Vec<CommittedOffset> {
        let all = book.offsets(group).into_iter().flatten();
        let mut offsets: Vec<_> = all
            .filter(|(id, _, value)| {
                self.topics.find(&value.topic_name).is_some_and(|topic| topic.view().meta.id == *id)
            })
            .map(|(id, partition, value)| CommittedOffset {
                topic: value.topic_name.clone(),
                partition,
                offset: book.offset(group, id, partition).unwrap_or(value.offset),
                metadata: value.metadata.clone(),
                committed_at: value.committed_at,
            })
            .collect();
        offsets.sort_by(|a, b| (&a.topic, a.partition).cmp(&(&b.topic, b.partition)));
        offsets
    }
}

fn state(readers: &[MemberInfo], view: Option<&View>) -> GroupState {
    match view.map_or(GroupState::Empty, |view| view.state) {
        GroupState::Empty if !readers.is_empty() => GroupState::Stable,
        state => state,
    }
}
