//! How much is on its way to each follower, in bytes: the state machine counts records, which may be large.

use std::collections::{BTreeMap, VecDeque};

use flymq_types::Offset;

use super::mail::SentRange;
use crate::replica::{BrokerId, Millis, StreamId};

/// Ranges sent to followers and not acknowledged.
#[derive(Debug)]
pub(super) struct Flow {
    window: usize,
    /// What is held back goes on after so long without an ack: it may be that the ranges were lost.
    patience: Millis,
    followers: BTreeMap<BrokerId, Sent>,
}

#[derive(Debug)]
struct Sent {
    stream: StreamId,
    ranges: VecDeque<(Offset, usize)>,
    bytes: usize,
    /// Sent, and not told to the state machine, which then would send the next. Of several it waits for one; which one, only
    /// it knows: what went another way may come back in another order.
    held: Vec<(SentRange, Millis)>,
}

impl Flow {
    pub(super) fn new(window: usize, patience: Millis) -> Self {
        Self { window, patience, followers: BTreeMap::new() }
    }

    /// A range has left; returns it where the next may follow at once.
    pub(super) fn sent(&mut self, now: Millis, range: SentRange) -> Option<SentRange> {
        let fresh = || Sent { stream: range.stream, ranges: VecDeque::new(), bytes: 0, held: Vec::new() };
        let sent = self.followers.entry(range.to).or_insert_with(fresh);
        if sent.stream != range.stream {
            *sent = fresh();
        }
        sent.ranges.push_back((range.until, range.bytes));
        sent.bytes += range.bytes;
        if sent.bytes <= self.window {
            return Some(range);
        }
        sent.held.push((range, now));
        None
    }

    /// The follower has everything below `end`; returns what was held back for that.
    pub(super) fn acknowledged(&mut self, from: BrokerId, stream: StreamId, end: Offset) -> Vec<SentRange> {
        let sent = self.followers.get_mut(&from).filter(|sent| sent.stream == stream);
        let Some(sent) = sent else { return Vec::new() };
        while let Some((until, bytes)) = sent.ranges.front().copied()
            && until <= end
        {
            sent.bytes -= bytes;
            sent.ranges.pop_front();
        }
        if sent.bytes > self.window { Vec::new() } else { sent.let_go() }
    }

    /// The follower asks for what was sent already, so that it does not count any more; returns what was held back for it.
    pub(super) fn asked_again(&mut self, from: BrokerId, stream: StreamId) -> Vec<SentRange> {
        let sent = self.followers.get_mut(&from).filter(|sent| sent.stream == stream);
        sent.map_or_else(Vec::new, Sent::give_up)
    }

    /// What was held back for too long.
    pub(super) fn expired(&mut self, now: Millis) -> Vec<SentRange> {
        let patience = self.patience;
        let is_late = |sent: &&mut Sent| {
            sent.held.first().is_some_and(|(_, since)| now.saturating_sub(*since) >= patience)
        };
        self.followers.values_mut().filter(is_late).flat_map(Sent::give_up).collect()
    }

    /// Whether anything is held back.
    pub(super) fn is_holding(&self) -> bool {
        self.followers.values().any(|sent| !sent.held.is_empty())
    }

    /// A new term: nothing of the old one counts.
    pub(super) fn clear(&mut self) {
        self.followers.clear();
    }
}

impl Sent {
    fn let_go(&mut self) -> Vec<SentRange> {
        self.held.drain(..).map(|(range, _since)| range).collect()
    }

    fn give_up(&mut self) -> Vec<SentRange> {
        self.bytes = 0;
        self.ranges.clear();
        self.let_go()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(number: u32, first: u64, bytes: usize) -> SentRange {
        let stream = StreamId { number, ..StreamId::default() };
        SentRange {
            to: BrokerId(2),
            stream,
            first: Offset(first),
            until: Offset(first + 10),
            bytes,
            not_before: 0,
        }
    }

    #[test]
    fn what_is_above_the_window_waits_for_an_ack() {
        let mut flow = Flow::new(100, 1_000);
        assert!(flow.sent(0, range(1, 0, 60)).is_some());
        assert!(flow.sent(0, range(1, 10, 60)).is_none() && flow.is_holding());
        let stream = range(1, 0, 0).stream;
        assert!(flow.acknowledged(BrokerId(2), stream, Offset(9)).is_empty(), "not all of the first");
        let next = flow.acknowledged(BrokerId(2), stream, Offset(10));
        assert_eq!((next[0].first, next.len(), flow.is_holding()), (Offset(10), 1, false));
        assert!(flow.acknowledged(BrokerId(2), stream, Offset(20)).is_empty(), "told once");
    }

    #[test]
    fn nothing_that_is_held_back_is_forgotten_for_what_comes_after_it() {
        // The follower has asked again: the range at 5 left on the fast lane before the one at 20 had left on the slow one.
        for give_up in [false, true] {
            let mut flow = Flow::new(100, 1_000);
            assert!(flow.sent(0, range(1, 0, 90)).is_some());
            assert!(flow.sent(1, range(1, 5, 90)).is_none() && flow.sent(2, range(1, 20, 90)).is_none());
            let stream = range(1, 0, 0).stream;
            let told = if give_up {
                flow.expired(1_001)
            } else {
                flow.acknowledged(BrokerId(2), stream, Offset(15))
            };
            let firsts: Vec<_> = told.iter().map(|range| range.first.0).collect();
            assert_eq!(firsts, [5, 20], "the state machine may wait for either");
        }
    }

    #[test]
    fn what_is_asked_for_again_does_not_count_twice() {
        let mut flow = Flow::new(100, 1_000);
        assert!(flow.sent(0, range(1, 0, 101)).is_none());
        let stream = range(1, 0, 0).stream;
        assert!(flow.asked_again(BrokerId(3), stream).is_empty() && flow.is_holding(), "another follower");
        assert_eq!(flow.asked_again(BrokerId(2), stream).len(), 1);
        assert!(flow.sent(0, range(1, 0, 90)).is_some());
    }

    #[test]
    fn a_lost_range_holds_nothing_up_for_ever_and_a_new_stream_begins_anew() {
        let mut flow = Flow::new(100, 1_000);
        assert!(flow.sent(0, range(1, 0, 101)).is_none());
        assert!(flow.expired(999).is_empty());
        assert_eq!(flow.expired(1_000).len(), 1);
        assert!(flow.sent(1_000, range(1, 10, 90)).is_some(), "what was lost is not counted");
        assert!(flow.sent(1_000, range(1, 20, 90)).is_none());
        assert!(flow.sent(1_000, range(2, 0, 90)).is_some());
    }
}
