//! Which members are reached, as an operator is told: a line where that changes, not one for each lane and attempt.

use std::collections::HashMap;
use std::time::Duration;

use parking_lot::Mutex;

use crate::raft::RaftId;

/// A node that starts, or starts again, is not reached for so long: that is nothing to warn of.
const PATIENCE: Duration = Duration::from_secs(2);
/// Another reason is told at the earliest after that time.
const AGAIN: Duration = Duration::from_secs(30);

#[derive(Debug, Default)]
pub(super) struct Reach(Mutex<HashMap<RaftId, State>>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    Reached,
    Failing {
        since: Duration,
    },
    /// So an operator was told, and why.
    Lost {
        told: Duration,
        reason: String,
    },
}

/// What there is to tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum News {
    None,
    /// For the first time, or after it was told to be lost.
    Reached,
    Lost,
}

impl Reach {
    /// A connection to that member is open.
    pub(super) fn opened(&self, to: RaftId) -> News {
        match self.0.lock().insert(to, State::Reached) {
            Some(State::Reached | State::Failing { .. }) => News::None,
            None | Some(State::Lost { .. }) => News::Reached,
        }
    }

    /// An attempt to connect has failed at `now`.
    pub(super) fn failed(&self, to: RaftId, reason: &str, now: Duration) -> News {
        let mut states = self.0.lock();
        let state = states.entry(to).or_insert(State::Failing { since: now });
        let tell = match &*state {
            State::Reached => {
                *state = State::Failing { since: now };
                return News::None;
            }
            State::Failing { since } => now.saturating_sub(*since) >= PATIENCE,
            State::Lost { told, reason: known } => known != reason && now.saturating_sub(*told) >= AGAIN,
        };
        if !tell {
            return News::None;
        }
        *state = State::Lost { told: now, reason: reason.to_owned() };
        News::Lost
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_operator_is_told_once_of_what_lasts() {
        let (reach, at) = (Reach::default(), Duration::from_millis);
        assert_eq!(reach.failed(1, "refused", at(0)), News::None, "it may be starting");
        assert_eq!((reach.opened(1), reach.opened(1)), (News::None, News::None));
        assert_eq!(reach.failed(1, "refused", at(10_000)), News::None, "it may be starting again");
        assert_eq!(reach.failed(1, "refused", at(11_000)), News::None);
        assert_eq!(reach.failed(1, "refused", at(12_000)), News::Lost);
        assert_eq!(reach.failed(1, "refused", at(99_000)), News::None);
        assert_eq!(reach.failed(1, "wrong cluster", at(99_001)), News::Lost);
        assert_eq!(reach.failed(1, "refused", at(99_002)), News::None, "two reasons take turns");
        assert_eq!((reach.opened(1), reach.opened(2)), (News::Reached, News::Reached));
    }
}
