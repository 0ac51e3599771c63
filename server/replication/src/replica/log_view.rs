//! What the state machine knows of the log on disk.

use flymq_types::{LeaderEpoch, Offset};

use super::EpochList;

/// Offsets `from..until`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Span {
    pub from: Offset,
    pub until: Offset,
}

impl Span {
    /// Whether the two have an offset in common.
    pub fn overlaps(self, other: Self) -> bool {
        self.from < other.until && other.from < self.until
    }
}

/// The shape of a log, without its bytes. The state machine changes its own view with each action; the driver does the
/// same to the disk, in the order of the actions.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct LogView {
    /// The first offset that is kept.
    pub start: Offset,
    /// The offset that the next record gets.
    pub end: Offset,
    /// Everything below it is on disk (fdatasync done).
    pub durable: Offset,
    /// Which epoch wrote what.
    pub epochs: EpochList,
    /// Ranges whose bytes are damaged.
    pub corrupt: Vec<Span>,
    /// Counts truncations. A sync that began before one says nothing of what was written after it.
    pub generation: u32,
}

impl LogView {
    /// The epoch of the last batch; None where the log is empty.
    pub fn last_epoch(&self) -> Option<LeaderEpoch> {
        self.epoch_before(self.end)
    }

    /// The epoch of the batch that ends at `offset`; None at the start of the log, or below it.
    pub fn epoch_before(&self, offset: Offset) -> Option<LeaderEpoch> {
        if offset <= self.start || offset > self.end {
            return None;
        }
        self.epochs.at(Offset(offset.0 - 1))
    }

    /// Cuts everything at and above `end`, which is not below the start.
    pub(super) fn truncate(&mut self, end: Offset) {
        self.end = self.end.min(end);
        self.durable = self.durable.min(end);
        self.epochs.truncate(end);
        self.corrupt.retain(|span| span.from < end);
        self.corrupt.iter_mut().for_each(|span| span.until = span.until.min(end));
        self.generation += 1;
    }

    /// Empties the log; it goes on at `start`.
    pub(super) fn reset(&mut self, start: Offset) {
        self.truncate(Offset::ZERO);
        (self.start, self.end, self.durable) = (start, start, start);
    }

    /// Everything below `start` is deleted; it lies within the log.
    pub(super) fn advance_start(&mut self, start: Offset) {
        self.start = start;
        self.epochs.trim(start);
        self.corrupt.retain(|span| span.until > start);
        self.corrupt.iter_mut().for_each(|span| span.from = span.from.max(start));
    }
}
