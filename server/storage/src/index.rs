//! The index of one segment: offset and time to position. A cache: whatever it says is checked against the log, and
//! what is missing of it is made again from there, when it is used. Its failures never fail an append.

mod entry;
mod headers;
mod stats;
mod store;
mod strategy;

use std::path::PathBuf;
use std::sync::Arc;

use crate::disk::Disk;
use crate::layout::{self, Verdict, get_u64, put};
pub(crate) use entry::{ENTRY_BYTES, IndexEntry};
pub(crate) use headers::HeaderIndex;
pub use stats::{IndexHealth, IndexStats};
use store::{FIRST_BYTES, IndexFile, Store};
pub use strategy::IndexStrategy;
pub(crate) use strategy::Placement;

const MAGIC: &[u8; 8] = b"FQINDEX\0";
/// Bytes of the header block, before the entries.
pub(crate) const ENTRIES_AT: usize = 64;
const INCARNATION_AT: usize = 16;

/// The segment that an index file belongs to, if its header is good.
pub(crate) fn header_incarnation(bytes: &[u8]) -> Option<u64> {
    let header = bytes.get(..ENTRIES_AT)?;
    (layout::judge(header, MAGIC) == Verdict::Good).then(|| get_u64(header, INCARNATION_AT))
}

/// Entries in order of position. Not safe for several writers: the log locks it.
#[derive(Debug)]
pub(crate) struct Index {
    file: IndexFile,
    /// None until it is first used: a start opens thousands of segments, and few are looked into.
    store: Option<Store>,
    incarnation: u64,
    placement: Arc<dyn Placement>,
    entries: usize,
    last: Option<IndexEntry>,
    /// Times that entries were found damaged and thrown away.
    repairs: u64,
    /// The secondary index; nothing until somebody asks.
    pub headers: HeaderIndex,
}

impl Index {
    /// The index in the file, which is opened at the first use. Missing, damaged or of another incarnation it is empty;
    /// lookups fill it.
    pub fn new(disk: Arc<dyn Disk>, path: PathBuf, incarnation: u64, strategy: IndexStrategy) -> Self {
        Self {
            file: IndexFile { disk, path },
            store: None,
            incarnation,
            placement: strategy.placement(),
            entries: 0,
            last: None,
            repairs: 0,
            headers: HeaderIndex::default(),
        }
    }

    /// As [`Index::new`], empty whatever the file holds.
    pub fn create(disk: Arc<dyn Disk>, path: PathBuf, incarnation: u64, strategy: IndexStrategy) -> Self {
        let mut index = Self::new(disk, path, incarnation, strategy);
        index.store = Some(index.open_store());
        index.reset();
        index
    }

    fn open_store(&self) -> Store {
        self.file.open().unwrap_or_else(|error| {
            let path = self.file.path.display();
            tracing::warn!(%path, %error, "index file cannot be used; indexing in memory");
            Store::Memory(vec![0; FIRST_BYTES])
        })
    }

    /// The bytes, opened and judged where that has not been done yet.
    fn store(&mut self) -> &mut Store {
        if self.store.is_none() {
            self.store = Some(self.open_store());
            if self.header_is_good() {
                self.take_entries();
            } else {
                self.reset();
            }
        }
        self.store.get_or_insert_with(|| Store::Memory(vec![0; FIRST_BYTES]))
    }

    fn bytes(&self) -> &[u8] {
        self.store.as_ref().map_or(&[], Store::bytes)
    }

    fn header_is_good(&self) -> bool {
        let header = &self.bytes()[..ENTRIES_AT];
        layout::judge(header, MAGIC) == Verdict::Good && get_u64(header, INCARNATION_AT) == self.incarnation
    }

    /// Takes over the entries of the file up to the first one that is empty, damaged or out of order.
    fn take_entries(&mut self) {
        (self.entries, self.last) = (0, None);
        let capacity = self.store.as_ref().map_or(0, Store::capacity);
        while self.entries < capacity {
            let Some(entry) = self.entry(self.entries).filter(|entry| self.is_next(entry)) else { break };
            self.entries += 1;
            self.last = Some(entry);
        }
        if self.entries < capacity && self.slot(self.entries).iter().any(|byte| *byte != 0) {
            self.repairs += 1;
            self.drop_from(self.entries);
        }
    }

    fn is_next(&self, entry: &IndexEntry) -> bool {
        self.last.is_none_or(|last| {
            entry.relative_offset > last.relative_offset
                && entry.position > last.position
                && entry.max_timestamp_before >= last.max_timestamp_before
        })
    }

    /// Goes on without the file: its segment is about to be removed while readers may hold it.
    pub fn detach(&mut self) {
        self.store.get_or_insert_with(|| Store::Memory(vec![0; FIRST_BYTES]));
    }

    /// Forgets all entries.
    pub fn reset(&mut self) {
        let incarnation = self.incarnation;
        let store = self.store();
        let zeros = vec![0; store.bytes().len() - ENTRIES_AT];
        store.write(ENTRIES_AT, &zeros);
        let mut header = [0; ENTRIES_AT];
        put(&mut header, INCARNATION_AT, incarnation.to_le_bytes());
        layout::seal(&mut header, MAGIC);
        store.write(0, &header);
        (self.entries, self.last) = (0, None);
    }

