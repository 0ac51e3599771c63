//! What each producer has appended last: the rules, without a disk.

use std::collections::{BTreeMap, HashMap};

use flymq_types::{BatchHeader, Marker, Offset, Timestamp};

use super::sequence::{NewSequence, is_unnumbered, plus};
use super::transactions::{Change, OpenTransaction, Transactions, ended, opened};
use crate::error::StorageError;
use crate::log::{Appended, ProducerLimits};

/// So many batches of a producer are told from new ones: as many as it may have on their way at once.
pub(super) const KEPT_BATCHES: usize = 5;

/// A batch that was appended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct KnownBatch {
    pub first: i32,
    pub last: i32,
    pub base_offset: u64,
    /// Unix ms.
    pub append_time: i64,
}

impl KnownBatch {
    fn appended(&self) -> Appended {
        let records = self.last.wrapping_sub(self.first) & i32::MAX;
        Appended {
            base_offset: Offset(self.base_offset),
            last_offset: Offset(self.base_offset + records as u64),
            append_time: Timestamp(self.append_time),
            duplicate: true,
        }
    }
}

/// A producer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ProducerState {
    pub(super) epoch: u16,
    /// Oldest first; the last one of `count` is the newest. None where a marker has begun the epoch.
    batches: [KnownBatch; KEPT_BATCHES],
    count: usize,
    /// Of its newest batch or marker.
    pub(super) last_offset: u64,
    /// Unix ms.
    pub(super) last_time: i64,
    /// Term of the coordinator that sent its newest marker.
    pub(super) coordinator_epoch: u32,
}

impl ProducerState {
    /// One of which nothing was appended yet.
    pub(super) fn new(epoch: u16) -> Self {
        let batches = [KnownBatch::default(); KEPT_BATCHES];
        Self { epoch, batches, count: 0, last_offset: 0, last_time: 0, coordinator_epoch: 0 }
    }

    #[cfg(test)]
    pub fn epoch(&self) -> u16 {
        self.epoch
    }

    pub fn batches(&self) -> &[KnownBatch] {
        &self.batches[..self.count]
    }

    /// The sequence of its next batch.
    fn next(&self) -> i32 {
        self.batches().last().map_or(0, |newest| plus(newest.last, 1))
    }

    /// Its epoch from now on; a later one begins anew.
    fn enter(&mut self, epoch: u16) {
        if self.epoch != epoch {
            (self.epoch, self.batches, self.count) = (epoch, Default::default(), 0);
        }
    }

    pub(super) fn push(&mut self, batch: KnownBatch) {
        if self.count == KEPT_BATCHES {
            self.batches.copy_within(1.., 0);
            self.count -= 1;
        }
        self.batches[self.count] = batch;
        self.count += 1;
        (self.last_offset, self.last_time) = (batch.base_offset, batch.append_time);
    }

    /// Whether a marker has left something in it.
    pub(super) fn is_marked(&self) -> bool {
        let newest = self.batches().last();
        self.coordinator_epoch != 0 || newest.is_none_or(|newest| newest.base_offset != self.last_offset)
    }
}

/// What is to be done with a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is the next one.
    New,
    /// It is in the log already, there.
    Duplicate(Appended),
}

/// All producers of a log.
#[derive(Debug, Clone, Default)]
pub(crate) struct ProducerTable {
    producers: HashMap<u64, ProducerState>,
    /// Ids by the offset of the producer's newest batch: who has not written for longest comes first. Without those that
    /// have a transaction open, which are never forgotten.
    by_age: BTreeMap<u64, u64>,
    pub(super) transactions: Transactions,
    /// Producers that had to go before their time, for want of room.
    pub evicted: u64,
}

/// As far as the log's batches decide it.
impl PartialEq for ProducerTable {
    fn eq(&self, other: &Self) -> bool {
        (&self.producers, &self.transactions) == (&other.producers, &other.transactions)
    }
}

impl ProducerTable {
    pub fn len(&self) -> usize {
        self.producers.len()
    }

    pub fn is_empty(&self) -> bool {
        self.producers.is_empty() && self.transactions.is_empty()
    }

    /// Forgets what was aborted below the log's start.
    pub fn forget_below(&mut self, start: u64) {
        self.transactions.forget_below(start);
    }

