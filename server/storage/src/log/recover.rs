//! Recovery: the only way to open a log.

mod files;
mod open_segment;
mod tail_scan;

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64};

use flymq_types::Offset;
use parking_lot::{Condvar, Mutex};

use super::producers::{self, Producers, Transactions};
use super::view::{SegmentView, View};
use super::{CheckpointState, Context, Log, LogConfig, LogInner, LogPlace, RecoveryReport, Writer};
use crate::checkpoint::{Checkpoint, CheckpointFile, Mark};
use crate::epochs::Epochs;
use crate::error::{IoContext, Result};
use crate::pending::Pending;
use crate::scan::Window;
use crate::segment::Segment;
use crate::segment::header::HEADER_BYTES;
use crate::segment::tip::Tip;
use crate::tail::TailCache;
use files::Files;

/// A log on its way up.
struct Recovery<'a> {
    context: &'a Context,
    place: &'a LogPlace,
    config: LogConfig,
    report: RecoveryReport,
    checkpoint: Option<CheckpointFile>,
    segments: Vec<SegmentView>,
    quarantined: Vec<Range<u64>>,
    epochs: Epochs,
    producers: Producers,
    /// The last segment, if it is not sealed.
    active: Option<Arc<Segment>>,
    /// End of the log as far as it is known.
    tip: Tip,
}

impl Log {
    /// Opens the log, with whatever a crash or a bad disk left of it. A log that is not there is an empty one; its
    /// directory comes with the first append.
    pub(crate) fn open(
        context: Arc<Context>,
        place: LogPlace,
        config: LogConfig,
    ) -> Result<(Self, RecoveryReport)> {
        let config = config.clamped();
        let mut recovery = Recovery::new(&context, &place, config);
        recovery.run()?;
        let Recovery { report, checkpoint, segments, quarantined, epochs, producers, active, tip, .. } =
            recovery;
        let start = checkpoint.as_ref().map(|file| file.current().log_start);
        let start = start.or(segments.first().map(|view| view.segment.base_offset)).unwrap_or(0);
        let allocated = match &active {
            Some(segment) => segment.file.size().on("size of", &segment.path)?,
            None => 0,
        };
        let producer_ids = producers.table.len() as u64;
        let mut transactions = producers.table.transactions().clone();
        if cfg!(mutant = "stable_offset_from_the_end") {
            transactions = Transactions::default();
        }
        let tail = TailCache::new(config.tail_cache_bytes, context.tail_budget.clone());
        let inner = LogInner {
            place,
            config: Mutex::new(config),
            front: Mutex::new(()),
            cleaning: Mutex::new(()),
            syncing: Mutex::new(()),
            installing: AtomicBool::new(false),
            recycling: Mutex::default(),
            rolled: AtomicBool::new(false),
            writer: Mutex::new(Writer { tip, active, allocated, clean: u64::MAX, epochs, producers }),
            checkpoint: Mutex::new(CheckpointState { file: checkpoint, durable: None }),
            view: Mutex::new(View { segments, tail, quarantined, met: Vec::new() }),
            start: AtomicU64::new(start),
            durable: AtomicU64::new(tip.next_offset),
            end: AtomicU64::new(tip.next_offset),
            dirty: AtomicBool::new(false),
            awaits_mark: AtomicBool::new(false),
            closed: AtomicBool::new(false),
            failure: std::sync::OnceLock::new(),
            listeners: Mutex::default(),
            scrub: Mutex::default(),
            durable_lock: Mutex::new(()),
            durable_changed: Condvar::new(),
            producer_ids: AtomicU64::new(producer_ids),
            producers_evicted: AtomicU64::new(0),
            has_transactions: AtomicBool::new(!transactions.is_empty()),
            transactions: Mutex::new(transactions),
            last_sync: Mutex::new(None),
            context,
        };
        Ok((Self(Arc::new(inner)), report))
    }
}

impl<'a> Recovery<'a> {
    fn new(context: &'a Context, place: &'a LogPlace, config: LogConfig) -> Self {
        Self {
            context,
            place,
            config,
            report: RecoveryReport::default(),
            checkpoint: None,
            segments: Vec::new(),
            quarantined: Vec::new(),
            epochs: Epochs::default(),
            producers: Producers::default(),
            active: None,
            tip: Tip::start(0, 0, i64::MIN),
        }
    }

    fn run(&mut self) -> Result<()> {
        let (disk, dir) = (&*self.context.vital, &self.place.dir);
        if !disk.exists(dir).on("look for", dir)? {
            return Ok(());
        }
        let mut files = Files::collect(disk, dir)?;
        self.check_formats(&files)?;
        if files.pending {
            self.finish_pending()?;
            files = Files::collect(disk, dir)?;
        }
        self.tidy(&files)?;
        self.load_checkpoint(&files)?;
        let bases = self.finish_retention(files.segments.clone())?;
        let epochs = self.load_epochs(&files)?;
        let known_epochs = epochs.is_some();
        self.epochs = epochs.unwrap_or_default();
        self.open_segments(&bases)?;
        self.keep_offsets_above_the_mark();
        if !known_epochs && !self.segments.is_empty() {
            self.rebuild_epochs()?;
        }
        self.epochs.cut(Offset(self.tip.next_offset));
        self.recover_producers(&files)?;
        self.restore_checkpoint()?;
        self.report.segments = self.segments.len();
        self.report.quarantined =
            self.quarantined.iter().map(|range| Offset(range.start)..Offset(range.end)).collect();
        self.log_findings();
        Ok(())
    }

    fn mark(&self) -> Option<Mark> {
        self.checkpoint.as_ref().map(|file| file.current().mark)
    }

