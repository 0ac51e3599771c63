//! The numbers of an idempotent producer's batches, by which the broker tells a batch that comes again from a new one
//! ([KIP-98](https://cwiki.apache.org/confluence/display/KAFKA/KIP-98+-+Exactly+Once+Delivery+and+Transactional+Messaging),
//! [KIP-360](https://cwiki.apache.org/confluence/display/KAFKA/KIP-360%3A+Improve+reliability+of+idempotent%2Ftransactional+producer)).
//!
//! A batch that was given up, and may be stored or not, leaves a gap: whether there is one, the broker says to the next batch.
//! Then the partition goes on under a later epoch, in which the given-up batch can no longer come in late.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use bytes::{Bytes, BytesMut};
use flymq_wire::batch::{BatchHeader, HEADER_LEN};

/// What is numbered by itself: topic, whether the messages may go to any partition, partition.
pub(super) type Place = (Arc<str>, bool, i32);

/// The number of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Number {
    pub id: u64,
    pub epoch: u16,
    /// Sequence of the first message.
    pub first: i32,
    /// Counts the numbers of a place.
    order: u64,
}

#[derive(Debug, Default)]
struct Sequence {
    epoch: u16,
    next: i32,
    given: u64,
    /// Batches that were given up, with none behind them stored.
    gaps: BTreeSet<u64>,
}

/// The next numbers of all places.
#[derive(Debug, Default)]
pub(super) struct Sequences(HashMap<Place, Sequence>);

impl Sequences {
    /// The number of the place's next batch.
    pub(super) fn next(&mut self, place: &Place, id: u64, messages: u32) -> Number {
        let sequence = self.0.entry(place.clone()).or_default();
        let (first, order) = (sequence.next, sequence.given);
        sequence.next = ((i64::from(first) + i64::from(messages)) & i64::from(i32::MAX)) as i32;
        sequence.given += 1;
        Number { id, epoch: sequence.epoch, first, order }
    }

    /// How a batch of the place ended. Answers come in any order: one that is stored says nothing of those behind it.
    pub(super) fn ended(&mut self, place: &Place, number: Number, stored: bool) {
        let Some(sequence) = self.0.get_mut(place) else { return };
        if stored {
            sequence.gaps = sequence.gaps.split_off(&number.order);
        } else {
            sequence.gaps.insert(number.order);
        }
    }

    /// Another number for a batch that the broker has refused for its number, with all before it answered. `None` where
    /// nothing explains the refusal: batches that were stored are not any more.
    pub(super) fn again(&mut self, place: &Place, refused: Number, messages: u32) -> Option<Number> {
        let sequence = self.0.get_mut(place)?;
        if refused.epoch == sequence.epoch {
            if sequence.gaps.first().is_none_or(|gap| *gap > refused.order) {
                return None;
            }
            sequence.epoch = sequence.epoch.checked_add(1)?;
            sequence.next = 0;
            sequence.gaps = sequence.gaps.split_off(&refused.order);
        }
        Some(self.next(place, refused.id, messages))
    }
}

/// The batch with its number in the header.
pub(super) fn numbered(batch: Bytes, number: Number) -> Bytes {
    stamped(batch, number.id, number.epoch, number.first)
}

/// The batch with a producer's id and epoch, and the sequence of its first message, in the header.
pub(crate) fn stamped(batch: Bytes, id: u64, epoch: u16, first: i32) -> Bytes {
    let Ok(header) = BatchHeader::parse(&batch) else { return batch };
    let header = BatchHeader { producer_id: id, producer_epoch: epoch, base_sequence: first, ..header };
    // In place, unless it is on its way already.
    let mut batch = batch.try_into_mut().unwrap_or_else(|shared| BytesMut::from(&shared[..]));
    batch[..HEADER_LEN].copy_from_slice(&header.encode_stamped(&header.server));
    batch.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(partition: i32) -> Place {
        ("t".into(), false, partition)
    }

    #[test]
    fn each_place_counts_by_itself_and_goes_on_at_zero() {
        let mut sequences = Sequences::default();
        assert_eq!(sequences.next(&place(0), 9, 3), Number { id: 9, epoch: 0, first: 0, order: 0 });
        assert_eq!(sequences.next(&place(0), 9, 1).first, 3);
        assert_eq!(sequences.next(&place(1), 9, 1).first, 0);
        sequences.0.get_mut(&place(0)).expect("it was used").next = i32::MAX;
        assert_eq!(sequences.next(&place(0), 9, 2).first, i32::MAX);
        assert_eq!(sequences.next(&place(0), 9, 1).first, 1);
    }

    #[test]
    fn only_a_gap_begins_a_new_epoch() {
        let mut sequences = Sequences::default();
        let lost = sequences.next(&place(0), 9, 1);
        let [second, third] = [(); 2].map(|()| sequences.next(&place(0), 9, 2));
        assert_eq!(sequences.again(&place(0), second, 2), None, "what was stored is gone");
        sequences.ended(&place(0), lost, false);
        let moved = sequences.again(&place(0), second, 2).expect("a gap explains it");
        assert_eq!((moved.epoch, moved.first), (1, 0));
        // The one behind it follows under the same epoch.
        let behind = sequences.again(&place(0), third, 2).expect("its epoch is over");
        assert_eq!((behind.epoch, behind.first), (1, 2));
        let next = sequences.next(&place(0), 9, 1);
        assert_eq!((next.epoch, next.first), (1, 4));
    }

    #[test]
    fn what_is_stored_closes_the_gaps_before_it_alone() {
        let mut sequences = Sequences::default();
        let numbers = [(); 4].map(|()| sequences.next(&place(0), 9, 1));
        sequences.ended(&place(0), numbers[2], false);
        sequences.ended(&place(0), numbers[0], false);
        // Its answer was later than that of the one behind it.
        sequences.ended(&place(0), numbers[1], true);
        assert_eq!(sequences.again(&place(0), numbers[1], 1), None);
        assert!(sequences.again(&place(0), numbers[3], 1).is_some_and(|number| number.epoch == 1));
    }
}
