//! Finding the batch that holds an offset or a time, in one segment.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use flymq_types::{BatchHeader, InflateLimits, Offset, RecordBatch, Timestamp};

use super::Log;
use super::view::SegmentView;
use crate::error::{IoContext, Result, StorageError};
use crate::index::{IndexEntry, Placement};
use crate::scan::Window;
use crate::segment::Segment;
use crate::segment::header::HEADER_BYTES;

/// So many index entries are tried, from the best one back, before a segment is read from its beginning.
const MAX_HINTS: usize = 8;

/// A segment with the bounds that the reader saw when it looked.
pub(super) struct Lookup<'a> {
    view: &'a SegmentView,
}

/// What came of hopping over headers from a position.
pub(super) enum Hop {
    At {
        position: u64,
        header: BatchHeader,
        /// Offset after the batch before: lower than the header's first offset where there is damage between them.
        after: u64,
        /// Largest timestamp in the segment before it, Unix ms.
        max_timestamp_before: i64,
    },
    /// No batch of the segment at the very first position.
    BadStart,
    /// Nothing but damage behind the batch that ends at this offset.
    Nothing { after: u64 },
}

impl<'a> Lookup<'a> {
    pub fn new(view: &'a SegmentView) -> Self {
        Self { view }
    }

    pub fn segment(&self) -> &Segment {
        &self.view.segment
    }

    /// Byte after the last batch that this reader may see.
    pub fn limit(&self) -> u64 {
        self.view.tip.position
    }

    /// Position and header of the batch that holds `offset`. The index only says where to begin: where its entry is not
    /// what the log has there, an earlier one is tried, and in the end the segment's first batch.
    ///
    /// # Errors
    /// `Corrupt` with the damaged range around `offset`.
    pub fn find(&self, offset: u64) -> Result<(u64, BatchHeader)> {
        let relative = offset.saturating_sub(self.segment().base_offset);
        let hint = self.segment().index.lock().floor(relative);
        match self.hop_from(hint, |_, header| header.next_offset() > offset)? {
            Hop::At { position, header, .. }
                if header.server.base_offset <= offset || cfg!(mutant = "index_believed") =>
            {
                Ok((position, header))
            }
            Hop::At { header, after, .. } => Err(corrupt(after, header.server.base_offset)),
            Hop::Nothing { after } => Err(corrupt(after, self.view.tip.next_offset)),
            Hop::BadStart => Err(corrupt(self.segment().base_offset, self.view.tip.next_offset)),
        }
    }

    /// Hops until `reached`, from `hint` if the log has that batch there, else from an entry before it, else from the
    /// segment's first batch.
    pub(super) fn hop_from(
        &self,
        mut hint: Option<IndexEntry>,
        mut reached: impl FnMut(u64, &BatchHeader) -> bool,
    ) -> Result<Hop> {
        for _ in 0..MAX_HINTS {
            let Some(entry) = hint.filter(|entry| self.is_inside(entry)) else { break };
            match self.hop(Some(entry), &mut reached)? {
                Hop::BadStart => {}
                found => return Ok(found),
            }
            self.segment().misled.fetch_add(1, Ordering::Relaxed);
            hint = self.segment().index.lock().before(entry.position.into());
        }
        self.hop(None, &mut reached)
    }

    fn is_inside(&self, entry: &IndexEntry) -> bool {
        (HEADER_BYTES as u64..self.limit()).contains(&entry.position.into())
    }

