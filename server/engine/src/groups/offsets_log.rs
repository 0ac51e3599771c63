//! One partition of `__consumer_offsets`: changes go to the log first, and into the book once they are durable.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use flymq_types::{Offset, RecordBatch, Timestamp};
use flymq_wire::batch::{BatchBuilder, NewRecord};
use parking_lot::{Mutex, RwLock};

use super::book::{Book, Change};
use super::record::{OffsetKey, OffsetValue};
use crate::error::EngineError;
use crate::partition::Partition;
use crate::produce::Appended;

type Pending = VecDeque<(Offset, Vec<Change>)>;

/// A durable map with the log as its truth.
#[derive(Debug)]
pub(super) struct OffsetsLog {
    partition: Arc<Partition>,
    /// Appended, in log order, not yet applied: (offset after the batch, its changes).
    pending: Mutex<Pending>,
    /// Bytes since the last cleaning.
    grown: AtomicU64,
}

/// Most changes in one batch.
pub(super) const MAX_CHANGES: usize = 10_000;

impl OffsetsLog {
    pub(super) fn new(partition: Arc<Partition>) -> Self {
        Self { partition, pending: Mutex::default(), grown: AtomicU64::new(0) }
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
        pending.push_back((appended.last_offset.plus(1), changes));
        self.grown.fetch_add(batch.size() as u64, Ordering::Relaxed);
        Ok(appended)
    }

    /// Whether the log has grown by `bytes` since the last cleaning; if so the caller starts one, and nobody else.
    pub(super) fn cleaning_due(&self, bytes: u64) -> bool {
        let reset = |grown| (grown >= bytes).then_some(0);
        self.grown.fetch_update(Ordering::Relaxed, Ordering::Relaxed, reset).is_ok()
    }

    pub(super) fn partition(&self) -> &Partition {
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

    /// Brings the book up to what is durable. Whoever comes first does it, so nothing is lost when a commit's caller
    /// goes away before its answer.
    pub(super) fn settle(&self, book: &RwLock<Book>) {
        let mut pending = self.pending.lock();
        let durable = self.partition.high();
        let ready = pending.partition_point(|(end, _)| *end <= durable);
        if ready > 0 {
            let mut book = book.write();
            let changes = pending.drain(..ready).flat_map(|(_, changes)| changes);
            changes.for_each(|change| book.apply(change));
        }
    }

    /// Reads the whole log into the book, at start.
    pub(super) fn load(&self, book: &mut Book) -> Result<(), EngineError> {
        const CHUNK: usize = 4 << 20;
        let mut from = self.partition.log()?.start_offset();
        loop {
            let batches = match self.partition.read(from, CHUNK, self.partition.high()) {
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
                        None => tracing::warn!(offset = record.offset, "skipped an unknown offset record"),
                    }
                }
            }
        }
    }
}

fn decode(key: Option<&[u8]>, value: Option<&[u8]>) -> Option<Change> {
    let key = OffsetKey::decode(key?).ok()?;
    let value = value.map(OffsetValue::decode).transpose().ok()?;
    Some((key, value))
}

fn encode(changes: &[Change], now: Timestamp) -> Result<RecordBatch, EngineError> {
    let mut builder = BatchBuilder::new();
    for (key, value) in changes {
        let (key, value) = (key.encode(), value.as_ref().map(OffsetValue::encode));
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
