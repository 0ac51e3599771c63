//! Holds what members of one consumer group were told against what a group promises of each partition: one owner at a time, commits
//! that never go back, nobody who begins behind or beyond what was committed, and nothing that nobody read.

use std::collections::BTreeMap;

/// Microseconds since the load began, by one clock.
pub type Time = u64;

/// What became of a commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    Taken,
    Refused,
    /// There was no answer: it may count or not.
    Unknown,
}

/// One commit of one partition.
#[derive(Debug, Clone)]
pub struct Commit {
    pub partition: i32,
    /// Names one time of owning: from the assignment of the partition to a member until that member loses it.
    pub term: u64,
    pub generation: i64,
    pub offset: u64,
    pub begun: Time,
    pub ended: Time,
    pub outcome: Outcome,
}

/// Where a member began to read in a term.
#[derive(Debug, Clone)]
pub struct Start {
    pub partition: i32,
    pub term: u64,
    pub offset: u64,
    pub asked: Time,
    pub answered: Time,
}

/// What all members noted.
#[derive(Debug, Default)]
pub struct History {
    pub commits: Vec<Commit>,
    pub starts: Vec<Start>,
}

/// What was found; each must be 0.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Anomalies {
    /// Taken although another member had committed with a later generation before.
    pub stale: u64,
    /// Taken in the middle of another one's term.
    pub two_owners: u64,
    /// An offset that is behind one committed before.
    pub back: u64,
    /// A member began behind what was committed before it asked.
    pub behind: u64,
    /// A member began beyond everything that anybody had committed.
    pub beyond: u64,
    /// Records that are committed and that no member read.
    pub skipped: u64,
    pub examples: Vec<String>,
}

impl Anomalies {
    /// All of them.
    pub fn count(&self) -> u64 {
        self.stale + self.two_owners + self.back + self.behind + self.beyond + self.skipped
    }

    fn note(&mut self, text: String) {
        if self.examples.len() < 20 {
            self.examples.push(text);
        }
    }
}

/// Checks partition after partition; `ends` has the end of each.
pub fn check(history: &History, ends: &BTreeMap<i32, u64>) -> Anomalies {
    let mut found = Anomalies::default();
    for (partition, end) in ends {
        let of = |commit: &&Commit| commit.partition == *partition && commit.outcome != Outcome::Refused;
        let commits: Vec<&Commit> = history.commits.iter().filter(of).collect();
        let taken: Vec<&Commit> =
            commits.iter().copied().filter(|commit| commit.outcome == Outcome::Taken).collect();
        let starts: Vec<&Start> =
            history.starts.iter().filter(|start| start.partition == *partition).collect();
        in_order(&taken, &mut found);
        one_owner(&taken, &mut found);
        beginnings(&starts, &commits, &mut found);
        skipped(&starts, &commits, *end, &mut found);
    }
    found
}

/// Of any two commits one after the other: offsets do not go back, and an earlier generation comes no more from another term.
fn in_order(taken: &[&Commit], found: &mut Anomalies) {
    for later in taken {
        let before = || taken.iter().filter(|one| one.ended < later.begun);
        if let Some(one) = before().find(|one| one.offset > later.offset) {
            found.back += 1;
            found.note(format!("went back: {one:?}, then {later:?}"));
        }
        if let Some(one) = before().find(|one| one.term != later.term && one.generation > later.generation) {
            found.stale += 1;
            found.note(format!("a stale generation was taken: {one:?}, then {later:?}"));
        }
    }
}

/// No term lies within another one.
fn one_owner(taken: &[&Commit], found: &mut Anomalies) {
    let mut terms: BTreeMap<u64, (Time, Time)> = BTreeMap::new();
    for commit in taken {
        let (first, last) = terms.entry(commit.term).or_insert((commit.ended, commit.begun));
        (*first, *last) = ((*first).min(commit.ended), (*last).max(commit.begun));
    }
    for (term, (first, last)) in &terms {
        let within = |one: &&&Commit| one.term != *term && one.begun > *first && one.ended < *last;
        if let Some(other) = taken.iter().find(within) {
            found.two_owners += 1;
            found.note(format!("two owners: term {term} from {first} to {last}, and {other:?}"));
        }
    }
}

