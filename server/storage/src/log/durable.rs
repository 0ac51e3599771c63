//! From appended to durable, and what happens when the disk says no.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use flymq_types::Offset;

use super::{Log, LogInner};
use crate::checkpoint::{Checkpoint, Mark};
use crate::error::{IoContext, Result, StorageError};
use crate::sync::DurableListener;

/// A mark is written without waiting for an idle moment once this many bytes lie behind it.
const MARK_BYTES: u64 = 32 << 20;

impl Log {
    /// Asks for a sync round that covers everything appended so far: by an ack for `all`, or a reader that waits at the
    /// durable end. Returns at once; see [`Log::subscribe`].
    pub fn request_sync(&self) {
        if self.durable_offset() < self.end_offset() {
            self.0.context.syncer.ask();
        }
    }

    /// Makes everything appended so far durable on the caller's thread, if nobody else waits for a sync round of this data
    /// directory. `false`: nothing was done, see [`Log::request_sync`].
    pub fn sync_alone(&self) -> bool {
        self.0.context.syncer.round_alone(&self.0)
    }

    /// Whether [`Log::sync_alone`] would do something now.
    pub fn may_sync_alone(&self) -> bool {
        self.0.context.syncer.may_run_alone(&self.0)
    }

    /// Asks for a sync round of the data directory and blocks until one has ended: files that are synced give their
    /// descriptors up to whoever got `TooManyOpenFiles`. `false` after `timeout`.
    pub fn wait_for_descriptors(&self, timeout: Duration) -> bool {
        self.0.context.syncer.wait_for_round(timeout)
    }

    /// Blocks until every record below `offset` is durable; asks for a round first.
    ///
    /// # Errors
    /// `Timeout`; `Poisoned` when it cannot become durable any more; `Closed`.
    pub fn wait_durable(&self, offset: Offset, timeout: Duration) -> Result<()> {
        self.request_sync();
        let mut guard = self.0.durable_lock.lock();
        while self.durable_offset() < offset {
            self.0.check_writable()?;
            if self.0.durable_changed.wait_for(&mut guard, timeout).timed_out() {
                return if self.durable_offset() < offset { Err(StorageError::Timeout) } else { Ok(()) };
            }
        }
        Ok(())
    }

    /// Calls `listener` after each round from now on, as long as the caller keeps it alive. If the log has failed
    /// already, it is told at once.
    pub fn subscribe(&self, listener: &Arc<dyn DurableListener>) {
        {
            let mut listeners = self.0.listeners.lock();
            listeners.retain(|known| known.strong_count() > 0);
            listeners.push(Arc::downgrade(listener));
        }
        if self.0.failure.get().is_some() {
            self.0.announce_failure();
        }
    }
}

impl LogInner {
    /// One log's part of a round. Says whether the log has to be remembered for a mark: once until it gets one.
    pub(crate) fn sync(&self) -> bool {
        // What is cut off meanwhile must not be called durable afterwards.
        let _syncing = self.syncing.lock();
        // Before the snapshot: an append after it queues the log again.
        self.dirty.swap(false, Ordering::AcqRel);
        if self.check_writable().is_err() {
            return false;
        }
        let Some(last) = self.view.lock().segments.last().cloned() else { return false };
        // Older segments were made durable when they were sealed.
        let mark = Mark {
            segment_base: last.segment.base_offset,
            incarnation: last.segment.incarnation,
            tip: last.tip,
        };
        if cfg!(mutant = "checkpoint_ahead") {
            self.note_mark(mark);
            self.write_mark();
        }
        let mut synced = Ok(());
        if !cfg!(mutant = "no_fdatasync") {
            synced = last.segment.file.fdatasync().on("fdatasync", &last.segment.path);
        }
        if cfg!(mutant = "retry_failed_fsync") && synced.is_err() {
            synced = last.segment.file.fdatasync().on("fdatasync", &last.segment.path);
        }
        if let Err(error) = synced {
            self.fail(&error);
            self.announce_failure();
            return false;
        }
        *self.last_sync.lock() = Some(self.context.clock.wall());
        let behind = self.note_mark(mark);
        self.advance_durable(last.tip.next_offset);
        if behind >= MARK_BYTES {
            self.write_mark();
            return false;
        }
        !self.awaits_mark.swap(true, Ordering::AcqRel)
    }

