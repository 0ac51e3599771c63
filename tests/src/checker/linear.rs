//! Whether the answers about one partition could have come from a log that does one thing at a time, each between its
//! call and its answer: linearizability, by the search of [Wing and Gong](https://doi.org/10.1006/jpdc.1993.1015) with
//! the memory of [Lowe](https://www.cs.ox.ac.uk/people/gavin.lowe/LinearizabiltyTesting/). For short histories.

use std::{
    collections::{HashMap, HashSet},
    hash::{DefaultHasher, Hash as _, Hasher as _},
};

/// What a client did, with the answer it got.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// `offset`: where it was said to stand, or was found.
    Append { value: String, offset: Option<u64> },
    /// These values from `offset` on; none: the log ends there.
    Read { offset: u64, values: Vec<String> },
    /// The log ends here.
    End(u64),
}

/// `to`: when the answer came; `None` where none did, so that it may have been done at any time since, or never.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    pub from: u64,
    pub to: Option<u64>,
    pub step: Step,
}

/// Takes in what the log held at the end: an append without answer stands where it was found, or was never done.
pub fn resolve(calls: Vec<Call>, log: &[String]) -> Vec<Call> {
    let places: HashMap<&String, u64> = log.iter().zip(0..).collect();
    let known = |mut call: Call| match &mut call.step {
        Step::Append { value, offset } if call.to.is_none() => {
            *offset = Some(*places.get(value)?);
            Some(call)
        }
        // A question without answer asks nothing.
        Step::Read { .. } | Step::End(_) if call.to.is_none() => None,
        Step::Append { .. } | Step::Read { .. } | Step::End(_) => Some(call),
    };
    calls.into_iter().filter_map(known).collect()
}

/// An order of all calls that explains every answer: their numbers.
///
/// # Errors
/// There is none: the longest order that was found, and the calls that did not fit behind it.
pub fn explain(calls: &[Call]) -> Result<Vec<usize>, String> {
    let mut search = Search::new(calls);
    while search.unanswered > 0 {
        if !search.step() {
            return Err(search.failure());
        }
    }
    Ok(search.order)
}

/// A log, and how each step changes it.
#[derive(Debug, Default)]
struct Log {
    values: Vec<String>,
    /// A hash of the values up to each: the last one stands for them all.
    hashes: Vec<u64>,
}

impl Log {
    /// Does the step if its answer is the right one.
    fn take(&mut self, step: &Step) -> bool {
        let end = self.values.len() as u64;
        match step {
            Step::Append { value, offset } => {
                if offset.is_some_and(|offset| offset != end) {
                    return false;
                }
                let mut hasher = DefaultHasher::new();
                (self.hash(), value).hash(&mut hasher);
                self.hashes.push(hasher.finish());
                self.values.push(value.clone());
                true
            }
            Step::Read { offset, values } if values.is_empty() => *offset == end,
            Step::Read { offset, values } => {
                let from = usize::try_from(*offset).unwrap_or(usize::MAX);
                self.values.get(from..).is_some_and(|rest| rest.starts_with(values))
            }
            Step::End(said) => *said == end,
        }
    }

    fn undo(&mut self, step: &Step) {
        if matches!(step, Step::Append { .. }) {
            self.values.pop();
            self.hashes.pop();
        }
    }

    fn hash(&self) -> u64 {
        self.hashes.last().copied().unwrap_or(0)
    }
}

/// Calls and answers in the order of time, as a list that what is done is taken out of.
struct Search<'a> {
    calls: &'a [Call],
    /// Which call, and whether it is its answer.
    events: Vec<(usize, bool)>,
    /// Places of each call's call and answer in `events`.
    places: Vec<(usize, Option<usize>)>,
    /// The list: `next[events.len()]` is its head, and the end.
    next: Vec<usize>,
    before: Vec<usize>,
    at: usize,
    log: Log,
    order: Vec<usize>,
    done: Vec<u64>,
    seen: HashSet<(Vec<u64>, u64)>,
    unanswered: usize,
    longest: Vec<usize>,
}

