//! The committed offsets of all groups, in memory: what replaying `__consumer_offsets` gives.

use std::collections::{BTreeMap, HashMap};

use flymq_types::{GroupId, Offset, PartitionId, TopicId};

use super::record::{OffsetKey, OffsetValue};

/// A change of one key: a new value, or its deletion.
pub(super) type Change = (OffsetKey, Option<OffsetValue>);

type Offsets = BTreeMap<(TopicId, PartitionId), OffsetValue>;

/// Groups with at least one offset.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Book(HashMap<GroupId, Offsets>);

impl Book {
    /// Applies a record; later ones overwrite earlier ones, whatever their offset says.
    pub(super) fn apply(&mut self, (key, value): Change) {
        let place = (key.topic, key.partition);
        if let Some(value) = value {
            self.0.entry(key.group).or_default().insert(place, value);
            return;
        }
        if let Some(offsets) = self.0.get_mut(&key.group) {
            offsets.remove(&place);
            if offsets.is_empty() {
                self.0.remove(&key.group);
            }
        }
    }

    pub(super) fn offset(&self, group: &GroupId, topic: TopicId, partition: PartitionId) -> Option<Offset> {
        self.0.get(group)?.get(&(topic, partition)).map(|value| value.offset)
    }

    /// The group's offsets, or `None` where it has none.
    pub(super) fn offsets(
        &self,
        group: &GroupId,
    ) -> Option<impl Iterator<Item = (TopicId, PartitionId, &OffsetValue)>> {
        Some(self.0.get(group)?.iter().map(|((topic, partition), value)| (*topic, *partition, value)))
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

    /// Every offset of the groups that `mine` says yes to, as changes that make them.
    pub(super) fn changes_of(&self, mine: impl Fn(&GroupId) -> bool) -> Vec<Change> {
        let all = self.0.iter().filter(|(group, _)| mine(group)).flat_map(|(group, offsets)| {
            offsets.iter().map(move |((topic, partition), value)| {
                let key = OffsetKey { group: group.clone(), topic: *topic, partition: *partition };
                (key, Some(value.clone()))
            })
        });
        all.collect()
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Every key whose topic `gone` says yes to.
    pub(super) fn keys_of(&self, gone: impl Fn(TopicId) -> bool) -> Vec<OffsetKey> {
        let all = self.0.iter().flat_map(|(group, offsets)| {
            offsets.keys().map(move |(topic, partition)| (group, *topic, *partition))
        });
        all.filter(|(_, topic, _)| gone(*topic))
            .map(|(group, topic, partition)| OffsetKey { group: group.clone(), topic, partition })
            .collect()
    }
}
