//! When to try again, and how long to wait before.

use std::time::Duration;

use rand::Rng as _;

use crate::{ClientError, pb::ErrorCode};

/// Longest wait between two attempts.
const MAX_BACKOFF: Duration = Duration::from_secs(10);
/// Waits for another node to take over: the first, and the longest.
const TAKE_OVER: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));

/// How often and how far apart a request is repeated.
#[derive(Debug, Clone, Copy)]
struct RetryPolicy {
    max_retries: u32,
    backoff: Duration,
}

/// The repeats of one request so far.
#[derive(Debug)]
pub(crate) struct Retries {
    policy: RetryPolicy,
    failed: u32,
    /// Failures that another node may end; they are not counted against the bound.
    moving: u32,
}

impl Retries {
    pub(crate) fn new(max_retries: u32, backoff: Duration) -> Self {
        Self { policy: RetryPolicy { max_retries, backoff }, failed: 0, moving: 0 }
    }

    /// The wait before the next attempt after one that failed; `None`: give up.
    ///
    /// `others`: there are other nodes that may answer soon, if this one does not.
    pub(crate) fn after(&mut self, error: &ClientError, idempotent: bool, others: bool) -> Option<Duration> {
        if !is_safe(error, idempotent) {
            return None;
        }
        if moves(error, others) {
            self.moving += 1;
            return Some(jittered(doubled(TAKE_OVER.0, self.moving).min(TAKE_OVER.1)));
        }
        self.failed += 1;
        self.policy.next(self.failed)
    }
}

/// Whether a repeat does no harm. A request that may have taken effect is repeated only when a repeat leaves the same state
/// (`idempotent`).
fn is_safe(error: &ClientError, idempotent: bool) -> bool {
    error.retryable && (idempotent || !error.side_effects)
}

/// Whether the failure ends when another node takes over.
fn moves(error: &ClientError, others: bool) -> bool {
    let away = matches!(error.code, ErrorCode::Connection | ErrorCode::Unavailable);
    // A leader that was replaced before the record was everywhere says so with its epoch.
    let replaced = error.code == ErrorCode::Timeout && error.metadata.contains_key("leader_epoch");
    error.code == ErrorCode::NotLeader || away && others || replaced
}

fn doubled(first: Duration, attempt: u32) -> Duration {
    first.saturating_mul(1 << (attempt - 1).min(16))
}

fn jittered(wait: Duration) -> Duration {
    wait.mul_f64(rand::rng().random_range(0.5..=1.0))
}

impl RetryPolicy {
    /// The wait before attempt number `attempt` (1 = the first repeat); `None`: give up.
    fn next(&self, attempt: u32) -> Option<Duration> {
        (attempt <= self.max_retries).then(|| jittered(doubled(self.backoff, attempt).min(MAX_BACKOFF)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn retries() -> Retries {
        Retries::new(2, Duration::from_millis(100))
    }

    #[test]
    fn what_may_have_taken_effect_is_repeated_only_when_idempotent() {
        let lost = ClientError::broken("a:1", "reset");
        assert_eq!(retries().after(&lost, false, false), None);
        let mut counted = retries();
        assert!(counted.after(&lost, true, false).is_some() && counted.after(&lost, true, false).is_some());
        assert_eq!(counted.after(&lost, true, false), None, "two repeats only");
        let overloaded = ClientError::new(ErrorCode::Overloaded, "busy");
        assert!(retries().after(&overloaded, false, false).is_some());
        assert_eq!(retries().after(&ClientError::invalid("no"), true, true), None);
    }

    #[test]
    fn waits_grow_and_stay_bounded() {
        let policy = RetryPolicy { max_retries: 100, backoff: Duration::from_millis(100) };
        let first = policy.next(1).expect("repeats");
        assert!(first >= Duration::from_millis(50) && first <= Duration::from_millis(100));
        assert!(policy.next(60).expect("repeats") <= MAX_BACKOFF);
    }

    #[test]
    fn a_request_waits_as_long_as_it_takes_for_another_node() {
        let mut moving = retries();
        let not_leader = ClientError::new(ErrorCode::NotLeader, "moved");
        let first = moving.after(&not_leader, false, false).expect("repeats");
        assert!(first <= TAKE_OVER.0);
        let away = ClientError::broken("a:1", "reset").unsent();
        for _ in 0..100 {
            assert!(moving.after(&away, false, true).expect("others are known") <= TAKE_OVER.1);
        }
        assert!(
            moving.after(&ClientError::broken("a:1", "reset"), false, true).is_none(),
            "it may be stored"
        );
        let replaced = ClientError::new(ErrorCode::Timeout, "the leader changed").with("leader_epoch", 3);
        assert!(moving.after(&replaced, true, false).expect("the next leader answers") <= TAKE_OVER.1);
        assert!(moving.after(&replaced, false, false).is_none(), "it may be stored");
        // Busy is counted as ever.
        let busy = ClientError::new(ErrorCode::Overloaded, "busy");
        assert!(moving.after(&busy, true, true).is_some() && moving.after(&busy, true, true).is_some());
        assert_eq!(moving.after(&busy, true, true), None);
    }
}