    /// Brings a change of the log's files to its end that a crash cut off after it was decided.
    fn finish_pending(&mut self) -> Result<()> {
        let (disk, dir) = (&*self.context.vital, &self.place.dir);
        let pending = match Pending::load(disk, dir)? {
            Some(pending) if pending.is_possible(disk, dir)? => Some(pending),
            Some(_) | None => None,
        };
        let Some(pending) = pending else {
            self.report.damaged_files.push(crate::pending::FILE_NAME.to_owned());
            return self.move_to_lost_found(crate::pending::FILE_NAME);
        };
        tracing::info!(log = %dir.display(), end = pending.end(), "finishing a change of the log that was cut off");
        let mut checkpoint = CheckpointFile::load(disk, dir)?;
        pending.finish(disk, dir, &mut checkpoint)
    }

    fn load_checkpoint(&mut self, files: &Files) -> Result<()> {
        let (disk, dir) = (&*self.context.vital, &self.place.dir);
        self.checkpoint = CheckpointFile::load(disk, dir)?;
        if self.checkpoint.is_none() && files.checkpoint {
            self.report.damaged_files.push(crate::checkpoint::FILE_NAME.to_owned());
            self.move_to_lost_found(crate::checkpoint::FILE_NAME)?;
        }
        if let Some(mark) = self.mark() {
            self.tip = Tip { position: HEADER_BYTES as u64, ..mark.tip };
            self.tip.next_offset = self.checkpoint.as_ref().map_or(0, |file| file.current().log_start);
        }
        Ok(())
    }

    /// Offsets below the durable mark were given out: never again, even if their bytes are gone.
    fn keep_offsets_above_the_mark(&mut self) {
        let Some(mark) = self.mark().filter(|_| !cfg!(mutant = "reuse_offsets")) else { return };
        if mark.tip.next_offset > self.tip.next_offset {
            self.quarantine(self.tip.next_offset..mark.tip.next_offset);
            self.tip.next_offset = mark.tip.next_offset;
            self.tip.chain = mark.tip.chain;
            if let Some(last) = self.segments.last_mut() {
                last.tip.next_offset = mark.tip.next_offset;
            }
        }
    }

    fn quarantine(&mut self, range: Range<u64>) {
        if range.start < range.end {
            self.quarantined.push(range);
        }
    }

    fn load_epochs(&mut self, files: &Files) -> Result<Option<Epochs>> {
        let epochs = Epochs::load(&*self.context.vital, &self.place.dir)?;
        if epochs.is_none() && files.epochs {
            self.report.damaged_files.push(crate::epochs::FILE_NAME.to_owned());
            self.move_to_lost_found(crate::epochs::FILE_NAME)?;
        }
        Ok(epochs)
    }

    /// Every batch names its epoch.
    fn rebuild_epochs(&mut self) -> Result<()> {
        let mut epochs = Epochs::default();
        for view in &self.segments {
            let segment = &view.segment;
            let mut window = Window::over(segment, view.tip.position);
            let mut position = HEADER_BYTES as u64;
            while position < view.tip.position {
                position = match window.header_at(position).on("read", &segment.path)? {
                    Some((header, _)) => {
                        epochs.observe(header.server.leader_epoch.into(), Offset(header.server.base_offset));
                        position + header.batch_len() as u64
                    }
                    None => match window.next_verified(position + 1, 0).on("read", &segment.path)? {
                        Some((behind, _)) => behind,
                        None => break,
                    },
                };
            }
        }
        if epochs.latest().is_some() {
            epochs.store(&*self.context.vital, &self.place.dir)?;
        }
        self.epochs = epochs;
        Ok(())
    }

    /// What a snapshot says of batches behind the log's end is lost with them; it goes before others take their place.
    fn recover_producers(&mut self, files: &Files) -> Result<()> {
        let (disk, dir) = (&*self.context.vital, &self.place.dir);
        let end = self.tip.next_offset;
        if files.producers.last().is_some_and(|last| *last > end)
            && producers::remove_behind(disk, dir, Some(end))?
        {
            disk.sync_dir(dir).on("sync directory", dir)?;
        }
        let snapshots = files.producers.iter().copied().filter(|of| *of <= end).collect();
        let limits = self.config.producers;
        self.producers = Producers::recover((disk, dir), snapshots, &self.segments, end, limits)?;
        let start = self.checkpoint.as_ref().map_or(0, |file| file.current().log_start);
        self.producers.table.forget_below(start);
        Ok(())
    }

    /// Everything up to the tip was read back and synced: the mark may say so.
    fn restore_checkpoint(&mut self) -> Result<()> {
        let (disk, dir) = (&*self.context.vital, &self.place.dir);
        let Some(last) = self.segments.last() else { return Ok(()) };
        let mark = Mark {
            segment_base: last.segment.base_offset,
            incarnation: last.segment.incarnation,
            tip: self.tip,
        };
        match &mut self.checkpoint {
            Some(file) if file.current().mark == mark => Ok(()),
            Some(file) => file.write(Checkpoint { mark, ..file.current() }),
            None => {
                let log_start = self.segments.first().map_or(0, |view| view.segment.base_offset);
                self.checkpoint =
                    Some(CheckpointFile::create(disk, dir, Checkpoint { log_start, mark, cleaned: 0 })?);
                disk.sync_dir(dir).on("sync directory", dir)
            }
        }
    }

    fn log_findings(&self) {
        let (log, report) = (self.place.dir.display(), &self.report);
        if report.torn_bytes > 0 {
            tracing::info!(%log, bytes = report.torn_bytes, end = self.tip.next_offset, "cut a torn tail");
        }
        for range in &report.quarantined {
            tracing::error!(%log, start = range.start.0, end = range.end.0, "damaged range: reads of it are refused");
        }
        for file in &report.damaged_files {
            tracing::error!(%log, %file, "damaged file worked around");
        }
    }
}
