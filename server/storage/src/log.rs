//! One partition's log: the handle that the engine holds, and the state behind it.

mod append;
mod backward;
mod compact;
mod durable;
mod epoch;
mod export;
mod find_header;
mod install;
mod lookup;
mod options;
mod page_cache;
pub(crate) mod producers;
mod read;
mod recover;
mod repair;
mod replica;
mod report;
mod retain;
mod rewrap;
mod scrub;
mod spare;
mod stable;
mod start_at;
mod truncate;
mod view;

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, Weak};

use flymq_types::{Clock, Offset, PartitionId, Rng, Timestamp, TopicId};
use parking_lot::{Condvar, Mutex};

use crate::checkpoint::{CheckpointFile, Mark};
use crate::crypt::{Keyring, SealPool, SegmentPlace};
use crate::data_dir::DirectoryId;
use crate::disk::Disk;
use crate::epochs::Epochs;
use crate::error::{Result, StorageError};
use crate::segment::Segment;
use crate::segment::tip::Tip;
use crate::space::Space;
use crate::sync::{DurableListener, Syncer};
use crate::tail::TailBudget;
pub(crate) use durable::Syncing;
use spare::Recycling;
pub(crate) use spare::Spare;
use view::{Extent, SegmentView, View};

pub use compact::{Compacted, Compaction};
pub use epoch::{EpochEnd, EpochStart, Link};
pub use export::{Export, SealedSegment, SegmentSpan};
pub use find_header::{FoundRecords, HeaderQuery};
pub use install::Install;
pub use options::{Appended, LogConfig, LogStats, ProducerLimits, Retention, Retired};
pub use producers::{AbortedTransaction, OpenTransaction};
use producers::{Producers, Transactions};
pub use repair::Repaired;
pub use replica::{Replicated, split_batches};
pub use report::RecoveryReport;
pub use rewrap::Protected;
use scrub::ScrubState;
pub use scrub::Scrubbed;

/// What all logs of a data directory share.
#[derive(Debug, Clone)]
pub(crate) struct Context {
    /// For records: what finds no space fails.
    pub disk: Arc<dyn Disk>,
    /// For all that must go on when the disk is full.
    pub vital: Arc<dyn Disk>,
    pub space: Arc<Space>,
    pub clock: Arc<dyn Clock>,
    pub rng: Arc<dyn Rng>,
    pub syncer: Arc<Syncer>,
    pub tail_budget: Arc<TailBudget>,
    /// Id of the data directory.
    pub directory: DirectoryId,
    /// None where nothing is encrypted.
    pub keyring: Option<Arc<Keyring>>,
    pub seal_pool: Arc<SealPool>,
    /// The directory of all topics' directories.
    pub topics: PathBuf,
    pub lost_found: PathBuf,
    /// How many logs got their directory since the start.
    pub created: Arc<AtomicU64>,
}

/// Where a log lives.
#[derive(Debug, Clone)]
pub(crate) struct LogPlace {
    pub topic: TopicId,
    pub partition: PartitionId,
    /// `<data>/topics/<topic id>`.
    pub topic_dir: PathBuf,
    /// `<data>/topics/<topic id>/<partition>`.
    pub dir: PathBuf,
}

impl LogPlace {
    pub fn segment(&self, directory: DirectoryId, base_offset: u64) -> SegmentPlace {
        let (topic, partition) = (self.topic, self.partition);
        SegmentPlace { directory, topic, partition, base_offset: Offset(base_offset) }
    }
}

/// What only the appending thread needs; the lock over it puts appends in order.
#[derive(Debug)]
struct Writer {
    /// End of the log.
    tip: Tip,
    /// The segment that is written; none before the first append and after a seal.
    active: Option<Arc<Segment>>,
    /// Bytes of the active file that have blocks.
    allocated: u64,
    /// Up to here the active file holds nothing of an earlier life: a write that ends behind it fills its last page
    /// with zeros, so that the page need not be read from the disk first.
    clean: u64,
    epochs: Epochs,
    /// Idempotent producers, and what each has appended last.
    producers: Producers,
}

#[derive(Debug)]
struct CheckpointState {
    /// None until the first segment is created.
    file: Option<CheckpointFile>,
    /// The newest mark that is true; the file may be behind it.
    durable: Option<Mark>,
}

/// The state behind [`Log`]. Lock order: syncing, front, writer, checkpoint, view, a segment's index;
/// `recycling` after any of them.
pub(crate) struct LogInner {
    pub(crate) place: LogPlace,
    context: Arc<Context>,
    config: Mutex<LogConfig>,
    writer: Mutex<Writer>,
    /// Held by whoever takes segments out of the log or replaces them. Appends and reads never wait for it.
    front: Mutex<()>,
    /// Held while the log is cleaned: taken before all other locks.
    cleaning: Mutex<()>,
    /// Whether somebody stages segments that are to take the place of all others.
    installing: AtomicBool,
    /// Held during a sync round's work on the log, its listeners included.
    syncing: Mutex<()>,
    recycling: Mutex<Recycling>,
    /// Whether a full segment was followed by a new one since somebody last asked.
    rolled: AtomicBool,
    checkpoint: Mutex<CheckpointState>,
    view: Mutex<View>,
    start: AtomicU64,
    durable: AtomicU64,
    end: AtomicU64,
    /// Whether the log stands in the syncer's queue.
    dirty: AtomicBool,
    /// Whether the log stands in the syncer's list of logs whose mark is behind.
    awaits_mark: AtomicBool,
    closed: AtomicBool,
    failure: OnceLock<StorageError>,
    listeners: Mutex<Vec<Weak<dyn DurableListener>>>,
    scrub: Mutex<ScrubState>,
    durable_lock: Mutex<()>,
    durable_changed: Condvar,
    /// Producers that the log knows, and how many had to go before their time since the start.
    producer_ids: AtomicU64,
    producers_evicted: AtomicU64,
    /// As readers see them; changed with the writer's lock held, before what changes them can be read.
    transactions: Mutex<Transactions>,
    /// Whether there ever was one: readers of other logs do not look.
    has_transactions: AtomicBool,
    /// Wall time of the last successful sync, Unix ms; `i64::MIN` before the first.
    last_sync: Mutex<Option<Timestamp>>,
}

