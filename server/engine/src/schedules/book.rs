//! What is pending and what is being delivered: what replaying `__schedules` gives, and nothing that is not there. Pure: no clock, no disk.
//!
//! ```text
//! Message ──► pending ──► Firing ──► firing ──► Fired ──► gone, or pending again (recurring, put back)
//!                └──► Cancelled ──► gone
//! ```
//!
//! Of a pending message memory has when it is due and where it stands on the disk.

use std::collections::{BTreeMap, HashMap, HashSet};

use bytes::Bytes;
use flymq_types::{Offset, TopicId, TopicName, fnv1a_32};

use super::id::{Key, Numbers, ScheduleId, is_of};
use super::record::{Change, Shot, decode, encode};
use crate::durable_map::DurableMap;

/// Where a message stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct At {
    /// In `__schedules`.
    pub(super) offset: u64,
    /// In [`Book::topics`].
    topic: u32,
}

/// A topic that messages are for; one that is made anew under its name is another one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Goal {
    pub(super) id: TopicId,
    pub(super) name: TopicName,
}

/// A partition that messages are for.
pub(super) type Place = (TopicId, u32);

/// Messages that are in one batch, which is appended or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Firing {
    pub(super) goal: Goal,
    pub(super) partition: u32,
    pub(super) shot: Shot,
    /// With where they stand; in the batch's order.
    pub(super) items: Vec<(Key, At)>,
    /// Where it is written that they are.
    offset: u64,
    /// Somebody sees to it.
    attended: bool,
}

/// A change of this message is under way, so that no other one may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Claim {
    /// To be no longer pending.
    Leaving,
    /// To stand elsewhere, or to come.
    Staying,
}

/// The right to announce a batch for a partition. The batch gets its number only then: numbers of one partition rise in the order
/// in which its batches are appended, since an epoch is over once a later one was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ticket(u64);

#[derive(Debug)]
struct ClaimedPlace {
    ticket: Ticket,
    /// None: not chosen yet.
    shot: Option<Shot>,
}

#[derive(Debug, Default)]
pub(super) struct Book {
    topics: Vec<Goal>,
    by_id: HashMap<TopicId, u32>,
    /// By topic: the offset of each in `__schedules`, in the order of due times.
    pending: Vec<BTreeMap<Key, u64>>,
    /// When recurring ones are due next, by number.
    recurring: HashMap<u64, i64>,
    firing: HashMap<Place, Firing>,
    /// By number.
    claims: HashMap<u64, Claim>,
    /// A batch for this partition is about to be announced.
    claimed_places: HashMap<Place, ClaimedPlace>,
    /// The newest one.
    tickets: u64,
    /// Topics whose messages are tried one by one: one of them was refused.
    singly: HashSet<TopicId>,
    pub(super) numbers: Numbers,
}

/// Which of `of` partitions of `__schedules` has the messages for a topic.
pub(super) fn index_of(topic: &TopicName, of: usize) -> usize {
    fnv1a_32(topic.as_str().as_bytes()) as usize % of.max(1)
}

impl Book {
    pub(super) fn goal(&self, at: At) -> &Goal {
        &self.topics[at.topic as usize]
    }

    /// The first time at which something is due, of what nothing is under way with.
    pub(super) fn next_due(&self) -> Option<i64> {
        let first = |keys: &BTreeMap<Key, u64>| self.unclaimed(keys.iter()).next().map(|(key, _)| key.0);
        self.pending.iter().filter_map(first).min()
    }

    pub(super) fn len(&self) -> usize {
        let pending: usize = self.pending.iter().map(BTreeMap::len).sum();
        pending + self.firing.values().map(|firing| firing.items.len()).sum::<usize>()
    }

