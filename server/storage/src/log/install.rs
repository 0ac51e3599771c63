//! A follower that is far behind takes its leader's closed segments and gives up its own, all in one step.
//!
//! The new segments are written beside the old ones under temporary names, which a start removes. Once all are closed and
//! durable, one small file decides that they are the log from now on (see [`crate::pending`]).

use std::sync::Arc;
use std::sync::atomic::Ordering;

use flymq_types::{Offset, RecordBatch};

use super::export::SegmentSpan;
use super::producers::{ProducerTable, Producers, marker_of};
use super::replica::check_next;
use super::view::{SegmentView, View};
use super::{CheckpointState, Log, LogInner};
use crate::checkpoint::{Checkpoint, Mark};
use crate::epochs::Epochs;
use crate::error::{Result, StorageError};
use crate::pending::{Change, Installed, Pending};
use crate::segment::header::{HEADER_BYTES, Replaced};
use crate::segment::tip::Tip;
use crate::segment::writer::SegmentWriter;
use crate::segment::{PreparedSegment, index_path, staged_path};

/// Segments on their way into a log. Dropped before [`Install::finish`] it leaves the log as it is.
#[derive(Debug)]
pub struct Install {
    log: Arc<LogInner>,
    base: u64,
    /// Closed ones, and the one that is being filled.
    staged: Vec<SegmentWriter>,
    /// What the last one of `staged` is to become, while it is filled.
    filling: Option<SegmentSpan>,
    epochs: Epochs,
    /// Of the batches pushed.
    producers: ProducerTable,
    /// Offset after the last batch, and the chain value before the next one.
    next: u64,
    chain: u32,
}

impl Log {
    /// Begins to take over a leader's closed segments from `base` on, which builds on the chain value `chain`. The log can
    /// be read and written meanwhile.
    ///
    /// # Errors
    /// `Installing`; `Io`, `DiskFull`, `ReadOnly`, `Poisoned`, `Closed`.
    pub fn begin_install(&self, base: Offset, chain: u32) -> Result<Install> {
        self.0.announcing(|log| {
            {
                let _writer = log.writer.lock();
                log.create_directories()?;
            }
            if log.installing.swap(true, Ordering::AcqRel) { Err(StorageError::Installing) } else { Ok(()) }
        })?;
        let (log, base, next) = (self.0.clone(), base.0, base.0);
        let (epochs, producers) = (Epochs::default(), ProducerTable::default());
        Ok(Install { log, base, staged: Vec::new(), filling: None, epochs, producers, next, chain })
    }
}

impl Install {
    /// Offset of the next batch to push.
    pub fn next_offset(&self) -> Offset {
        Offset(self.next)
    }

    /// Begins the next segment; the one before is complete.
    ///
    /// # Errors
    /// `Gap`, `BrokenChain` where it does not follow what was pushed; `Io`, `DiskFull`, `ReadOnly`, `Closed`.
    pub fn begin_segment(&mut self, span: &SegmentSpan) -> Result<()> {
        self.close_segment()?;
        if span.base.0 != self.next || span.end <= span.base {
            return Err(StorageError::Gap { expected: Offset(self.next), found: span.base });
        }
        if span.chain != self.chain {
            return Err(StorageError::BrokenChain { at: span.base });
        }
        let log = &self.log;
        log.check_open()?;
        let replaced = span.cleaned.then_some(Replaced { end: span.end, chain: span.next_chain });
        let header = log.new_header(span.base.0, span.chain, replaced);
        let protection = log.new_protection(&header);
        let (disk, path) = (&*log.context.disk, staged_path(&log.place.dir, span.base.0));
        let prepared = PreparedSegment::create_at(disk, path, header, protection, HEADER_BYTES as u64)?;
        self.staged.push(SegmentWriter::new(prepared));
        self.filling = Some(*span);
        Ok(())
    }

    /// Adds the next batches of the segment, as the leader has them.
    ///
    /// # Errors
    /// `Gap`, `StaleEpoch`, `BrokenChain`, `InvalidBatch`, `BatchTooLarge` for the first that does not follow; `Io`,
    /// `DiskFull`, `SpaceLow`, `ReadOnly`, `Closed`.
    pub fn push(&mut self, batches: &[RecordBatch]) -> Result<()> {
        self.log.check_open()?;
        if !self.log.config.lock().vital {
            self.log.context.space.admit()?;
        }
        let limits = self.log.config.lock().producers;
        for batch in batches {
            check_next(batch, self.next, self.chain, self.epochs.latest())?;
            let end = self.filling.map_or(self.next, |span| span.end.0);
            let Some(writer) = self.staged.last_mut().filter(|_| batch.next_offset().0 <= end) else {
                return Err(StorageError::Gap { expected: Offset(end), found: batch.base_offset() });
            };
            writer.push(batch)?;
            self.epochs.observe(batch.leader_epoch(), batch.base_offset());
            self.producers.note(batch.header(), marker_of(batch), limits);
            (self.next, self.chain) = (batch.next_offset().0, batch.header().server.chain);
        }
        Ok(())
    }

