//! What readers see of a log: published under a short lock after each append.

use std::ops::Range;
use std::sync::Arc;

use flymq_types::Timestamp;

use crate::segment::Segment;
use crate::segment::tip::Tip;
use crate::tail::TailCache;

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
}

/// Segments in order of offset, damaged ranges, newest batches.
#[derive(Debug)]
pub(super) struct View {
    pub segments: Vec<SegmentView>,
    pub tail: TailCache,
    /// Damaged or missing ranges known from the start, in order.
    pub quarantined: Vec<Range<u64>>,
}

impl View {
    pub fn bytes(&self) -> u64 {
        self.segments.iter().map(|view| view.tip.position).sum()
    }

    pub fn last_append(&self) -> Option<Timestamp> {
        let last = self.segments.last()?.tip.append_time;
        (last != i64::MIN).then_some(Timestamp(last))
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
