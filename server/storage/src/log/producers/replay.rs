//! Making the state again: from the newest snapshot, and the headers of the batches behind it.

use std::ops::Range;
use std::path::Path;

use flymq_types::Marker;

use super::{ProducerTable, Producers, Snapshot, is_control};
use crate::disk::Disk;
use crate::error::{IoContext, Result};
use crate::log::ProducerLimits;
use crate::log::view::SegmentView;
use crate::scan::Window;
use crate::segment::header::HEADER_BYTES;

impl Producers {
    /// The producers of a log that has these segments, and files for these ends of it (rising, none behind its own). A
    /// damaged file costs the way from an older one, or from the log's beginning.
    pub(in crate::log) fn rebuild(
        (disk, dir): (&dyn Disk, &Path),
        snapshots: Vec<u64>,
        segments: &[SegmentView],
        limits: ProducerLimits,
    ) -> Result<Self> {
        if snapshots.is_empty() {
            return Ok(Self::default());
        }
        let table = ProducerTable::rebuild((disk, dir), &snapshots, segments, u64::MAX, limits)?;
        Ok(Self { table, snapshots })
    }

    /// As [`Producers::rebuild`] at a start, for a log that ends at `end`: a newest file that is damaged is made again
    /// before the batches in front of it may go.
    pub(in crate::log) fn recover(
        (disk, dir): (&dyn Disk, &Path),
        snapshots: Vec<u64>,
        segments: &[SegmentView],
        end: u64,
        limits: ProducerLimits,
    ) -> Result<Self> {
        let mut producers = Self::rebuild((disk, dir), snapshots, segments, limits)?;
        if let Some(newest) = producers.snapshots.last().copied()
            && Snapshot::load(disk, dir, newest)?.is_none()
        {
            Snapshot::store(disk, dir, end, &producers.table)?;
            producers.snapshots.retain(|known| *known != end);
            producers.snapshots.push(end);
        }
        Ok(producers)
    }
}

impl ProducerTable {
    /// As [`Producers::rebuild`], by the batches below `upto`; without snapshots from the log's beginning.
    pub(in crate::log) fn rebuild(
        (disk, dir): (&dyn Disk, &Path),
        snapshots: &[u64],
        segments: &[SegmentView],
        upto: u64,
        limits: ProducerLimits,
    ) -> Result<Self> {
        let mut newest = None;
        for end in snapshots.iter().rev() {
            newest = Snapshot::load(disk, dir, *end)?;
            if newest.is_some() {
                break;
            }
            tracing::warn!(log = %dir.display(), end, "a damaged snapshot of the log's producers: an older one is taken");
        }
        let from = newest.as_ref().map_or(0, |snapshot| snapshot.end);
        let mut table = newest.map(|snapshot| snapshot.table).unwrap_or_default();
        for view in segments.iter().filter(|view| view.tip.next_offset > from) {
            replay(view, from..upto, &mut table, limits)?;
        }
        #[cfg(mutant = "missing_aborted_index_believed")]
        if snapshots.last().is_some_and(|newest| *newest != from) {
            table.transactions.forget_aborted();
        }
        Ok(table)
    }
}

/// Notes the segment's batches of these offsets; what is damaged is passed over.
fn replay(
    view: &SegmentView,
    offsets: Range<u64>,
    table: &mut ProducerTable,
    limits: ProducerLimits,
) -> Result<()> {
    let segment = &view.segment;
    let mut window = Window::for_lookup(segment, view.tip.position);
    let mut position = HEADER_BYTES as u64;
    while position < view.tip.position {
        position = match window.header_at(position).on("read", &segment.path)? {
            Some((header, _)) => {
                if header.server.base_offset >= offsets.end {
                    break;
                }
                if header.server.base_offset >= offsets.start {
                    let marker = match is_control(&header) {
                        true => window.record_batch_at(position, &header).on("read", &segment.path)?,
                        false => None,
                    };
                    let marker = marker.and_then(|batch| Marker::parse(batch.header(), batch.payload()));
                    table.note(&header, marker, limits);
                }
                position + header.batch_len() as u64
            }
            None => match window.next_header(position + 1, 0).on("read", &segment.path)? {
                Some((behind, _)) => behind,
                None => break,
            },
        };
    }
    Ok(())
}
