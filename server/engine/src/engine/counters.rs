//! What the engine counts: for metrics by name, and for [`super::EngineStats`].

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use flymq_types::{RecordBatch, TopicName};

/// Records in and out since the start.
pub(crate) struct Counters {
    produced: AtomicU64,
    consumed: AtomicU64,
    produced_metric: metrics::Counter,
    consumed_metric: metrics::Counter,
    /// How many more topics get a label of their own.
    labels_left: AtomicUsize,
}

impl std::fmt::Debug for Counters {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Counters")
            .field("produced", &self.produced)
            .field("consumed", &self.consumed)
            .finish()
    }
}

impl Counters {
    pub(crate) fn new(metric_topics: usize) -> Self {
        Self {
            produced: AtomicU64::new(0),
            consumed: AtomicU64::new(0),
            produced_metric: metrics::counter!("flymq_messages_produced_total"),
            consumed_metric: metrics::counter!("flymq_messages_consumed_total"),
            labels_left: AtomicUsize::new(metric_topics),
        }
    }

    /// `flymq_topic_messages_total` of a topic; those beyond the bound share the label `other`.
    pub(crate) fn topic(&self, name: &TopicName) -> metrics::Counter {
        let take = |left: usize| left.checked_sub(1);
        let own = self.labels_left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok();
        let label = if own { name.as_str().to_owned() } else { "other".to_owned() };
        metrics::counter!("flymq_topic_messages_total", "topic" => label)
    }

    pub(crate) fn count_produced(&self, records: u32) {
        self.produced.fetch_add(records.into(), Ordering::Relaxed);
        self.produced_metric.increment(records.into());
    }

    pub(crate) fn count_consumed(&self, batches: &[RecordBatch]) {
        let records = batches.iter().map(|batch| u64::from(batch.record_count())).sum();
        if records > 0 {
            self.consumed.fetch_add(records, Ordering::Relaxed);
            self.consumed_metric.increment(records);
        }
    }

    pub(crate) fn produced(&self) -> u64 {
        self.produced.load(Ordering::Relaxed)
    }

    pub(crate) fn consumed(&self) -> u64 {
        self.consumed.load(Ordering::Relaxed)
    }
}