    fn close_segment(&mut self) -> Result<()> {
        let Some(span) = self.filling else { return Ok(()) };
        if self.next != span.end.0 {
            return Err(StorageError::Gap { expected: span.end, found: Offset(self.next) });
        }
        if !span.cleaned && self.chain != span.next_chain {
            return Err(StorageError::BrokenChain { at: span.end });
        }
        let Some(writer) = self.staged.last() else { return Ok(()) };
        writer.close()?;
        self.chain = span.next_chain;
        self.filling = None;
        Ok(())
    }

    /// Makes the segments the log, which then starts at `start`: durable when it returns. A crash leaves all of the old log
    /// or all of the new one. Waits for a cleaning that is under way.
    ///
    /// # Errors
    /// `Gap` where the last segment is not complete, `OffsetOutOfRange` for a `start` outside of what was pushed: nothing
    /// was changed. `Io`, `DiskFull`, `ReadOnly`, `Poisoned`, `Closed`.
    pub fn finish(mut self, start: Offset) -> Result<()> {
        self.close_segment()?;
        let (base, end) = (Offset(self.base), Offset(self.next));
        if !(base..=end).contains(&start) {
            return Err(StorageError::OffsetOutOfRange { start: base, end });
        }
        let log = self.log.clone();
        log.announcing(|log| {
            let _cleaning = log.cleaning.lock();
            let _syncing = log.syncing.lock();
            log.install(&mut self, start)?;
            log.wake_waiters();
            log.tell_durable(end);
            Ok(())
        })
    }

    /// The log as it will be.
    fn pending(&self, start: Offset) -> Pending {
        let installed = |writer: &SegmentWriter| {
            let (base_offset, incarnation) = (writer.header().base_offset.0, writer.header().incarnation());
            Installed { base_offset, incarnation }
        };
        let segments: Vec<_> = self.staged.iter().map(installed).collect();
        let tip = self.staged.last().map_or(Tip::start(self.base, self.chain, i64::MIN), |last| *last.tip());
        let tip = Tip { chain: self.chain, ..tip };
        let last = segments.last().copied();
        let last = last.unwrap_or(Installed { base_offset: self.base, incarnation: 0 });
        let mark = Mark { segment_base: last.base_offset, incarnation: last.incarnation, tip };
        let checkpoint = Checkpoint { log_start: start.0, mark, cleaned: 0 };
        Pending { change: Change::Install(segments), checkpoint, epochs: self.epochs.clone() }
    }
}

impl Drop for Install {
    fn drop(&mut self) {
        for writer in self.staged.drain(..) {
            writer.discard(&*self.log.context.disk);
        }
        self.log.installing.store(false, Ordering::Release);
    }
}

impl LogInner {
    fn install(&self, staged: &mut Install, start: Offset) -> Result<()> {
        let (vital, dir) = (&*self.context.vital, &self.place.dir);
        let _front = self.front.lock();
        let mut writer = self.writer.lock();
        self.check_writable()?;
        let pending = staged.pending(start);
        let mut checkpoint = self.checkpoint.lock();
        let CheckpointState { file, durable } = &mut *checkpoint;
        // Whatever comes now, the staged files may be the log's: the next start knows.
        let segments = std::mem::take(&mut staged.staged);
        if let Err(error) = pending.store(vital, dir) {
            if !error.closes_a_log() {
                staged.staged = segments;
            }
            return Err(self.judge(error));
        }
        let mark = pending.checkpoint.mark;
        (writer.tip, writer.active, writer.epochs) = (mark.tip, None, pending.epochs.clone());
        *durable = Some(mark);
        writer.producers = match segments.is_empty() {
            true => Producers::default(),
            false => Producers::installed(std::mem::take(&mut staged.producers), staged.base),
        };
        self.show_transactions(&writer.producers.table);
        self.show_installed(segments, start.0, mark.tip.next_offset);
        // A start takes the steps again: nothing may be appended before.
        pending.finish(vital, dir, file).inspect_err(|error| self.fail(error))
    }

    /// Shows the staged segments in the place of all others, which nobody but their readers holds afterwards.
    fn show_installed(&self, staged: Vec<SegmentWriter>, start: u64, end: u64) {
        let (disk, dir) = (&self.context.disk, &self.place.dir);
        let old = self.view.lock().segments.clone();
        for view in old {
            // It may live on in a reader's hands; the new ones get files of their own.
            view.segment.index.lock().detach();
            if let Err(error) = disk.remove_file(&index_path(dir, view.segment.base_offset)) {
                tracing::debug!(log = %dir.display(), %error, "no index file to remove");
            }
        }
        let strategy = self.config.lock().index;
        let named = |writer: SegmentWriter| {
            let (segment, tip) = writer.named(disk, dir, strategy);
            SegmentView { segment: Arc::new(segment), tip }
        };
        let segments = staged.into_iter().map(named).collect();
        let mut view = self.view.lock();
        view.replace(segments);
        self.start.store(start, Ordering::Release);
        self.durable.store(end, Ordering::Release);
        self.end.store(end, Ordering::Release);
    }
}

impl View {
    /// Shows other segments in the place of all.
    fn replace(&mut self, segments: Vec<SegmentView>) {
        self.segments = segments;
        self.tail.clear();
        self.quarantined.clear();
        self.met.clear();
    }
}
