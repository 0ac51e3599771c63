//! One partition as this node has it: its log, its high watermark, and reads that respect it.
//!
//! | kept | log | records come | high watermark |
//! |---|---|---|---|
//! | alone | here | by [`Partition::append`] | the durable end of the log |
//! | replicated | here | by the replica, while this node leads | one for each term of leadership |
//! | elsewhere | none | never | none |

mod info;
#[cfg(all(loom, test))]
mod models;
mod ready;
mod replicated;
mod transactions;
mod turn;
mod watermark;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use arc_swap::{ArcSwap, ArcSwapOption};
use flymq_storage::{DurableListener, Log, Retention, Retired, StorageError};
use flymq_types::{BatchFlags, LeaderEpoch, Offset, PartitionId, RecordBatch, Timestamp, TopicName};
use parking_lot::Mutex;
use tokio::sync::watch;

pub(crate) use ready::ReadyQueue;
pub(crate) use replicated::Leadership;
pub(crate) use turn::Turns;
pub(crate) use watermark::{HighWatermark, Listening, Stop};

use crate::error::EngineError;
use crate::meta::MetaVersion;
use crate::produce::Appended;
use crate::replication::PartitionReplica;
use crate::task::in_place;
use crate::topic::missing;

/// A partition on this node.
#[derive(Debug)]
pub(crate) struct Partition {
    topic: TopicName,
    number: PartitionId,
    store: Store,
    /// Of this term of leadership; of a partition that is kept alone there is but one.
    high: ArcSwap<HighWatermark>,
    /// Where the partition is replicated.
    replica: OnceLock<Arc<dyn PartitionReplica>>,
    /// Who leads, as the metadata says; none where it is kept alone, and before the first metadata.
    leadership: ArcSwapOption<Leadership>,
    /// The metadata that was told last.
    told: Mutex<MetaVersion>,
    /// The term of leadership that runs.
    terms: watch::Sender<Option<LeaderEpoch>>,
    /// Ends every term that is yet to come.
    ended: OnceLock<Stop>,
    turns: Turns,
    /// Records that expire were met since the start.
    expiring: AtomicBool,
}

/// What this node has of the records.
#[derive(Debug)]
enum Store {
    Open(Log),
    /// The log could not be opened, for this reason.
    Offline(String),
    /// Other nodes have it.
    Elsewhere,
}

impl DurableListener for HighWatermark {
    fn durable(&self, end: Offset) {
        self.advance(end);
    }

    fn failed(&self, error: &StorageError) {
        self.stop(Stop::Failed(error.clone()));
    }
}

impl Partition {
    /// One that this node alone keeps.
    pub(crate) fn alone(topic: TopicName, number: PartitionId, log: Log) -> Arc<Self> {
        let high = Arc::new(HighWatermark::new(log.durable_offset()));
        let listener: Arc<dyn DurableListener> = high.clone();
        log.subscribe(&listener); // held weakly: it lives as long as the partition
        high.advance(log.durable_offset()); // a round may have ended before the subscription
        Arc::new(Self::with(topic, number, Store::Open(log), high))
    }

    /// One that this node alone keeps, and cannot open.
    pub(crate) fn offline(topic: TopicName, number: PartitionId, reason: String) -> Arc<Self> {
        let high = Arc::new(HighWatermark::new(Offset::ZERO));
        Arc::new(Self::with(topic, number, Store::Offline(reason), high))
    }

    fn with(topic: TopicName, number: PartitionId, store: Store, high: Arc<HighWatermark>) -> Self {
        Self {
            topic,
            number,
            store,
            high: ArcSwap::new(high),
            replica: OnceLock::new(),
            leadership: ArcSwapOption::empty(),
            told: Mutex::default(),
            terms: watch::Sender::default(),
            ended: OnceLock::new(),
            turns: Turns::default(),
            expiring: AtomicBool::new(false),
        }
    }

    pub(crate) fn topic(&self) -> &TopicName {
        &self.topic
    }

    pub(crate) fn number(&self) -> PartitionId {
        self.number
    }

    /// Order among the first appends.
    pub(crate) fn turns(&self) -> &Turns {
        &self.turns
    }

    /// The high watermark of this term: whoever waits holds on to it, and is told when the term is over.
    pub(crate) fn term(&self) -> Arc<HighWatermark> {
        self.high.load_full()
    }

    /// What may be read now.
    pub(crate) fn high(&self) -> Offset {
        self.high.load().get()
    }

    /// The log for whoever serves clients, or the error that the partition is offline, led by another node, deleted or
    /// closing.
    pub(crate) fn log(&self) -> Result<&Log, EngineError> {
        let stopped = self.high.load().stopped();
        match (&self.store, stopped) {
            (_, Some(stop @ (Stop::Deleted | Stop::ShuttingDown))) => Err(self.stop_error(stop)),
            (Store::Open(_) | Store::Elsewhere, Some(stop @ Stop::NotLeader)) => Err(self.stop_error(stop)),
            (Store::Open(log), Some(Stop::Failed(_)) | None) => Ok(log),
            (Store::Offline(reason), _) => Err(EngineError::PartitionOffline {
                topic: self.topic.clone(),
                partition: self.number,
                reason: reason.clone(),
            }),
            (Store::Elsewhere, Some(Stop::Failed(_)) | None) => Err(self.not_leader()),
        }
    }

