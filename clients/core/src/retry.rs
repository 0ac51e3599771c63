//! When to try again, and how long to wait before.

use std::time::Duration;

use rand::Rng as _;

use crate::ClientError;

/// Longest wait between two attempts.
const MAX_BACKOFF: Duration = Duration::from_secs(10);

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
}

impl Retries {
    pub(crate) fn new(max_retries: u32, backoff: Duration) -> Self {
        Self { policy: RetryPolicy { max_retries, backoff }, failed: 0 }
    }

    /// The wait before the next attempt after one that failed; `None`: give up.
    pub(crate) fn after(&mut self, error: &ClientError, idempotent: bool) -> Option<Duration> {
        self.failed += 1;
        self.policy.next(self.failed, error, idempotent)
    }
}

impl RetryPolicy {
    /// The wait before attempt number `attempt` (1 = the first repeat); `None`: give up.
    ///
    /// A request that may have taken effect is repeated only when a repeat leaves the same state (`idempotent`).
    fn next(&self, attempt: u32, error: &ClientError, idempotent: bool) -> Option<Duration> {
        let safe = idempotent || !error.side_effects;
        if attempt > self.max_retries || !error.retryable || !safe {
            return None;
        }
        Some(self.wait(attempt))
    }

    fn wait(&self, attempt: u32) -> Duration {
        let doubled = self.backoff.saturating_mul(1 << (attempt - 1).min(16)).min(MAX_BACKOFF);
        doubled.mul_f64(rand::rng().random_range(0.5..=1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pb::ErrorCode;

    #[test]
    fn what_may_have_taken_effect_is_repeated_only_when_idempotent() {
        let policy = RetryPolicy { max_retries: 2, backoff: Duration::from_millis(100) };
        let lost = ClientError::broken("a:1", "reset");
        assert!(policy.next(1, &lost, true).is_some());
        assert_eq!(policy.next(1, &lost, false), None);
        assert_eq!(policy.next(3, &lost, true), None, "two repeats only");
        let overloaded = ClientError::new(ErrorCode::Overloaded, "busy");
        assert!(policy.next(1, &overloaded, false).is_some());
        assert_eq!(policy.next(1, &ClientError::invalid("no"), true), None);
    }

    #[test]
    fn waits_grow_and_stay_bounded() {
        let policy = RetryPolicy { max_retries: 100, backoff: Duration::from_millis(100) };
        let busy = ClientError::new(ErrorCode::Overloaded, "busy");
        let first = policy.next(1, &busy, true).expect("repeats");
        assert!(first >= Duration::from_millis(50) && first <= Duration::from_millis(100));
        assert!(policy.next(60, &busy, true).expect("repeats") <= MAX_BACKOFF);
    }
}
