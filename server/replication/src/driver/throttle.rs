//! How fast this node sends to replicas that reassignments add (KIP-73).

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};

use super::mail::SentRange;
use crate::replica::Millis;

/// One schedule for all throttled replicas of a node: who sends books the time that its bytes take at its rate, behind all
/// that is booked. So partitions with the same rate share it, whatever their number.
#[derive(Debug, Default)]
pub(super) struct Throttle {
    /// When all that is booked will have been sent, microseconds on the clock of the set.
    booked: AtomicU64,
}

impl Throttle {
    /// Books `bytes` at `rate` bytes per second, more than 0; when the next may follow.
    pub(super) fn book(&self, now: Millis, bytes: usize, rate: u64) -> Millis {
        let now = now.saturating_mul(1_000);
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        let takes = bytes.saturating_mul(1_000_000) / rate.max(1);
        let after = |booked: u64| booked.max(now).saturating_add(takes);
        let before =
            self.booked.fetch_update(Ordering::AcqRel, Ordering::Acquire, |booked| Some(after(booked)));
        // Never an error: the closure always gives a value.
        after(before.unwrap_or(now)) / 1_000
    }

    /// There is another rate: what was booked at the old one counts no more.
    pub(super) fn forget(&self) {
        self.booked.store(0, Ordering::Release);
    }
}

/// Ranges that were sent ahead of their time: the state machine is told of them when it has come, and sends the next.
#[derive(Debug, Default)]
pub(super) struct Ahead(VecDeque<SentRange>);

impl Ahead {
    /// Takes a range that may not be followed before `now` plus one tick; returns any other.
    pub(super) fn hold(&mut self, now: Millis, tick: Millis, range: SentRange) -> Option<SentRange> {
        if range.not_before <= now + tick {
            return Some(range);
        }
        self.0.push_back(range);
        None
    }

    /// Those whose time has come.
    pub(super) fn due(&mut self, now: Millis, tick: Millis) -> Vec<SentRange> {
        let (due, held) = self.0.drain(..).partition(|range: &SentRange| range.not_before <= now + tick);
        self.0 = held;
        due.into()
    }

    pub(super) fn is_holding(&self) -> bool {
        !self.0.is_empty()
    }

    /// A new term: nothing of the old one counts.
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::replica::{BrokerId, StreamId};
    use flymq_types::Offset;

    #[test]
    fn bytes_take_their_time_whoever_sends_them_and_idle_time_is_not_saved_up() {
        let throttle = Throttle::default();
        assert_eq!(throttle.book(1_000, 500, 1_000), 1_500);
        assert_eq!(throttle.book(1_000, 500, 1_000), 2_000, "behind what is booked");
        assert_eq!(throttle.book(9_000, 500, 1_000), 9_500, "nothing of the quiet time counts");
        assert_eq!(throttle.book(9_000, usize::MAX, 1), u64::MAX / 1_000, "no overflow");
    }

    #[test]
    fn what_is_ahead_of_its_time_waits_for_the_last_tick_before_it() {
        let range = |not_before| SentRange {
            to: BrokerId(2),
            stream: StreamId::default(),
            first: Offset(0),
            until: Offset(1),
            bytes: 1,
            not_before,
        };
        let mut ahead = Ahead::default();
        assert!(ahead.hold(100, 50, range(150)).is_some() && !ahead.is_holding());
        assert!(ahead.hold(100, 50, range(151)).is_none() && ahead.is_holding());
        assert!(ahead.due(100, 50).is_empty());
        assert_eq!(ahead.due(101, 50).len(), 1);
        assert!(!ahead.is_holding());
    }
}
