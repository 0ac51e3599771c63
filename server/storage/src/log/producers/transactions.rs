//! Transactions of a log: the open ones, and those that were aborted. What committed readers may see follows from them.

use std::collections::{BTreeMap, HashMap, VecDeque};

use flymq_types::{BatchFlags, BatchHeader, Marker, Offset, Outcome};
use flymq_wire::batch::NO_PRODUCER_ID;

/// So many transactions at most are remembered as ended by a marker that may not be committed yet. A follower, which nobody
/// reads, does not know what is; by the time it leads, older markers have long been.
const MAX_ENDING: usize = 1_024;

/// A transaction that is open in a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpenTransaction {
    pub producer: u64,
    pub epoch: u16,
    /// Of its first batch in this log.
    pub first: Offset,
}

/// A transaction that was aborted: its producer's transactional batches in this range do not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AbortedTransaction {
    pub producer: u64,
    /// Of its first batch in this log.
    pub first: Offset,
    /// Of its marker.
    pub last: Offset,
}

/// What a batch changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    /// A transaction's first batch, or the first one of a later epoch of what is open.
    Opened(OpenTransaction),
    /// A marker at this offset.
    Ended { producer: u64, marker: u64, outcome: Outcome },
}

/// The transactions of the batches below some offset.
#[derive(Debug, Clone, Default)]
pub(crate) struct Transactions {
    open: HashMap<u64, OpenTransaction>,
    /// Producers by the first offsets of what they have open.
    firsts: BTreeMap<u64, u64>,
    /// First offset and marker of those that ended last, in the order of their markers.
    ending: VecDeque<(u64, u64)>,
    /// First offsets, by producer and marker.
    aborted: BTreeMap<(u64, u64), u64>,
}

/// As far as the log's batches decide it.
impl PartialEq for Transactions {
    fn eq(&self, other: &Self) -> bool {
        (&self.open, &self.aborted) == (&other.open, &other.aborted)
    }
}

impl Transactions {
    pub fn is_empty(&self) -> bool {
        self.open.is_empty() && self.aborted.is_empty()
    }

    /// What the producer has open.
    pub fn open_of(&self, producer: u64) -> Option<&OpenTransaction> {
        self.open.get(&producer)
    }

    pub fn apply(&mut self, change: Change) {
        match change {
            Change::Opened(new) => {
                let open = self.open.entry(new.producer).or_insert(new);
                open.epoch = new.epoch;
                self.firsts.insert(open.first.0, new.producer);
            }
            Change::Ended { producer, marker, outcome } => {
                let Some(open) = self.open.remove(&producer) else { return };
                self.firsts.remove(&open.first.0);
                self.ending.push_back((open.first.0, marker));
                if self.ending.len() > MAX_ENDING {
                    self.ending.pop_front();
                }
                if outcome == Outcome::Abort {
                    self.aborted.insert((producer, marker), open.first.0);
                }
            }
        }
    }

    /// The last stable offset where everything below `high` is committed: the first offset of the oldest transaction that is
    /// open, or whose marker is not committed, else `high`. So it rises only when the high watermark does.
    pub fn stable_below(&mut self, high: u64) -> u64 {
        while self.ending.front().is_some_and(|(_, marker)| *marker < high) {
            self.ending.pop_front();
        }
        let ending = self.ending.iter().map(|(first, _)| *first).min();
        let open = self.firsts.first_key_value().map(|(first, _)| *first);
        [ending, open].into_iter().flatten().fold(high, u64::min)
    }

    /// Whether the batch is part of an aborted transaction.
    pub fn is_aborted(&self, header: &BatchHeader) -> bool {
        let (producer, base) = (header.producer_id, header.server.base_offset);
        let next = || self.aborted.range((producer, base)..=(producer, u64::MAX)).next();
        header.flags.contains(BatchFlags::TRANSACTIONAL)
            && !header.flags.contains(BatchFlags::CONTROL)
            && next().is_some_and(|(_, first)| *first <= base)
    }

