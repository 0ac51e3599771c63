//! What a member tells its application of partitions that come and go.

use std::collections::BTreeSet;

use super::membership::Place;

/// One step of a consumer: messages, or partitions that came or go.
#[derive(Debug, Clone, PartialEq)]
pub enum Polled {
    /// Empty when none came in time.
    Messages(Vec<crate::Message>),
    Rebalance(Rebalance),
}

/// Partitions of a member of a group that came or go: topic and number, sorted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rebalance {
    /// They are its own from now on; the next poll reads them.
    Assigned(Vec<(String, i32)>),
    /// They go to another member with the next poll: what was handed out of them can be committed until then.
    Revoked(Vec<(String, i32)>),
    /// They are another member's already: it was silent for a session, or another process has its place. A commit is refused.
    Lost(Vec<(String, i32)>),
}

/// What the application knows, and what it is to be told.
#[derive(Debug, Default)]
pub(super) struct Notices {
    known: BTreeSet<Place>,
    lost: BTreeSet<Place>,
    revoked: BTreeSet<Place>,
    assigned: BTreeSet<Place>,
}

impl Notices {
    /// Nothing is owned any more.
    pub(super) fn lose_all(&mut self) {
        self.lost.append(&mut self.known);
        self.lost.append(&mut self.revoked);
        self.assigned.clear();
    }

    /// Whether something that the application holds is to go: then it hears of that before it happens.
    pub(super) fn revoke_except(&mut self, kept: &BTreeSet<Place>) -> bool {
        self.assigned.retain(|place| kept.contains(place));
        self.revoked.extend(self.known.difference(kept).cloned());
        self.known.retain(|place| kept.contains(place));
        !self.revoked.is_empty()
    }

    pub(super) fn assign(&mut self, places: &BTreeSet<Place>) {
        self.assigned = places.difference(&self.known).cloned().collect();
    }

    /// The next one to tell: what is gone first, what has come last.
    pub(super) fn next(&mut self) -> Option<Rebalance> {
        let told = |places: &mut BTreeSet<Place>| std::mem::take(places).into_iter().collect();
        if !self.lost.is_empty() {
            return Some(Rebalance::Lost(told(&mut self.lost)));
        }
        if !self.revoked.is_empty() {
            return Some(Rebalance::Revoked(told(&mut self.revoked)));
        }
        if !self.assigned.is_empty() {
            self.known.extend(self.assigned.iter().cloned());
            return Some(Rebalance::Assigned(told(&mut self.assigned)));
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(numbers: &[i32]) -> BTreeSet<Place> {
        numbers.iter().map(|number| ("t".to_owned(), *number)).collect()
    }

    fn list(numbers: &[i32]) -> Vec<Place> {
        places(numbers).into_iter().collect()
    }

    #[test]
    fn what_goes_is_told_once_and_before_what_comes() {
        let mut notices = Notices::default();
        notices.assign(&places(&[0, 1]));
        assert_eq!(notices.next(), Some(Rebalance::Assigned(list(&[0, 1]))));
        assert!(notices.revoke_except(&places(&[1, 2])), "0 is to go");
        assert_eq!(notices.next(), Some(Rebalance::Revoked(list(&[0]))));
        assert!(!notices.revoke_except(&places(&[1, 2])), "the application has heard of it");
        notices.assign(&places(&[1, 2]));
        assert_eq!(notices.next(), Some(Rebalance::Assigned(list(&[2]))));
        assert_eq!(notices.next(), None);
    }

    #[test]
    fn what_is_lost_is_not_revoked_as_well() {
        let mut notices = Notices::default();
        notices.assign(&places(&[0, 1]));
        assert!(notices.next().is_some());
        assert!(notices.revoke_except(&places(&[1])));
        notices.lose_all();
        assert_eq!(notices.next(), Some(Rebalance::Lost(list(&[0, 1]))));
        assert_eq!(notices.next(), None);
        notices.assign(&places(&[1]));
        assert_eq!(notices.next(), Some(Rebalance::Assigned(list(&[1]))), "its own again");
    }

    #[test]
    fn what_the_application_never_heard_of_goes_in_silence() {
        let mut notices = Notices::default();
        notices.assign(&places(&[0]));
        assert!(!notices.revoke_except(&places(&[])));
        assert_eq!(notices.next(), None);
    }
}
