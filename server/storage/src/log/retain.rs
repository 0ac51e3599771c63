//! Records leave from the old end: by retention in whole segments, or because somebody deletes them.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use flymq_types::{Offset, Timestamp};

use super::view::SegmentView;
use super::{CheckpointState, Log, LogInner, Retention, Retired, Writer};
use crate::checkpoint::{Checkpoint, Mark};
use crate::error::{IoContext, Result, StorageError};
use crate::scan::Window;
use crate::segment::header::HEADER_BYTES;
use crate::segment::{index_path, log_path};

/// A segment is closed once its first record is older than this part of the retention time, so that a log that never
/// stops and never fills a segment gives up its old records, too: at the latest after 1 1/4 of that time.
const SEGMENTS_PER_RETENTION: u64 = 4;

impl Log {
    /// Removes the oldest segments as long as they are older than `retention.ms` (by their last append) or the log is
    /// larger than `retention.bytes` without them, and all their records lie below `upto` (the high watermark).
    /// Readers that hold one of them finish undisturbed.
    ///
    /// # Errors
    /// `Io`, `DiskFull`, `Closed`: the log start may have moved already, and no record behind it is lost.
    pub fn retain(&self, now: Timestamp, retention: Retention, upto: Offset) -> Result<Retired> {
        self.0.announcing(|log| log.retain(now, retention, upto))
    }

    /// Removes all records below `to`, which lies at most at `upto` (the high watermark). When it returns, the new log
    /// start is durable. Whole segments below it go; the bytes of the records before it in its own segment go with
    /// that segment. Where the log starts behind `to` already nothing happens.
    ///
    /// # Errors
    /// `OffsetOutOfRange` for a `to` above `upto` or the log's end: nothing was changed. Else as [`Log::retain`].
    pub fn advance_start(&self, to: Offset, upto: Offset) -> Result<Retired> {
        self.0.announcing(|log| log.advance_start(to, upto))
    }
}

impl Retention {
    fn expired(self, view: &SegmentView, now: Timestamp) -> bool {
        !view.range().is_empty() && self.is_older(view.tip.append_time, now, 1)
    }

    /// Whether `time` lies a `part`th of the retention time or longer before `now`.
    fn is_older(self, time: i64, now: Timestamp, part: u64) -> bool {
        let age = now.0.saturating_sub(time);
        self.ms > 0 && u64::try_from(age).is_ok_and(|age| age > self.ms / part)
    }
}

impl LogInner {
    /// Runs `work`; tells of a failure of the log in it.
    pub(super) fn announcing<T>(&self, work: impl FnOnce(&Self) -> Result<T>) -> Result<T> {
        self.check_writable()?;
        let result = work(self);
        if self.failure.get().is_some() {
            self.announce_failure();
        }
        result
    }

    fn retain(&self, now: Timestamp, retention: Retention, upto: Offset) -> Result<Retired> {
        let _turn = self.front.lock();
        self.drop_old_spare();
        let old = self.active_is_old(now, retention)?;
        let expendable = {
            let mut writer = self.writer.lock();
            if old.is_some() && old == writer.active.as_ref().map(|active| active.incarnation) {
                self.seal_active(&mut writer)?;
            }
            let expendable = self.expendable(&writer, now, retention, upto);
            let Some(last) = expendable.last() else { return Ok(Retired::default()) };
            if cfg!(mutant = "retention_before_checkpoint") {
                let retired = self.retire(&expendable)?;
                self.move_start(&writer, last.tip.next_offset, expendable.len())?;
                return Ok(retired);
            }
            let covered = self.cover_producers(&mut writer, last.tip.next_offset);
            covered
                .and_then(|()| self.move_start(&writer, last.tip.next_offset, expendable.len()))
                .map_err(|error| self.judge(error))?;
            expendable
        };
        let retired = self.retire(&expendable)?;
        self.prune_producers();
        Ok(retired)
    }

    fn advance_start(&self, to: Offset, upto: Offset) -> Result<Retired> {
        let _turn = self.front.lock();
        let expendable = {
            let mut writer = self.writer.lock();
            let start = Offset(self.start.load(Ordering::Acquire));
            let end = upto.min(Offset(writer.tip.next_offset));
            if to <= start {
                return Ok(Retired::default());
            }
            if to > end {
                return Err(StorageError::OffsetOutOfRange { start, end });
            }
            if to.0 == writer.tip.next_offset {
                self.seal_active(&mut writer)?;
            }
            let expendable = self.sealed_below(&writer, to.0);
            let gone = expendable.last().map_or(0, |last| last.tip.next_offset);
            let covered = self.cover_producers(&mut writer, gone);
            covered
                .and_then(|()| self.move_start(&writer, to.0, expendable.len()))
                .map_err(|error| self.judge(error))?;
            expendable
        };
        let retired = self.retire(&expendable)?;
        if retired.segments > 0 {
            self.prune_producers();
        }
        Ok(retired)
    }