    /// Forgets aborted transactions all of which lies below `start`.
    pub fn forget_below(&mut self, start: u64) {
        self.aborted.retain(|(_, last), _| *last >= start);
    }

    /// Oldest first.
    pub fn all_open(&self) -> impl Iterator<Item = &OpenTransaction> {
        self.firsts.values().filter_map(|producer| self.open.get(producer))
    }

    /// By producer, oldest first.
    pub fn all_aborted(&self) -> impl Iterator<Item = AbortedTransaction> {
        self.aborted.iter().map(|((producer, last), first)| AbortedTransaction {
            producer: *producer,
            first: Offset(*first),
            last: Offset(*last),
        })
    }

    /// Puts an aborted one back, as a snapshot has it.
    pub fn restore(&mut self, aborted: AbortedTransaction) {
        self.aborted.insert((aborted.producer, aborted.last.0), aborted.first.0);
    }

    /// As a start that finds no index of what was aborted must not leave it.
    #[cfg(mutant = "missing_aborted_index_believed")]
    pub fn forget_aborted(&mut self) {
        self.aborted.clear();
    }
}

/// Whether the batch is the coordinator's word on a producer.
pub(crate) fn is_control(header: &BatchHeader) -> bool {
    header.producer_id != NO_PRODUCER_ID && header.flags.contains(BatchFlags::CONTROL)
}

/// The change of a transactional batch of the epoch, if it is one.
pub(super) fn opened(known: Option<&OpenTransaction>, header: &BatchHeader) -> Option<Change> {
    let (producer, epoch) = (header.producer_id, header.producer_epoch);
    let first = Offset(header.server.base_offset);
    let change = Change::Opened(OpenTransaction { producer, epoch, first });
    match known {
        Some(known) => (known.epoch < epoch).then_some(change),
        None => header.flags.contains(BatchFlags::TRANSACTIONAL).then_some(change),
    }
}

/// The change of a marker at `offset`.
pub(super) fn ended(marker: &Marker, offset: u64) -> Change {
    Change::Ended { producer: marker.producer_id, marker: offset, outcome: marker.outcome }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(producer: u64, first: u64) -> Change {
        Change::Opened(OpenTransaction { producer, epoch: 0, first: Offset(first) })
    }

    fn end(producer: u64, marker: u64, outcome: Outcome) -> Change {
        Change::Ended { producer, marker, outcome }
    }

    #[test]
    fn the_oldest_holds_the_stable_offset_until_its_marker_is_committed() {
        let mut known = Transactions::default();
        assert_eq!(known.stable_below(7), 7);
        [open(1, 3), open(2, 5)].into_iter().for_each(|change| known.apply(change));
        assert_eq!((known.stable_below(2), known.stable_below(9)), (2, 3));
        known.apply(end(1, 9, Outcome::Commit));
        assert_eq!(known.stable_below(9), 3, "the marker is not committed");
        assert_eq!(known.stable_below(10), 5);
        known.apply(end(2, 10, Outcome::Abort));
        known.apply(end(2, 11, Outcome::Abort));
        assert_eq!((known.stable_below(10), known.stable_below(12)), (5, 12));
        let aborted: Vec<_> = known.all_aborted().collect();
        assert_eq!(aborted, [AbortedTransaction { producer: 2, first: Offset(5), last: Offset(10) }]);
        known.forget_below(10);
        assert_eq!(known.all_aborted().count(), 1);
        known.forget_below(11);
        assert!(known.is_empty());
    }

    #[test]
    fn what_a_follower_remembers_is_bounded() {
        let mut known = Transactions::default();
        for i in 0..3 * MAX_ENDING as u64 {
            known.apply(open(1, 2 * i));
            known.apply(end(1, 2 * i + 1, Outcome::Commit));
        }
        assert_eq!(known.ending.len(), MAX_ENDING);
        assert!(known.is_empty());
    }
}
