//! From appended to durable, and what happens when the disk says no.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use flymq_types::Offset;
use parking_lot::MutexGuard;

use super::view::SegmentView;
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

/// One log's part of a round, from the look at its end to the word that it is durable. What is cut off meanwhile must not be
/// called durable afterwards: whoever cuts waits for it.
pub(crate) struct Syncing<'a> {
    log: &'a LogInner,
    /// The newest segment. Older ones were made durable when they were sealed.
    last: SegmentView,
    /// Its writes at the look.
    writes: u64,
    _syncing: MutexGuard<'a, ()>,
}

impl Syncing<'_> {
    /// Syncs the file, and ends as [`Syncing::done`].
    pub fn one(self) -> bool {
        let segment = &self.last.segment;
        let mut synced = Ok(());
        if !cfg!(mutant = "no_fdatasync") {
            synced = segment.file.fdatasync().on("fdatasync", &segment.path);
        }
        if cfg!(mutant = "retry_failed_fsync") && synced.is_err() {
            synced = segment.file.fdatasync().on("fdatasync", &segment.path);
        }
        match synced {
            Ok(()) => self.durable(),
            Err(error) => {
                self.log.fail(&error);
                self.log.announce_failure();
                false
            }
        }
    }

    /// A sync of everything that began after the look was successful. Says whether the log has to be remembered for a mark:
    /// once until it gets one.
    pub fn done(self) -> bool {
        self.last.segment.file.note_synced(self.writes);
        self.durable()
    }

    fn durable(self) -> bool {
        let log = self.log;
        *log.last_sync.lock() = Some(log.context.clock.wall());
        let behind = log.note_mark(self.last.mark());
        log.advance_durable(self.last.tip.next_offset);
        if behind >= MARK_BYTES {
            log.write_mark();
            return false;
        }
        !log.awaits_mark.swap(true, Ordering::AcqRel)
    }
}

impl SegmentView {
    fn mark(&self) -> Mark {
        let segment = &self.segment;
        Mark { segment_base: segment.base_offset, incarnation: segment.incarnation, tip: self.tip }
    }
}

impl LogInner {
    /// One log's part of a round. Says whether the log has to be remembered for a mark: once until it gets one.
    pub(crate) fn sync(&self) -> bool {
        self.begin_sync().is_some_and(Syncing::one)
    }

    /// Looks at what there is to sync; nothing where the log takes no writes.
    pub(crate) fn begin_sync(&self) -> Option<Syncing<'_>> {
        let syncing = self.syncing.lock();
        // Before the snapshot: an append after it queues the log again.
        self.dirty.swap(false, Ordering::AcqRel);
        self.check_writable().ok()?;
        let last = self.view.lock().segments.last().cloned()?;
        if cfg!(mutant = "checkpoint_ahead") {
            self.note_mark(last.mark());
            self.write_mark();
        }
        let writes = last.segment.file.writes();
        Some(Syncing { log: self, last, writes, _syncing: syncing })
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
