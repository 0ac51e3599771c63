//! The committed offsets and the memberships of all groups, in memory: what replaying `__consumer_offsets` gives.

use std::collections::{BTreeMap, HashMap};

use bytes::Bytes;
use flymq_types::{GroupId, Offset, PartitionId, TopicId};

use super::record::{Change, OffsetKey, OffsetValue};

/// What is kept of a group: never nothing.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
struct Kept {
    offsets: BTreeMap<(TopicId, PartitionId), OffsetValue>,
    membership: Option<Bytes>,
}

/// All groups with an offset or a membership.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Book(HashMap<GroupId, Kept>);

impl Book {
    /// Applies a record; later ones overwrite earlier ones, whatever their offset says.
    pub(super) fn apply(&mut self, change: Change) {
        match change {
            Change::Offset(OffsetKey { group, topic, partition }, Some(value)) => {
                self.0.entry(group).or_default().offsets.insert((topic, partition), value);
            }
            Change::Membership(group, Some(value)) => {
                self.0.entry(group).or_default().membership = Some(value);
            }
            Change::Offset(OffsetKey { group, topic, partition }, None) => {
                self.forget(&group, |kept| drop(kept.offsets.remove(&(topic, partition))));
            }
            Change::Membership(group, None) => self.forget(&group, |kept| kept.membership = None),
        }
    }

    fn forget(&mut self, group: &GroupId, what: impl FnOnce(&mut Kept)) {
        if let Some(kept) = self.0.get_mut(group) {
            what(kept);
            if *kept == Kept::default() {
                self.0.remove(group);
            }
        }
    }

    pub(super) fn offset(&self, group: &GroupId, topic: TopicId, partition: PartitionId) -> Option<Offset> {
        self.0.get(group)?.offsets.get(&(topic, partition)).map(|value| value.offset)
    }

    /// The group's membership as it was written.
    pub(super) fn membership(&self, group: &GroupId) -> Option<&Bytes> {
        self.0.get(group)?.membership.as_ref()
    }

    /// The group's offsets, or `None` where there is no such group.
    pub(super) fn offsets(
        &self,
        group: &GroupId,
    ) -> Option<impl Iterator<Item = (TopicId, PartitionId, &OffsetValue)>> {
        let offsets = self.0.get(group)?.offsets.iter();
        Some(offsets.map(|((topic, partition), value)| (*topic, *partition, value)))
    }

    pub(super) fn contains(&self, group: &GroupId) -> bool {
        self.0.contains_key(group)
    }

    pub(super) fn groups(&self) -> impl Iterator<Item = &GroupId> {
        self.0.keys()
    }

    /// Takes over what `other` has of its groups, and forgets every other group that `mine` says yes to.
    pub(super) fn replace(&mut self, mine: impl Fn(&GroupId) -> bool, other: Self) {
        self.0.retain(|group, _| !mine(group));
        self.0.extend(other.0);
    }

    /// Everything of the groups that `mine` says yes to, as changes that make it.
    pub(super) fn changes_of(&self, mine: impl Fn(&GroupId) -> bool) -> Vec<Change> {
        let all = self.0.iter().filter(|(group, _)| mine(group)).flat_map(|(group, kept)| {
            let offsets = kept.offsets.iter().map(|((topic, partition), value)| {
                let key = OffsetKey { group: group.clone(), topic: *topic, partition: *partition };
                Change::Offset(key, Some(value.clone()))
            });
            let membership = kept.membership.iter();
            offsets.chain(membership.map(|value| Change::Membership(group.clone(), Some(value.clone()))))
        });
        all.collect()
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Every key whose topic `gone` says yes to.
    pub(super) fn keys_of(&self, gone: impl Fn(TopicId) -> bool) -> Vec<OffsetKey> {
        let all = self.0.iter().flat_map(|(group, kept)| {
            kept.offsets.keys().map(move |(topic, partition)| (group, *topic, *partition))
        });
        all.filter(|(_, topic, _)| gone(*topic))
            .map(|(group, topic, partition)| OffsetKey { group: group.clone(), topic, partition })
            .collect()
    }
}
