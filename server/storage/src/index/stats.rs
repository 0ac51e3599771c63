//! What an index tells about itself.

use super::{ENTRIES_AT, ENTRY_BYTES, Index, IndexStrategy, Store};

/// Whether lookups can use an index.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum IndexHealth {
    /// In use, file and memory alike; or not looked at since the start.
    #[default]
    Good,
    /// A part of it was damaged or missing, and is made again as lookups come by.
    Partial,
    /// Its file cannot be used: it lives in memory until the process ends.
    InMemory,
}

/// The indexes of one log at a moment, those that were used since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct IndexStats {
    pub strategy: IndexStrategy,
    /// Segments whose index was looked at since the start.
    pub loaded: usize,
    pub entries: u64,
    /// Bytes of the entries.
    pub bytes: u64,
    /// Bytes of log that the loaded indexes cover, for the density.
    pub log_bytes: u64,
    /// Bytes of log behind the last entry of each loaded index.
    pub stale_bytes: u64,
    /// Times since the start that entries were found damaged and thrown away.
    pub repairs: u64,
    /// The worst of all.
    pub health: IndexHealth,
}

impl IndexStats {
    pub(crate) fn add(&mut self, segment: &SegmentIndexStats, tip: u64, first: u64) {
        if !segment.loaded {
            return;
        }
        self.loaded += 1;
        self.entries += segment.entries;
        self.bytes += ENTRIES_AT as u64 + segment.entries * ENTRY_BYTES as u64;
        self.log_bytes += tip - first;
        let covered = segment.last_position.unwrap_or(first);
        self.stale_bytes += tip.saturating_sub(covered);
        self.repairs += segment.repairs;
        let health = match (segment.in_memory, segment.last_position) {
            (true, _) => IndexHealth::InMemory,
            (false, None) if tip > first => IndexHealth::Partial,
            (false, _) => IndexHealth::Good,
        };
        if self.health == IndexHealth::Good {
            self.health = health;
        }
    }
}

/// The index of one segment at a moment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SegmentIndexStats {
    pub loaded: bool,
    pub entries: u64,
    pub last_position: Option<u64>,
    pub in_memory: bool,
    pub repairs: u64,
}

impl Index {
    /// Figures, without touching the file.
    pub fn stats(&self) -> SegmentIndexStats {
        SegmentIndexStats {
            loaded: self.store.is_some(),
            entries: self.entries as u64,
            last_position: self.last.map(|entry| entry.position.into()),
            in_memory: matches!(self.store, Some(Store::Memory(_))),
            repairs: self.repairs,
        }
    }
}
