//! Old records go by whole segments, as their topic's settings say; expired ones of replicated logs as well.

use std::sync::Arc;

use flymq_storage::{Retention, Retired};
use flymq_types::{BatchFlags, InflateLimits, Offset, RecordBatch, Timestamp};

use super::{CleanupPolicy, OpenTopic};
use crate::engine::Engine;
use crate::error::EngineError;
use crate::partition::Partition;
use crate::task::{blocking, in_background};

impl Engine {
    /// Removes what retention by time and size lets go, in all topics; returns the number of segments removed. The
    /// composition root calls it now and then. A partition that fails is logged, the others go on.
    ///
    /// # Errors
    /// `ShuttingDown`.
    pub async fn enforce_retention(&self) -> Result<usize, EngineError> {
        let mut removed = 0;
        for (name, topic) in self.topics.sorted() {
            self.check_running()?;
            let limits = limits_of(&topic);
            if !name.is_internal() && limits != Retention::default() {
                let now = self.steady.now();
                let retired = blocking(move || retain_topic(&topic, now, limits)).await?;
                self.counters.count_retired(retired);
                removed += retired.segments;
            }
        }
        self.expire_replicated().await?;
        self.counters.retention_ran(self.clock.wall());
        Ok(removed)
    }

    /// Replicated logs are not rewritten, as their replicas stay the same byte for byte: what has expired at their beginning, with
    /// nothing in between that lives, goes like records that somebody deletes. A partition that fails is logged, the others go on.
    async fn expire_replicated(&self) -> Result<(), EngineError> {
        for (name, topic) in self.topics.sorted() {
            self.check_running()?;
            if name.is_internal() || topic.view().settings.cleanup_policy != CleanupPolicy::Delete {
                continue;
            }
            for partition in &topic.view().partitions {
                if let Err(error) = self.expire_beginning(partition).await {
                    tracing::debug!(topic = %name, partition = %partition.number(), %error, "expiry waits");
                }
            }
        }
        Ok(())
    }

    async fn expire_beginning(&self, partition: &Arc<Partition>) -> Result<(), EngineError> {
        // The leader alone: the others follow its log start.
        let (Some(replica), Ok(log)) = (partition.replica(), partition.log()) else { return Ok(()) };
        let (start, now, looked) = (log.start_offset(), self.steady.now(), partition.clone());
        let (to, records) = blocking(move || expired_until(&looked, start, now)).await??;
        if to > start {
            replica.delete_records(to).await.map_err(|failure| partition.failure(failure))?;
            self.counters.count_expired(records);
        }
        Ok(())
    }

    /// A partition has filled a segment: if its topic has a limit by size, the oldest ones go now, so that a fast
    /// producer never takes much more disk than the limit says, and the next segment may be written into a retired
    /// file.
    pub(crate) fn retain_filled(&self, topic: &OpenTopic, partition: &Arc<Partition>) {
        let limits = Retention { ms: 0, ..limits_of(topic) };
        if limits == Retention::default() {
            return;
        }
        let (partition, counters, now) = (partition.clone(), self.counters.clone(), self.steady.now());
        in_background(move || counters.count_retired(retain_partition(&partition, now, limits)));
    }
}

/// What the topic's settings let go.
fn limits_of(topic: &OpenTopic) -> Retention {
    let settings = topic.view().settings;
    match settings.cleanup_policy {
        CleanupPolicy::Delete | CleanupPolicy::CompactDelete => {
            Retention { ms: settings.retention_ms, bytes: settings.retention_bytes }
        }
        CleanupPolicy::Compact => Retention::default(),
    }
}

fn retain_topic(topic: &Arc<OpenTopic>, now: Timestamp, limits: Retention) -> Retired {
    let mut removed = Retired::default();
    for partition in &topic.view().partitions {
        let retired = retain_partition(partition, now, limits);
        removed.segments += retired.segments;
        removed.bytes += retired.bytes;
    }
    removed
}

fn retain_partition(partition: &Partition, now: Timestamp, limits: Retention) -> Retired {
    partition.retain(now, limits).unwrap_or_else(|error| {
        let (topic, partition) = (partition.topic(), partition.number());
        tracing::warn!(%topic, %partition, %error, "retention failed");
        Retired::default()
    })
}

/// Up to where, from `start` on, everything committed has expired, and how many records that are.
fn expired_until(partition: &Partition, start: Offset, now: Timestamp) -> Result<(Offset, u64), EngineError> {
    const CHUNK: usize = 1 << 20;
    let (mut to, mut records, high) = (start, 0, partition.last_stable_offset());
    loop {
        let batches = partition.read(to, CHUNK, high)?;
        if batches.is_empty() {
            return Ok((to, records));
        }
        for batch in &batches {
            if !has_expired(batch, now) {
                return Ok((to, records));
            }
            (to, records) = (batch.next_offset(), records + u64::from(batch.record_count()));
        }
    }
}

fn has_expired(batch: &RecordBatch, now: Timestamp) -> bool {
    if !batch.header().flags.contains(BatchFlags::HAS_TTL) {
        return false;
    }
    let Ok(records) = batch.open(&InflateLimits::BATCH) else { return false };
    let over = |end: i64| end <= now.as_millis();
    records.iter().all(|record| record.is_ok_and(|record| record.expires_at.is_some_and(over)))
}
