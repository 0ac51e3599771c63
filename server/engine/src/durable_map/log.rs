//! One partition of a map's topic: changes go to the log first, and into the map once they are durable.

mod alone;

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use flymq_types::{Acks, LeaderEpoch, Offset, RecordBatch, Timestamp};
use flymq_wire::batch::{BatchBuilder, NewRecord};
use futures::FutureExt as _;
use futures::future::BoxFuture;
use parking_lot::{Mutex, RwLock};
use tokio::sync::{oneshot, watch};

use alone::Written;

use super::DurableMap;
use crate::error::EngineError;
use crate::partition::Partition;
use crate::produce::Appended;
use crate::task::to_the_end;

/// A durable map with the log as its truth.
#[derive(Debug)]
pub(crate) struct MapLog<M: DurableMap> {
    partition: Arc<Partition>,
    /// Which of how many.
    index: usize,
    of: usize,
    pending: Mutex<Pending<M::Change>>,
    /// Bytes since the last cleaning.
    grown: AtomicU64,
    /// Bytes that the last summary of a replicated log took.
    summary: AtomicU64,
    /// Everything below this offset is in the map.
    applied: AtomicU64,
    /// Of a log that is kept alone: it could not be read.
    unread: AtomicBool,
}

/// On its way into the log, and not known to be durable.
pub(crate) enum Appending {
    Alone(oneshot::Receiver<Written>),
    Replicated(BoxFuture<'static, Result<(), EngineError>>),
}

/// What was appended, in log order, and behind it what is to be: not yet applied.
#[derive(Debug)]
struct Pending<C> {
    queue: VecDeque<Entry<C>>,
    tickets: u64,
    /// All tickets up to it are over: what was committed is in the map.
    over: watch::Sender<u64>,
    /// On a cluster: the term whose part is in the map.
    loaded: Option<LeaderEpoch>,
}

#[derive(Debug)]
struct Entry<C> {
    ticket: u64,
    changes: Vec<C>,
    /// Offset of the first change, once known.
    base: Offset,
    /// Where the partition is kept alone: what has to be durable, once it is appended. On a cluster: whether it was committed, once known.
    end: Option<Offset>,
    outcome: Option<bool>,
    /// Where the partition is kept alone: who is told of the append.
    waiting: Option<(Timestamp, oneshot::Sender<Written>)>,
}

/// Most changes in one batch.
pub(crate) const MAX_CHANGES: usize = 10_000;
/// A batch of a summary takes no further change from so many bytes on.
const FULL: usize = 4 << 20;

impl<M: DurableMap> MapLog<M> {
    pub(super) fn new(partition: Arc<Partition>, index: usize, of: usize) -> Self {
        let (grown, summary, applied) = Default::default();
        let pending = Mutex::default();
        Self { partition, index, of, pending, grown, summary, applied, unread: AtomicBool::new(false) }
    }

    /// Which partition of how many it is.
    pub(crate) fn place(&self) -> (usize, usize) {
        (self.index, self.of)
    }

    /// Appends the changes in one batch: on a cluster in the term `only`, where it has to be that one. None where this node does
    /// not lead in it. [`MapLog::appended`] is to be called right after.
    pub(crate) fn begin(
        self: &Arc<Self>,
        map: &Arc<RwLock<M>>,
        changes: Vec<M::Change>,
        only: Option<LeaderEpoch>,
        now: Timestamp,
    ) -> Result<Option<Appending>, EngineError> {
        if !self.partition.is_replicated() {
            return Ok(Some(Appending::Alone(self.append(changes, now))));
        }
        let committed = self.commit(map, changes, only, now)?;
        Ok(committed.map(|committed| Appending::Replicated(committed.boxed())))
    }

    /// Waits until it is durable. The append goes on also if the caller goes away then.
    pub(crate) async fn appended(self: &Arc<Self>, appending: Appending) -> Result<(), EngineError> {
        match appending {
            Appending::Alone(written) => self.written(written).await,
            Appending::Replicated(committed) => to_the_end(committed).await,
        }
    }

    /// The log of a broker without cluster could not be read: nothing of it is known.
    pub(crate) fn set_unread(&self) {
        self.unread.store(true, Ordering::Relaxed);
    }

    /// Whether the map has what this log says.
    pub(crate) fn is_read(&self) -> bool {
        if self.partition.is_replicated() { self.is_loaded() } else { !self.unread.load(Ordering::Relaxed) }
    }

