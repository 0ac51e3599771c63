//! A log on a disk that forgets, in a crash, what was not synced.

use bytes::{BufMut, Bytes, BytesMut};
use flymq_replication::replica::{Chunk, EpochList, EpochStart, LogView, Span};
use flymq_types::{LeaderEpoch, Offset};

use crate::chance::Chance;

/// A batch on disk. `value` stands for its bytes: no two batches that were ever produced have the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Batch {
    pub base: u64,
    pub records: u64,
    pub epoch: u32,
    pub value: u64,
}

impl Batch {
    pub fn end(&self) -> u64 {
        self.base + self.records
    }
}

#[derive(Debug, Clone, Default)]
pub struct Disk {
    /// Another disk, another number.
    pub dir: u64,
    pub start: u64,
    pub batches: Vec<Batch>,
    pub end: u64,
    pub durable: u64,
    pub epochs: EpochList,
    pub corrupt: Vec<Span>,
    pub generation: u32,
    /// What was known to be committed when that was last written down.
    pub known: u64,
}

const BATCH_BYTES: usize = 28;

impl Disk {
    pub fn append(&mut self, batch: Batch) {
        assert_eq!(batch.base, self.end, "appended behind the end");
        self.end = batch.end();
        self.batches.push(batch);
    }

    pub fn truncate(&mut self, end: u64) {
        self.batches.retain(|batch| batch.base < end);
        assert!(self.batches.last().is_none_or(|last| last.end() <= end), "cut inside of a batch");
        self.end = end;
        self.durable = self.durable.min(end);
        self.epochs.truncate(Offset(end));
        self.corrupt.retain(|span| span.from.0 < end);
        self.corrupt.iter_mut().for_each(|span| span.until = span.until.min(Offset(end)));
        self.generation += 1;
    }

    pub fn reset(&mut self, start: u64) {
        self.truncate(0);
        (self.start, self.end, self.durable) = (start, start, start);
    }

    pub fn advance_start(&mut self, start: u64) {
        self.start = start;
        self.epochs.trim(Offset(start));
        // As segments do, a batch stays as long as one record of it is kept.
        self.batches.retain(|batch| batch.end() > start);
        self.corrupt.retain(|span| span.until.0 > start);
        self.corrupt.iter_mut().for_each(|span| span.from = span.from.max(Offset(start)));
    }

    /// The power goes: of what was not synced, a random part from the front is there.
    pub fn crash(&mut self, chance: &mut Chance) {
        let kept: Vec<u64> = self.batches.iter().map(Batch::end).filter(|end| *end > self.durable).collect();
        let end = if chance.percent(50) { None } else { chance.pick(&kept) }.unwrap_or(self.durable);
        let epochs = self.epochs.clone();
        self.truncate(end.max(self.durable));
        // An epoch is on disk before its first batch.
        self.epochs = epochs;
        self.durable = self.end;
    }

    /// What recovery finds.
    pub fn view(&self) -> LogView {
        LogView {
            start: Offset(self.start),
            end: Offset(self.end),
            durable: Offset(self.durable),
            epochs: self.epochs.clone(),
            corrupt: self.corrupt.clone(),
            generation: self.generation,
        }
    }

    /// The end of the last batch that begins in `first..limit`; `first` where there is none.
    pub fn whole_batches(&self, first: u64, limit: u64) -> u64 {
        self.batches
            .iter()
            .filter(|b| first <= b.base && b.base < limit)
            .map(Batch::end)
            .max()
            .unwrap_or(first)
    }

    /// The batches with records in `first..until`, as a frame carries them.
    pub fn read(&self, first: u64, until: u64) -> Chunk {
        let within: Vec<&Batch> = self.batches.iter().filter(|b| b.base < until && b.end() > first).collect();
        let mut raw = BytesMut::with_capacity(within.len() * BATCH_BYTES);
        let mut epochs: Vec<EpochStart> = Vec::new();
        for batch in within {
            let epoch = LeaderEpoch(batch.epoch);
            if epochs.last().is_none_or(|last| last.epoch != epoch) {
                epochs.push(EpochStart { epoch, start: Offset(batch.base.max(first)) });
            }
            raw.put_u64(batch.base);
            raw.put_u64(batch.records);
            raw.put_u32(batch.epoch);
            raw.put_u64(batch.value);
        }
        Chunk { first: Offset(first), until: Offset(until), epochs, raw: raw.freeze() }
    }

    /// The batches of a frame.
    pub fn parse(raw: &Bytes) -> Vec<Batch> {
        let number = |bytes: &[u8]| bytes.iter().fold(0u64, |sum, byte| sum << 8 | u64::from(*byte));
        let batch = |bytes: &[u8]| Batch {
            base: number(&bytes[..8]),
            records: number(&bytes[8..16]),
            epoch: u32::try_from(number(&bytes[16..20])).unwrap(),
            value: number(&bytes[20..28]),
        };
        raw.chunks(BATCH_BYTES).map(batch).collect()
    }
}
