//! What readers see of a log: published under a short lock after each append.

use std::ops::Range;
use std::sync::Arc;

use flymq_types::Timestamp;

use crate::index::{IndexStats, IndexStrategy};
use crate::segment::Segment;
use crate::segment::header::HEADER_BYTES;
use crate::segment::tip::Tip;
use crate::tail::TailCache;

/// So many ranges met are kept apart: a disk that bad is told of in the log anyway.
const MAX_MET: usize = 1_000;

/// A segment and how much of it may be read.
#[derive(Debug, Clone)]
pub(super) struct SegmentView {
    pub segment: Arc<Segment>,
    pub tip: Tip,
}

impl SegmentView {
    pub fn range(&self) -> Range<u64> {
        self.segment.base_offset..self.tip.next_offset
    }

    /// The chain value that the segment behind it builds on: of the last batch that was appended here, cleaned or not.
    pub fn chain_out(&self) -> u32 {
        self.segment.replaced.map_or(self.tip.chain, |replaced| replaced.chain)
    }
}

/// What became of a segment since somebody looked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Extent {
    /// All that was there still is.
    Same,
    /// Its last batches were cut off.
    Cut,
    /// It is no part of the log any more.
    Gone,
}

/// Segments in order of offset, damaged ranges, newest batches.
#[derive(Debug)]
pub(super) struct View {
    pub segments: Vec<SegmentView>,
    pub tail: TailCache,
    /// Damaged or missing ranges known from the start, in order.
    pub quarantined: Vec<Range<u64>>,
    /// Damaged ranges that reads and scrubs have met since.
    pub met: Vec<Range<u64>>,
}

impl View {
    pub fn bytes(&self) -> u64 {
        self.segments.iter().map(|view| view.tip.position).sum()
    }

    pub fn last_append(&self) -> Option<Timestamp> {
        let last = self.segments.last()?.tip.append_time;
        (last != i64::MIN).then_some(Timestamp(last))
    }

    /// What became of `seen`.
    pub fn extent_of(&self, seen: &SegmentView) -> Extent {
        let is_it = |view: &&SegmentView| view.segment.incarnation == seen.segment.incarnation;
        match self.segments.iter().find(is_it) {
            Some(now) if now.tip.next_offset < seen.tip.next_offset => Extent::Cut,
            Some(_) => Extent::Same,
            None => Extent::Gone,
        }
    }

    /// Takes what lies at or behind `end` out of the readers' sight; `last` is what is left of a segment that holds records
    /// on both sides. Returns the segments that are gone.
    pub fn cut(&mut self, end: u64, last: Option<Tip>) -> Vec<SegmentView> {
        let keep = self.segments.partition_point(|view| view.segment.base_offset < end);
        let gone = self.segments.split_off(keep);
        if let (Some(view), Some(tip)) = (self.segments.last_mut(), last) {
            view.tip = tip;
        }
        self.tail.cut(end);
        for ranges in [&mut self.quarantined, &mut self.met] {
            ranges.retain(|range| range.start < end);
            ranges.iter_mut().for_each(|range| range.end = range.end.min(end));
        }
        gone
    }

    /// All damaged ranges, in order, without overlaps.
    pub fn damaged(&self) -> Vec<Range<u64>> {
        let mut all: Vec<Range<u64>> = self.quarantined.iter().chain(&self.met).cloned().collect();
        all.sort_unstable_by_key(|range| (range.start, range.end));
        let mut joined: Vec<Range<u64>> = Vec::with_capacity(all.len());
        for range in all {
            match joined.last_mut() {
                Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
                Some(_) | None => joined.push(range),
            }
        }
        joined
    }

    pub fn is_damaged(&self) -> bool {
        !self.quarantined.is_empty() || !self.met.is_empty()
    }

    /// Remembers a damaged range; says whether any of it is news.
    pub fn note_damage(&mut self, range: Range<u64>) -> bool {
        let known = self.damaged().iter().any(|known| known.start <= range.start && range.end <= known.end);
        if !known && !range.is_empty() && self.met.len() < MAX_MET {
            self.met.push(range);
            return true;
        }
        false
    }

    /// Forgets that offsets of `range` are damaged.
    pub fn mend(&mut self, range: &Range<u64>) {
        for ranges in [&mut self.quarantined, &mut self.met] {
            let rest = |known: Range<u64>| {
                [known.start..known.end.min(range.start), known.start.max(range.end)..known.end]
            };
            *ranges = ranges.drain(..).flat_map(rest).filter(|rest| !rest.is_empty()).collect();
        }
    }

    pub fn index_stats(&self, strategy: IndexStrategy) -> IndexStats {
        let mut stats = IndexStats { strategy, ..IndexStats::default() };
        for view in &self.segments {
            stats.add(&view.segment.index.lock().stats(), view.tip.position, HEADER_BYTES as u64);
        }
        stats
    }

    /// The segment that holds `offset`, or the first one behind it.
    pub fn segment_of(&self, offset: u64) -> Option<&SegmentView> {
        let i = self.segments.partition_point(|view| view.tip.next_offset <= offset);
        self.segments.get(i)
    }

    pub fn quarantine_of(&self, offset: u64) -> Option<Range<u64>> {
        let i = self.quarantined.partition_point(|range| range.end <= offset);
        self.quarantined.get(i).filter(|range| range.contains(&offset)).cloned()
    }
}