    /// What is due, in order: at most `each` for a topic and `all` together, of topics for which nothing is on its way.
    pub(super) fn due(&self, now: i64, each: usize, all: usize) -> Vec<(Key, At)> {
        let places = self.firing.keys().chain(self.claimed_places.keys());
        let busy: HashSet<TopicId> = places.map(|place| place.0).collect();
        let of_topic = |(topic, keys): (u32, &BTreeMap<Key, u64>)| {
            let due =
                (!busy.contains(&self.topics[topic as usize].id)).then(|| keys.range(..=(now, u64::MAX)));
            let due = self.unclaimed(due.into_iter().flatten()).take(each);
            due.map(|(key, offset)| (*key, At { offset: *offset, topic })).collect::<Vec<_>>()
        };
        let mut due: Vec<_> = (0..).zip(&self.pending).flat_map(of_topic).collect();
        due.sort_unstable_by_key(|(key, _)| *key);
        due.truncate(all);
        due
    }

    fn unclaimed<'a>(
        &self,
        keys: impl Iterator<Item = (&'a Key, &'a u64)>,
    ) -> impl Iterator<Item = (&'a Key, &'a u64)> {
        keys.filter(|(key, _)| !self.claims.contains_key(&key.1))
    }

    /// A pending message that nothing is under way with.
    pub(super) fn find(&self, topic: TopicId, id: ScheduleId) -> Option<(Key, At)> {
        let due = match id.due {
            Some(due) => due,
            None => *self.recurring.get(&id.number)?,
        };
        let (key, topic) = ((due, id.number), *self.by_id.get(&topic)?);
        let offset = *self.pending[topic as usize].get(&key)?;
        let free = !self.claims.contains_key(&key.1) && self.id_of(key) == id;
        free.then_some((key, At { offset, topic }))
    }

    pub(super) fn id_of(&self, key: Key) -> ScheduleId {
        let due = (!self.recurring.contains_key(&key.1)).then_some(key.0);
        ScheduleId { due, number: key.1 }
    }

    /// Pending messages for a topic, by due time, behind `after`.
    pub(super) fn list(&self, topic: TopicId, after: Option<Key>, count: usize) -> Vec<(Key, At)> {
        use std::ops::Bound;
        let Some(&topic) = self.by_id.get(&topic) else { return Vec::new() };
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let all = self.pending[topic as usize].range((from, Bound::Unbounded));
        let listed = all.filter(|(key, _)| self.claims.get(&key.1) != Some(&Claim::Leaving));
        listed.take(count).map(|(key, offset)| (*key, At { offset: *offset, topic })).collect()
    }

    pub(super) fn claim(&mut self, numbers: impl IntoIterator<Item = u64>, claim: Claim) {
        self.claims.extend(numbers.into_iter().map(|number| (number, claim)));
    }

    pub(super) fn release(&mut self, number: u64) {
        self.claims.remove(&number);
    }

    pub(super) fn is_pending(&self, topic: TopicId, key: Key) -> bool {
        self.by_id.get(&topic).is_some_and(|topic| self.pending[*topic as usize].contains_key(&key))
    }

    /// Whether it is only about to stand elsewhere, or to come.
    pub(super) fn is_staying(&self, number: u64) -> bool {
        self.claims.get(&number) == Some(&Claim::Staying)
    }

    /// Whether it is recurring, and on its way: it will be pending again.
    pub(super) fn comes_again(&self, number: u64) -> bool {
        self.recurring.contains_key(&number)
    }

    pub(super) fn singly(&mut self, topic: TopicId, singly: bool) {
        if singly {
            self.singly.insert(topic);
        } else {
            self.singly.remove(&topic);
        }
    }

    pub(super) fn is_singly(&self, topic: TopicId) -> bool {
        self.singly.contains(&topic)
    }

    pub(super) fn is_claimed(&self, number: u64) -> bool {
        self.claims.contains_key(&number)
    }

    /// Takes the right to announce a batch for the partition; none where one is on its way.
    pub(super) fn claim_place(&mut self, place: Place) -> Option<Ticket> {
        if self.firing.contains_key(&place) || self.claimed_places.contains_key(&place) {
            return None;
        }
        self.tickets += 1;
        let ticket = Ticket(self.tickets);
        self.claimed_places.insert(place, ClaimedPlace { ticket, shot: None });
        Some(ticket)
    }

    /// Which batch it is for.
    pub(super) fn name_shot(&mut self, place: Place, ticket: Ticket, shot: Shot) {
        if let Some(claimed) = self.claimed_places.get_mut(&place).filter(|claimed| claimed.ticket == ticket)
        {
            claimed.shot = Some(shot);
        }
    }

    pub(super) fn release_place(&mut self, place: Place, ticket: Ticket) {
        if self.claimed_places.get(&place).is_some_and(|claimed| claimed.ticket == ticket) {
            self.claimed_places.remove(&place);
        }
    }

    pub(super) fn has_unattended(&self) -> bool {
        self.firing.values().any(|firing| !firing.attended)
    }

    /// Batches that nobody sees to yet; from now on the caller does.
    pub(super) fn attend(&mut self) -> Vec<Firing> {
        let alone = self.firing.values_mut().filter(|firing| !firing.attended);
        alone
            .map(|firing| {
                firing.attended = true;
                firing.clone()
            })
            .collect()
    }

    pub(super) fn is_firing(&self, place: Place, shot: Shot) -> bool {
        self.firing.get(&place).is_some_and(|firing| firing.shot == shot)
    }

    /// The first offset of partition `index` of `of` that is still needed, and how many are.
    pub(super) fn needed(&self, index: usize, of: usize) -> (Option<u64>, usize) {
        let here = self.here(index, of);
        let pending = self.pending.iter().zip(&here).filter(|(_, here)| **here);
        let pending = pending.flat_map(|(keys, _)| keys.values().copied());
        let firing = self.firing.values().filter(|firing| index_of(&firing.goal.name, of) == index);
        let firing = firing.filter(|_| !cfg!(mutant = "schedule_on_its_way_is_trimmed"));
        let firing =
            firing.flat_map(|firing| firing.items.iter().map(|(_, at)| at.offset).chain([firing.offset]));
        pending.chain(firing).fold((None, 0), |(least, count), offset| {
            (Some(least.map_or(offset, |least: u64| least.min(offset))), count + 1)
        })
    }

    /// Pending messages of partition `index` of `of` below an offset, of which nothing is under way; claims them.
    pub(super) fn claim_below(
        &mut self,
        (index, of): (usize, usize),
        offset: u64,
        most: usize,
    ) -> Vec<(Key, At)> {
        let here = self.here(index, of);
        let of_topic = |topic: u32| {
            let below = self.pending[topic as usize].iter().filter(|(_, at)| **at < offset);
            self.unclaimed(below).map(move |(key, offset)| (*key, At { offset: *offset, topic }))
        };
        let topics = (0..).zip(&here).filter(|(_, here)| **here);
        let below: Vec<_> = topics.flat_map(|(topic, _)| of_topic(topic)).take(most).collect();
        self.claim(below.iter().map(|(key, _)| key.1), Claim::Staying);
        below
    }

    /// Which topics the partition has.
    fn here(&self, index: usize, of: usize) -> Vec<bool> {
        self.topics.iter().map(|goal| index_of(&goal.name, of) == index).collect()
    }

    fn topic(&mut self, id: TopicId, name: &TopicName) -> u32 {
        let (topics, pending) = (&mut self.topics, &mut self.pending);
        *self.by_id.entry(id).or_insert_with(|| {
            topics.push(Goal { id, name: name.clone() });
            pending.push(BTreeMap::new());
            u32::try_from(topics.len() - 1).unwrap_or(u32::MAX)
        })
    }

    fn put(&mut self, key: Key, at: At, recurring: bool) {
        let pending = &mut self.pending[at.topic as usize];
        if recurring && let Some(before) = self.recurring.insert(key.1, key.0) {
            pending.remove(&(before, key.1));
        }
        pending.insert(key, at.offset);
        self.numbers.seen(key.1);
    }

    fn take(&mut self, topic: TopicId, key: Key) -> Option<At> {
        self.claims.remove(&key.1);
        let topic = *self.by_id.get(&topic)?;
        let offset = self.pending[topic as usize].remove(&key)?;
        Some(At { offset, topic })
    }

    fn fire(&mut self, topic: TopicId, partition: u32, shot: Shot, keys: Vec<Key>, offset: u64) {
        let items: Vec<_> = keys.into_iter().filter_map(|key| Some((key, self.take(topic, key)?))).collect();
        let place = (topic, partition);
        if self.claimed_places.get(&place).is_some_and(|claimed| claimed.shot == Some(shot)) {
            self.claimed_places.remove(&place);
        }
        // None: the log's beginning is deleted up to behind its end.
        if let Some((_, at)) = items.first() {
            let goal = self.goal(*at).clone();
            let firing = Firing { goal, partition, shot, items, offset, attended: false };
            self.firing.insert((topic, partition), firing);
        }
    }

    fn fired(&mut self, place: Place, shot: Shot, next: Vec<(Key, Option<i64>)>) {
        if !self.is_firing(place, shot) {
            return;
        }
        let Some(firing) = self.firing.remove(&place) else { return };
        let at: HashMap<Key, At> = firing.items.into_iter().collect();
        for (key, due) in next {
            let recurring = self.recurring.contains_key(&key.1);
            match (due, at.get(&key)) {
                (Some(due), Some(at)) => self.put((due, key.1), *at, recurring),
                _ => drop(self.recurring.remove(&key.1)),
            }
        }
    }
}