    /// The log that is here, whoever leads; none where the partition is deleted or closing.
    pub(crate) fn local_log(&self) -> Option<&Log> {
        match (&self.store, self.high.load().stopped()) {
            (Store::Open(_), Some(Stop::Deleted | Stop::ShuttingDown)) => None,
            (Store::Open(log), Some(Stop::Failed(_) | Stop::NotLeader) | None) => Some(log),
            (Store::Offline(_) | Store::Elsewhere, _) => None,
        }
    }

    /// Appends to a partition that is kept alone; a reader who waits has the group commit start at once.
    pub(crate) fn append(&self, batch: &RecordBatch, now: Timestamp) -> Result<Appended, EngineError> {
        let log = self.log()?;
        self.note_expiring(batch);
        let appended = log.append(batch, LeaderEpoch(0), now).map_err(|error| self.error(error))?;
        let high = self.high.load();
        if cfg!(mutant = "early_high_watermark") {
            high.advance(log.end_offset());
        }
        if high.has_readers() {
            log.request_sync();
        }
        Ok(self.appended(appended))
    }

    fn appended(&self, appended: flymq_storage::Appended) -> Appended {
        Appended {
            partition: self.number,
            base_offset: appended.base_offset,
            last_offset: appended.last_offset,
            append_time: appended.append_time,
            duplicate: appended.duplicate,
        }
    }

    /// Appends batches of a backup at the offsets they had, without those that are there already. Returns the log's
    /// end. The caller holds the partition's turn.
    pub(crate) fn restore(&self, batches: &[RecordBatch], now: Timestamp) -> Result<Offset, EngineError> {
        let log = self.log()?;
        let missing = missing(batches, log.end_offset());
        let missing = missing.map_err(|at| self.out_of_range(at, log.start_offset(), log.end_offset()))?;
        for appended in log.append_many(missing, LeaderEpoch(0), now) {
            appended.map_err(|error| self.error(error))?;
        }
        Ok(log.end_offset())
    }

    /// Has everything below `end` committed, and waits for it: on the disk of this node, and of all in-sync replicas.
    pub(crate) async fn durable(&self, end: Offset) -> Result<(), EngineError> {
        if self.high() >= end || cfg!(mutant = "early_ack") {
            return Ok(());
        }
        // Whoever else has something to append does so first, for the same round.
        tokio::task::yield_now().await;
        let (log, term) = (self.log()?, self.term());
        let alone = self.replica().is_none() && log.end_offset() == end && log.may_sync_alone();
        if !alone || in_place(|| log.sync_alone()) != Some(true) {
            log.request_sync();
        }
        term.reached(end).await.map_err(|stop| self.stop_error(stop))
    }

    /// Whole batches below `high` from `from` on: at least one if there is any, else none.
    pub(crate) fn read(
        &self,
        from: Offset,
        max_bytes: usize,
        high: Offset,
    ) -> Result<Vec<RecordBatch>, EngineError> {
        let log = self.log()?;
        if from >= high {
            return Ok(Vec::new());
        }
        let batches = log.read(from, max_bytes, high).map_err(|error| match error {
            StorageError::OffsetOutOfRange { start, end } => self.out_of_range(from, start, end),
            other => self.error(other),
        })?;
        batches.iter().for_each(|batch| self.note_expiring(batch));
        Ok(batches)
    }

    /// Lets retention work where this node decides about it: at the leader, whose log start the others follow.
    pub(crate) fn retain(&self, now: Timestamp, limits: Retention) -> Result<Retired, EngineError> {
        let Ok(log) = self.log() else { return Ok(Retired::default()) };
        let retired = log.retain(now, limits, self.high()).map_err(|error| self.error(error))?;
        if let Some(replica) = self.replica().filter(|_| retired.segments > 0) {
            replica.start_moved();
        }
        Ok(retired)
    }

    fn note_expiring(&self, batch: &RecordBatch) {
        if batch.header().flags.contains(BatchFlags::HAS_TTL) && !self.has_expiring() {
            self.expiring.store(true, Ordering::Relaxed);
        }
    }

    /// Whether records that expire were appended or read since the start.
    pub(crate) fn has_expiring(&self) -> bool {
        self.expiring.load(Ordering::Relaxed)
    }

    pub(crate) fn out_of_range(&self, offset: Offset, start: Offset, end: Offset) -> EngineError {
        let (topic, partition) = (self.topic.clone(), self.number);
        EngineError::OffsetOutOfRange { topic, partition, offset, start, end }
    }

    /// A failure of the log. Damage is told to whoever can mend it.
    pub(crate) fn error(&self, error: StorageError) -> EngineError {
        if let (StorageError::Corrupt { .. }, Some(replica)) = (&error, self.replica()) {
            replica.damage_met();
        }
        EngineError::storage(&self.topic, self.number, error)
    }

    pub(crate) fn stop_error(&self, stop: Stop) -> EngineError {
        match stop {
            Stop::Failed(error) => self.error(error),
            Stop::NotLeader => self.not_leader(),
            Stop::Deleted => EngineError::TopicNotFound { topic: self.topic.clone() },
            Stop::ShuttingDown => EngineError::ShuttingDown,
        }
    }

    /// Ends every wait on the partition, now and later.
    pub(crate) fn stop(&self, stop: Stop) {
        self.ended.get_or_init(|| stop.clone());
        self.high.load().stop(stop);
    }
}