impl<'a> Search<'a> {
    fn new(calls: &'a [Call]) -> Self {
        let of = |(i, call): (usize, &Call)| {
            [Some((call.from, false, i)), call.to.map(|to| (to, true, i))].into_iter().flatten()
        };
        let mut timed: Vec<_> = calls.iter().enumerate().flat_map(of).collect();
        // Of what happened at the same time, calls come first: then they may overlap.
        timed.sort_unstable();
        let events: Vec<(usize, bool)> = timed.into_iter().map(|(_, answer, i)| (i, answer)).collect();
        let mut places = vec![(0, None); calls.len()];
        for (place, (i, answer)) in events.iter().enumerate() {
            if *answer { places[*i].1 = Some(place) } else { places[*i].0 = place }
        }
        let head = events.len();
        let next: Vec<usize> = (1..=head).chain([0]).collect();
        let before: Vec<usize> = [head].into_iter().chain(0..head).collect();
        Self {
            calls,
            places,
            at: next[head],
            next,
            before,
            log: Log::default(),
            order: Vec::new(),
            done: vec![0; calls.len().div_ceil(64)],
            seen: HashSet::new(),
            unanswered: events.iter().filter(|(_, answer)| *answer).count(),
            longest: Vec::new(),
            events,
        }
    }

    /// Tries the call that is next; false when there is nothing left to try.
    fn step(&mut self) -> bool {
        let head = self.events.len();
        let Some(&(i, false)) = self.events.get(self.at) else {
            // Something that was answered has not been done, and nothing that could come before it helps.
            let Some(last) = self.order.pop() else { return false };
            self.log.undo(&self.calls[last].step);
            self.flip(last);
            self.put_back(last);
            self.at = self.next[self.places[last].0];
            return true;
        };
        if self.log.take(&self.calls[i].step) {
            self.flip(i);
            if self.seen.insert((self.done.clone(), self.log.hash())) {
                self.order.push(i);
                self.take_out(i);
                self.at = self.next[head];
                if self.order.len() > self.longest.len() {
                    self.longest.clone_from(&self.order);
                }
                return true;
            }
            self.flip(i);
            self.log.undo(&self.calls[i].step);
        }
        self.at = self.next[self.at];
        true
    }

    fn flip(&mut self, i: usize) {
        self.done[i / 64] ^= 1 << (i % 64);
    }

    fn take_out(&mut self, i: usize) {
        let (call, answer) = self.places[i];
        for place in [Some(call), answer].into_iter().flatten() {
            let (before, next) = (self.before[place], self.next[place]);
            (self.next[before], self.before[next]) = (next, before);
        }
        self.unanswered -= usize::from(answer.is_some());
    }

    fn put_back(&mut self, i: usize) {
        let (call, answer) = self.places[i];
        for place in [answer, Some(call)].into_iter().flatten() {
            let (before, next) = (self.before[place], self.next[place]);
            (self.next[before], self.before[next]) = (place, place);
        }
        self.unanswered += usize::from(answer.is_some());
    }

