//! Looking at groups: what they committed and who is in them.

use std::collections::BTreeSet;

use flymq_types::{GroupId, PartitionId, TopicName};

use super::book::Book;
use super::{CommittedOffset, GroupDescription, GroupState, GroupSummary, MemberGuard, MemberInfo};
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
        let book = self.groups.settled();
        let mut names: BTreeSet<GroupId> = book.groups().cloned().collect();
        names.extend(self.groups.members.groups());
        let summaries = names.into_iter().map(|group| {
            let members = self.groups.members.of(&group);
            let mut topics: BTreeSet<_> = members.iter().map(|member| member.topic.clone()).collect();
            topics.extend(self.offsets_in(&book, &group).into_iter().map(|committed| committed.topic));
            let topics: Vec<_> = topics.into_iter().collect();
            GroupSummary { group, state: state(&members), members: members.len(), topics }
        });
        summaries.filter(|group| topic.is_none_or(|topic| group.topics.contains(topic))).collect()
    }

    /// All that is known of a group.
    ///
    /// # Errors
    /// `GroupNotFound`.
    pub fn describe_group(&self, group: &GroupId) -> Result<GroupDescription, EngineError> {
        let offsets = self.committed(group, None, None)?;
        let members = self.groups.members.of(group);
        Ok(GroupDescription { group: group.clone(), state: state(&members), members, offsets })
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
            .map(|(_, partition, value)| CommittedOffset {
                topic: value.topic_name.clone(),
                partition,
                offset: value.offset,
                metadata: value.metadata.clone(),
                committed_at: value.committed_at,
            })
            .collect();
        offsets.sort_by(|a, b| (&a.topic, a.partition).cmp(&(&b.topic, b.partition)));
        offsets
    }
}

fn state(members: &[MemberInfo]) -> GroupState {
    if members.is_empty() { GroupState::Empty } else { GroupState::Stable }
}
