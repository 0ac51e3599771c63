//! Group commit: one thread per data directory that makes appended batches durable, many logs and many appends per
//! fdatasync.
//!
//! A round takes all dirty logs. It starts at once if anybody asked, else within the interval of the first append
//! after the last round. Whoever asks during a round is served by the next one. Rounds never overlap: a failed fdatasync
//! is told to one caller only.
//!
//! Whoever alone waits may run the round on its own thread ([`Syncer::round_alone`]): the two switches to the sync thread
//! and back cost a third of what the disk takes.

use std::sync::Arc;
use std::time::Duration;

use flymq_types::{Clock, Offset};
use parking_lot::{Condvar, Mutex, MutexGuard};

use crate::disk::WholeSync;
use crate::error::StorageError;
use crate::log::{LogInner, Syncing};

/// Told when batches of a log become durable. Calls come from the sync threads, for one log in order: they must return
/// soon, and may make every call on the log but those that cut it off or replace it, which wait for them: once
/// such a call has returned, nobody is told of what it took away.
pub trait DurableListener: Send + Sync {
    /// Every record below `end` is on the disk.
    fn durable(&self, end: Offset);

    /// The log has failed: what is not durable now never will be under this handle. Called once.
    fn failed(&self, error: &StorageError);
}

/// Who runs the rounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SyncMode {
    /// A thread: at the latest this long after an append (`sync_interval_ms`).
    Thread { interval: Duration },
    /// Nobody: the owner calls `DataDir::sync_round`. For tests and simulation.
    Manual,
}

/// Logs are given their durable mark on disk when the thread has had nothing to do for this long, or at this rate.
const MARK_INTERVAL: Duration = Duration::from_secs(1);
/// So many marks at most between two rounds under load, so that they do not hold up commits.
const MARKS_PER_ROUND: usize = 4;

/// With more dirty logs than this, one `syncfs` takes them all: 8 files take a twentieth and 512 files a tenth of the time
/// that one `fdatasync` for each needs. Where it is not to be had several threads share the files, since the file system's
/// journal commits for all who wait.
const LOGS_PER_THREAD: usize = 4;
const MAX_THREADS: usize = 8;

#[derive(Debug, Default)]
struct Queue {
    dirty: Vec<Arc<LogInner>>,
    asked: bool,
    /// A round runs.
    running: bool,
    /// Since when the first of them is dirty (monotonic).
    since: Duration,
    /// The thread will look within the interval by itself.
    napping: bool,
    /// A thread runs the rounds, or will.
    threaded: bool,
    stopping: bool,
}

impl Queue {
    /// Whether a round would be for `log` only, and nobody has asked for it.
    fn is_all(&self, log: &Arc<LogInner>) -> bool {
        let free = self.threaded && !self.running && !self.asked && !self.stopping;
        free && matches!(&self.dirty[..], [only] if Arc::ptr_eq(only, log))
    }
}

/// What made the thread stop waiting.
struct Due {
    /// May be empty also when it is not idle: where somebody else ran the round.
    dirty: Vec<Arc<LogInner>>,
    /// Nothing happened for a while.
    idle: bool,
    stopping: bool,
}

#[derive(Debug)]
pub(crate) struct Syncer {
    queue: Mutex<Queue>,
    wake: Condvar,
    /// Logs whose mark on disk is behind what is durable.
    unmarked: Mutex<Vec<Arc<LogInner>>>,
    /// Rounds that have ended.
    rounds: Mutex<u64>,
    round_ended: Condvar,
    /// Until its first failure.
    whole: Mutex<Option<Arc<dyn WholeSync>>>,
    clock: Arc<dyn Clock>,
}

impl Syncer {
    pub fn new(clock: Arc<dyn Clock>, whole: Option<Arc<dyn WholeSync>>) -> Self {
        Self {
            whole: Mutex::new(whole),
            queue: Mutex::default(),
            wake: Condvar::new(),
            unmarked: Mutex::default(),
            rounds: Mutex::default(),
            round_ended: Condvar::new(),
            clock,
        }
    }

    /// Adds a log that has become dirty. Each log is in the queue at most once (its own flag sees to it).
    pub fn enqueue(&self, log: Arc<LogInner>) {
        let mut queue = self.queue.lock();
        queue.dirty.push(log);
        if queue.dirty.len() == 1 {
            queue.since = self.clock.monotonic();
            if !queue.napping {
                self.wake.notify_one();
            }
        }
    }

    /// Lets the next round start at once.
    pub fn ask(&self) {
        let mut queue = self.queue.lock();
        if !queue.asked {
            queue.asked = true;
            self.wake.notify_one();
        }
    }

    /// Ends the thread after one last round.
    pub fn stop(&self) {
        self.queue.lock().stopping = true;
        self.wake.notify_one();
    }

    /// Syncs everything that is dirty now, one log after the other.
    pub fn round(&self) {
        let dirty = {
            let mut queue = self.queue.lock();
            queue.asked = false;
            std::mem::take(&mut queue.dirty)
        };
        self.sync_each(&dirty);
        self.count_round();
    }

    /// Runs a round on the caller's thread if `log` is all that is dirty, nobody has asked for a round and none runs.
    /// `false`: nothing was done.
    pub fn round_alone(&self, log: &Arc<LogInner>) -> bool {
        {
            let mut queue = self.queue.lock();
            if !queue.is_all(log) {
                return false;
            }
            queue.running = true;
            queue.dirty.clear();
        }
        let _guard = AbortOnPanic;
        self.sync_each(std::slice::from_ref(log));
        self.end_round();
        true
    }

    /// Whether [`Syncer::round_alone`] would run a round now.
    pub fn may_run_alone(&self, log: &Arc<LogInner>) -> bool {
        self.queue.lock().is_all(log)
    }

