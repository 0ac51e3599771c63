//! Logs are cleaned: in compacted topics the latest record of every key stays, and in all topics expired records go.

use std::sync::Arc;

use flymq_storage::{Compacted, Compaction};
use flymq_types::Timestamp;

use super::{CleanupPolicy, OpenTopic};
use crate::engine::Engine;
use crate::error::EngineError;
use crate::partition::Partition;
use crate::task::blocking;

impl Engine {
    /// Cleans the logs of all compacted topics in which enough is new, and takes expired records out of all others, one
    /// after the other; internal topics see to themselves, and replicated ones are not cleaned (their replicas stay equal
    /// byte for byte). The composition root calls it now and then. A partition that fails is logged, the others go on.
    ///
    /// # Errors
    /// `ShuttingDown`.
    pub async fn clean_logs(&self) -> Result<Compacted, EngineError> {
        let mut done = Compacted::default();
        for (name, topic) in self.topics.sorted() {
            self.check_running()?;
            if !name.is_internal() {
                let now = self.steady.now();
                done.add(&blocking(move || clean_topic(&topic, now)).await?);
            }
        }
        self.counters.cleaned(&done, self.clock.wall());
        Ok(done)
    }
}

fn clean_topic(topic: &Arc<OpenTopic>, now: Timestamp) -> Compacted {
    let view = topic.view();
    let mut done = Compacted::default();
    let by_key = match view.settings.cleanup_policy {
        CleanupPolicy::Compact | CleanupPolicy::CompactDelete => true,
        CleanupPolicy::Delete => false,
    };
    // Rewritten here alone, a log would no longer be the same as the other replicas'.
    for partition in view.partitions.iter().filter(|partition| !partition.is_replicated()) {
        if !by_key && view.settings.ttl_ms == 0 && !partition.has_expiring() {
            continue;
        }
        let how = Compaction::new(partition.high(), now, view.settings.delete_retention_ms);
        let how = Compaction { by_key, ..how };
        match clean(partition, &how) {
            Ok(cleaned) => done.add(&cleaned),
            Err(error) => {
                let (topic, partition) = (partition.topic(), partition.number());
                tracing::warn!(%topic, %partition, %error, "a log could not be cleaned");
            }
        }
    }
    done
}

/// Cleans one log; blocking work.
pub(crate) fn clean(partition: &Partition, how: &Compaction) -> Result<Compacted, EngineError> {
    let done = partition.log()?.compact(how).map_err(|error| partition.error(error))?;
    if done.passes > 0 {
        tracing::debug!(topic = %partition.topic(), partition = %partition.number(), ?done, "cleaned a log");
    }
    Ok(done)
}
