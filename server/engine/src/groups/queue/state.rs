//! What may happen to one record in a group, as functions: record and event in, what is to be written out.
//!
//! ```text
//!                  acquire                    accept
//! (untouched) ───────────────► Locked ─────────────────────► (settled)
//!      │                       ▲    │ fail, lock ends
//!      │ fail                  │    ▼               too often, or rejected          moved
//!      └──────────────────► Waiting (until it is due) ───────────────► Doomed ───────────► (settled)
//! ```
//!
//! A group's records below its committed offset are settled but for those that are kept here, and none above is but for those
//! that are kept as `Settled`. Nothing here waits, writes or looks at a clock (docs/adr/0008-queues-and-dead-letters.md).

use std::sync::Arc;
use std::time::Duration;

use flymq_types::{Timestamp, TopicName};

/// How often and when a record that failed is redelivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Redeliveries before it goes to the dead letters; none: without end.
    pub max_retries: Option<u32>,
    /// Before the first redelivery, ms.
    pub delay_ms: u32,
    /// Each further wait is so much longer, hundredths.
    pub backoff_percent: u32,
    /// The longest wait, ms.
    pub max_delay_ms: u32,
}

/// Why a record goes where it goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// It failed too often.
    Retries,
    /// Its reader rejected it.
    Rejected,
    /// It is a dead letter that goes back to where it came from.
    Replay,
}

/// All that is kept of one record of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Delivery {
    /// Of the record; the id in the key decides.
    pub topic: TopicName,
    pub phase: Phase,
    /// So often it has failed.
    pub attempts: u32,
    /// The hash of its key, where it has one.
    pub key: Option<u32>,
    pub first_failed: Timestamp,
    pub last_failed: Timestamp,
    pub cause: Cause,
    /// What was said of its last failure.
    pub error: Arc<str>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Handed out from then on.
    Waiting { from: Timestamp },
    /// One reader has it, until then.
    Locked { until: Timestamp, member: Arc<str> },
    /// On its way to another topic; in the transaction of that producer id and epoch, where one has begun.
    Doomed { by: Option<(u64, u16)> },
    /// Over, although the committed offset has not passed it.
    Settled,
}

/// What is done to a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Act {
    Accept,
    Fail {
        policy: RetryPolicy,
        error: Arc<str>,
    },
    Reject {
        error: Arc<str>,
    },
    Release,
    /// Held for so long from now.
    Extend(Duration),
}

/// Why nothing is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotHeld {
    /// Another member has it.
    ByAnother,
    /// Nobody has it.
    Nobody,
    /// It is acknowledged, or committed past.
    Settled,
    /// It is in the dead letters, or on its way there.
    Dead,
}

/// What becomes of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fate {
    Unchanged,
    Kept(Delivery),
    Over,
}

/// So long after `now`.
pub(crate) fn after(now: Timestamp, time: Duration) -> Timestamp {
    Timestamp(now.0.saturating_add(i64::try_from(time.as_millis()).unwrap_or(i64::MAX)))
}

impl RetryPolicy {
    /// Each wait is twice as long as the one before.
    pub const DOUBLED: u32 = 200;
    /// No wait is longer where nothing is said, ms.
    pub const LONGEST_MS: u32 = 600_000;

    /// The wait after so many failures, ms: longer with each, and bounded.
    pub(crate) fn delay_ms(&self, attempts: u32) -> u64 {
        let most = u64::from(self.max_delay_ms);
        let mut wait = u64::from(self.delay_ms).min(most);
        // Where it grows it is at its bound after some hundred failures.
        for _ in 1..attempts.min(5_000) {
            let longer = (wait * u64::from(self.backoff_percent) / 100).min(most);
            if longer == wait {
                break;
            }
            wait = longer;
        }
        wait
    }

    fn is_over(&self, attempts: u32) -> bool {
        self.max_retries.is_some_and(|most| attempts > most)
    }
}

impl Delivery {
    /// A record that nothing has happened to.
    pub fn untouched(topic: &TopicName, key: Option<u32>, now: Timestamp) -> Self {
        Self {
            topic: topic.clone(),
            phase: Phase::Waiting { from: now },
            attempts: 0,
            key,
            first_failed: Timestamp(0),
            last_failed: Timestamp(0),
            cause: Cause::Retries,
            error: "".into(),
        }
    }

    /// Still to be processed or moved.
    pub fn is_open(&self) -> bool {
        self.phase != Phase::Settled
    }