impl DurableMap for Book {
    type Change = Change;

    const WHAT: &'static str = "scheduled messages";

    /// What was delivered would be delivered again.
    const SKIPS_DAMAGE: bool = false;

    fn apply(&mut self, change: Change) {
        self.apply_at(change, Offset::ZERO);
    }

    fn apply_at(&mut self, change: Change, at: Offset) {
        match change {
            Change::Message { topic, name, key, recurring, .. } => {
                let at = At { offset: at.get(), topic: self.topic(topic, &name) };
                self.put(key, at, recurring);
                self.release(key.1);
            }
            Change::Firing { topic, partition, shot, keys } => {
                self.fire(topic, partition, shot, keys, at.get());
            }
            Change::Fired { topic, partition, shot, next } => self.fired((topic, partition), shot, next),
            Change::Cancelled { topic, key } => {
                self.take(topic, key);
                self.recurring.remove(&key.1);
            }
        }
    }

    fn encode(change: &Change) -> (Vec<u8>, Option<Bytes>) {
        encode(change)
    }

    fn decode(key: &[u8], value: Option<&[u8]>) -> Option<Change> {
        decode(key, value)
    }

    fn replace(&mut self, index: usize, of: usize, other: Self) {
        let here = self.here(index, of);
        let mut left = Vec::new();
        for (pending, _) in self.pending.iter_mut().zip(&here).filter(|(_, here)| **here) {
            left.extend(std::mem::take(pending).into_keys().map(|key| key.1));
        }
        self.firing.retain(|_, firing| {
            let stays = index_of(&firing.goal.name, of) != index;
            if !stays {
                left.extend(firing.items.iter().map(|(key, _)| key.1));
            }
            stays
        });
        for number in left {
            self.recurring.remove(&number);
        }
        // Of changes that were under way nobody knows any more: whoever waits for one of them is told so by its log.
        self.claims.retain(|number, _| !is_of(*number, index));
        let by_id = &self.by_id;
        self.claimed_places
            .retain(|place, _| by_id.get(&place.0).is_some_and(|topic| !here[*topic as usize]));
        let Self { topics, pending, recurring, firing, numbers, .. } = other;
        let moved: Vec<u32> = topics.iter().map(|goal| self.topic(goal.id, &goal.name)).collect();
        let moved = |at: At| At { topic: moved[at.topic as usize], ..at };
        for (topic, mut keys) in (0..).zip(pending) {
            self.pending[moved(At { offset: 0, topic }).topic as usize].append(&mut keys);
        }
        self.recurring.extend(recurring);
        self.firing.extend(firing.into_iter().map(|(place, mut firing)| {
            firing.items.iter_mut().for_each(|(_, at)| *at = moved(*at));
            (place, firing)
        }));
        self.numbers.merge(&numbers);
    }

    /// Nothing: this log is kept short by moving messages, see `trim`.
    fn changes_of(&self, _index: usize, _of: usize) -> Vec<Change> {
        Vec::new()
    }

    fn extra_bytes(change: &Change) -> usize {
        match change {
            Change::Message { body, .. } => body.len(),
            Change::Firing { keys, .. } => keys.len() * 16,
            Change::Fired { next, .. } => next.len() * 24,
            Change::Cancelled { .. } => 0,
        }
    }
}
