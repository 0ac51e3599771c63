//! The sparse index of one segment: offset and time to position. A cache: whatever it says is checked against the
//! log, and when it is missing or wrong it is rebuilt from there. Its failures never fail an append.

use std::io::{self, IoSlice};
use std::path::Path;
use std::sync::Arc;

use crate::disk::{Disk, DiskFile, FileMap, OpenMode};
use crate::layout::{self, Verdict, get_i64, get_u32, get_u64, put};

const MAGIC: &[u8; 8] = b"FQINDEX\0";
const INDEX_HEADER_BYTES: usize = 64;
const ENTRY_BYTES: usize = 16;
const FIRST_BYTES: usize = 4096;
const INCARNATION_AT: usize = 16;

/// About one entry for this many bytes of log.
pub(crate) const INTERVAL_BYTES: u64 = 4096;

/// A batch begins at `position`. Its first offset is the segment's base + `relative_offset`; no record before it has
/// a timestamp later than `max_timestamp_before` (Unix ms).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct IndexEntry {
    pub relative_offset: u32,
    pub position: u32,
    pub max_timestamp_before: i64,
}

#[derive(Debug)]
enum Store {
    /// Memory shared with the file, whose blocks are all real. Without the file it cannot grow.
    Mapped(Box<dyn FileMap>, Option<Arc<dyn DiskFile>>),
    /// The twin for disks without maps: memory, written through.
    Written(Vec<u8>, Arc<dyn DiskFile>),
    /// The file cannot be used; the index lives as long as the process.
    Memory(Vec<u8>),
}

/// Entries in order of position. Not safe for several writers: the log locks it.
#[derive(Debug)]
pub(crate) struct Index {
    store: Store,
    incarnation: u64,
    entries: usize,
}

impl Index {
    /// An empty index, in a new or emptied file where that can be had.
    pub fn create(disk: &dyn Disk, path: &Path, incarnation: u64) -> Self {
        Self::open(disk, path, incarnation, true)
    }

    /// The index as the file has it; empty if the file is missing, damaged or of another incarnation.
    pub fn load(disk: &dyn Disk, path: &Path, incarnation: u64) -> Self {
        Self::open(disk, path, incarnation, false)
    }

    fn open(disk: &dyn Disk, path: &Path, incarnation: u64, empty: bool) -> Self {
        let store = open_store(disk, path).unwrap_or_else(|error| {
            tracing::warn!(path = %path.display(), %error, "index file cannot be used; indexing in memory");
            Store::Memory(vec![0; FIRST_BYTES])
        });
        let mut index = Self { store, incarnation, entries: 0 };
        if empty || !index.header_is_good() {
            index.reset();
        } else {
            index.entries = index.count();
        }
        index
    }

    fn bytes(&self) -> &[u8] {
        match &self.store {
            Store::Mapped(map, _) => map.bytes(),
            Store::Written(bytes, _) | Store::Memory(bytes) => bytes,
        }
    }

    fn write(&mut self, at: usize, value: &[u8]) {
        match &mut self.store {
            Store::Mapped(map, _) => map.bytes_mut()[at..at + value.len()].copy_from_slice(value),
            Store::Memory(bytes) => bytes[at..at + value.len()].copy_from_slice(value),
            Store::Written(bytes, file) => {
                bytes[at..at + value.len()].copy_from_slice(value);
                if file.write_all_at(&mut [IoSlice::new(value)], at as u64).is_err() {
                    self.store = Store::Memory(std::mem::take(bytes));
                }
            }
        }
    }

    fn header_is_good(&self) -> bool {
        let header = &self.bytes()[..INDEX_HEADER_BYTES];
        layout::judge(header, MAGIC) == Verdict::Good && get_u64(header, INCARNATION_AT) == self.incarnation
    }

    /// Forgets all entries.
    pub fn reset(&mut self) {
        let zeros = vec![0; self.bytes().len() - INDEX_HEADER_BYTES];
        self.write(INDEX_HEADER_BYTES, &zeros);
        let mut header = [0; INDEX_HEADER_BYTES];
        put(&mut header, INCARNATION_AT, self.incarnation.to_le_bytes());
        layout::seal(&mut header, MAGIC);
        self.write(0, &header);
        self.entries = 0;
    }

    fn capacity(&self) -> usize {
        (self.bytes().len() - INDEX_HEADER_BYTES) / ENTRY_BYTES
    }

    fn entry(&self, i: usize) -> IndexEntry {
        let at = INDEX_HEADER_BYTES + i * ENTRY_BYTES;
        let bytes = self.bytes();
        IndexEntry {
            relative_offset: get_u32(bytes, at),
            position: get_u32(bytes, at + 4),
            max_timestamp_before: get_i64(bytes, at + 8),
        }
    }

