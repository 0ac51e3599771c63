//! Old records go by whole segments, as their topic's settings say.

use std::sync::Arc;

use flymq_storage::{Retention, Retired};
use flymq_types::Timestamp;

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
        self.counters.retention_ran(self.clock.wall());
        Ok(removed)
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