    /// Whether the log has grown by `bytes` since the last cleaning; if so the caller starts one, and nobody else.
    pub(crate) fn cleaning_due(&self, bytes: u64) -> bool {
        let reset = |grown| (grown >= bytes).then_some(0);
        self.grown.fetch_update(Ordering::Relaxed, Ordering::Relaxed, reset).is_ok()
    }

    pub(crate) fn partition(&self) -> &Arc<Partition> {
        &self.partition
    }

    /// Everything below it is in the map.
    pub(crate) fn applied(&self) -> Offset {
        Offset(self.applied.load(Ordering::Acquire))
    }

    /// The end of what is durable.
    pub(crate) fn high(&self) -> Offset {
        self.partition.high()
    }

    /// Brings the book up to what is durable, or on a cluster committed. Whoever comes first does it, so nothing is lost
    /// when a commit's caller goes away before its answer.
    pub(crate) fn settle(&self, map: &RwLock<M>) {
        self.settle_locked(&mut self.pending.lock(), map);
    }

    fn settle_locked(&self, pending: &mut Pending<M::Change>, map: &RwLock<M>) {
        let known = pending.take_known(self.partition.high());
        if !known.is_empty() {
            let mut map = map.write();
            for entry in known.into_iter().filter(|entry| entry.outcome != Some(false)) {
                let end = entry.base.plus(entry.changes.len() as u64).get();
                self.applied.store(end, Ordering::Release);
                for (at, change) in (entry.base.get()..).zip(entry.changes) {
                    map.apply_at(change, Offset(at));
                }
            }
            drop(map);
            pending.tell();
        }
    }

    /// Reads everything below `end` into the map.
    pub(super) fn load(&self, map: &mut M, end: Offset) -> Result<(), EngineError> {
        const CHUNK: usize = 4 << 20;
        let mut from = self.partition.log()?.start_offset();
        loop {
            let batches = match self.partition.read(from, CHUNK, end) {
                Ok(batches) => batches,
                Err(EngineError::CorruptData { start, end, .. }) if M::SKIPS_DAMAGE => {
                    tracing::error!(%start, %end, "{} are damaged on disk: skipped", M::WHAT);
                    from = end;
                    continue;
                }
                Err(error) => return Err(error),
            };
            let Some(last) = batches.last() else {
                self.applied.store(end.get(), Ordering::Release);
                return Ok(());
            };
            from = last.next_offset();
            let bytes: usize = batches.iter().map(RecordBatch::size).sum();
            self.grown.fetch_add(bytes as u64, Ordering::Relaxed);
            for batch in &batches {
                for record in batch.records().map_err(EngineError::InvalidBatch)? {
                    let record = record.map_err(EngineError::InvalidBatch)?;
                    match record.key.and_then(|key| M::decode(key, record.value)) {
                        Some(change) => map.apply_at(change, Offset(record.offset)),
                        None => tracing::error!(
                            topic = %self.partition.topic(),
                            partition = self.index,
                            offset = record.offset,
                            "skipped a record of a later build: what it is of goes back to the one before, or begins anew"
                        ),
                    }
                }
            }
        }
    }
}

impl<C> Pending<C> {
    fn push(&mut self, changes: Vec<C>) -> u64 {
        self.tickets += 1;
        let ticket = self.tickets;
        let (base, end, outcome, waiting) = (Offset::ZERO, None, None, None);
        self.queue.push_back(Entry { ticket, changes, base, end, outcome, waiting });
        ticket
    }

    fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Takes those in front of which it is known what became of them; below `durable` everything is kept.
    fn take_known(&mut self, durable: Offset) -> Vec<Entry<C>> {
        let known = |entry: &Entry<C>| entry.outcome.is_some() || entry.end.is_some_and(|end| end <= durable);
        let count = self.queue.iter().take_while(|entry| known(entry)).count();
        self.queue.drain(..count).collect()
    }

    /// It was committed at that offset, or not at all.
    fn came(&mut self, ticket: u64, committed: Option<Offset>) {
        if let Some(entry) = self.queue.iter_mut().find(|entry| entry.ticket == ticket) {
            entry.base = committed.unwrap_or(entry.base);
            entry.outcome = Some(committed.is_some());
        }
    }

    /// Says what is over.
    fn tell(&self) {
        self.over.send_replace(self.queue.front().map_or(self.tickets, |first| first.ticket - 1));
    }

