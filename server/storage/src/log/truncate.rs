//! Cutting off the end of a log: what a follower does with records that its new leader does not have.
//!
//! A file is never written again behind a cut: the segment that holds the new end is closed there, and what is appended
//! next goes into a new one. So a reader that holds the log as it was finds old bytes or none, and never new ones.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use flymq_types::Offset;

use super::view::SegmentView;
use super::{CheckpointState, Log, LogInner, Writer};
use crate::checkpoint::{Checkpoint, Mark};
use crate::error::{IoContext, Result, StorageError};
use crate::pending::{Change, Pending};
use crate::scan::Window;
use crate::segment::tip::Tip;

/// Where a log is cut.
struct Cut {
    mark: Mark,
    /// The mark's segment holds batches behind it.
    inside: bool,
}

impl Log {
    /// Cuts off every record from `end` on, and forgets the epochs that are left without one. When it returns that is
    /// durable, and nobody is told of what was cut off as durable any more; a crash leaves the log whole or cut. An `end`
    /// inside a batch takes the whole batch. Where the log ends before `end` nothing is cut. Returns the log's end.
    ///
    /// # Errors
    /// `Committed` where that would take records below `committed` (the high watermark), `OffsetOutOfRange` for an `end`
    /// before the log's start: nothing was changed. `Io`, `DiskFull`, `ReadOnly`, `Poisoned`, `Closed`.
    pub fn truncate_to(&self, end: Offset, committed: Offset) -> Result<Offset> {
        self.0.announcing(|log| {
            let _syncing = log.syncing.lock();
            let before = log.durable.load(Ordering::Acquire);
            let end = log.truncate_to(end, committed)?;
            log.wake_waiters();
            if log.durable.load(Ordering::Acquire) > before {
                log.tell_durable(end);
            }
            Ok(end)
        })
    }
}

impl LogInner {
    fn truncate_to(&self, end: Offset, committed: Offset) -> Result<Offset> {
        let _front = self.front.lock();
        let mut writer = self.writer.lock();
        self.check_writable()?;
        let (start, log_end) = (Offset(self.start.load(Ordering::Acquire)), Offset(writer.tip.next_offset));
        if end >= log_end {
            self.forget_empty_epochs(&mut writer)?;
            return Ok(log_end);
        }
        let segments = self.view.lock().segments.clone();
        let cut = cut_at(&segments, end.0)?;
        drop(segments);
        let end = Offset(cut.mark.tip.next_offset);
        if end < committed.min(log_end) {
            return Err(StorageError::Committed { end, committed });
        }
        if end < start {
            return Err(StorageError::OffsetOutOfRange { start, end: log_end });
        }
        self.cut(&mut writer, &cut)?;
        Ok(end)
    }

    /// Epochs that begin at the log's end have no batch: another leader's batches may come there.
    fn forget_empty_epochs(&self, writer: &mut Writer) -> Result<()> {
        let epochs = writer.epochs.below(Offset(writer.tip.next_offset));
        if epochs != writer.epochs {
            let stored = epochs.store(&*self.context.vital, &self.place.dir);
            stored.map_err(|error| self.judge(error))?;
            writer.epochs = epochs;
        }
        Ok(())
    }

    fn cut(&self, writer: &mut Writer, cut: &Cut) -> Result<()> {
        let (disk, dir, end) = (&*self.context.vital, &self.place.dir, cut.mark.tip.next_offset);
        self.cover_producers(writer, end).map_err(|error| self.judge(error))?;
        let mut checkpoint = self.checkpoint.lock();
        let CheckpointState { file, durable } = &mut *checkpoint;
        let log_start = self.start.load(Ordering::Acquire);
        let cleaned = file.as_ref().map_or(0, |file| file.current().cleaned).min(end);
        let pending = Pending {
            change: if cut.inside { Change::CutInside } else { Change::Cut },
            checkpoint: Checkpoint { log_start, mark: cut.mark, cleaned },
            epochs: writer.epochs.below(Offset(end)),
        };
        pending.store(disk, dir).map_err(|error| self.judge(error))?;
        self.show_cut(cut);
        (writer.tip, writer.active) = (cut.mark.tip, None);
        writer.epochs = pending.epochs.clone();
        *durable = Some(cut.mark);
        // A start takes the steps again: nothing may be appended before.
        pending.finish(disk, dir, file).inspect_err(|error| self.fail(error))?;
        // What was cut off must not pass for a duplicate when it comes again.
        self.rewind_producers(writer).inspect_err(|error| self.fail(error))?;
        self.durable.store(end, Ordering::Release);
        Ok(())
    }

