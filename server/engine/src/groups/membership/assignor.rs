//! Which member is to read which partition.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::str::FromStr;

use flymq_types::{PartitionId, TopicName};

use super::member::Member;
use super::{MemberId, Place};

/// How the server spreads partitions. All of them move partitions one by one, without a stop for the rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Assignor {
    /// As `Sticky`, under the name that other brokers have for moving without a stop.
    #[default]
    Cooperative,
    /// As even as can be, and of all such the one that moves the fewest partitions.
    Sticky,
    /// Of each topic a run of neighbouring partitions, so that equal numbers of several topics meet at one member.
    Range,
}

impl Assignor {
    pub const ALL: [Self; 3] = [Self::Cooperative, Self::Sticky, Self::Range];

    pub fn name(self) -> &'static str {
        match self {
            Self::Cooperative => "cooperative",
            Self::Sticky => "sticky",
            Self::Range => "range",
        }
    }
}

/// No assignor has that name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("there are the assignors cooperative, sticky and range")]
pub struct UnknownAssignor;

impl FromStr for Assignor {
    type Err = UnknownAssignor;
    fn from_str(name: &str) -> Result<Self, UnknownAssignor> {
        Self::ALL.into_iter().find(|assignor| assignor.name() == name).ok_or(UnknownAssignor)
    }
}

type Members = BTreeMap<MemberId, Member>;
type Targets = BTreeMap<MemberId, BTreeSet<Place>>;

/// The target of every member.
pub(super) fn assign(members: &Members, topics: &BTreeMap<TopicName, u32>) -> Targets {
    match elected(members) {
        Assignor::Range => range(members, topics),
        Assignor::Cooperative | Assignor::Sticky => sticky(members, topics),
    }
}

/// The one that most members ask for.
fn elected(members: &Members) -> Assignor {
    let votes = |assignor: Assignor| members.values().filter(|member| member.assignor == assignor).count();
    // Of equals, the last one that `max_by_key` sees is the first of `ALL`.
    Assignor::ALL.into_iter().rev().max_by_key(|assignor| votes(*assignor)).unwrap_or_default()
}

fn partitions(topic: &TopicName, count: u32) -> impl Iterator<Item = Place> {
    (0..count).map(|number| (topic.clone(), PartitionId(number)))
}

fn range(members: &Members, topics: &BTreeMap<TopicName, u32>) -> Targets {
    let mut targets: Targets = members.keys().map(|id| (id.clone(), BTreeSet::new())).collect();
    for (topic, &count) in topics {
        let mut readers: Vec<_> =
            members.iter().filter(|(_, member)| member.topics.contains_key(topic)).collect();
        readers.sort_by_key(|(id, member)| (member.rank(id), *id));
        let mut left = partitions(topic, count);
        for (at, (id, _)) in readers.iter().enumerate() {
            let share = share(count as usize, readers.len(), at);
            if let Some(target) = targets.get_mut(*id) {
                target.extend(left.by_ref().take(share));
            }
        }
    }
    targets
}

/// How many of `count` the member number `at` of `members` gets.
fn share(count: usize, members: usize, at: usize) -> usize {
    count / members + usize::from(at < count % members)
}

fn sticky(members: &Members, topics: &BTreeMap<TopicName, u32>) -> Targets {
    let kept = kept(members, topics);
    let mut subscribed = members.values().map(|member| member.topics.keys());
    let alike = match subscribed.next() {
        Some(first) => subscribed.all(|other| other.eq(first.clone())),
        None => return Targets::new(),
    };
    if alike { even(kept, topics) } else { mixed(kept, members, topics) }
}

/// What each member has of what it still subscribes to and still exists.
fn kept(members: &Members, topics: &BTreeMap<TopicName, u32>) -> Targets {
    let stays = |member: &Member, (topic, partition): &Place| {
        member.topics.contains_key(topic) && topics.get(topic).is_some_and(|count| partition.get() < *count)
    };
    let of = |member: &Member| member.target.iter().filter(|place| stays(member, place)).cloned().collect();
    members.iter().map(|(id, member)| (id.clone(), of(member))).collect()
}

fn unassigned(targets: &Targets, topics: &BTreeMap<TopicName, u32>) -> Vec<Place> {
    let taken: BTreeSet<&Place> = targets.values().flatten().collect();
    let all = topics.iter().flat_map(|(topic, count)| partitions(topic, *count));
    all.filter(|place| !taken.contains(place)).collect()
}

/// All members may have all partitions: whoever has most now is among those that may have one more than the others.
fn even(mut targets: Targets, topics: &BTreeMap<TopicName, u32>) -> Targets {
    let count: usize = topics.values().map(|count| *count as usize).sum();
    let mut order: Vec<MemberId> = targets.keys().cloned().collect();
    order.sort_by_key(|id| std::cmp::Reverse(targets[id].len()));
    let members = order.len();
    let mut open = Vec::with_capacity(members);
    for (at, id) in order.into_iter().enumerate() {
        let Some(target) = targets.get_mut(&id) else { continue };
        let share = share(count, members, at);
        while target.len() > share {
            target.pop_last();
        }
        open.push((id, share - target.len()));
    }
    // One each in turn, so that a topic's partitions are spread.
    let mut left = unassigned(&targets, topics).into_iter().peekable();
    while left.peek().is_some() {
        open.retain(|(_, room)| *room > 0);
        for (id, room) in &mut open {
            let Some(place) = left.next() else { break };
            *room -= 1;
            targets.entry(id.clone()).or_default().insert(place);
        }
    }
    targets
}

/// Members subscribe to different topics: the scarcest partitions first, each to whom has least; then whoever has two more
/// than another one that could take it gives one away, until nobody does.
fn mixed(mut targets: Targets, members: &Members, topics: &BTreeMap<TopicName, u32>) -> Targets {
    let mut readers: HashMap<&TopicName, Vec<&MemberId>> = HashMap::new();
    for (id, member) in members {
        member.topics.keys().for_each(|topic| readers.entry(topic).or_default().push(id));
    }
    let mut left = unassigned(&targets, topics);
    left.sort_by_key(|(topic, _)| readers.get(topic).map_or(0, Vec::len));
    let least = |targets: &Targets, topic: &TopicName| {
        let ids = readers.get(topic).into_iter().flatten();
        ids.min_by_key(|id| targets[**id].len()).map(|id| MemberId::clone(id))
    };
    for place in left {
        if let Some(target) = least(&targets, &place.0).and_then(|id| targets.get_mut(&id)) {
            target.insert(place);
        }
    }
    loop {
        let mut order: Vec<&MemberId> = members.keys().collect();
        order.sort_by_key(|id| std::cmp::Reverse(targets[*id].len()));
        let moved = order.iter().find_map(|id| {
            let most = &targets[*id];
            let mut topics: Vec<&TopicName> = most.iter().map(|(topic, _)| topic).collect();
            topics.dedup();
            topics.into_iter().find_map(|topic| {
                let to = least(&targets, topic).filter(|to| targets[to].len() + 2 <= most.len())?;
                let place = most.iter().rfind(|(of, _)| of == topic)?.clone();
                Some((MemberId::clone(id), to, place))
            })
        });
        // Each move makes the spread smaller, so that this ends.
        let Some((from, to, place)) = moved else { return targets };
        targets.entry(from).or_default().remove(&place);
        targets.entry(to).or_default().insert(place);
    }
}
