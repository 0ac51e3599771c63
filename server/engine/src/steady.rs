//! The time that decides over the end of records.
//!
//! Wall clocks jump: a time server corrects them, an administrator mistypes a year, a virtual machine wakes up. What is
//! deleted does not come back when the clock does, so a clock that has jumped is believed only after a while.

use std::{
    sync::Arc,
    sync::atomic::{AtomicBool, AtomicI64, Ordering},
    time::Duration,
};

use flymq_types::{Clock, Timestamp};
use parking_lot::Mutex;

/// A difference that a clock may have gained since the last look without having jumped, ms.
const TOLERANCE_MS: i64 = 10_000;
/// A clock that has jumped and goes on evenly from there is believed after so long.
const BELIEVE: Duration = Duration::from_secs(60 * 60);
/// The log says that often that a clock jumps.
const SAY: Duration = Duration::from_secs(60);

/// Wall-clock time for retention and expiry: where the wall clock jumps, this one goes on evenly for an hour before it
/// follows. Records live longer by that, never shorter.
#[derive(Debug)]
pub(crate) struct SteadyClock {
    clock: Arc<dyn Clock>,
    /// Wall time less monotonic time that is believed, ms.
    believed: AtomicI64,
    /// The wall clock was last seen elsewhere.
    away: AtomicBool,
    jump: Mutex<Jump>,
}

#[derive(Debug, Default)]
struct Jump {
    /// Where the clock is now, and since when on the monotonic clock; none while it has not jumped.
    to: Option<(i64, Duration)>,
    said: Option<Duration>,
}

impl SteadyClock {
    /// Believes the wall clock as it is now.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        let believed = difference(clock.wall(), clock.monotonic());
        Self {
            clock,
            believed: AtomicI64::new(believed),
            away: AtomicBool::new(false),
            jump: Mutex::default(),
        }
    }

    /// The time that a record has to be as old as to go.
    pub fn now(&self) -> Timestamp {
        let (wall, monotonic) = (self.clock.wall(), self.clock.monotonic());
        let (there, believed) = (difference(wall, monotonic), self.believed.load(Ordering::Relaxed));
        if is_near(there, believed) {
            // Followed as it drifts, so that small steps do not add up to a jump.
            if there != believed {
                self.believed.store(there, Ordering::Relaxed);
            }
            if self.away.load(Ordering::Relaxed) {
                self.came_back();
            }
            return wall;
        }
        self.jumped(there, believed, monotonic)
    }

    #[cold]
    fn came_back(&self) {
        let mut jump = self.jump.lock();
        jump.to = None;
        self.away.store(false, Ordering::Relaxed);
    }

    #[cold]
    fn jumped(&self, there: i64, believed: i64, monotonic: Duration) -> Timestamp {
        let mut jump = self.jump.lock();
        self.away.store(true, Ordering::Relaxed);
        let since = match jump.to {
            Some((before, since)) if is_near(there, before) => since,
            Some(_) | None => monotonic,
        };
        jump.to = Some((there, since));
        let by_ms = there.saturating_sub(believed);
        if monotonic.saturating_sub(since) >= BELIEVE {
            jump.to = None;
            self.believed.store(there, Ordering::Relaxed);
            tracing::warn!(by_ms, "the wall clock has stayed where it jumped to: records end by it again");
            return time(there, monotonic);
        }
        if jump.said.is_none_or(|said| monotonic.saturating_sub(said) >= SAY) {
            jump.said = Some(monotonic);
            tracing::warn!(
                by_ms,
                "the wall clock has jumped: for an hour, records end by retention and expiry as if it had not"
            );
        }
        time(believed, monotonic)
    }
}

fn is_near(a: i64, b: i64) -> bool {
    a.abs_diff(b) <= TOLERANCE_MS.unsigned_abs()
}

fn difference(wall: Timestamp, monotonic: Duration) -> i64 {
    wall.as_millis().saturating_sub(millis(monotonic))
}

fn time(difference: i64, monotonic: Duration) -> Timestamp {
    Timestamp(difference.saturating_add(millis(monotonic)))
}

fn millis(monotonic: Duration) -> i64 {
    i64::try_from(monotonic.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use flymq_types::ManualClock;

    use super::*;

    const NOON: i64 = 1_700_000_000_000;
    const YEAR: i64 = 365 * 24 * 3_600_000;

    fn clocks() -> (Arc<ManualClock>, SteadyClock) {
        let manual = Arc::new(ManualClock::new(Timestamp(NOON)));
        let steady = SteadyClock::new(manual.clone());
        (manual, steady)
    }

    #[test]
    fn a_jump_is_not_followed_before_an_hour_is_over() {
        for jump in [YEAR, -YEAR, 3_600_000, -3_600_000] {
            let (manual, steady) = clocks();
            manual.set_wall(Timestamp(NOON + jump));
            assert_eq!(steady.now(), Timestamp(NOON));
            manual.advance(BELIEVE - Duration::from_millis(1));
            assert_eq!(steady.now(), Timestamp(NOON + 3_599_999));
            manual.advance(Duration::from_millis(1));
            assert_eq!(steady.now(), Timestamp(NOON + jump + 3_600_000));
        }
    }

    #[test]
    fn a_clock_that_comes_back_was_never_followed() {
        let (manual, steady) = clocks();
        for away in 0..200 {
            manual.set_wall(Timestamp(NOON + away * 60_000 + YEAR));
            assert_eq!(steady.now(), Timestamp(NOON + away * 60_000));
            manual.set_wall(Timestamp(NOON + away * 60_000));
            assert_eq!(steady.now(), manual.wall());
            manual.advance(Duration::from_secs(60));
        }
        // Each time away is a jump of its own, however long they last together.
        manual.set_wall(Timestamp(NOON + 200 * 60_000 + YEAR));
        assert_eq!(steady.now(), Timestamp(NOON + 200 * 60_000));
    }

    #[test]
    fn drift_is_followed() {
        let (manual, steady) = clocks();
        for step in 1..=20 {
            manual.set_wall(Timestamp(NOON + step * TOLERANCE_MS));
            assert_eq!(steady.now(), manual.wall());
        }
    }
}
