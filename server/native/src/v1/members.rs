//! Group members as version 1 knows them: a connection counts for the group of its last SUBSCRIBE until it closes.

use std::{collections::BTreeMap, sync::Arc};

use parking_lot::Mutex;

/// Groups without a member that are remembered, so that a group which never committed is still found.
const MAX_IDLE: usize = 10_000;

/// Topic and group.
type Key = (String, String);

/// Members of all groups on all connections of this door.
#[derive(Debug, Default)]
pub(crate) struct Members {
    counts: Mutex<BTreeMap<Key, u32>>,
}

impl Members {
    /// Counts a member until the result is dropped.
    pub(super) fn join(self: &Arc<Self>, topic: &str, group: &str) -> Membership {
        let key = (topic.to_owned(), group.to_owned());
        let mut counts = self.counts.lock();
        if counts.len() >= MAX_IDLE && !counts.contains_key(&key) {
            counts.retain(|_, members| *members > 0);
        }
        *counts.entry(key.clone()).or_default() += 1;
        Membership { members: Arc::clone(self), key }
    }

    /// Members of a group on a topic; `None` when none ever subscribed.
    pub(super) fn count(&self, topic: &str, group: &str) -> Option<u32> {
        self.counts.lock().get(&(topic.to_owned(), group.to_owned())).copied()
    }

    /// Topics on which the group is known, with its members.
    pub(super) fn topics_of(&self, group: &str) -> Vec<(String, u32)> {
        let counts = self.counts.lock();
        counts.iter().filter(|((_, g), _)| g == group).map(|((t, _), n)| (t.clone(), *n)).collect()
    }

    /// Every (topic, group) that is known, with its members.
    pub(super) fn all(&self) -> BTreeMap<Key, u32> {
        self.counts.lock().clone()
    }

    /// Forgets a group on a topic, or with an empty topic on all, where it has no member.
    pub(super) fn forget(&self, topic: &str, group: &str) {
        self.counts
            .lock()
            .retain(|(t, g), members| *members > 0 || g != group || !(topic.is_empty() || t == topic));
    }
}

/// A counted member.
#[derive(Debug)]
pub(super) struct Membership {
    members: Arc<Members>,
    key: Key,
}

impl Drop for Membership {
    fn drop(&mut self) {
        if let Some(count) = self.members.counts.lock().get_mut(&self.key) {
            *count = count.saturating_sub(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_counts_until_it_goes_and_the_group_stays_known() {
        let members = Arc::new(Members::default());
        assert_eq!(members.count("t", "g"), None);
        let one = members.join("t", "g");
        let two = members.join("t", "g");
        assert_eq!(members.count("t", "g"), Some(2));
        drop(one);
        members.forget("", "g");
        assert_eq!(members.count("t", "g"), Some(1));
        drop(two);
        assert_eq!(members.topics_of("g"), [("t".to_owned(), 0)]);
        members.forget("other", "g");
        assert_eq!(members.count("t", "g"), Some(0));
        members.forget("", "g");
        assert_eq!(members.count("t", "g"), None);
    }

    #[test]
    fn idle_groups_are_bounded() {
        let members = Arc::new(Members::default());
        let kept = members.join("t", "kept");
        for n in 0..MAX_IDLE * 2 {
            drop(members.join("t", &n.to_string()));
        }
        assert!(members.all().len() <= MAX_IDLE + 1);
        assert_eq!(members.count("t", "kept"), Some(1));
        drop(kept);
    }
}