    /// Nobody has it, and it is to be processed again.
    pub fn waits(&self) -> bool {
        matches!(self.phase, Phase::Waiting { .. })
    }

    /// To be moved.
    pub fn is_doomed(&self) -> bool {
        matches!(self.phase, Phase::Doomed { .. })
    }

    /// After one more failure.
    pub fn failed(&self, policy: &RetryPolicy, error: Arc<str>, now: Timestamp) -> Self {
        let attempts = self.attempts.saturating_add(1);
        let wait = Duration::from_millis(policy.delay_ms(attempts));
        let phase = match policy.is_over(attempts) {
            true => Phase::Doomed { by: None },
            false => Phase::Waiting { from: after(now, wait) },
        };
        Self { phase, attempts, cause: Cause::Retries, error, ..self.failing(now) }
    }

    fn failing(&self, now: Timestamp) -> Self {
        let first_failed = if self.first_failed.0 == 0 { now } else { self.first_failed };
        Self { first_failed, last_failed: now, ..self.clone() }
    }

    fn rejected(&self, error: Arc<str>, now: Timestamp) -> Self {
        let attempts = self.attempts.saturating_add(1);
        let phase = Phase::Doomed { by: None };
        Self { phase, attempts, cause: Cause::Rejected, error, ..self.failing(now) }
    }

    /// What the act of `by` makes of it.
    pub fn act(&self, by: &str, act: &Act, now: Timestamp) -> Result<Fate, NotHeld> {
        let fails = matches!(act, Act::Fail { .. } | Act::Reject { .. });
        match (&self.phase, act) {
            // Also an acceptance: it may have ended otherwise.
            (Phase::Settled, _) if cfg!(mutant = "queue_answers_twice") => {}
            (Phase::Settled, _) => return Err(NotHeld::Settled),
            // Asked again; that it moves is seen to.
            (Phase::Doomed { .. }, _) if fails => return Ok(Fate::Unchanged),
            (Phase::Doomed { .. }, _) => return Err(NotHeld::Dead),
            (Phase::Locked { member, .. }, _)
                if **member != *by && !cfg!(mutant = "queue_strangers_answer_taken") =>
            {
                return Err(NotHeld::ByAnother);
            }
            (Phase::Waiting { .. }, Act::Release | Act::Extend(_)) => return Err(NotHeld::Nobody),
            // A reader that tried again by itself may say how it went.
            (Phase::Locked { .. } | Phase::Waiting { .. }, _) => {}
        }
        Ok(match act {
            Act::Accept => Fate::Over,
            Act::Fail { policy, error } => Fate::Kept(self.failed(policy, error.clone(), now)),
            Act::Reject { error } => Fate::Kept(self.rejected(error.clone(), now)),
            Act::Release => Fate::Kept(Self { phase: Phase::Waiting { from: now }, ..self.clone() }),
            Act::Extend(time) => {
                let phase = Phase::Locked { until: after(now, *time), member: by.into() };
                Fate::Kept(Self { phase, ..self.clone() })
            }
        })
    }

    /// The same for a record of which nothing is kept; `passed`: the committed offset has passed it.
    pub fn first_act(
        (topic, key): (&TopicName, Option<u32>),
        passed: bool,
        act: &Act,
        now: Timestamp,
    ) -> Result<Fate, NotHeld> {
        match act {
            _ if passed => Err(NotHeld::Settled),
            Act::Accept => Ok(Fate::Over),
            Act::Release | Act::Extend(_) => Err(NotHeld::Nobody),
            Act::Fail { policy, error } => {
                let first = Self::untouched(topic, key, now);
                Ok(Fate::Kept(first.failed(policy, error.clone(), now)))
            }
            Act::Reject { error } => {
                Ok(Fate::Kept(Self::untouched(topic, key, now).rejected(error.clone(), now)))
            }
        }
    }

    /// After its move, `committed` or not.
    pub fn moved(&self, committed: bool) -> Fate {
        match (committed, self.cause) {
            (true, _) => Fate::Over,
            // It is a dead letter still.
            (false, Cause::Replay) => Fate::Over,
            (false, _) if cfg!(mutant = "queue_aborted_move_forgets") => Fate::Over,
            (false, Cause::Retries | Cause::Rejected) => {
                Fate::Kept(Self { phase: Phase::Doomed { by: None }, ..self.clone() })
            }
        }
    }
}