    pub fn transactions(&self) -> &Transactions {
        &self.transactions
    }

    pub fn knows(&self, id: u64) -> bool {
        self.producers.contains_key(&id)
    }

    /// Whether a batch that would be appended at `now` (Unix ms) is the producer's next one.
    ///
    /// # Errors
    /// `UnknownProducer`, `ProducerFenced`, `OutOfOrderSequence`: it must not be appended.
    pub fn judge(
        &self,
        new: &NewSequence,
        now: i64,
        limits: ProducerLimits,
    ) -> Result<Verdict, StorageError> {
        let lives = |state: &&ProducerState| {
            !limits.has_expired(state, now) || self.transactions.open_of(new.id).is_some()
        };
        let known = self.producers.get(&new.id).filter(lives);
        let out_of_order = |expected| {
            let (producer, epoch, found) = (new.id, new.epoch, new.first);
            Err(StorageError::OutOfOrderSequence { producer, epoch, expected, found })
        };
        let Some(state) = known else {
            return match new.first {
                0 => Ok(Verdict::New),
                found => Err(StorageError::UnknownProducer { producer: new.id, found }),
            };
        };
        if new.epoch < state.epoch {
            let (producer, epoch, current) = (new.id, new.epoch, state.epoch);
            return Err(StorageError::ProducerFenced { producer, epoch, current });
        }
        if new.epoch > state.epoch {
            return if new.first == 0 { Ok(Verdict::New) } else { out_of_order(0) };
        }
        let same = |batch: &&KnownBatch| (batch.first, batch.last) == (new.first, new.last);
        if let Some(known) = state.batches().iter().find(same) {
            return Ok(Verdict::Duplicate(known.appended()));
        }
        let expected = state.next();
        if new.first == expected { Ok(Verdict::New) } else { out_of_order(expected) }
    }

    /// Whether a batch without number may be appended to its transaction.
    ///
    /// # Errors
    /// `ProducerFenced`: it must not be.
    pub fn judge_unnumbered(&self, header: &BatchHeader) -> Result<(), StorageError> {
        let (producer, epoch) = (header.producer_id, header.producer_epoch);
        match self.producers.get(&producer).map(|state| state.epoch) {
            Some(current) if epoch < current => {
                Err(StorageError::ProducerFenced { producer, epoch, current })
            }
            Some(_) | None => Ok(()),
        }
    }

    /// Whether a marker may be appended.
    ///
    /// # Errors
    /// `ProducerFenced`, `CoordinatorFenced`: it must not be.
    pub fn judge_marker(&self, marker: &Marker) -> Result<(), StorageError> {
        let Some(state) = self.producers.get(&marker.producer_id) else { return Ok(()) };
        let (producer, epoch, current) = (marker.producer_id, marker.producer_epoch, state.epoch);
        if epoch < current {
            return Err(StorageError::ProducerFenced { producer, epoch, current });
        }
        let (given, current) = (marker.coordinator_epoch, state.coordinator_epoch);
        if given < current && !cfg!(mutant = "marker_of_an_old_coordinator") {
            return Err(StorageError::CoordinatorFenced { producer, given, current });
        }
        Ok(())
    }

    /// Notes a batch by its header, and its marker where it is one; one that names no producer changes nothing. Says what it
    /// changes of the transactions.
    pub fn note(
        &mut self,
        header: &BatchHeader,
        marker: Option<Marker>,
        limits: ProducerLimits,
    ) -> Option<Change> {
        if let Some(new) = NewSequence::of(header) {
            let change = opened(self.transactions.open_of(new.id), header);
            change.into_iter().for_each(|change| self.transactions.apply(change));
            self.observe(&new, header.server.base_offset, header.server.append_time, limits);
            return change;
        }
        let (offset, time) = (header.server.base_offset, header.server.append_time);
        if is_unnumbered(header) {
            let (id, epoch) = (header.producer_id, header.producer_epoch);
            let change = opened(self.transactions.open_of(id), header);
            change.into_iter().for_each(|change| self.transactions.apply(change));
            self.update(id, epoch, time, limits, |state| {
                (state.last_offset, state.last_time) = (offset, time);
            });
            return change;
        }
        marker.and_then(|marker| self.observe_marker(&marker, offset, time, limits))
    }