    /// Entries up to the first one that is empty or out of order.
    fn count(&self) -> usize {
        let mut last: Option<IndexEntry> = None;
        (0..self.capacity())
            .take_while(|i| {
                let entry = self.entry(*i);
                let in_order = last.is_none_or(|last| {
                    entry.relative_offset > last.relative_offset && entry.position > last.position
                });
                last = Some(entry);
                entry.position != 0 && in_order
            })
            .count()
    }

    fn all(&self) -> impl DoubleEndedIterator<Item = IndexEntry> {
        (0..self.entries).map(|i| self.entry(i))
    }

    /// Byte position of the last entry.
    pub fn last_position(&self) -> Option<u64> {
        self.all().next_back().map(|entry| entry.position.into())
    }

    /// Notes that a batch begins at `position`, unless an entry is near enough before it.
    pub fn offer(&mut self, relative_offset: u64, position: u64, max_timestamp_before: i64) {
        if self.last_position().is_some_and(|last| position < last + INTERVAL_BYTES) {
            return;
        }
        let (Ok(relative_offset), Ok(position)) = (u32::try_from(relative_offset), u32::try_from(position))
        else {
            return;
        };
        if self.entries == self.capacity() {
            self.grow();
        }
        let mut entry = [0; ENTRY_BYTES];
        put(&mut entry, 0, relative_offset.to_le_bytes());
        put(&mut entry, 4, position.to_le_bytes());
        put(&mut entry, 8, max_timestamp_before.to_le_bytes());
        self.write(INDEX_HEADER_BYTES + self.entries * ENTRY_BYTES, &entry);
        self.entries += 1;
    }

    fn grow(&mut self) {
        let len = self.bytes().len() * 2;
        let grown = match &mut self.store {
            Store::Mapped(_, Some(file)) => file.allocate(len as u64).and_then(|()| map_or_read(file, len)),
            Store::Mapped(_, None) => Err(io::Error::other("the index was finished")),
            Store::Written(bytes, file) => file.allocate(len as u64).map(|()| {
                bytes.resize(len, 0);
                Store::Written(std::mem::take(bytes), file.clone())
            }),
            Store::Memory(bytes) => {
                bytes.resize(len, 0);
                return;
            }
        };
        self.store = grown.unwrap_or_else(|error| {
            tracing::warn!(%error, "index file cannot grow; indexing in memory");
            let mut bytes = self.bytes().to_vec();
            bytes.resize(len, 0);
            Store::Memory(bytes)
        });
    }

    /// Closes the file, as its segment is sealed: the map stays. Saves a descriptor for each segment.
    pub fn finish(&mut self) {
        if let Store::Mapped(_, file) = &mut self.store {
            *file = None;
        }
    }

    /// Drops the entries at or behind `position`.
    pub fn cut(&mut self, position: u64) {
        while self.last_position().is_some_and(|last| last >= position) {
            self.entries -= 1;
            self.write(INDEX_HEADER_BYTES + self.entries * ENTRY_BYTES, &[0; ENTRY_BYTES]);
        }
    }

    /// Position of the last indexed batch whose first offset is at most the segment's base + `relative_offset`.
    pub fn floor(&self, relative_offset: u64) -> Option<u64> {
        let after = self.partition_point(|entry| u64::from(entry.relative_offset) <= relative_offset);
        after.checked_sub(1).map(|i| self.entry(i).position.into())
    }

    /// Position of an indexed batch before which every record is older than `timestamp` (Unix ms).
    pub fn floor_by_time(&self, timestamp: i64) -> Option<u64> {
        let after = self.partition_point(|entry| entry.max_timestamp_before < timestamp);
        after.checked_sub(1).map(|i| self.entry(i).position.into())
    }

    fn partition_point(&self, below: impl Fn(IndexEntry) -> bool) -> usize {
        let (mut low, mut high) = (0, self.entries);
        while low < high {
            let middle = low.midpoint(high);
            if below(self.entry(middle)) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low
    }
}

fn open_store(disk: &dyn Disk, path: &Path) -> io::Result<Store> {
    let file = match disk.open(path, OpenMode::Write) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => disk.open(path, OpenMode::CreateNew)?,
        result => result?,
    };
    let len = usize::try_from(file.size()?).map_err(io::Error::other)?.max(FIRST_BYTES);
    let len = len - (len - INDEX_HEADER_BYTES) % ENTRY_BYTES;
    file.allocate(len as u64)?;
    map_or_read(&file, len)
}

fn map_or_read(file: &Arc<dyn DiskFile>, len: usize) -> io::Result<Store> {
    if let Some(map) = file.map(len)? {
        return Ok(Store::Mapped(map, Some(file.clone())));
    }
    let mut bytes = vec![0; len];
    file.read_exact_at(&mut bytes, 0)?;
    Ok(Store::Written(bytes, file.clone()))
}

#[cfg(test)]
mod tests;
