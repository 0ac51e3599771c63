//! The header strategy: which records of a segment have which value of an indexed header.
//!
//! In memory alone, made from the log when somebody first asks: appends pay nothing for it, the disk of an encrypting
//! broker learns nothing by it, and it goes with its segment.

use std::ops::Range;
use std::sync::Arc;

use flymq_types::{InflateLimits, RecordBatch};

/// Postings of one segment, by a hash of name and value. What it finds is a candidate: the record itself tells.
#[derive(Debug, Default)]
pub(crate) struct HeaderIndex {
    /// Headers that are noted.
    names: Arc<[String]>,
    /// Hash, and offset relative to the segment's base.
    postings: Vec<(u32, u32)>,
    sorted: bool,
    /// Offset behind the last record that was looked at, relative to the base.
    covered: u64,
}

impl HeaderIndex {
    /// Begins anew where other headers are wanted now.
    pub fn want(&mut self, names: &Arc<[String]>) {
        if self.names != *names {
            *self = Self { names: names.clone(), ..Self::default() };
        }
    }

    /// Offset relative to the base from which on records are still to be noted.
    pub fn covered(&self) -> u64 {
        self.covered
    }

    pub fn len(&self) -> usize {
        self.postings.len()
    }

    /// Goes past offsets that have no records.
    pub fn skip_to(&mut self, relative: u64) {
        self.covered = self.covered.max(relative);
    }

    /// Notes the records of the next batch. One that cannot be opened has none that could be found.
    pub fn add(&mut self, batch: &RecordBatch, segment_base: u64) {
        if let Ok(records) = batch.open(&InflateLimits::BATCH) {
            for record in records.iter().flatten() {
                let Ok(relative) = u32::try_from(record.offset - segment_base) else { continue };
                let wanted =
                    record.headers().filter(|(name, _)| self.names.iter().any(|known| known == name));
                let hashes: Vec<_> = wanted.map(|(name, value)| (hash(name, value), relative)).collect();
                self.postings.extend(hashes);
            }
        }
        self.sorted = false;
        self.covered = batch.next_offset().0 - segment_base;
    }

    /// Offsets relative to the base that may have the header, rising.
    pub fn candidates(&mut self, name: &str, value: &[u8], within: Range<u64>) -> Vec<u64> {
        if !self.sorted {
            self.postings.sort_unstable();
            self.postings.dedup();
            self.postings.shrink_to_fit();
            self.sorted = true;
        }
        let wanted = hash(name, value);
        let first = self.postings.partition_point(|(hash, _)| *hash < wanted);
        let of_hash = self.postings[first..].iter().take_while(|(hash, _)| *hash == wanted);
        of_hash.map(|(_, relative)| u64::from(*relative)).filter(|offset| within.contains(offset)).collect()
    }
}

fn hash(name: &str, value: &[u8]) -> u32 {
    let crc = crc32c::crc32c(name.as_bytes());
    crc32c::crc32c_append(crc32c::crc32c_append(crc, &[0xff]), value)
}