    fn end_round(&self) {
        {
            let mut queue = self.queue.lock();
            queue.running = false;
            if queue.asked || queue.stopping {
                self.wake.notify_one();
            }
        }
        self.count_round();
    }

    /// Asks for a round and blocks until one has ended; `false` after `timeout`.
    pub fn wait_for_round(&self, timeout: Duration) -> bool {
        let mut rounds = self.rounds.lock();
        let before = *rounds;
        self.ask();
        while *rounds == before {
            if self.round_ended.wait_for(&mut rounds, timeout).timed_out() {
                return *rounds != before;
            }
        }
        true
    }

    fn count_round(&self) {
        *self.rounds.lock() += 1;
        self.round_ended.notify_all();
    }

    fn sync_each(&self, dirty: &[Arc<LogInner>]) {
        for log in dirty {
            self.remember(log, log.sync());
        }
    }

    /// One round of the thread: a few logs by itself, many with their whole file system, or by a few threads.
    fn sync_together(&self, dirty: &[Arc<LogInner>]) {
        if dirty.len() > LOGS_PER_THREAD && self.sync_whole(dirty) {
            return;
        }
        let threads = dirty.len().div_ceil(LOGS_PER_THREAD).min(MAX_THREADS);
        if threads <= 1 {
            return self.sync_each(dirty);
        }
        std::thread::scope(|scope| {
            for part in dirty.chunks(dirty.len().div_ceil(threads)) {
                let thread = std::thread::Builder::new().name("flymq-sync-n".to_owned());
                if thread.spawn_scoped(scope, || self.sync_each(part)).is_err() {
                    self.sync_each(part);
                }
            }
        });
    }

    /// Syncs the file system, and so all logs. `false`: nothing is known of any of them.
    fn sync_whole(&self, dirty: &[Arc<LogInner>]) -> bool {
        let Some(whole) = self.whole.lock().clone() else { return false };
        let syncing: Vec<_> = dirty.iter().map(|log| log.begin_sync()).collect();
        if let Err(error) = whole.sync() {
            tracing::warn!(%error, "syncfs has failed: from now on each log is synced by itself");
            *self.whole.lock() = None;
            // Each file tells of its own failures.
            for (log, syncing) in dirty.iter().zip(syncing) {
                self.remember(log, syncing.is_some_and(Syncing::one));
            }
            return true;
        }
        for (log, syncing) in dirty.iter().zip(syncing) {
            self.remember(log, syncing.is_some_and(Syncing::done));
        }
        true
    }

    fn remember(&self, log: &Arc<LogInner>, awaits_mark: bool) {
        if awaits_mark {
            self.unmarked.lock().push(log.clone());
        }
    }

    /// Writes the durable mark of at most `count` logs that lack it.
    pub fn write_marks(&self, count: usize) {
        let due: Vec<_> = {
            let mut unmarked = self.unmarked.lock();
            let count = count.min(unmarked.len());
            unmarked.drain(..count).collect()
        };
        due.iter().for_each(|log| log.write_mark());
    }

    #[cfg(test)]
    pub fn awaiting_marks(&self) -> usize {
        self.unmarked.lock().len()
    }

    /// Says that [`Syncer::run`] will be called.
    pub fn expect_thread(&self) {
        self.queue.lock().threaded = true;
    }

    /// The thread's body.
    pub fn run(&self, interval: Duration) {
        let _guard = AbortOnPanic;
        let mut last_marks = self.clock.monotonic();
        loop {
            let Due { dirty, idle, stopping } = self.wait(interval);
            self.sync_together(&dirty);
            self.end_round();
            if idle || stopping {
                self.write_marks(usize::MAX);
            } else if self.clock.monotonic() >= last_marks + MARK_INTERVAL {
                self.write_marks(MARKS_PER_ROUND);
                last_marks = self.clock.monotonic();
            }
            if stopping {
                return;
            }
        }
    }

    /// What the next round is for. From here on the round runs.
    fn wait(&self, interval: Duration) -> Due {
        let mut queue = self.queue.lock();
        let mut idle = false;
        self.nap(&mut queue, interval);
        while queue.dirty.is_empty() && !queue.stopping {
            queue.asked = false;
            if self.unmarked.lock().is_empty() {
                self.wake.wait(&mut queue);
            } else if self.wake.wait_for(&mut queue, MARK_INTERVAL).timed_out() {
                idle = queue.dirty.is_empty();
                break;
            }
        }
        while !queue.dirty.is_empty() && !queue.asked && !queue.stopping {
            let passed = self.clock.monotonic().saturating_sub(queue.since);
            let left = interval.saturating_sub(passed);
            if left.is_zero() || self.wake.wait_for(&mut queue, left).timed_out() {
                break;
            }
        }
        while queue.running {
            self.wake.wait(&mut queue);
        }
        queue.running = true;
        queue.asked = false;
        Due { dirty: std::mem::take(&mut queue.dirty), idle, stopping: queue.stopping }
    }

    /// After a round the next append is likely: the thread looks again after an interval, so that an append whose round
    /// somebody else runs need not wake it.
    fn nap(&self, queue: &mut MutexGuard<'_, Queue>, interval: Duration) {
        if queue.dirty.is_empty() && !queue.asked && !queue.stopping {
            queue.napping = true;
            self.wake.wait_for(queue, interval);
            queue.napping = false;
        }
    }
}

/// Without its rounds a node would acknowledge nothing and say nothing: it is better dead.
struct AbortOnPanic;

impl Drop for AbortOnPanic {
    fn drop(&mut self) {
        if std::thread::panicking() {
            tracing::error!("a sync round has panicked: the process ends");
            std::process::abort();
        }
    }
}

#[cfg(test)]
mod tests;
