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
    /// Sent, and not told to the state machine, which then would send the next.
    held: Option<(SentRange, Millis)>,
}

impl Flow {
    pub(super) fn new(window: usize, patience: Millis) -> Self {
        Self { window, patience, followers: BTreeMap::new() }
    }

    /// A range has left; returns it where the next may follow at once.
    pub(super) fn sent(&mut self, now: Millis, range: SentRange) -> Option<SentRange> {
        let fresh = || Sent { stream: range.stream, ranges: VecDeque::new(), bytes: 0, held: None };
        let sent = self.followers.entry(range.to).or_insert_with(fresh);
        if sent.stream != range.stream {
            *sent = fresh();
        }
        sent.ranges.push_back((range.until, range.bytes));
        sent.bytes += range.bytes;
        if sent.bytes <= self.window {
            return Some(range);
        }
        sent.held = Some((range, now));
        None
    }

    /// The follower has everything below `end`; returns what was held back for that.
    pub(super) fn acknowledged(
        &mut self,
        from: BrokerId,
        stream: StreamId,
        end: Offset,
    ) -> Option<SentRange> {
        let sent = self.followers.get_mut(&from).filter(|sent| sent.stream == stream)?;
        while let Some((until, bytes)) = sent.ranges.front().copied()
            && until <= end
        {
            sent.bytes -= bytes;
            sent.ranges.pop_front();
        }
        if sent.bytes > self.window {
            return None;
        }
        sent.held.take().map(|(range, _since)| range)
    }

    /// What was held back for too long.
    pub(super) fn expired(&mut self, now: Millis) -> Vec<SentRange> {
        let patience = self.patience;
        let give_up = |sent: &mut Sent| {
            let (range, _) = sent.held.take_if(|(_, since)| now.saturating_sub(*since) >= patience)?;
            sent.bytes = 0;
            sent.ranges.clear();
            Some(range)
        };
        self.followers.values_mut().filter_map(give_up).collect()
    }

    /// Whether anything is held back.
    pub(super) fn is_holding(&self) -> bool {
        self.followers.values().any(|sent| sent.held.is_some())
    }

    /// A new term: nothing of the old one counts.
    pub(super) fn clear(&mut self) {
        self.followers.clear();
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
        assert!(flow.acknowledged(BrokerId(2), stream, Offset(9)).is_none(), "not all of the first");
        let next = flow.acknowledged(BrokerId(2), stream, Offset(10)).unwrap();
        assert_eq!((next.first, flow.is_holding()), (Offset(10), false));
        assert!(flow.acknowledged(BrokerId(2), stream, Offset(20)).is_none(), "told once");
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
