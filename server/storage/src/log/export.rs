//! The closed segments of a log as plain batches, for a follower that is too far behind for the live stream.

use std::sync::Arc;

use flymq_types::{Offset, RecordBatch};

use super::lookup::Lookup;
use super::view::SegmentView;
use super::{Log, LogInner};
use crate::error::{Result, StorageError};

/// What a segment holds: enough for a follower to make one of the same kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SegmentSpan {
    /// Offset of the first batch.
    pub base: Offset,
    /// Offset after the last one.
    pub end: Offset,
    /// Chain value of the batch before the first one.
    pub chain: u32,
    /// Chain value that the batch behind the segment builds on. That of its last batch, but where it was cleaned.
    pub next_chain: u32,
    /// A cleaning wrote it: chain values within it are its own.
    pub cleaned: bool,
    /// Bytes of its file, about.
    pub bytes: u64,
}

/// A closed segment, which stays readable for as long as somebody holds it, whatever becomes of the log.
#[derive(Debug, Clone)]
pub struct SealedSegment {
    log: Arc<LogInner>,
    view: SegmentView,
    span: SegmentSpan,
}

/// What a follower installs.
#[derive(Debug, Clone)]
pub struct Export {
    /// Where the log starts: at `base` or inside of the batch that begins there. At `base` where nothing is closed.
    pub start: Offset,
    /// First offset of the first batch.
    pub base: Offset,
    /// Chain value of the batch before that.
    pub chain: u32,
    /// In order, without a gap between them. What is behind the last one comes by [`Log::read_raw`].
    pub segments: Vec<SealedSegment>,
}

impl SealedSegment {
    pub fn span(&self) -> SegmentSpan {
        self.span
    }

    /// Whole batches from the one that holds `from`, together at most `max_bytes` but at least one, all verified and none of
    /// them encrypted; empty at the end of the segment.
    ///
    /// # Errors
    /// `Corrupt`: another replica has to give these; `Truncated` where they were cut off; `Io`, `Closed`.
    pub fn read(&self, from: Offset, max_bytes: usize) -> Result<Vec<RecordBatch>> {
        self.log.check_open()?;
        if from >= self.span.end {
            return Ok(Vec::new());
        }
        let lookup = Lookup::new(&self.view);
        let found = lookup.find(from.max(self.span.base).0);
        let batches =
            found.and_then(|(position, header)| lookup.take(position, &header, max_bytes, self.span.end.0));
        batches.map_err(|error| self.log.explain(&self.view, error))
    }
}

impl Log {
    /// The closed segments from the log's start to the first gap between them.
    ///
    /// # Errors
    /// `Corrupt` where the batch at the log's start is damaged; `Io`, `Closed`.
    pub fn export(&self) -> Result<Export> {
        self.0.check_open()?;
        let (start, views) = {
            let _front = self.0.front.lock();
            let writer = self.0.writer.lock();
            (self.start_offset(), self.0.sealed_below(&writer, u64::MAX))
        };
        let mut segments: Vec<SealedSegment> = Vec::with_capacity(views.len());
        for view in views.into_iter().filter(|view| view.tip.next_offset > start.0) {
            let expected = segments.last().map_or(start, |last| last.span.end);
            let first = self.0.span(&view, start)?;
            if first.base > expected {
                break;
            }
            segments.push(SealedSegment { log: self.0.clone(), view, span: first });
        }
        let (base, chain) = match segments.first() {
            Some(first) => (first.span.base, first.span.chain),
            None => self.0.first_batch(start)?,
        };
        let start = if segments.is_empty() { base } else { start };
        Ok(Export { start, base, chain, segments })
    }
}

impl LogInner {
    /// What of a segment belongs to a log that starts at `start`.
    fn span(&self, view: &SegmentView, start: Offset) -> Result<SegmentSpan> {
        let segment = &view.segment;
        let (mut base, mut chain) = (segment.base_offset, segment.base_chain);
        if base < start.0 {
            (base, chain) = self.batch_with(view, start.0)?;
        }
        Ok(SegmentSpan {
            base: Offset(base),
            end: Offset(view.tip.next_offset),
            chain,
            next_chain: view.chain_out(),
            cleaned: segment.replaced.is_some(),
            bytes: view.tip.position,
        })
    }

    /// First offset of the batch with `offset`, and the chain value before it.
    fn batch_with(&self, view: &SegmentView, offset: u64) -> Result<(u64, u32)> {
        let lookup = Lookup::new(view);
        let (_, header) = lookup.find(offset).map_err(|error| self.explain(view, error))?;
        let base = header.server.base_offset;
        if base == view.segment.base_offset {
            return Ok((base, view.segment.base_chain));
        }
        let (_, before) = lookup.find(base - 1).map_err(|error| self.explain(view, error))?;
        Ok((base, before.server.chain))
    }

    /// As [`LogInner::batch_with`] for a log without closed segments.
    fn first_batch(&self, start: Offset) -> Result<(Offset, u32)> {
        let found = {
            let view = self.view.lock();
            view.segment_of(start.0).cloned()
        };
        let Some(view) = found else {
            return Ok((start, self.writer.lock().tip.chain));
        };
        if view.segment.base_offset > start.0 {
            let (start, end) = (start, Offset(view.segment.base_offset));
            return Err(StorageError::Corrupt { start, end });
        }
        let (base, chain) = self.batch_with(&view, start.0)?;
        Ok((Offset(base), chain))
    }
}
