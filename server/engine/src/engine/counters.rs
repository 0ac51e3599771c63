//! What the engine counts: for metrics by name, and for [`super::EngineStats`]. Records handed out are counted by
//! the layers above, which know how much of a batch a reader gets; records per topic are asked for at a scrape.

use std::sync::atomic::{AtomicU64, Ordering};

/// Records appended since the start.
pub(crate) struct Counters {
    produced: AtomicU64,
    metric: metrics::Counter,
}

impl std::fmt::Debug for Counters {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Counters").field("produced", &self.produced).finish_non_exhaustive()
    }
}

impl Counters {
    pub(crate) fn new() -> Self {
        let metric = metrics::counter!("flymq_messages_produced_total");
        Self { produced: AtomicU64::new(0), metric }
    }

    pub(crate) fn count_produced(&self, records: u32) {
        self.produced.fetch_add(records.into(), Ordering::Relaxed);
        self.metric.increment(records.into());
    }

    pub(crate) fn produced(&self) -> u64 {
        self.produced.load(Ordering::Relaxed)
    }
}
