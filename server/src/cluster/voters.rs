//! Which members of the metadata group vote: one, three or five of the registered nodes; the others learn.

use std::collections::BTreeSet;

use flymq_replication::RaftId;

/// A registered node that the group knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Candidate {
    pub id: RaftId,
    pub votes: bool,
    /// It has a session, or lost it only a moment ago.
    pub reliable: bool,
}

/// The voters that there should be. An even number is one disk more to agree with, and tolerates no more failures.
/// Who votes stays, unless it is no longer reliable and another one can take its place.
pub(crate) fn voters(candidates: &[Candidate]) -> BTreeSet<RaftId> {
    let wanted = count(candidates.len());
    let mut sorted = candidates.to_vec();
    sorted.sort_by_key(|candidate| (!candidate.reliable, !candidate.votes, candidate.id));
    sorted.into_iter().take(wanted).map(|candidate| candidate.id).collect()
}

/// How many of so many nodes vote.
pub(crate) fn count(nodes: usize) -> usize {
    match nodes {
        0 => 0,
        1 | 2 => 1,
        3 | 4 => 3,
        _ => 5,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(candidates: &[(RaftId, bool, bool)]) -> Vec<RaftId> {
        let of = |&(id, votes, reliable): &(RaftId, bool, bool)| Candidate { id, votes, reliable };
        voters(&candidates.iter().map(of).collect::<Vec<_>>()).into_iter().collect()
    }

    #[test]
    fn there_is_an_odd_number_of_voters() {
        for (nodes, expected) in [(0, 0), (1, 1), (2, 1), (3, 3), (4, 3), (5, 5), (6, 5), (9, 5)] {
            let candidates: Vec<_> = (0..nodes).map(|id| (id, false, true)).collect();
            assert_eq!(chosen(&candidates).len(), expected, "{nodes}");
        }
    }

    #[test]
    fn who_votes_stays() {
        assert_eq!(chosen(&[(1, false, true), (2, true, true)]), [2]);
        let four = [(1, false, true), (2, true, true), (3, true, true), (4, true, true)];
        assert_eq!(chosen(&four), [2, 3, 4]);
    }

    #[test]
    fn a_voter_that_is_away_makes_room_only_for_one_that_is_there() {
        assert_eq!(chosen(&[(1, true, false), (2, true, true), (3, true, true)]), [1, 2, 3]);
        let replaced = [(1, true, false), (2, true, true), (3, true, true), (4, false, true)];
        assert_eq!(chosen(&replaced), [2, 3, 4]);
        let nobody_better = [(1, true, false), (2, true, true), (3, true, true), (4, false, false)];
        assert_eq!(chosen(&nobody_better), [1, 2, 3]);
    }
}