    /// The incarnation of the last segment if its first record is old enough for the segment to be closed. Reads one
    /// header; call it without the writer's lock.
    fn active_is_old(&self, now: Timestamp, retention: Retention) -> Result<Option<u64>> {
        let last = self.view.lock().segments.last().cloned();
        let Some(view) = last.filter(|view| retention.ms > 0 && !view.range().is_empty()) else {
            return Ok(None);
        };
        let segment = &view.segment;
        let mut window = Window::for_lookup(segment, view.tip.position);
        let first = window.header_at(HEADER_BYTES as u64).on("read", &segment.path)?;
        // A damaged first batch: then the last one decides.
        let oldest = first.map_or(view.tip.append_time, |(header, _)| header.server.append_time);
        Ok(retention.is_older(oldest, now, SEGMENTS_PER_RETENTION).then_some(segment.incarnation))
    }

    fn expendable(
        &self,
        writer: &Writer,
        now: Timestamp,
        retention: Retention,
        upto: Offset,
    ) -> Vec<SegmentView> {
        let mut bytes = self.view.lock().bytes();
        let mut sealed = self.sealed_below(writer, upto.0);
        let goes = |view: &&SegmentView| {
            bytes -= view.tip.position;
            let too_large = retention.bytes > 0 && bytes >= retention.bytes;
            too_large || retention.expired(view, now)
        };
        let count = sealed.iter().take_while(goes).count();
        sealed.truncate(count);
        sealed
    }

    /// The first segments, closed, all of whose records lie below `upto`.
    pub(super) fn sealed_below(&self, writer: &Writer, upto: u64) -> Vec<SegmentView> {
        let view = self.view.lock();
        let sealed = view.segments.len() - usize::from(writer.active.is_some()).min(view.segments.len());
        view.segments[..sealed].iter().take_while(|view| view.tip.next_offset <= upto).cloned().collect()
    }

    /// Makes the new start durable before any file goes, and takes the first `gone` segments out of the readers'
    /// sight; a crash in between is finished by recovery.
    fn move_start(&self, writer: &Writer, start: u64, gone: usize) -> Result<()> {
        let mut checkpoint = self.checkpoint.lock();
        let CheckpointState { file, durable } = &mut *checkpoint;
        if let Some(file) = file {
            let all_gone = writer.active.is_none() && start == writer.tip.next_offset;
            let mark = if all_gone {
                Mark { segment_base: start, incarnation: 0, tip: writer.tip }
            } else {
                file.current().mark
            };
            file.write(Checkpoint { log_start: start, mark, ..file.current() })?;
            if all_gone {
                *durable = Some(mark);
            }
        }
        let mut view = self.view.lock();
        view.segments.drain(..gone);
        view.quarantined.retain(|range| range.end > start);
        view.met.retain(|range| range.end > start);
        view.quarantined.iter_mut().for_each(|range| range.start = range.start.max(start));
        if view.segments.is_empty() {
            view.tail.clear();
        }
        self.start.store(start, Ordering::Release);
        Ok(())
    }

    /// Gives up segments that no new reader can find: the one place where segment files leave a log. Readers that hold
    /// one go on reading it. Call with the `front` lock.
    pub(super) fn retire(&self, segments: &[SegmentView]) -> Result<Retired> {
        let (disk, dir) = (&*self.context.vital, &self.place.dir);
        let (mut retired, mut spare) = (Retired::default(), None);
        for view in segments {
            let base = view.segment.base_offset;
            view.segment.index.lock().detach();
            if spare.is_none() {
                spare = self.recycle(view)?;
            }
            if spare.as_ref().is_none_or(|spare| !Arc::ptr_eq(&spare.file, &view.segment.file)) {
                disk.remove_file(&log_path(dir, base)).on("remove", &log_path(dir, base))?;
            }
            if let Err(error) = disk.remove_file(&index_path(dir, base)) {
                tracing::debug!(log = %dir.display(), base, %error, "no index file to remove");
            }
            retired.segments += 1;
            retired.bytes += view.tip.position;
        }
        if !segments.is_empty() {
            disk.sync_dir(dir).on("sync directory", dir).map_err(|error| self.judge(error))?;
        }
        // Only now: until its old name is gone for good, its old bytes may be asked for after a crash.
        spare.into_iter().for_each(|spare| self.keep(spare));
        Ok(retired)
    }
}