    /// Remembers a true mark; returns how many bytes the one on disk is behind it.
    pub(super) fn note_mark(&self, mark: Mark) -> u64 {
        let mut checkpoint = self.checkpoint.lock();
        checkpoint.durable = Some(mark);
        let written = checkpoint.file.as_ref().map(|file| file.current().mark);
        match written {
            Some(written) if written.incarnation == mark.incarnation => {
                mark.tip.position.saturating_sub(written.tip.position)
            }
            Some(_) | None => mark.tip.position,
        }
    }

    /// Brings the mark on disk up to what is durable. A full or read-only disk costs scan time at the next start,
    /// nothing else; a failed write or fdatasync closes the log as one of its segment would.
    pub(crate) fn write_mark(&self) {
        self.awaits_mark.store(false, Ordering::Release);
        if self.check_writable().is_err() {
            return;
        }
        if let Err(error) = self.try_write_mark() {
            tracing::warn!(log = %self.place.dir.display(), %error, "could not write the durable mark");
            self.judge(error);
            if self.failure.get().is_some() {
                self.announce_failure();
            }
        }
    }

    fn try_write_mark(&self) -> Result<()> {
        let mut checkpoint = self.checkpoint.lock();
        let Some(mark) = checkpoint.durable else { return Ok(()) };
        let Some(file) = &mut checkpoint.file else { return Ok(()) };
        if file.current().mark == mark {
            return Ok(());
        }
        let next = Checkpoint { mark, ..file.current() };
        file.write(next)
    }

    fn advance_durable(&self, end: u64) {
        let before = self.durable.fetch_max(end, Ordering::AcqRel);
        if before >= end {
            return;
        }
        self.wake_waiters();
        self.tell_durable(Offset(end));
    }

    pub(super) fn tell_durable(&self, end: Offset) {
        for listener in self.live_listeners() {
            listener.durable(end);
        }
    }

    pub(super) fn wake_waiters(&self) {
        // The lock makes sure that a waiter is either before its check or asleep.
        drop(self.durable_lock.lock());
        self.durable_changed.notify_all();
    }

    fn live_listeners(&self) -> Vec<Arc<dyn DurableListener>> {
        self.listeners.lock().iter().filter_map(std::sync::Weak::upgrade).collect()
    }

    /// Closes the log for appends, for good.
    pub(super) fn fail(&self, error: &StorageError) {
        if cfg!(mutant = "no_poison") {
            return;
        }
        // Only the first failure counts.
        if self.failure.set(error.clone()).is_ok() {
            tracing::error!(log = %self.place.dir.display(), %error, "the log takes no more appends until a restart");
            self.context.space.count_failed_log();
        }
    }

    /// An error that says nothing about bytes already written leaves the log as it is; any other poisons it.
    pub(super) fn judge(&self, error: StorageError) -> StorageError {
        self.context.space.learn(&error);
        if matches!(error, StorageError::TooManyOpenFiles { .. }) {
            // Files that are synced give their descriptors up.
            self.context.syncer.ask();
        }
        if error.closes_a_log() {
            self.fail(&error);
        }
        error
    }

    /// Tells waiters and listeners of the failure, once. No lock may be held.
    pub(super) fn announce_failure(&self) {
        self.wake_waiters();
        let Some(error) = self.failure.get() else { return };
        let listeners = std::mem::take(&mut *self.listeners.lock());
        let poisoned = error.poison();
        listeners.iter().filter_map(std::sync::Weak::upgrade).for_each(|listener| listener.failed(&poisoned));
    }
}