    /// Waits until all tickets up to this one are over.
    fn over(&self, ticket: u64) -> impl Future<Output = ()> + Send + use<C> {
        let mut over = self.over.subscribe();
        async move {
            // Without a sender there is no map any more.
            let _gone = over.wait_for(|over| *over >= ticket).await;
        }
    }
}

impl<C> Default for Pending<C> {
    fn default() -> Self {
        Self { queue: VecDeque::new(), tickets: 0, over: watch::Sender::new(0), loaded: None }
    }
}

/// On a cluster.
impl<M: DurableMap> MapLog<M> {
    /// On a cluster: whether the map has what this log says.
    pub(crate) fn is_loaded(&self) -> bool {
        self.term().is_some()
    }

    /// The map has this term's part; none: it has nothing of this log any more.
    pub(super) fn set_loaded(&self, map: &RwLock<M>, term: Option<LeaderEpoch>, part: M) {
        let mut pending = self.pending.lock();
        pending.queue.clear();
        pending.loaded = term;
        map.write().replace(self.index, self.of, part);
        pending.tell();
    }

    /// The term whose part the map has.
    pub(crate) fn term(&self) -> Option<LeaderEpoch> {
        self.pending.lock().loaded
    }

    /// Appends the changes as one batch, and applies them once they are committed; goes on to its end also if the caller
    /// goes away. None where the log is not loaded, or (where it has to be) not in the term `only`.
    fn commit(
        self: &Arc<Self>,
        map: &Arc<RwLock<M>>,
        changes: Vec<M::Change>,
        only: Option<LeaderEpoch>,
        now: Timestamp,
    ) -> Result<Option<impl Future<Output = Result<(), EngineError>> + Send + use<M>>, EngineError> {
        let batch = encode::<M>(&changes, now)?;
        let bytes = batch.size() as u64;
        let mut pending = self.pending.lock();
        let Some(term) = pending.loaded.filter(|term| only.is_none_or(|only| only == *term)) else {
            return Ok(None);
        };
        let answer = self.partition.append_replicated(batch, Acks::All);
        let ticket = pending.push(changes);
        drop(pending);
        self.grown.fetch_add(bytes, Ordering::Relaxed);
        let (log, map) = (self.clone(), map.clone());
        Ok(Some(async move {
            let appended = answer.await;
            log.finish(&map, (term, ticket), appended.as_ref().ok().map(|appended| appended.base_offset));
            // Those before it may not have heard yet that they are committed, and go into the map first: who is told that this
            // one is kept looks for it there.
            let over = log.pending.lock().over(ticket);
            over.await;
            appended.map(|_appended| ())
        }))
    }

    /// The batch with the ticket was committed at that offset, or not at all.
    fn finish(&self, map: &RwLock<M>, (term, ticket): (LeaderEpoch, u64), committed: Option<Offset>) {
        let mut pending = self.pending.lock();
        if pending.loaded != Some(term) {
            return;
        }
        pending.came(ticket, committed);
        self.settle_locked(&mut pending, map);
    }

    /// Writes everything of the log again at its end, if nothing else is under way: what stands before them may go then.
    /// The answers to the appends, in order.
    pub(super) fn summarize(
        &self,
        map: &RwLock<M>,
        now: Timestamp,
    ) -> Result<Vec<impl Future<Output = Result<Appended, EngineError>> + Send + use<M>>, EngineError> {
        // Held until all is appended, so that no commit comes in between.
        let pending = self.pending.lock();
        if pending.loaded.is_none() || !pending.is_empty() {
            return Ok(Vec::new());
        }
        let all = map.read().changes_of(self.index, self.of);
        let batches = parts::<M>(&all).map(|changes| encode::<M>(changes, now));
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
fn parts<M: DurableMap>(mut changes: &[M::Change]) -> impl Iterator<Item = &[M::Change]> {
    std::iter::from_fn(move || {
        let mut bytes = 0;
        let fits = |change: &&M::Change| {
            let before = bytes;
            bytes += M::extra_bytes(change);
            before < FULL
        };
        let count = changes.iter().take(MAX_CHANGES).take_while(fits).count();
        let (part, rest) = changes.split_at(count);
        changes = rest;
        (!part.is_empty()).then_some(part)
    })
}

fn encode<M: DurableMap>(changes: &[M::Change], now: Timestamp) -> Result<RecordBatch, EngineError> {
    encode_all::<M>(changes.iter().map(|change| (change, now)))
}

/// Each with its time.
fn encode_all<'a, M: DurableMap>(
    changes: impl Iterator<Item = (&'a M::Change, Timestamp)>,
) -> Result<RecordBatch, EngineError> {
    let mut builder = BatchBuilder::new();
    for (change, now) in changes {
        let (key, value) = M::encode(change);
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

#[cfg(test)]
mod tests;
