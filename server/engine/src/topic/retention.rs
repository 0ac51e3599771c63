//! Old records go by whole segments, as their topic's settings say.

use std::sync::Arc;

use flymq_storage::{Retention, Retired};
use flymq_types::Timestamp;

use super::{CleanupPolicy, OpenTopic};
use crate::engine::Engine;
use crate::error::EngineError;
use crate::task::blocking;

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
            let settings = topic.view().settings;
            let limits = Retention { ms: settings.retention_ms, bytes: settings.retention_bytes };
            let by_retention = match settings.cleanup_policy {
                CleanupPolicy::Delete | CleanupPolicy::CompactDelete => !name.is_internal(),
                CleanupPolicy::Compact => false,
            };
            if by_retention && limits != Retention::default() {
                let now = self.clock.wall();
                let retired = blocking(move || retain_topic(&topic, now, limits)).await?;
                self.counters.count_retired(retired);
                removed += retired.segments;
            }
        }
        self.counters.retention_ran(self.clock.wall());
        Ok(removed)
    }
}

fn retain_topic(topic: &Arc<OpenTopic>, now: Timestamp, limits: Retention) -> Retired {
    let mut removed = Retired::default();
    for partition in &topic.view().partitions {
        let Ok(log) = partition.log() else { continue };
        match log.retain(now, limits, partition.high().get()) {
            Ok(retired) => {
                removed.segments += retired.segments;
                removed.bytes += retired.bytes;
            }
            Err(error) => {
                let (topic, partition) = (partition.topic(), partition.number());
                tracing::warn!(%topic, %partition, %error, "retention failed");
            }
        }
    }
    removed
}
