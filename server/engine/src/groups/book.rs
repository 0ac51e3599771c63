//! The committed offsets, the memberships and the open transactions' offsets of all groups, in memory: what replaying
//! `__consumer_offsets` gives.

use std::collections::{BTreeMap, HashMap};

use bytes::Bytes;
use flymq_types::{GroupId, Offset, PartitionId, TopicId};

use super::Groups;
use super::queue::Delivery;
use super::record::{Change, DeliveryKey, OffsetKey, OffsetValue, Pending};
use crate::durable_map::DurableMap;

/// What is kept of a group: never nothing.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
struct Kept {
    offsets: BTreeMap<(TopicId, PartitionId), OffsetValue>,
    membership: Option<Bytes>,
    /// Offsets of transactions by producer id: those that wait for their marker, and the epoch that a marker has ended.
    pending: BTreeMap<u64, Pending>,
    /// Single records: those below the committed offset that are not settled, those above it that are.
    deliveries: BTreeMap<(TopicId, PartitionId, Offset), Delivery>,
}

impl Kept {
    /// Whether there is more than what transactions have left, of which nobody is told.
    fn is_group(&self) -> bool {
        !self.offsets.is_empty() || self.membership.is_some() || !self.deliveries.is_empty()
    }

    /// The committed offset, behind everything that is kept as a single record.
    fn next(&self, topic: TopicId, partition: PartitionId, committed: Offset) -> Offset {
        let from = (topic, partition, committed);
        let kept = self.deliveries.range(from..=(topic, partition, Offset(u64::MAX)));
        let run = kept.zip(committed.get()..).take_while(|(((.., offset), _), next)| offset.get() == *next);
        committed.plus(run.count() as u64)
    }
}

/// All groups of which anything is kept.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Book(HashMap<GroupId, Kept>);

impl Book {
    fn forget(&mut self, group: &GroupId, what: impl FnOnce(&mut Kept)) {
        if let Some(kept) = self.0.get_mut(group) {
            what(kept);
            if *kept == Kept::default() {
                self.0.remove(group);
            }
        }
    }

    pub(super) fn offset(&self, group: &GroupId, topic: TopicId, partition: PartitionId) -> Option<Offset> {
        let kept = self.0.get(group)?;
        let committed = kept.offsets.get(&(topic, partition))?.offset;
        Some(kept.next(topic, partition, committed))
    }

    /// What was committed itself, whatever is kept behind it.
    pub(super) fn committed(&self, key: &OffsetKey) -> Option<Offset> {
        let kept = self.0.get(&key.group)?;
        kept.offsets.get(&(key.topic, key.partition)).map(|value| value.offset)
    }

    /// What is kept of single records of a partition, by offset.
    pub(super) fn deliveries(
        &self,
        group: &GroupId,
        topic: TopicId,
        partition: PartitionId,
    ) -> impl Iterator<Item = (Offset, &Delivery)> + Clone {
        let range = (topic, partition, Offset(0))..=(topic, partition, Offset(u64::MAX));
        let kept = self.0.get(group).into_iter();
        kept.flat_map(move |kept| {
            kept.deliveries.range(range.clone()).map(|((.., offset), kept)| (*offset, kept))
        })
    }

    /// What is kept of single records of a group.
    pub(super) fn all_deliveries(&self, group: &GroupId) -> impl Iterator<Item = (DeliveryKey, &Delivery)> {
        let kept = self.0.get_key_value(group).into_iter();
        kept.flat_map(|(group, kept)| {
            kept.deliveries.iter().map(move |((topic, partition, offset), delivery)| {
                let at = OffsetKey { group: group.clone(), topic: *topic, partition: *partition };
                (DeliveryKey { at, offset: *offset }, delivery)
            })
        })
    }

    /// What is kept of one record.
    pub(super) fn delivery(&self, key: &DeliveryKey) -> Option<&Delivery> {
        let DeliveryKey { at, offset } = key;
        self.0.get(&at.group)?.deliveries.get(&(at.topic, at.partition, *offset))
    }

    /// Every group.
    pub(super) fn all_groups(&self) -> impl Iterator<Item = &GroupId> {
        self.0.keys()
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
        let offsets = self.0.get(group).filter(|kept| kept.is_group())?.offsets.iter();
        Some(offsets.map(|((topic, partition), value)| (*topic, *partition, value)))
    }

