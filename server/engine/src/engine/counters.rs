//! What the engine counts: for metrics by name, and for [`super::EngineStats`]. Records handed out are counted by
//! the layers above, which know how much of a batch a reader gets; records per topic are asked for at a scrape.

use std::sync::atomic::{AtomicU64, Ordering};

use flymq_storage::{Compacted, Retired};
use flymq_types::Timestamp;

/// Records appended since the start.
pub(crate) struct Counters {
    produced: AtomicU64,
    metric: metrics::Counter,
    retired_segments: metrics::Counter,
    retired_bytes: metrics::Counter,
    expired: metrics::Counter,
    retention_run: metrics::Gauge,
    cleaning: Cleaning,
}

/// Metrics of compaction.
struct Cleaning {
    runs: metrics::Counter,
    removed: metrics::Counter,
    bytes_before: metrics::Counter,
    bytes_after: metrics::Counter,
    damaged: metrics::Counter,
    seconds: metrics::Histogram,
    last_run: metrics::Gauge,
}

impl std::fmt::Debug for Counters {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Counters").field("produced", &self.produced).finish_non_exhaustive()
    }
}

impl Counters {
    pub(crate) fn new() -> Self {
        Self {
            produced: AtomicU64::new(0),
            metric: metrics::counter!("flymq_messages_produced_total"),
            retired_segments: metrics::counter!("flymq_retention_segments_removed_total"),
            retired_bytes: metrics::counter!("flymq_retention_bytes_removed_total"),
            expired: metrics::counter!("flymq_records_expired_total"),
            retention_run: metrics::gauge!("flymq_retention_last_run_timestamp_seconds"),
            cleaning: Cleaning {
                runs: metrics::counter!("flymq_compaction_passes_total"),
                removed: metrics::counter!("flymq_compaction_records_removed_total"),
                bytes_before: metrics::counter!("flymq_compaction_bytes_read_total"),
                bytes_after: metrics::counter!("flymq_compaction_bytes_written_total"),
                damaged: metrics::counter!("flymq_compaction_segments_damaged_total"),
                seconds: metrics::histogram!("flymq_compaction_seconds"),
                last_run: metrics::gauge!("flymq_compaction_last_run_timestamp_seconds"),
            },
        }
    }

    pub(crate) fn count_produced(&self, records: u32) {
        self.produced.fetch_add(records.into(), Ordering::Relaxed);
        self.metric.increment(records.into());
    }

    pub(crate) fn produced(&self) -> u64 {
        self.produced.load(Ordering::Relaxed)
    }

    /// Counts segments that retention or a deletion of records removed.
    pub(crate) fn count_retired(&self, retired: Retired) {
        self.retired_segments.increment(retired.segments as u64);
        self.retired_bytes.increment(retired.bytes);
    }

    /// Counts what a cleaning did.
    pub(crate) fn cleaned(&self, done: &Compacted, now: Timestamp) {
        let metrics = &self.cleaning;
        metrics.last_run.set(seconds(now));
        self.count_expired(done.expired);
        if done.passes > 0 {
            metrics.runs.increment(done.passes.into());
            metrics.removed.increment(done.removed);
            metrics.bytes_before.increment(done.bytes_before);
            metrics.bytes_after.increment(done.bytes_after);
            metrics.damaged.increment(done.damaged as u64);
            metrics.seconds.record(done.took.as_secs_f64());
        }
    }

    /// Counts records that went off the disk because their time was over.
    pub(crate) fn count_expired(&self, records: u64) {
        self.expired.increment(records);
    }

    /// Notes when retention last went over all topics.
    pub(crate) fn retention_ran(&self, now: Timestamp) {
        self.retention_run.set(seconds(now));
    }
}

fn seconds(time: Timestamp) -> f64 {
    time.as_millis() as f64 / 1_000.0
}
