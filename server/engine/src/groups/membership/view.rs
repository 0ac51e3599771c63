//! A group as its members and people see it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use flymq_types::{PartitionId, TopicName};

use super::member::Member;
use super::{Group, MemberId, Place};
use crate::groups::GroupState;

/// What a member is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assigned {
    pub member_id: Arc<str>,
    /// Of the group's target assignment.
    pub generation: u64,
    /// Of this member's assignment: another one means another assignment.
    pub epoch: u64,
    pub assignment: BTreeMap<TopicName, Vec<PartitionId>>,
    pub session: Duration,
    /// How often the member is to come.
    pub interval: Duration,
}

/// A member as people see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupMember {
    pub member_id: Arc<str>,
    pub instance_id: Option<Arc<str>>,
    pub client_id: String,
    pub host: String,
    pub epoch: u64,
    /// What it subscribes to.
    pub topics: Vec<String>,
    /// What it owns, with what it has not let go of yet. A reader without membership has its topic without partitions.
    pub assignment: BTreeMap<TopicName, Vec<PartitionId>>,
    /// What it is to own.
    pub target: BTreeMap<TopicName, Vec<PartitionId>>,
}

/// All of it.
#[derive(Debug, Clone)]
pub(in crate::groups) struct View {
    pub state: GroupState,
    pub generation: u64,
    pub members: Vec<GroupMember>,
    /// Topics that a member subscribes to.
    pub topics: BTreeSet<TopicName>,
}

impl Group {
    /// What the member is told now; `None`: it is not a member.
    pub fn assigned(&self, id: &str) -> Option<Assigned> {
        let (id, member) = self.members.get_key_value(id)?;
        Some(Assigned {
            member_id: id.clone(),
            generation: self.generation,
            epoch: member.epoch,
            assignment: by_topic(member.assigned.keys()),
            session: member.session,
            interval: member.interval(),
        })
    }

    pub fn view(&self) -> View {
        let state = if self.members.is_empty() {
            GroupState::Empty
        } else if self.members.values().all(Member::is_settled) {
            GroupState::Stable
        } else {
            GroupState::Rebalancing
        };
        let members = self.members.iter().map(|(id, member)| shown(id, member)).collect();
        View { state, generation: self.generation, members, topics: self.topics.keys().cloned().collect() }
    }
}

fn shown(id: &MemberId, member: &Member) -> GroupMember {
    let owned: BTreeSet<&Place> = member.assigned.keys().chain(member.revoking.keys()).collect();
    GroupMember {
        member_id: id.clone(),
        instance_id: member.instance.clone(),
        client_id: member.client_id.clone(),
        host: member.host.clone(),
        epoch: member.epoch,
        topics: member.filters.filters().map(str::to_owned).collect(),
        assignment: by_topic(owned),
        target: by_topic(&member.target),
    }
}

fn by_topic<'a>(places: impl IntoIterator<Item = &'a Place>) -> BTreeMap<TopicName, Vec<PartitionId>> {
    let mut topics: BTreeMap<TopicName, Vec<PartitionId>> = BTreeMap::new();
    for (topic, partition) in places {
        match topics.get_mut(topic) {
            Some(partitions) => partitions.push(*partition),
            None => drop(topics.insert(topic.clone(), vec![*partition])),
        }
    }
    topics
}
