//! One partition of `__consumer_offsets`: changes go to the log first, and into the book once they are durable.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use flymq_types::{Acks, GroupId, LeaderEpoch, Offset, RecordBatch, Timestamp};
use flymq_wire::batch::{BatchBuilder, NewRecord};
use parking_lot::{Mutex, RwLock};

use super::Groups;
use super::book::Book;
use super::record::Change;
use crate::error::EngineError;
use crate::partition::Partition;
use crate::produce::Appended;

/// A durable map with the log as its truth.
#[derive(Debug)]
pub(super) struct OffsetsLog {
    partition: Arc<Partition>,
    /// Which of how many.
    index: usize,
    of: usize,
    pending: Mutex<Pending>,
    /// Bytes since the last cleaning.
    grown: AtomicU64,
    /// Bytes that the last summary of a replicated log took.
    summary: AtomicU64,
}

/// Appended, in log order, not yet applied.
#[derive(Debug, Default)]
pub(super) struct Pending {
    queue: VecDeque<Entry>,
    tickets: u64,
    /// On a cluster: the term whose offsets are in the book.
    pub(super) loaded: Option<LeaderEpoch>,
}

#[derive(Debug)]
struct Entry {
    ticket: u64,
    changes: Vec<Change>,
    /// Where the partition is kept alone: what has to be durable. On a cluster: whether it was committed, once known.
    end: Option<Offset>,
    outcome: Option<bool>,
}

/// Most changes in one batch.
pub(super) const MAX_CHANGES: usize = 10_000;
/// A batch of a summary takes no further change from so many bytes of memberships on.
const FULL: usize = 4 << 20;

impl OffsetsLog {
    pub(super) fn new(partition: Arc<Partition>, index: usize, of: usize) -> Self {
        let (grown, summary) = (AtomicU64::new(0), AtomicU64::new(0));
        Self { partition, index, of, pending: Mutex::default(), grown, summary }
    }

    /// Whether it is the place of this group's offsets.
    pub(super) fn keeps(&self, group: &GroupId) -> bool {
        Groups::log_index(group, self.of) == self.index
    }

    /// Appends the changes as one batch; returns the offset that has to become durable. The order of appends is the
    /// order in which they are applied.
    pub(super) fn append(&self, changes: Vec<Change>, now: Timestamp) -> Result<Offset, EngineError> {
        let batch = encode(&changes, now)?;
        let mut pending = self.pending.lock();
        self.append_locked(&mut pending, &batch, changes, now).map(|appended| appended.last_offset.plus(1))
    }

    fn append_locked(
        &self,
        pending: &mut Pending,
        batch: &RecordBatch,
        changes: Vec<Change>,
        now: Timestamp,
    ) -> Result<Appended, EngineError> {
        let appended = self.partition.append(batch, now)?;
        pending.push(changes, Some(appended.last_offset.plus(1)));
        self.grown.fetch_add(batch.size() as u64, Ordering::Relaxed);
        Ok(appended)
    }

    /// Whether the log has grown by `bytes` since the last cleaning; if so the caller starts one, and nobody else.
    pub(super) fn cleaning_due(&self, bytes: u64) -> bool {
        let reset = |grown| (grown >= bytes).then_some(0);
        self.grown.fetch_update(Ordering::Relaxed, Ordering::Relaxed, reset).is_ok()
    }

    pub(super) fn partition(&self) -> &Arc<Partition> {
        &self.partition
    }

    /// The end of what is durable.
    pub(super) fn high(&self) -> Offset {
        self.partition.high()
    }

    /// Waits until `end` is durable; concurrent commits share the sync.
    pub(super) async fn durable(&self, end: Offset) -> Result<(), EngineError> {
        self.partition.durable(end).await
    }

    /// Brings the book up to what is durable, or on a cluster committed. Whoever comes first does it, so nothing is lost
    /// when a commit's caller goes away before its answer.
    pub(super) fn settle(&self, book: &RwLock<Book>) {
        self.settle_locked(&mut self.pending.lock(), book);
    }

    fn settle_locked(&self, pending: &mut Pending, book: &RwLock<Book>) {
        let durable = self.partition.high();
        let known = |entry: &Entry| entry.outcome.is_some() || entry.end.is_some_and(|end| end <= durable);
        let ready = pending.queue.iter().take_while(|entry| known(entry)).count();
        if ready > 0 {
            let mut book = book.write();
            let done = pending.queue.drain(..ready).filter(|entry| entry.outcome != Some(false));
            done.flat_map(|entry| entry.changes).for_each(|change| book.apply(change));
        }
    }

    /// Reads everything below `end` into the book.
    pub(super) fn load(&self, book: &mut Book, end: Offset) -> Result<(), EngineError> {
        const CHUNK: usize = 4 << 20;
        let mut from = self.partition.log()?.start_offset();
        loop {
            let batches = match self.partition.read(from, CHUNK, end) {
                Ok(batches) => batches,
                // Commits there are lost; their groups go back to the ones before and read some records twice.
                Err(EngineError::CorruptData { start, end, .. }) => {
                    tracing::error!(%start, %end, "committed offsets are damaged on disk: skipped");
                    from = end;
                    continue;
                }
                Err(error) => return Err(error),
            };
            let Some(last) = batches.last() else { return Ok(()) };
            from = last.next_offset();
            let bytes: usize = batches.iter().map(RecordBatch::size).sum();
            self.grown.fetch_add(bytes as u64, Ordering::Relaxed);
            for batch in &batches {
                for record in batch.records().map_err(EngineError::InvalidBatch)? {
                    let record = record.map_err(EngineError::InvalidBatch)?;
                    match decode(record.key, record.value) {
                        Some(change) => book.apply(change),
                        None => tracing::error!(
                            topic = super::OFFSETS_TOPIC,
                            partition = self.index,
                            offset = record.offset,
                            "skipped a record of a later build: the group that it is of goes back to the one before, or begins anew"
                        ),
                    }
                }
            }
        }
    }
}