impl std::fmt::Debug for LogInner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Log")
            .field("topic", &self.place.topic)
            .field("partition", &self.place.partition)
            .field("start", &self.start)
            .field("durable", &self.durable)
            .field("end", &self.end)
            .finish_non_exhaustive()
    }
}

/// A handle on one partition's log. Clones share the log; all calls may come from several threads.
#[derive(Debug, Clone)]
pub struct Log(pub(crate) Arc<LogInner>);

impl Log {
    /// Offset of the oldest record that is kept.
    pub fn start_offset(&self) -> Offset {
        Offset(self.0.start.load(Ordering::Acquire))
    }

    /// Offset after the last record that is on this disk. Survives a power cut.
    pub fn durable_offset(&self) -> Offset {
        Offset(self.0.durable.load(Ordering::Acquire))
    }

    /// Offset after the last appended record.
    pub fn end_offset(&self) -> Offset {
        Offset(self.0.end.load(Ordering::Acquire))
    }

    /// Whether a full segment was followed by a new one since the last call: then retention by size may have work.
    pub fn take_rolled(&self) -> bool {
        self.0.rolled.load(Ordering::Relaxed) && self.0.rolled.swap(false, Ordering::AcqRel)
    }

    /// Replaces the configuration; it takes effect with the next append.
    pub fn configure(&self, config: LogConfig) {
        *self.0.config.lock() = config.clamped();
    }

    /// Size and health, for people and metrics.
    pub fn stats(&self) -> LogStats {
        let config = *self.0.config.lock();
        let scrub = *self.0.scrub.lock();
        let last_sync = *self.0.last_sync.lock();
        let view = self.0.view.lock();
        LogStats {
            start: self.start_offset(),
            durable: self.durable_offset(),
            end: self.end_offset(),
            segments: view.segments.len(),
            bytes: view.bytes(),
            last_sync,
            last_append: view.last_append(),
            quarantined: view.damaged().iter().map(|r| (Offset(r.start), Offset(r.end))).collect(),
            index: view.index_stats(config.index),
            scrub_finished: scrub.finished,
            scrub_bytes: scrub.bytes,
            index_misled: view.segments.iter().map(|v| v.segment.misled.load(Ordering::Relaxed)).sum(),
            producer_ids: self.0.producer_ids.load(Ordering::Relaxed),
            producers_evicted: self.0.producers_evicted.load(Ordering::Relaxed),
            failed: self.0.failure.get().cloned(),
        }
    }

    /// Whether damaged or missing records are known.
    pub fn is_damaged(&self) -> bool {
        self.0.view.lock().is_damaged()
    }

    /// The error that closed the log for appends, if one did.
    pub fn failure(&self) -> Option<StorageError> {
        self.0.failure.get().cloned()
    }
}

impl LogInner {
    /// Keeps damage that a read or a scrub has met in `seen` for the stats. Reads try again each time all the same: they
    /// are their own check. Says whether it is news.
    fn note_damage(&self, seen: &SegmentView, error: &StorageError) -> bool {
        let StorageError::Corrupt { start, end } = error else { return false };
        let news = {
            let mut view = self.view.lock();
            view.extent_of(seen) == Extent::Same && view.note_damage(start.0..end.0)
        };
        if news {
            let log = self.place.dir.display();
            tracing::error!(%log, start = start.0, end = end.0, "damaged range met: reads of it are refused");
        }
        news
    }

    /// What a failed read of `seen` means: nothing is damaged where the log was cut off meanwhile.
    fn explain(&self, seen: &SegmentView, error: StorageError) -> StorageError {
        if !matches!(error, StorageError::Corrupt { .. }) {
            return error;
        }
        if self.view.lock().extent_of(seen) == Extent::Cut {
            return StorageError::Truncated { end: Offset(self.end.load(Ordering::Acquire)) };
        }
        self.note_damage(seen, &error);
        error
    }

    /// What the data key of the segment at `base_offset` is tied to.
    pub(crate) fn segment_place(&self, base_offset: u64) -> SegmentPlace {
        self.place.segment(self.context.directory, base_offset)
    }

    /// Refuses calls on a deleted log.
    fn check_open(&self) -> Result<()> {
        if self.closed.load(Ordering::Acquire) { Err(StorageError::Closed) } else { Ok(()) }
    }

    /// Refuses appends on a deleted or failed log.
    fn check_writable(&self) -> Result<()> {
        self.check_open()?;
        self.failure.get().map_or(Ok(()), |error| Err(error.poison()))
    }

    /// No more calls; waits for an append that is under way.
    pub(crate) fn close(&self) {
        {
            let _front = self.front.lock();
            let _writer = self.writer.lock();
            self.closed.store(true, Ordering::Release);
        }
        self.wake_waiters();
        // A cleaning notices within a few reads, and leaves nothing behind.
        drop(self.cleaning.lock());
    }
}

#[cfg(test)]
pub(crate) mod tests;