    fn failure(&self) -> String {
        let done: HashSet<usize> = self.longest.iter().copied().collect();
        let mut left: Vec<&Call> =
            self.calls.iter().enumerate().filter(|(i, _)| !done.contains(i)).map(|(_, call)| call).collect();
        left.sort_by_key(|call| call.to.unwrap_or(u64::MAX));
        let last: Vec<&Call> = self.longest.iter().rev().take(3).map(|i| &self.calls[*i]).collect();
        left.truncate(4);
        format!("no order explains the answers: {} calls fit, the last {last:?}; then {left:?}", done.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(from: u64, to: u64, step: Step) -> Call {
        Call { from, to: Some(to), step }
    }

    fn append(value: &str, offset: u64) -> Step {
        Step::Append { value: value.to_owned(), offset: Some(offset) }
    }

    fn read(offset: u64, values: &[&str]) -> Step {
        Step::Read { offset, values: values.iter().map(|value| (*value).to_owned()).collect() }
    }

    fn is_fine(calls: &[Call]) -> bool {
        explain(calls).is_ok()
    }

    #[test]
    fn calls_that_overlap_may_be_done_in_either_order() {
        let two = [call(0, 10, append("a", 1)), call(0, 10, append("b", 0))];
        assert_eq!(explain(&two), Ok(vec![1, 0]));
        let read_meanwhile =
            [call(0, 10, append("a", 0)), call(1, 2, read(0, &[])), call(3, 4, Step::End(1))];
        assert_eq!(explain(&read_meanwhile), Ok(vec![1, 0, 2]));
    }

    #[test]
    fn an_answer_older_than_one_that_was_given_fits_nowhere() {
        let ends = |said| [call(0, 1, append("a", 0)), call(2, 3, Step::End(said))];
        assert!(is_fine(&ends(1)));
        assert!(!is_fine(&ends(0)), "acknowledged, and then not there");
        assert!(
            !is_fine(&[call(0, 1, append("a", 0)), call(2, 3, read(0, &[]))]),
            "an empty answer is stale, too"
        );
        let back = [call(0, 9, append("a", 0)), call(1, 2, Step::End(1)), call(3, 4, Step::End(0))];
        assert!(!is_fine(&back), "one was told of it, another one later was not");
    }

    #[test]
    fn who_begins_after_an_answer_comes_behind() {
        let order = |first, second| [call(0, 1, append("a", first)), call(2, 3, append("b", second))];
        assert!(is_fine(&order(0, 1)));
        assert!(!is_fine(&order(1, 0)));
    }

    #[test]
    fn what_is_read_is_what_was_appended_there() {
        let with = |values: &[&str]| {
            [call(0, 1, append("a", 0)), call(1, 2, append("b", 1)), call(3, 4, read(0, values))]
        };
        assert!(is_fine(&with(&["a"])), "a page may end early");
        assert!(is_fine(&with(&["a", "b"])));
        for wrong in [&["b"][..], &["b", "a"], &["a", "c"], &["a", "b", "c"], &[]] {
            assert!(!is_fine(&with(wrong)), "{wrong:?}");
        }
        let gone = [call(0, 9, append("a", 0)), call(0, 9, append("b", 0)), call(1, 2, read(0, &["a"]))];
        assert!(!is_fine(&gone), "two at one offset");
    }

    #[test]
    fn what_had_no_answer_was_done_once_at_any_time_or_never() {
        let open = |value: &str| Call {
            from: 0,
            to: None,
            step: Step::Append { value: value.into(), offset: None },
        };
        let calls = vec![open("a"), open("lost"), call(1, 2, append("b", 0)), call(3, 4, append("c", 2))];
        let log = ["b", "a", "c"].map(str::to_owned);
        let mut resolved = resolve(calls, &log);
        assert_eq!(resolved.len(), 3);
        resolved.push(call(5, 6, read(0, &["b", "a", "c"])));
        assert_eq!(explain(&resolved), Ok(vec![1, 0, 2, 3]));
        resolved.push(call(5, 6, read(2, &["a"])));
        assert!(!is_fine(&resolved), "read at two places");
    }

    #[test]
    fn a_search_that_has_to_turn_back_ends() {
        // Seven appends at the same time without a known place, and a read that wants them in an order of its own.
        let open = |n: u64| Call {
            from: 0,
            to: Some(100),
            step: Step::Append { value: n.to_string(), offset: None },
        };
        let mut calls: Vec<Call> = (0..7).map(open).collect();
        let values: Vec<String> = (0..7).rev().map(|n| n.to_string()).collect();
        calls.push(call(101, 102, Step::Read { offset: 0, values }));
        assert!(is_fine(&calls));
        calls.push(call(101, 102, Step::End(6)));
        assert!(!is_fine(&calls));
    }
}
