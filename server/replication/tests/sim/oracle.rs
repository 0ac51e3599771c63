//! What was promised, and whether it is kept.

use std::collections::{BTreeMap, BTreeSet};

use flymq_replication::replica::{BrokerId, Token};
use flymq_types::Acks;

use crate::disk::{Batch, Disk};

/// A produce request on its way.
#[derive(Debug, Clone, Copy)]
pub struct Asked {
    pub value: u64,
    pub records: u64,
    pub acks: Acks,
    /// Everything below was acknowledged before this was sent.
    pub floor: u64,
}

#[derive(Debug, Default)]
pub struct Oracle {
    pub asked: BTreeMap<Token, Asked>,
    /// Acknowledged with `acks=all`: offset, and the bytes.
    pub acked: BTreeMap<u64, u64>,
    acked_end: u64,
    /// What a leader has said is committed, by first offset.
    committed: BTreeMap<u64, Batch>,
    pub committed_end: u64,
    /// The bytes of each (offset, epoch) that was ever written anywhere.
    written: BTreeMap<(u64, u32), (u64, u64)>,
    /// Who has led in an epoch, and its high watermark.
    led: BTreeMap<u32, (BrokerId, u64)>,
    /// The highest answer to "what is the latest offset?".
    latest: u64,
    /// Deleted by request, below.
    pub deleted: u64,
    /// Answered by the leader of an epoch with `acks=leader`: the bytes, and where they end.
    answered: BTreeMap<(u32, u64), (u64, u64)>,
    /// Epochs whose leader has handed over.
    handed: BTreeSet<u32>,
}

impl Oracle {
    pub fn floor(&self) -> u64 {
        self.acked_end
    }

    /// A batch is written to a disk.
    pub fn wrote(&mut self, batch: Batch) {
        let bytes = (batch.value, batch.records);
        let first = *self.written.entry((batch.base, batch.epoch)).or_insert(bytes);
        assert_eq!(first, bytes, "(offset, epoch) = ({}, {}) names two batches", batch.base, batch.epoch);
    }

    /// `id` acts as the leader of `epoch`.
    pub fn leads(&mut self, id: BrokerId, epoch: u32) {
        let (first, _) = *self.led.entry(epoch).or_insert((id, 0));
        assert_eq!(first, id, "two leaders in epoch {epoch}");
    }

    /// The leader of `epoch` commits what is below `high` of its log.
    pub fn commits(&mut self, id: BrokerId, epoch: u32, high: u64, disk: &Disk) {
        self.leads(id, epoch);
        let (_, led) = self.led.entry(epoch).or_insert((id, 0));
        assert!(high > *led, "the high watermark of epoch {epoch} goes back from {led} to {high}");
        let before = std::mem::replace(led, high);
        let newest = disk.batches.iter().rev().take_while(|batch| batch.end() > before);
        for batch in newest.filter(|batch| batch.end() <= high) {
            if damaged(disk, batch) {
                continue;
            }
            let first = *self.committed.entry(batch.base).or_insert(*batch);
            assert_eq!(first, *batch, "what was committed has changed (leader {id:?}, epoch {epoch})");
        }
        self.committed_end = self.committed_end.max(high);
    }

    /// A log that may lead, or does, has everything that was committed.
    pub fn whole(&self, id: BrokerId, disk: &Disk, what: &str) {
        assert!(
            disk.end >= self.committed_end,
            "{what}: the log of {id:?} ends at {}, {} is committed",
            disk.end,
            self.committed_end
        );
        for batch in disk.batches.iter().filter(|batch| batch.base < self.committed_end) {
            let expected = self.committed.get(&batch.base);
            assert!(
                expected == Some(batch) || damaged(disk, batch),
                "{what}: {id:?} has {batch:?} where {expected:?} is committed"
            );
        }
    }

    /// `acks=all` is answered with `base`.
    pub fn acks(&mut self, asked: Asked, base: u64) {
        assert!(base + asked.records <= self.committed_end, "acknowledged before it is committed");
        assert!(base >= asked.floor, "acknowledged at {base}, before what was acknowledged earlier");
        let batch = self.committed.get(&base);
        assert_eq!(
            batch.map(|batch| batch.value),
            Some(asked.value),
            "acknowledged at {base}, other bytes there"
        );
        assert_eq!(self.acked.insert(base, asked.value), None, "offset {base} acknowledged twice");
        self.acked_end = self.acked_end.max(base + asked.records);
    }

    /// `acks=leader` is answered in `epoch` with `base`.
    pub fn answers(&mut self, epoch: u32, asked: Asked, base: u64) {
        assert!(!self.handed.contains(&epoch), "epoch {epoch} is handed over, and answers at {base}");
        self.answered.insert((epoch, base), (asked.value, base + asked.records));
    }

    /// The leader of `epoch` has handed over to `to`, which has whatever anybody was told is there.
    pub fn handed_over(&mut self, epoch: u32, to: BrokerId, disk: &Disk) {
        self.handed.insert(epoch);
        for ((_, base), (value, end)) in self.answered.range((epoch, disk.start)..(epoch + 1, 0)) {
            let there = disk.batches.iter().find(|batch| batch.base == *base);
            let same = there.is_some_and(|batch| batch.value == *value || damaged(disk, batch));
            assert!(same && *end <= disk.durable, "epoch {epoch} is handed over to {to:?} without {base}");
        }
    }

    /// Someone was told that the log goes up to `offset`.
    pub fn told_latest(&mut self, id: BrokerId, offset: u64) {
        assert!(offset >= self.latest, "{id:?} tells of {offset}, after {} was told", self.latest);
        assert!(offset >= self.acked_end, "{id:?} tells of {offset}, {} is acknowledged", self.acked_end);
        self.latest = offset;
    }

    /// Everything acknowledged is in this log.
    pub fn kept(&self, disk: &Disk) {
        let there: BTreeMap<u64, u64> = disk.batches.iter().map(|batch| (batch.base, batch.value)).collect();
        for (base, value) in self.acked.range(disk.start..) {
            assert_eq!(there.get(base), Some(value), "acknowledged at {base} and lost");
        }
    }
}

fn damaged(disk: &Disk, batch: &Batch) -> bool {
    disk.corrupt.iter().any(|span| span.from.0 < batch.end() && batch.base < span.until.0)
}