    /// Hops from batch to batch until `reached`, over damage to the next verified batch, and fills the index where it
    /// ends early. Begins at `start` and gives up if the log does not have that batch there; without it at the
    /// segment's first batch.
    fn hop(
        &self,
        start: Option<IndexEntry>,
        mut reached: impl FnMut(u64, &BatchHeader) -> bool,
    ) -> Result<Hop> {
        let segment = self.segment();
        let mut window = Window::for_lookup(segment, self.limit());
        let (mut position, mut next_offset, mut max_timestamp) = match start {
            Some(at) => {
                let offset = segment.base_offset + u64::from(at.relative_offset);
                (at.position.into(), offset, at.max_timestamp_before)
            }
            None => (HEADER_BYTES as u64, segment.base_offset, i64::MIN),
        };
        let mut missing =
            Missing { placement: segment.index.lock().placement(), last: start, found: Vec::new() };
        let mut first = start.is_some();
        loop {
            let fits = |header: &BatchHeader| {
                let base = header.server.base_offset;
                if first {
                    base == next_offset || cfg!(mutant = "index_believed")
                } else {
                    base >= next_offset
                }
            };
            let header = match window.header_at(position).on("read", &segment.path)? {
                Some((header, _)) if fits(&header) => header,
                Some(_) | None if first => return Ok(Hop::BadStart),
                Some(_) | None => {
                    let next = window.next_verified(position + 1, next_offset).on("read", &segment.path)?;
                    let Some((behind, header)) = next else { return Ok(Hop::Nothing { after: next_offset }) };
                    position = behind;
                    header
                }
            };
            missing.pass(header.server.base_offset - segment.base_offset, position, max_timestamp);
            if reached(position, &header) {
                segment.index.lock().fill(&missing.found);
                let after = next_offset;
                return Ok(Hop::At { position, header, after, max_timestamp_before: max_timestamp });
            }
            max_timestamp = max_timestamp.max(header.max_timestamp);
            next_offset = header.next_offset();
            position += header.batch_len() as u64;
            first = false;
        }
    }

    /// Offset of the first record in this segment at or after `timestamp`, and not below `from`.
    fn find_time(&self, timestamp: i64, from: u64) -> Result<Option<Offset>> {
        let mut hint = self.segment().index.lock().floor_by_time(timestamp);
        let mut passed = from;
        loop {
            let reached = |_: u64, header: &BatchHeader| {
                header.max_timestamp >= timestamp && header.next_offset() > passed
            };
            let Hop::At { position, header, max_timestamp_before, .. } = self.hop_from(hint, reached)? else {
                return Ok(None);
            };
            let batches = self.take(position, &header, 0, u64::MAX)?;
            let found = batches.first().and_then(|batch| first_at(batch, timestamp, passed));
            if found.is_some() {
                return Ok(found);
            }
            // The header promised what no record has (any more): on behind it.
            passed = header.next_offset();
            let relative = header.server.base_offset - self.segment().base_offset;
            hint = IndexEntry::new(relative, position, max_timestamp_before);
        }
    }
}

/// Entries that the index should have had on a way.
struct Missing {
    placement: Arc<dyn Placement>,
    last: Option<IndexEntry>,
    found: Vec<IndexEntry>,
}

impl Missing {
    fn pass(&mut self, relative_offset: u64, position: u64, max_timestamp_before: i64) {
        let Some(entry) = IndexEntry::new(relative_offset, position, max_timestamp_before) else { return };
        if self.last.is_none_or(|last| entry.position > last.position && self.placement.wants(&last, &entry))
        {
            self.last = Some(entry);
            self.found.push(entry);
        }
    }
}

fn corrupt(start: u64, end: u64) -> StorageError {
    StorageError::Corrupt { start: Offset(start), end: Offset(end) }
}

impl Log {
    /// Offset of the first record whose timestamp is `timestamp` or later; `None` if there is none. For a batch
    /// that cannot be opened it is the batch's first offset.
    ///
    /// # Errors
    /// `Corrupt`, `Io`, `Closed`.
    pub fn offset_for_timestamp(&self, timestamp: Timestamp) -> Result<Option<Offset>> {
        self.0.check_open()?;
        let start = self.start_offset();
        let segments: Vec<_> = {
            let view = self.0.view.lock();
            view.segments.iter().filter(|view| view.tip.max_timestamp >= timestamp.0).cloned().collect()
        };
        for view in &segments {
            if let Some(offset) = Lookup::new(view).find_time(timestamp.0, start.0)? {
                return Ok(Some(offset));
            }
        }
        Ok(None)
    }
}

/// The first record at or after `timestamp` and not below `from`. Where the batch cannot be opened its first offset stands
/// for its records.
fn first_at(batch: &RecordBatch, timestamp: i64, from: u64) -> Option<Offset> {
    let Ok(records) = batch.open(&InflateLimits::BATCH) else {
        return Some(batch.base_offset().max(Offset(from)));
    };
    let mut hits = records.iter().flatten();
    hits.find(|record| record.timestamp >= timestamp && record.offset >= from)
        .map(|record| Offset(record.offset))
}