    /// Takes what is cut off out of the readers' sight.
    fn show_cut(&self, cut: &Cut) {
        let Mark { tip, .. } = cut.mark;
        let (gone, last) = {
            let mut view = self.view.lock();
            let gone = view.cut(tip.next_offset, cut.inside.then_some(tip));
            self.durable.fetch_min(tip.next_offset, Ordering::AcqRel);
            self.end.store(tip.next_offset, Ordering::Release);
            (gone, view.segments.last().cloned())
        };
        gone.iter().for_each(|view| view.segment.index.lock().detach());
        if let Some(last) = last.filter(|_| cut.inside) {
            last.segment.index.lock().cut(tip.position);
            last.segment.next_expiry.store(i64::MIN, Ordering::Relaxed);
        }
    }
}

/// The cut at `end`, or at the first offset of the batch that has `end` inside.
fn cut_at(segments: &[SegmentView], end: u64) -> Result<Cut> {
    let at = segments.partition_point(|view| view.tip.next_offset <= end);
    let before = at.checked_sub(1).map(|before| &segments[before]);
    let behind = segments.get(at);
    if let Some(view) = behind.filter(|view| view.segment.base_offset < end) {
        let tip = tip_at(view, before, end)?;
        if tip.next_offset > view.segment.base_offset {
            let Segmented { segment_base, incarnation } = Segmented::of(view);
            return Ok(Cut { mark: Mark { segment_base, incarnation, tip }, inside: true });
        }
        return cut_at(segments, tip.next_offset);
    }
    let adjacent = before.filter(|before| before.tip.next_offset == end);
    let base_chain =
        behind.filter(|view| view.segment.base_offset == end).map(|view| view.segment.base_chain);
    let chain = adjacent.map(SegmentView::chain_out).or(base_chain);
    let chain = chain.or(before.map(SegmentView::chain_out)).unwrap_or(0);
    let mark = match before {
        Some(view) => {
            let Segmented { segment_base, incarnation } = Segmented::of(view);
            Mark { segment_base, incarnation, tip: Tip { next_offset: end, chain, ..view.tip } }
        }
        None => Mark { segment_base: end, incarnation: 0, tip: Tip::start(end, chain, i64::MIN) },
    };
    Ok(Cut { mark, inside: false })
}

struct Segmented {
    segment_base: u64,
    incarnation: u64,
}

impl Segmented {
    fn of(view: &SegmentView) -> Self {
        Self { segment_base: view.segment.base_offset, incarnation: view.segment.incarnation }
    }
}

/// The state of a segment at `end`, or before the batch that has `end` inside. Damage before it stays damage.
fn tip_at(view: &SegmentView, before: Option<&SegmentView>, end: u64) -> Result<Tip> {
    let segment: &Arc<_> = &view.segment;
    let append_time = before.map_or(i64::MIN, |before| before.tip.append_time);
    let mut tip = Tip::start(segment.base_offset, segment.base_chain, append_time);
    let mut window = Window::over(segment, view.tip.position);
    let mut position = tip.position;
    while position < view.tip.position {
        let found = match window.header_at(position).on("read", &segment.path)? {
            Some((header, head)) if header.server.base_offset >= tip.next_offset => Some((header, head)),
            Some(_) | None => None,
        };
        let Some((header, head)) = found else {
            match window.next_verified(position + 1, tip.next_offset).on("read", &segment.path)? {
                Some((behind, _)) => position = behind,
                None => break,
            }
            continue;
        };
        if header.next_offset() > end {
            return Ok(Tip { position, next_offset: end.min(header.server.base_offset), ..tip });
        }
        tip.position = position;
        tip.advance(&header, &head);
        position = tip.position;
    }
    Ok(Tip { next_offset: end, ..tip })
}
