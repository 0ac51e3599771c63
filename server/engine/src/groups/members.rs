//! Who reads in which group, in memory. Sessions, generations and assignments come with group membership proper.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use flymq_types::GroupId;
use parking_lot::Mutex;

use super::MemberInfo;

type ByGroup = HashMap<GroupId, BTreeMap<u64, MemberInfo>>;

/// The members of all groups, in the order in which they came.
#[derive(Debug, Default)]
pub(super) struct Members {
    groups: Mutex<ByGroup>,
    next: AtomicU64,
}

/// Membership of one reader in (group, topic); ends when it is dropped.
#[derive(Debug)]
pub struct MemberGuard {
    members: Arc<Members>,
    group: GroupId,
    ticket: u64,
}

impl Members {
    pub(super) fn join(self: &Arc<Self>, group: GroupId, member: MemberInfo) -> MemberGuard {
        let ticket = self.next.fetch_add(1, Ordering::Relaxed);
        self.groups.lock().entry(group.clone()).or_default().insert(ticket, member);
        MemberGuard { members: self.clone(), group, ticket }
    }

    pub(super) fn of(&self, group: &GroupId) -> Vec<MemberInfo> {
        self.groups.lock().get(group).map(|all| all.values().cloned().collect()).unwrap_or_default()
    }

    pub(super) fn contains(&self, group: &GroupId) -> bool {
        self.groups.lock().contains_key(group)
    }

    pub(super) fn groups(&self) -> Vec<GroupId> {
        self.groups.lock().keys().cloned().collect()
    }
}

impl Drop for MemberGuard {
    fn drop(&mut self) {
        let mut groups = self.members.groups.lock();
        if let Some(all) = groups.get_mut(&self.group) {
            all.remove(&self.ticket);
            if all.is_empty() {
                groups.remove(&self.group);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use flymq_types::TopicName;

    use super::*;

    #[test]
    fn a_member_leaves_with_its_guard() {
        let members = Arc::new(Members::default());
        let group = GroupId::new("g").unwrap();
        let member = |id: &str| MemberInfo {
            member_id: id.to_owned(),
            client_id: String::new(),
            host: String::new(),
            topic: TopicName::new("t").unwrap(),
        };
        let one = members.join(group.clone(), member("1"));
        let two = members.join(group.clone(), member("2"));
        let ids = |members: &Members| -> Vec<_> {
            members.of(&group).into_iter().map(|member| member.member_id).collect()
        };
        assert_eq!(ids(&members), ["1", "2"]);
        drop(one);
        assert_eq!(ids(&members), ["2"]);
        drop(two);
        assert!(!members.contains(&group) && members.groups().is_empty());
    }
}
