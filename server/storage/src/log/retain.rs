//! Retention: whole segments leave from the old end.

use std::sync::atomic::Ordering;

use flymq_types::{Offset, Timestamp};

use super::view::SegmentView;
use super::{CheckpointState, Log, LogInner, Retention, Writer};
use crate::checkpoint::{Checkpoint, Mark};
use crate::error::{IoContext, Result};
use crate::segment::{index_path, log_path};

impl Log {
    /// Removes the oldest segments as long as they are older than `retention.ms` (by their last append) or the log is
    /// larger than `retention.bytes` without them, and all their records lie below `upto` (the high watermark).
    /// Returns how many went. Readers that hold one of them finish undisturbed.
    ///
    /// # Errors
    /// `Io`, `DiskFull`, `Closed`: the log start may have moved already, and no record behind it is lost.
    pub fn retain(&self, now: Timestamp, retention: Retention, upto: Offset) -> Result<usize> {
        self.0.check_writable()?;
        let expendable = {
            let mut writer = self.0.writer.lock();
            self.0.seal_if_expired(&mut writer, now, retention)?;
            let expendable = self.0.expendable(&writer, now, retention, upto);
            let Some(last) = expendable.last() else { return Ok(0) };
            if cfg!(mutant = "retention_before_checkpoint") {
                expendable.iter().try_for_each(|view| self.0.remove_segment(view))?;
                self.0.move_start(&writer, last)?;
                return Ok(expendable.len());
            }
            self.0.move_start(&writer, last).map_err(|error| self.0.judge(error))?;
            expendable
        };
        for view in &expendable {
            self.0.remove_segment(view)?;
        }
        let dir = &self.0.place.dir;
        self.0.context.disk.sync_dir(dir).on("sync directory", dir).map_err(|error| self.0.judge(error))?;
        Ok(expendable.len())
    }
}

impl Retention {
    fn expired(self, view: &SegmentView, now: Timestamp) -> bool {
        let age = now.0.saturating_sub(view.tip.append_time);
        self.ms > 0 && !view.range().is_empty() && u64::try_from(age).is_ok_and(|age| age > self.ms)
    }
}

impl LogInner {
    /// A quiet log must give up its last segment, too.
    fn seal_if_expired(&self, writer: &mut Writer, now: Timestamp, retention: Retention) -> Result<()> {
        let last = self.view.lock().segments.last().cloned();
        if last.is_some_and(|view| retention.expired(&view, now)) {
            self.seal_active(writer)?;
        }
        Ok(())
    }

    fn expendable(
        &self,
        writer: &Writer,
        now: Timestamp,
        retention: Retention,
        upto: Offset,
    ) -> Vec<SegmentView> {
        let view = self.view.lock();
        let mut bytes = view.bytes();
        let sealed = view.segments.len() - usize::from(writer.active.is_some()).min(view.segments.len());
        let goes = |view: &&SegmentView| {
            bytes -= view.tip.position;
            let too_large = retention.bytes > 0 && bytes >= retention.bytes;
            view.tip.next_offset <= upto.0 && (too_large || retention.expired(view, now))
        };
        view.segments[..sealed].iter().take_while(goes).cloned().collect()
    }

    /// Makes the new start durable before any file goes; a crash in between is finished by recovery.
    fn move_start(&self, writer: &Writer, last: &SegmentView) -> Result<()> {
        let start = last.tip.next_offset;
        let mut checkpoint = self.checkpoint.lock();
        let CheckpointState { file, durable } = &mut *checkpoint;
        if let Some(file) = file {
            let all_gone = writer.active.is_none() && start == writer.tip.next_offset;
            let mark = if all_gone {
                Mark { segment_base: start, incarnation: 0, tip: writer.tip }
            } else {
                file.current().mark
            };
            file.write(Checkpoint { log_start: start, mark })?;
            if all_gone {
                *durable = Some(mark);
            }
        }
        let mut view = self.view.lock();
        view.segments.retain(|view| view.tip.next_offset > start);
        view.quarantined.retain(|range| range.end > start);
        view.met.retain(|range| range.end > start);
        if view.segments.is_empty() {
            view.tail.clear();
        }
        self.start.store(start, Ordering::Release);
        Ok(())
    }

    fn remove_segment(&self, view: &SegmentView) -> Result<()> {
        let (disk, dir, base) = (&*self.context.vital, &self.place.dir, view.segment.base_offset);
        view.segment.index.lock().detach();
        disk.remove_file(&log_path(dir, base)).on("remove", &log_path(dir, base))?;
        if let Err(error) = disk.remove_file(&index_path(dir, base)) {
            tracing::debug!(log = %dir.display(), base, %error, "no index file to remove");
        }
        Ok(())
    }
}
