//! Finding the batch that holds an offset or a time, in one segment.

use flymq_types::{BatchHeader, Offset, RecordBatch, Timestamp};

use super::Log;
use super::view::SegmentView;
use crate::error::{IoContext, Result, StorageError};
use crate::scan::Window;
use crate::segment::Segment;
use crate::segment::header::HEADER_BYTES;

/// A segment with the bounds that the reader saw when it looked.
pub(super) struct Lookup<'a> {
    view: &'a SegmentView,
}

/// What came of hopping over headers from a position.
enum Hop {
    At {
        position: u64,
        header: BatchHeader,
        /// Offset after the batch before: lower than the header's first offset where there is damage between them.
        after: u64,
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

    /// Position and header of the batch that holds `offset`. The index only says where to begin; what does not hold
    /// there is looked for from the segment's first batch, and the index is built anew on the way.
    ///
    /// # Errors
    /// `Corrupt` with the damaged range around `offset`.
    pub fn find(&self, offset: u64) -> Result<(u64, BatchHeader)> {
        let relative = offset.saturating_sub(self.segment().base_offset);
        let reached = |header: &BatchHeader| header.next_offset() > offset;
        if let Some(hint) = self.usable(self.segment().index.lock().floor(relative))
            && let Hop::At { position, header, .. } = self.hop(hint, false, reached)?
            && (cfg!(mutant = "index_believed") || header.server.base_offset <= offset)
        {
            return Ok((position, header));
        }
        self.segment().index.lock().reset();
        match self.hop(HEADER_BYTES as u64, true, reached)? {
            Hop::At { position, header, .. } if header.server.base_offset <= offset => Ok((position, header)),
            Hop::At { header, after, .. } => Err(corrupt(after, header.server.base_offset)),
            Hop::Nothing { after } => Err(corrupt(after, self.view.tip.next_offset)),
            Hop::BadStart => Err(corrupt(self.segment().base_offset, self.view.tip.next_offset)),
        }
    }

    /// A position from the index, if it lies between the first batch and the end.
    fn usable(&self, hint: Option<u64>) -> Option<u64> {
        hint.filter(|hint| (HEADER_BYTES as u64..self.limit()).contains(hint))
    }

    /// Hops from batch to batch until `reached`, over damage to the next verified batch. Unless it begins at the
    /// segment's first batch (`whole`), it gives up where the first position holds no batch.
    fn hop(&self, from: u64, whole: bool, reached: impl Fn(&BatchHeader) -> bool) -> Result<Hop> {
        let segment = self.segment();
        let mut window = Window::for_lookup(&*segment.file, segment.incarnation, self.limit());
        let (mut position, mut next_offset) = (from, segment.base_offset);
        let mut max_timestamp = i64::MIN;
        let mut first = !whole;
        loop {
            let header = match window.header_at(position).on("read", &segment.path)? {
                Some((header, _)) if header.server.base_offset >= next_offset => header,
                Some(_) | None if first => return Ok(Hop::BadStart),
                Some(_) | None => {
                    let next = window.next_verified(position + 1, next_offset).on("read", &segment.path)?;
                    let Some((behind, header)) = next else { return Ok(Hop::Nothing { after: next_offset }) };
                    position = behind;
                    header
                }
            };
            if whole {
                let relative = header.server.base_offset - segment.base_offset;
                segment.index.lock().offer(relative, position, max_timestamp);
            }
            if reached(&header) {
                return Ok(Hop::At { position, header, after: next_offset });
            }
            max_timestamp = max_timestamp.max(header.max_timestamp);
            next_offset = header.next_offset();
            position += header.batch_len() as u64;
            first = false;
        }
    }

    /// The first batch that has a record at or after `timestamp`.
    fn find_time(&self, timestamp: i64) -> Result<Option<RecordBatch>> {
        let hint = self.segment().index.lock().floor_by_time(timestamp);
        let reached = |header: &BatchHeader| header.max_timestamp >= timestamp;
        let mut found = Hop::BadStart;
        if let Some(hint) = self.usable(hint) {
            found = self.hop(hint, false, reached)?;
        }
        if matches!(found, Hop::BadStart) {
            found = self.hop(HEADER_BYTES as u64, true, reached)?;
        }
        let Hop::At { position, header, .. } = found else { return Ok(None) };
        let mut bytes = vec![0; header.batch_len()];
        self.segment().file.read_exact_at(&mut bytes, position).on("read", &self.segment().path)?;
        let batch = RecordBatch::from_log(bytes.into());
        batch.map(Some).map_err(|_| corrupt(header.server.base_offset, header.next_offset()))
    }
}

fn corrupt(start: u64, end: u64) -> StorageError {
    StorageError::Corrupt { start: Offset(start), end: Offset(end) }
}

impl Log {
    /// Offset of the first record whose timestamp is `timestamp` or later; `None` if there is none. For a compressed
    /// batch it is the batch's first offset.
    ///
    /// # Errors
    /// `Corrupt`, `Io`, `Closed`.
    pub fn offset_for_timestamp(&self, timestamp: Timestamp) -> Result<Option<Offset>> {
        self.0.check_open()?;
        let segments: Vec<_> = {
            let view = self.0.view.lock();
            view.segments.iter().filter(|view| view.tip.max_timestamp >= timestamp.0).cloned().collect()
        };
        for view in &segments {
            if let Some(batch) = Lookup::new(view).find_time(timestamp.0)? {
                return Ok(Some(first_at(&batch, timestamp)));
            }
        }
        Ok(None)
    }
}

fn first_at(batch: &RecordBatch, timestamp: Timestamp) -> Offset {
    let records = batch.records().into_iter().flatten().flatten();
    let hit = records.into_iter().find(|record| record.timestamp >= timestamp.0);
    hit.map_or(batch.base_offset(), |record| Offset(record.offset))
}