impl Pending {
    fn push(&mut self, changes: Vec<Change>, end: Option<Offset>) -> u64 {
        self.tickets += 1;
        let ticket = self.tickets;
        self.queue.push_back(Entry { ticket, changes, end, outcome: None });
        ticket
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }
}

/// On a cluster.
impl OffsetsLog {
    /// Whether the book has what this log says of its groups.
    pub(super) fn is_loaded(&self) -> bool {
        self.term().is_some()
    }

    /// The book has this term's offsets; none: it has none of this log any more.
    pub(super) fn set_loaded(&self, book: &RwLock<Book>, term: Option<LeaderEpoch>, offsets: Book) {
        let mut pending = self.pending.lock();
        pending.queue.clear();
        pending.loaded = term;
        book.write().replace(|group| self.keeps(group), offsets);
    }

    /// The term whose offsets the book has.
    pub(super) fn term(&self) -> Option<LeaderEpoch> {
        self.pending.lock().loaded
    }

    /// Appends the changes as one batch, and applies them once they are committed; goes on to its end also if the caller
    /// goes away. None where the log is not loaded, or (where it has to be) not in the term `only`.
    pub(super) fn commit(
        self: &Arc<Self>,
        book: &Arc<RwLock<Book>>,
        changes: Vec<Change>,
        only: Option<LeaderEpoch>,
        now: Timestamp,
    ) -> Result<Option<impl Future<Output = Result<(), EngineError>> + Send + use<>>, EngineError> {
        let batch = encode(&changes, now)?;
        let bytes = batch.size() as u64;
        let mut pending = self.pending.lock();
        let Some(term) = pending.loaded.filter(|term| only.is_none_or(|only| only == *term)) else {
            return Ok(None);
        };
        let answer = self.partition.append_replicated(batch, Acks::All);
        let ticket = pending.push(changes, None);
        drop(pending);
        self.grown.fetch_add(bytes, Ordering::Relaxed);
        let (log, book) = (self.clone(), book.clone());
        Ok(Some(async move {
            let appended = answer.await;
            log.finish(&book, (term, ticket), appended.is_ok());
            appended.map(|_appended| ())
        }))
    }

    fn finish(&self, book: &RwLock<Book>, (term, ticket): (LeaderEpoch, u64), committed: bool) {
        let mut pending = self.pending.lock();
        if pending.loaded != Some(term) {
            return;
        }
        if let Some(entry) = pending.queue.iter_mut().find(|entry| entry.ticket == ticket) {
            entry.outcome = Some(committed);
        }
        self.settle_locked(&mut pending, book);
    }

    /// Writes all offsets of the log again at its end, if nothing else is under way: what stands before them may go then.
    /// The answers to the appends, in order.
    pub(super) fn summarize(
        &self,
        book: &RwLock<Book>,
        now: Timestamp,
    ) -> Result<Vec<impl Future<Output = Result<Appended, EngineError>> + Send + use<>>, EngineError> {
        // Held until all is appended, so that no commit comes in between.
        let pending = self.pending.lock();
        if pending.loaded.is_none() || !pending.is_empty() {
            return Ok(Vec::new());
        }
        let all = book.read().changes_of(|group| self.keeps(group));
        let batches = parts(&all).map(|changes| encode(changes, now));
        let batches = batches.collect::<Result<Vec<_>, _>>()?;
        let bytes: usize = batches.iter().map(RecordBatch::size).sum();
        self.summary.store(bytes as u64, Ordering::Relaxed);
        Ok(batches.into_iter().map(|batch| self.partition.append_replicated(batch, Acks::All)).collect())
    }

    /// Whether the log has grown enough for a summary to pay; if so the caller writes one, and nobody else.
    pub(super) fn summary_due(&self, bytes: u64) -> bool {
        self.cleaning_due(bytes.max(self.summary.load(Ordering::Relaxed).saturating_mul(2)))
    }
}

/// The changes in parts that are a batch each.
fn parts(mut changes: &[Change]) -> impl Iterator<Item = &[Change]> {
    std::iter::from_fn(move || {
        let mut bytes = 0;
        let fits = |change: &&Change| {
            let before = bytes;
            bytes += change.extra_bytes();
            before < FULL
        };
        let count = changes.iter().take(MAX_CHANGES).take_while(fits).count();
        let (part, rest) = changes.split_at(count);
        changes = rest;
        (!part.is_empty()).then_some(part)
    })
}

fn decode(key: Option<&[u8]>, value: Option<&[u8]>) -> Option<Change> {
    Change::decode(key?, value).ok()
}

fn encode(changes: &[Change], now: Timestamp) -> Result<RecordBatch, EngineError> {
    let mut builder = BatchBuilder::new();
    for change in changes {
        let (key, value) = change.encode();
        let record = NewRecord {
            key: Some(&key),
            value: value.as_deref(),
            timestamp: now.as_millis(),
            expires_at: None,
        };
        builder.push(&record).map_err(EngineError::InvalidBatch)?;
    }
    let bytes = builder.build().map_err(EngineError::InvalidBatch)?;
    RecordBatch::from_broker(bytes).map_err(EngineError::InvalidBatch)
}
