//! Names of scheduled messages.

use std::fmt;
use std::str::FromStr;

/// The order in which messages become due: time (Unix ms), then the order in which they were scheduled.
pub(super) type Key = (i64, u64);

/// Names one scheduled message. As text `DUE.NUMBER` in hexadecimal, so that it is found without an index by id; a recurring one, whose
/// due time changes, is `NUMBER` alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ScheduleId {
    /// Unix ms; none: recurring.
    pub(super) due: Option<i64>,
    pub(super) number: u64,
}

/// Text that names no scheduled message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not the id of a scheduled message: use the one that ScheduleMessage gave, or ListSchedules")]
pub struct InvalidScheduleId;

impl fmt::Display for ScheduleId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.due {
            Some(due) => write!(f, "{due:x}.{:x}", self.number),
            None => write!(f, "{:x}", self.number),
        }
    }
}

impl FromStr for ScheduleId {
    type Err = InvalidScheduleId;

    fn from_str(text: &str) -> Result<Self, InvalidScheduleId> {
        let number = |text| u64::from_str_radix(text, 16).map_err(|_| InvalidScheduleId);
        let (due, last) = match text.split_once('.') {
            Some((due, last)) => (Some(i64::from_str_radix(due, 16).map_err(|_| InvalidScheduleId)?), last),
            None => (None, text),
        };
        Ok(Self { due, number: number(last)? })
    }
}

/// Numbers that rise: Unix ms, a count within the millisecond, and the partition of `__schedules`, so that no two of them are
/// the same while clocks go on.
#[derive(Debug, Default)]
pub(super) struct Numbers(u64);

/// Bits of the partition.
const INDEX_BITS: u32 = 10;
const INDEX_MASK: u64 = (1 << INDEX_BITS) - 1;
/// Bits of the count within a millisecond.
const COUNT_BITS: u32 = 10;

impl Numbers {
    pub(super) fn next(&mut self, now_ms: i64, index: usize) -> u64 {
        let ticks = u64::try_from(now_ms).unwrap_or(0) << COUNT_BITS;
        self.0 = ticks.max(self.0 + 1);
        self.0 << INDEX_BITS | (index as u64 & INDEX_MASK)
    }

    pub(super) fn merge(&mut self, other: &Self) {
        self.0 = self.0.max(other.0);
    }

    /// Was given by somebody: the next one is higher.
    pub(super) fn seen(&mut self, number: u64) {
        self.0 = self.0.max(number >> INDEX_BITS);
    }
}

/// Whether the number was given in this partition of `__schedules`.
pub(super) fn is_of(number: u64, index: usize) -> bool {
    number & INDEX_MASK == index as u64 & INDEX_MASK
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_comes_back_from_its_text() {
        for due in [None, Some(0), Some(1_764_000_000_123)] {
            let id = ScheduleId { due, number: 0xfeed_beef };
            assert_eq!(id.to_string().parse(), Ok(id));
        }
        for bad in ["", ".", "1.", ".1", "x", "1.2.3", "1 .2", "fffffffffffffffff"] {
            assert_eq!(bad.parse::<ScheduleId>(), Err(InvalidScheduleId), "{bad}");
        }
    }

    #[test]
    fn numbers_rise_although_the_clock_does_not() {
        let mut numbers = Numbers::default();
        let given: Vec<u64> = [5, 5, 4, 9, 1].iter().map(|&now| numbers.next(now, 3)).collect();
        assert!(given.is_sorted_by(|a, b| a < b), "{given:?}");
        let mut next = Numbers::default();
        next.seen(given[4]);
        assert!(next.next(0, 0) > given[4]);
    }
}