    /// Notes a batch that is in the log, whatever it is: the leader has judged it.
    pub fn observe(&mut self, new: &NewSequence, base_offset: u64, append_time: i64, limits: ProducerLimits) {
        let batch = KnownBatch { first: new.first, last: new.last, base_offset, append_time };
        self.update(new.id, new.epoch, append_time, limits, |state| state.push(batch));
    }

    fn observe_marker(
        &mut self,
        marker: &Marker,
        offset: u64,
        append_time: i64,
        limits: ProducerLimits,
    ) -> Option<Change> {
        let (id, epoch) = (marker.producer_id, marker.producer_epoch);
        if self.producers.get(&id).is_some_and(|state| epoch < state.epoch) {
            return None;
        }
        let change = self.transactions.open_of(id).map(|_| ended(marker, offset));
        change.into_iter().for_each(|change| self.transactions.apply(change));
        self.update(id, epoch, append_time, limits, |state| {
            (state.last_offset, state.last_time) = (offset, append_time);
            state.coordinator_epoch = state.coordinator_epoch.max(marker.coordinator_epoch);
        });
        change
    }

    /// Changes a producer by what was appended last.
    fn update(
        &mut self,
        id: u64,
        epoch: u16,
        now: i64,
        limits: ProducerLimits,
        change: impl FnOnce(&mut ProducerState),
    ) {
        self.forget_expired(now, limits);
        let state = self.producers.entry(id).or_insert_with(|| ProducerState::new(epoch));
        if self.by_age.get(&state.last_offset) == Some(&id) {
            self.by_age.remove(&state.last_offset);
        }
        state.enter(epoch);
        change(state);
        let last_offset = state.last_offset;
        let ages = self.transactions.open_of(id).is_none();
        if ages {
            self.by_age.insert(last_offset, id);
        }
        while self.producers.len() > limits.max_ids.max(1) && self.by_age.len() > usize::from(ages) {
            self.forget_oldest();
            self.evicted += 1;
        }
    }

    /// Forgets who has not written for too long at `now` (Unix ms).
    pub fn forget_expired(&mut self, now: i64, limits: ProducerLimits) {
        while let Some(oldest) = self.oldest()
            && limits.has_expired(oldest, now)
        {
            self.forget_oldest();
        }
    }

    fn oldest(&self) -> Option<&ProducerState> {
        self.by_age.first_key_value().and_then(|(_, id)| self.producers.get(id))
    }

    fn forget_oldest(&mut self) {
        if let Some((_, id)) = self.by_age.pop_first() {
            self.producers.remove(&id);
        }
    }

    /// Epoch and next sequence of a producer.
    #[cfg(test)]
    pub fn next_of(&self, id: u64) -> Option<(u16, i32)> {
        self.producers.get(&id).map(|state| (state.epoch, state.next()))
    }

    /// In the order of their newest batches, and then those that have a transaction open.
    pub fn iter(&self) -> impl Iterator<Item = (u64, &ProducerState)> {
        let open = self.transactions.all_open().map(|open| &open.producer);
        self.by_age.values().chain(open).filter_map(|id| Some((*id, self.producers.get(id)?)))
    }

    /// Puts a producer back, as a snapshot has it, with the first offset of what it has open.
    pub(super) fn restore(&mut self, id: u64, state: ProducerState, open: Option<u64>) {
        match open {
            Some(first) => self.transactions.apply(Change::Opened(OpenTransaction {
                producer: id,
                epoch: state.epoch,
                first: Offset(first),
            })),
            None => {
                self.by_age.insert(state.last_offset, id);
            }
        }
        self.producers.insert(id, state);
    }
}

