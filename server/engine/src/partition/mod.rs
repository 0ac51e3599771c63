//! One open partition: its log, its high watermark, and reads that respect it.

#[cfg(all(loom, test))]
mod models;
mod ready;
mod turn;
mod watermark;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use flymq_storage::{DurableListener, IndexStats, Log, StorageError};
use flymq_types::{BatchFlags, LeaderEpoch, Offset, PartitionId, RecordBatch, Timestamp, TopicName};

pub(crate) use ready::ReadyQueue;
pub(crate) use turn::Turns;
pub(crate) use watermark::{HighWatermark, Listening, Stop};

use crate::error::EngineError;
use crate::produce::Appended;
use crate::task::in_place;
use crate::topic::{PartitionInfo, missing};

/// An open partition; on one node the high watermark is the durable end of its log.
#[derive(Debug)]
pub(crate) struct Partition {
    topic: TopicName,
    number: PartitionId,
    /// The log, or why it could not be opened.
    log: Result<Log, String>,
    high: Arc<HighWatermark>,
    turns: Turns,
    /// Records that expire were met since the start.
    expiring: AtomicBool,
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
    pub(crate) fn online(topic: TopicName, number: PartitionId, log: Log) -> Self {
        let high = Arc::new(HighWatermark::new(log.durable_offset()));
        let listener: Arc<dyn DurableListener> = high.clone();
        log.subscribe(&listener); // held weakly: it lives as long as the partition
        high.advance(log.durable_offset()); // a round may have ended before the subscription
        Self { topic, number, log: Ok(log), high, turns: Turns::default(), expiring: AtomicBool::new(false) }
    }

    pub(crate) fn offline(topic: TopicName, number: PartitionId, reason: String) -> Self {
        let high = Arc::new(HighWatermark::new(Offset::ZERO));
        Self {
            topic,
            number,
            log: Err(reason),
            high,
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

    pub(crate) fn high(&self) -> &Arc<HighWatermark> {
        &self.high
    }

    /// The log, or the error that the partition is offline, deleted or closing.
    pub(crate) fn log(&self) -> Result<&Log, EngineError> {
        match (&self.log, self.high.stopped()) {
            (Ok(_), Some(stop @ (Stop::Deleted | Stop::ShuttingDown))) => Err(self.stop_error(stop)),
            (Ok(log), _) => Ok(log),
            (Err(reason), _) => Err(EngineError::PartitionOffline {
                topic: self.topic.clone(),
                partition: self.number,
                reason: reason.clone(),
            }),
        }
    }

    /// Appends; a reader who waits has the group commit start at once.
    pub(crate) fn append(&self, batch: &RecordBatch, now: Timestamp) -> Result<Appended, EngineError> {
        let log = self.log()?;
        self.note_expiring(batch);
        let appended = log.append(batch, LeaderEpoch(0), now).map_err(|error| self.error(error))?;
        if cfg!(mutant = "early_high_watermark") {
            self.high.advance(log.end_offset());
        }
        if self.high.has_readers() {
            log.request_sync();
        }
        Ok(Appended {
            partition: self.number,
            base_offset: appended.base_offset,
            last_offset: appended.last_offset,
            append_time: appended.append_time,
        })
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

    /// Has everything below `end` synced, and waits for it.
    pub(crate) async fn durable(&self, end: Offset) -> Result<(), EngineError> {
        if self.high.get() >= end || cfg!(mutant = "early_ack") {
            return Ok(());
        }
        // Whoever else has something to append does so first, for the same round.
        tokio::task::yield_now().await;
        let log = self.log()?;
        let alone = log.end_offset() == end && log.may_sync_alone();
        if !alone || in_place(|| log.sync_alone()) != Some(true) {
            log.request_sync();
        }
        self.high.reached(end).await.map_err(|stop| self.stop_error(stop))
    }

    /// Whole readable batches from `from` on: at least one if there is any, else none.
    pub(crate) fn read(&self, from: Offset, max_bytes: usize) -> Result<Vec<RecordBatch>, EngineError> {
        let (log, high) = (self.log()?, self.high.get());
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

    pub(crate) fn error(&self, error: StorageError) -> EngineError {
        EngineError::storage(&self.topic, self.number, error)
    }

    pub(crate) fn stop_error(&self, stop: Stop) -> EngineError {
        match stop {
            Stop::Failed(error) => self.error(error),
            Stop::Deleted => EngineError::TopicNotFound { topic: self.topic.clone() },
            Stop::ShuttingDown => EngineError::ShuttingDown,
        }
    }

    /// Whether its log could not be opened at start.
    pub(crate) fn is_offline(&self) -> bool {
        self.log.is_err()
    }

    /// Whether its log takes no more records.
    pub(crate) fn has_failed(&self) -> bool {
        self.log.as_ref().is_ok_and(|log| log.failure().is_some())
    }

    /// Whether any of its records are known to be damaged or missing.
    pub(crate) fn is_damaged(&self) -> bool {
        self.log.as_ref().is_ok_and(Log::is_damaged)
    }

    pub(crate) fn info(&self) -> PartitionInfo {
        let mut info = PartitionInfo {
            partition: self.number,
            low: Offset::ZERO,
            high: Offset::ZERO,
            log_end: Offset::ZERO,
            segments: 0,
            bytes: 0,
            last_sync: None,
            leader_epoch: LeaderEpoch(0),
            quarantined: Vec::new(),
            offline: None,
            failed: None,
            last_append: None,
            index: IndexStats::default(),
            index_misled: 0,
            scrub_finished: None,
            scrub_bytes: 0,
        };
        match &self.log {
            Ok(log) => {
                let stats = log.stats();
                // In this order, so that low <= high <= log_end also while appends go on.
                (info.low, info.high) = (log.start_offset(), self.high.get());
                info.log_end = log.end_offset();
                info.high = info.high.max(info.low);
                info.segments = u32::try_from(stats.segments).unwrap_or(u32::MAX);
                info.bytes = stats.bytes;
                (info.last_sync, info.quarantined) = (stats.last_sync, stats.quarantined);
                (info.last_append, info.failed) = (stats.last_append, stats.failed.map(|e| e.to_string()));
                (info.index, info.index_misled) = (stats.index, stats.index_misled);
                (info.scrub_finished, info.scrub_bytes) = (stats.scrub_finished, stats.scrub_bytes);
            }
            Err(reason) => info.offline = Some(reason.clone()),
        }
        info
    }
}