fn beginnings(starts: &[&Start], commits: &[&Commit], found: &mut Anomalies) {
    for start in starts {
        let known = commits
            .iter()
            .filter(|one| one.outcome == Outcome::Taken && one.ended < start.asked)
            .map(|one| one.offset);
        if known.max().unwrap_or(0) > start.offset {
            found.behind += 1;
            found.note(format!("began behind what was committed: {start:?}"));
        }
        let possible = commits.iter().filter(|one| one.begun < start.answered).map(|one| one.offset);
        if possible.max().unwrap_or(0) < start.offset {
            found.beyond += 1;
            found.note(format!("began beyond what anybody committed: {start:?}"));
        }
    }
}

/// What was committed in a term was read in it, from where it began: together that is everything.
fn skipped(starts: &[&Start], commits: &[&Commit], end: u64, found: &mut Anomalies) {
    let reach = |start: &Start| {
        let of = commits.iter().filter(|commit| commit.term == start.term);
        of.map(|commit| commit.offset).max().map(|to| (start.offset, to))
    };
    let mut ranges: Vec<(u64, u64)> = starts.iter().filter_map(|start| reach(start)).collect();
    ranges.sort_unstable();
    let mut covered = 0;
    for (from, to) in ranges {
        if from > covered {
            found.skipped += from - covered;
            found.note(format!("nobody read {covered} to {from}"));
        }
        covered = covered.max(to);
    }
    if covered < end {
        found.skipped += end - covered;
        found.note(format!("nobody read {covered} to {end}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn commit(term: u64, generation: i64, offset: u64, (begun, ended): (Time, Time)) -> Commit {
        Commit { partition: 0, term, generation, offset, begun, ended, outcome: Outcome::Taken }
    }

    fn start(term: u64, offset: u64, asked: Time) -> Start {
        Start { partition: 0, term, offset, asked, answered: asked + 1 }
    }

    fn found(starts: Vec<Start>, commits: Vec<Commit>, end: u64) -> Anomalies {
        let found = check(&History { commits, starts }, &BTreeMap::from([(0, end)]));
        Anomalies { examples: Vec::new(), ..found }
    }

    #[test]
    fn one_after_the_other_is_fine() {
        let starts = vec![start(1, 0, 0), start(2, 10, 30)];
        let commits = vec![commit(1, 5, 10, (10, 20)), commit(2, 6, 20, (40, 50))];
        assert_eq!(found(starts, commits, 20), Anomalies::default());
    }

    #[test]
    fn a_commit_without_answer_may_count_or_not() {
        let unknown = Commit { outcome: Outcome::Unknown, ..commit(1, 5, 10, (10, 20)) };
        for began in [0, 10] {
            let starts = vec![start(1, 0, 0), start(2, began, 30)];
            assert_eq!(found(starts, vec![unknown.clone(), commit(2, 6, 20, (40, 50))], 20).count(), 0);
        }
    }

    #[test]
    fn a_refused_commit_counts_for_nothing() {
        let refused = Commit { outcome: Outcome::Refused, ..commit(1, 4, 3, (60, 70)) };
        let starts = vec![start(1, 0, 0), start(2, 10, 30)];
        let commits = vec![commit(1, 5, 10, (10, 20)), commit(2, 6, 20, (40, 50)), refused];
        assert_eq!(found(starts, commits, 20), Anomalies::default());
    }

    #[test]
    fn a_zombies_commit_is_stale_goes_back_and_makes_two_owners() {
        let starts = vec![start(1, 0, 0), start(2, 10, 30)];
        let commits = vec![
            commit(1, 5, 10, (10, 20)),
            commit(2, 6, 20, (40, 50)),
            commit(1, 5, 12, (60, 70)),
            commit(2, 6, 30, (80, 90)),
        ];
        let expected = Anomalies { stale: 1, back: 1, two_owners: 2, ..Anomalies::default() };
        assert_eq!(found(starts, commits, 30), expected);
    }

    #[test]
    fn who_begins_elsewhere_is_found() {
        let commits = vec![commit(1, 5, 10, (10, 20)), commit(2, 6, 20, (40, 50))];
        let behind = found(vec![start(1, 0, 0), start(2, 4, 30)], commits.clone(), 20);
        assert_eq!(behind, Anomalies { behind: 1, ..Anomalies::default() });
        let beyond = found(vec![start(1, 0, 0), start(2, 15, 30)], commits, 20);
        assert_eq!(beyond, Anomalies { beyond: 1, skipped: 5, ..Anomalies::default() });
    }

    #[test]
    fn what_nobody_read_is_counted() {
        let left = found(vec![start(1, 0, 0)], vec![commit(1, 5, 10, (10, 20))], 12);
        assert_eq!(left, Anomalies { skipped: 2, ..Anomalies::default() });
    }
}
