//! Sequence numbers: they count a producer's records in a partition, from 0, and go on at 0 behind `i32::MAX`.

use flymq_types::{BatchFlags, BatchHeader};
use flymq_wire::batch::NO_PRODUCER_ID;

/// What a batch says of its producer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NewSequence {
    /// Producer id.
    pub id: u64,
    /// Producer epoch.
    pub epoch: u16,
    /// Sequence of the first record.
    pub first: i32,
    /// Sequence of the last record.
    pub last: i32,
}

impl NewSequence {
    /// What the header says; `None` where it names no producer. A control batch is the coordinator's, and not counted.
    pub fn of(header: &BatchHeader) -> Option<Self> {
        if header.producer_id == NO_PRODUCER_ID {
            return None;
        }
        let first = header.base_sequence;
        if first < 0 || header.flags.contains(BatchFlags::CONTROL) {
            return None;
        }
        let last = plus(first, header.record_count.saturating_sub(1));
        Some(Self { id: header.producer_id, epoch: header.producer_epoch, first, last })
    }

    /// Whether it is the same producer's next batch.
    pub(in crate::log) fn follows(&self, before: &Self) -> bool {
        (self.id, self.epoch) == (before.id, before.epoch) && self.first == plus(before.last, 1)
    }
}

/// Whether it is part of a transaction without being numbered, as what the broker itself builds: it opens the transaction, and may
/// be stored twice.
pub(crate) fn is_unnumbered(header: &BatchHeader) -> bool {
    header.producer_id != NO_PRODUCER_ID
        && header.base_sequence < 0
        && header.flags.contains(BatchFlags::TRANSACTIONAL)
        && !header.flags.contains(BatchFlags::CONTROL)
}

/// The sequence `records` after this one.
pub(super) fn plus(sequence: i32, records: u32) -> i32 {
    ((i64::from(sequence) + i64::from(records)) & i64::from(i32::MAX)) as i32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sequences_go_on_at_zero() {
        assert_eq!(plus(0, 0), 0);
        assert_eq!(plus(5, 3), 8);
        assert_eq!(plus(i32::MAX, 0), i32::MAX);
        assert_eq!(plus(i32::MAX, 1), 0);
        assert_eq!(plus(i32::MAX - 1, 4), 2);
    }
}