    fn slot(&self, i: usize) -> &[u8] {
        let at = ENTRIES_AT + i * ENTRY_BYTES;
        &self.bytes()[at..at + ENTRY_BYTES]
    }

    fn entry(&self, i: usize) -> Option<IndexEntry> {
        IndexEntry::decode(self.slot(i), self.incarnation)
    }

    /// Notes that a batch begins at `position`, if the strategy wants it and it lies behind the last entry.
    pub fn offer(&mut self, relative_offset: u64, position: u64, max_timestamp_before: i64) {
        let Some(entry) = IndexEntry::new(relative_offset, position, max_timestamp_before) else { return };
        self.store();
        if self.last.is_none_or(|last| entry.position > last.position && self.placement.wants(&last, &entry))
        {
            self.push(&entry);
        }
    }

    fn push(&mut self, entry: &IndexEntry) {
        if !self.is_next(entry) {
            return;
        }
        let (at, incarnation) = (self.entries, self.incarnation);
        if at == self.store().capacity() {
            let file = self.file.clone();
            self.store().grow(&file);
        }
        self.store().write(ENTRIES_AT + at * ENTRY_BYTES, &entry.encode(incarnation));
        self.entries += 1;
        self.last = Some(*entry);
    }

    /// What decides which batches get an entry.
    pub fn placement(&self) -> Arc<dyn Placement> {
        self.placement.clone()
    }

    /// Puts entries that a lookup found missing where they belong.
    pub fn fill(&mut self, missing: &[IndexEntry]) {
        let Some(first) = missing.first() else { return };
        let keep = self.partition_point(|entry| entry.position < first.position);
        let mut rest: Vec<_> = (keep..self.entries).map_while(|i| self.entry(i)).collect();
        let known = |entry: &IndexEntry| rest.binary_search_by_key(&entry.position, |e| e.position).is_ok();
        if missing.iter().all(known) {
            return;
        }
        rest.extend_from_slice(missing);
        rest.sort_unstable_by_key(|entry| entry.position);
        rest.dedup_by_key(|entry| entry.position);
        self.entries = keep;
        self.last = keep.checked_sub(1).and_then(|i| self.entry(i));
        let zeros = vec![0; self.bytes().len() - (ENTRIES_AT + keep * ENTRY_BYTES)];
        self.store().write(ENTRIES_AT + keep * ENTRY_BYTES, &zeros);
        // What does not go on in order is wrong: it stays away and is found missing again.
        rest.iter().for_each(|entry| self.push(entry));
        self.repairs += 1;
    }

    /// Drops the entries at or behind `position`, for good: the log is about to have other batches there.
    pub fn cut(&mut self, position: u64) {
        self.store();
        let keep = self.partition_point(|entry| u64::from(entry.position) < position);
        if keep == self.entries {
            return;
        }
        self.drop_from(keep);
        if let Err(error) = self.file.sync()
            && !matches!(self.store, Some(Store::Memory(_)))
        {
            tracing::warn!(path = %self.file.path.display(), %error, "index file cannot be cut; indexing in memory");
            self.store().leave_file(0);
            // What cannot be removed is met again at the next start: the log is checked then as always.
            let _ = self.file.disk.remove_file(&self.file.path);
        }
    }

    fn drop_from(&mut self, keep: usize) {
        let store = self.store();
        let at = ENTRIES_AT + keep * ENTRY_BYTES;
        let zeros = vec![0; store.bytes().len() - at];
        store.write(at, &zeros);
        self.entries = keep;
        self.last = keep.checked_sub(1).and_then(|i| self.entry(i));
    }

    /// The last entry whose first offset is at most the segment's base + `relative_offset`.
    pub fn floor(&mut self, relative_offset: u64) -> Option<IndexEntry> {
        self.floor_where(|entry| u64::from(entry.relative_offset) <= relative_offset)
    }

    /// The last entry before which every record is older than `timestamp` (Unix ms).
    pub fn floor_by_time(&mut self, timestamp: i64) -> Option<IndexEntry> {
        self.floor_where(|entry| entry.max_timestamp_before < timestamp)
    }

    /// The last entry before `position`.
    pub fn before(&mut self, position: u64) -> Option<IndexEntry> {
        self.floor_where(|entry| u64::from(entry.position) < position)
    }

    fn floor_where(&mut self, below: impl Fn(&IndexEntry) -> bool) -> Option<IndexEntry> {
        self.store();
        let after = self.partition_point(below);
        after.checked_sub(1).and_then(|i| self.entry(i))
    }

    /// How many entries are `below`; those that are met damaged go, with all behind them.
    fn partition_point(&mut self, below: impl Fn(&IndexEntry) -> bool) -> usize {
        let (mut low, mut high) = (0, self.entries);
        while low < high {
            let middle = low.midpoint(high);
            match self.entry(middle) {
                Some(entry) if below(&entry) => low = middle + 1,
                Some(_) => high = middle,
                None => {
                    self.repairs += 1;
                    self.drop_from(middle);
                    (low, high) = (0, self.entries);
                }
            }
        }
        low
    }
}

#[cfg(test)]
mod tests;