impl ProducerLimits {
    fn has_expired(self, state: &ProducerState, now: i64) -> bool {
        u64::try_from(now.saturating_sub(state.last_time)).is_ok_and(|age| age > self.expiration_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: ProducerLimits = ProducerLimits { expiration_ms: 100, max_ids: 3 };

    fn sequence(id: u64, epoch: u16, first: i32, records: u32) -> NewSequence {
        NewSequence { id, epoch, first, last: plus(first, records - 1) }
    }

    fn filled(batches: &[(i32, u32)]) -> ProducerTable {
        let (mut table, mut offset) = (ProducerTable::default(), 100);
        for (first, records) in batches {
            table.observe(&sequence(7, 1, *first, *records), offset, 50, LIMITS);
            offset += u64::from(*records);
        }
        table
    }

    #[test]
    fn the_next_batch_is_new_and_the_last_five_are_known() {
        let batches: Vec<(i32, u32)> = (0..7).map(|i| (i * 3, 3)).collect();
        let table = filled(&batches);
        assert_eq!(table.judge(&sequence(7, 1, 21, 1), 50, LIMITS).unwrap(), Verdict::New);
        for (i, (first, records)) in batches.iter().enumerate() {
            let judged = table.judge(&sequence(7, 1, *first, *records), 50, LIMITS);
            if i < 2 {
                assert!(matches!(judged, Err(StorageError::OutOfOrderSequence { expected: 21, .. })), "{i}");
                continue;
            }
            let Verdict::Duplicate(at) = judged.unwrap() else { panic!("batch {i} is new") };
            assert_eq!(at.base_offset, Offset(100 + 3 * i as u64));
            assert_eq!((at.last_offset, at.append_time), (at.base_offset.plus(2), Timestamp(50)));
        }
        let other_length = table.judge(&sequence(7, 1, 18, 2), 50, LIMITS);
        assert!(matches!(other_length, Err(StorageError::OutOfOrderSequence { .. })));
    }

    #[test]
    fn gaps_old_epochs_and_strangers_are_refused() {
        let table = filled(&[(0, 2)]);
        let judge = |s: NewSequence| table.judge(&s, 50, LIMITS);
        let gap = judge(sequence(7, 1, 3, 1)).unwrap_err();
        assert!(matches!(gap, StorageError::OutOfOrderSequence { expected: 2, found: 3, .. }), "{gap}");
        let old = judge(sequence(7, 0, 2, 1)).unwrap_err();
        assert!(matches!(old, StorageError::ProducerFenced { epoch: 0, current: 1, .. }), "{old}");
        assert_eq!(judge(sequence(7, 2, 0, 1)).unwrap(), Verdict::New, "a new epoch begins at 0");
        assert!(matches!(judge(sequence(7, 2, 2, 1)), Err(StorageError::OutOfOrderSequence { .. })));
        assert_eq!(judge(sequence(8, 0, 0, 1)).unwrap(), Verdict::New);
        let stranger = judge(sequence(8, 0, 5, 1)).unwrap_err();
        assert!(matches!(stranger, StorageError::UnknownProducer { producer: 8, found: 5 }), "{stranger}");
    }

    #[test]
    fn sequences_wrap_and_a_duplicate_across_the_wrap_is_known() {
        let table = filled(&[(i32::MAX - 1, 4)]);
        let again = table.judge(&sequence(7, 1, i32::MAX - 1, 4), 50, LIMITS).unwrap();
        let Verdict::Duplicate(at) = again else { panic!("it is new") };
        assert_eq!((at.base_offset, at.last_offset), (Offset(100), Offset(103)));
        assert_eq!(table.judge(&sequence(7, 1, 2, 1), 50, LIMITS).unwrap(), Verdict::New);
    }

    #[test]
    fn ids_expire_and_the_oldest_makes_room() {
        let mut table = filled(&[(0, 1)]);
        assert!(matches!(table.judge(&sequence(7, 1, 0, 1), 150, LIMITS).unwrap(), Verdict::Duplicate(_)));
        let expired = table.judge(&sequence(7, 1, 1, 1), 151, LIMITS).unwrap_err();
        assert!(matches!(expired, StorageError::UnknownProducer { .. }), "{expired}");
        for id in 20..23 {
            table.observe(&sequence(id, 0, 0, 1), id, 60, LIMITS);
        }
        // Id 7 has an earlier time and a later offset than the others: it stands where its offset is.
        assert_eq!((table.len(), table.evicted), (3, 1));
        table.observe(&sequence(30, 0, 0, 1), 300, 161, LIMITS);
        assert_eq!((table.len(), table.evicted), (1, 1), "the others have expired");
        assert!(matches!(table.judge(&sequence(30, 0, 1, 1), 161, LIMITS), Ok(Verdict::New)));
    }
}
