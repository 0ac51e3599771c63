//! When the followers last answered to this member as their leader.
//!
//! openraft's own figure stands in its metrics as it was when they were written: where the process did not run since then
//! (a frozen machine, SIGSTOP), the first to read it would believe a leadership that ended meanwhile.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use parking_lot::Mutex;

use super::types::{RaftId, Vote};

/// The newest answered request to each follower.
#[derive(Debug, Default)]
pub(crate) struct Heard(Mutex<BTreeMap<RaftId, (Vote, Duration)>>);

impl Heard {
    /// A follower has accepted the leadership of that vote, in a request that was sent then.
    pub(crate) fn note(&self, from: RaftId, vote: Vote, sent: Duration) {
        let mut heard = self.0.lock();
        let newest = heard.entry(from).or_insert((vote, sent));
        if (vote, sent) > *newest {
            *newest = (vote, sent);
        }
    }

    /// Since when a majority of each of these sets of voters has been heard, this member (`me`) at any time; none where
    /// one has not been in this leadership.
    pub(crate) fn majority_since<'a>(
        &self,
        me: RaftId,
        vote: Vote,
        voters: impl IntoIterator<Item = &'a BTreeSet<RaftId>>,
    ) -> Option<Duration> {
        let heard = self.0.lock();
        let at = |id: &RaftId| {
            if *id == me {
                return Some(Duration::MAX);
            }
            heard.get(id).filter(|(of, _)| *of == vote).map(|(_, sent)| *sent)
        };
        let since = |set: &BTreeSet<RaftId>| {
            let mut times: Vec<_> = set.iter().map(at).collect();
            times.sort_unstable_by(|one, other| other.cmp(one));
            times.get(set.len() / 2).copied().flatten()
        };
        voters.into_iter().map(since).min().flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vote(term: u64) -> Vote {
        Vote::new_committed(term, 1)
    }

    #[test]
    fn a_majority_of_each_set_counts_in_the_present_leadership() {
        let (heard, at) = (Heard::default(), Duration::from_millis);
        let (three, other): (BTreeSet<_>, BTreeSet<_>) = ([1, 2, 3].into(), [1, 4, 5].into());
        let since = |vote, sets: &[&BTreeSet<RaftId>]| heard.majority_since(1, vote, sets.iter().copied());
        assert_eq!(since(vote(3), &[&three]), None);
        assert_eq!(since(vote(3), &[&[1].into()]), Some(Duration::MAX), "it is the majority");
        heard.note(2, vote(3), at(10));
        heard.note(3, vote(3), at(20));
        assert_eq!(since(vote(3), &[&three]), Some(at(20)));
        heard.note(3, vote(3), at(15));
        assert_eq!(since(vote(3), &[&three]), Some(at(20)), "an answer that comes late changes nothing");
        assert_eq!(since(vote(3), &[&three, &other]), None, "while voters change both sets count");
        heard.note(4, vote(3), at(5));
        assert_eq!(since(vote(3), &[&three, &other]), Some(at(5)));
        assert_eq!(since(vote(4), &[&three]), None, "another leadership");
        heard.note(2, vote(4), at(30));
        assert_eq!((since(vote(4), &[&three]), since(vote(3), &[&three])), (Some(at(30)), Some(at(20))));
    }
}