    pub(super) fn contains(&self, group: &GroupId) -> bool {
        self.0.get(group).is_some_and(Kept::is_group)
    }

    pub(super) fn groups(&self) -> impl Iterator<Item = &GroupId> {
        self.0.iter().filter(|(_, kept)| kept.is_group()).map(|(group, _)| group)
    }

    /// What the producer's transactions have in the group.
    pub(super) fn pending(&self, group: &GroupId, producer: u64) -> Option<&Pending> {
        self.0.get(group)?.pending.get(&producer)
    }

    /// Everything that transactions have in the group, by producer id.
    pub(super) fn all_pending(&self, group: &GroupId) -> impl Iterator<Item = (u64, &Pending)> {
        let kept = self.0.get(group).into_iter();
        kept.flat_map(|kept| kept.pending.iter().map(|(producer, pending)| (*producer, pending)))
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// As `keys_of`, of single records.
    pub(super) fn deliveries_of(&self, gone: impl Fn(TopicId) -> bool) -> Vec<DeliveryKey> {
        let groups = self.0.keys();
        let all = groups.flat_map(|group| self.all_deliveries(group).map(|(key, _)| key));
        all.filter(|key| gone(key.at.topic)).collect()
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

impl DurableMap for Book {
    type Change = Change;

    const WHAT: &'static str = "committed offsets";

    /// Commits there are lost; their groups go back to the ones before and read some records twice.
    const SKIPS_DAMAGE: bool = true;

    fn apply(&mut self, change: Change) {
        match change {
            Change::Offset(OffsetKey { group, topic, partition }, Some(value)) => {
                self.0.entry(group).or_default().offsets.insert((topic, partition), value);
            }
            Change::Membership(group, Some(value)) => {
                self.0.entry(group).or_default().membership = Some(value);
            }
            Change::Pending(group, producer, Some(pending)) => {
                self.0.entry(group).or_default().pending.insert(producer, pending);
            }
            Change::Delivery(DeliveryKey { at, offset }, Some(delivery)) => {
                let key = (at.topic, at.partition, offset);
                self.0.entry(at.group).or_default().deliveries.insert(key, delivery);
            }
            Change::Delivery(DeliveryKey { at, offset }, None) => {
                let key = (at.topic, at.partition, offset);
                self.forget(&at.group, |kept| drop(kept.deliveries.remove(&key)));
            }
            Change::Offset(OffsetKey { group, topic, partition }, None) => {
                self.forget(&group, |kept| drop(kept.offsets.remove(&(topic, partition))));
            }
            Change::Membership(group, None) => self.forget(&group, |kept| kept.membership = None),
            Change::Pending(group, producer, None) => {
                self.forget(&group, |kept| drop(kept.pending.remove(&producer)));
            }
        }
    }

    fn encode(change: &Change) -> (Vec<u8>, Option<Bytes>) {
        change.encode()
    }

    fn decode(key: &[u8], value: Option<&[u8]>) -> Option<Change> {
        Change::decode(key, value).ok()
    }

    fn replace(&mut self, index: usize, of: usize, other: Self) {
        self.0.retain(|group, _| Groups::log_index(group, of) != index);
        self.0.extend(other.0);
    }

    fn changes_of(&self, index: usize, of: usize) -> Vec<Change> {
        let mine = self.0.iter().filter(|(group, _)| Groups::log_index(group, of) == index);
        let all = mine.flat_map(|(group, kept)| {
            let offsets = kept.offsets.iter().map(|((topic, partition), value)| {
                let key = OffsetKey { group: group.clone(), topic: *topic, partition: *partition };
                Change::Offset(key, Some(value.clone()))
            });
            let membership =
                kept.membership.iter().map(|value| Change::Membership(group.clone(), Some(value.clone())));
            let pending = kept
                .pending
                .iter()
                .map(|(producer, pending)| Change::Pending(group.clone(), *producer, Some(pending.clone())));
            let deliveries = self.all_deliveries(group);
            let deliveries = deliveries.map(|(key, kept)| Change::Delivery(key, Some(kept.clone())));
            offsets.chain(membership).chain(pending).chain(deliveries)
        });
        all.collect()
    }

    fn extra_bytes(change: &Change) -> usize {
        change.extra_bytes()
    }
}
