//! Bit rot is looked for, little by little, in all topics.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::engine::Engine;
use crate::error::EngineError;
use crate::partition::Partition;
use crate::task::blocking;

/// One pass of the scrub over all partitions, and how far it is.
#[derive(Debug, Default)]
pub struct ScrubPass {
    /// Partitions still to read; none before the first step.
    left: Option<VecDeque<Arc<Partition>>>,
    /// Bytes read.
    pub bytes: u64,
    /// Damaged ranges that nobody had met before.
    pub damaged: usize,
}

impl Engine {
    /// Reads about `bytes` more of the closed segments and checks them; says whether the pass is at its end. What is
    /// damaged shows in the partitions' state from then on. A partition that fails is logged, the others go on.
    ///
    /// # Errors
    /// `ShuttingDown`.
    pub async fn scrub(&self, pass: &mut ScrubPass, bytes: u64) -> Result<bool, EngineError> {
        let mut left = pass.left.take().unwrap_or_else(|| self.all_partitions());
        let until = pass.bytes + bytes;
        while let Some(partition) = left.front().cloned() {
            self.check_running()?;
            if pass.bytes >= until {
                pass.left = Some(left);
                return Ok(false);
            }
            let budget = until - pass.bytes;
            let (done, found) = blocking(move || step(&partition, budget)).await?;
            pass.bytes += done.bytes;
            pass.damaged += done.damaged;
            if found {
                left.pop_front();
            }
        }
        Ok(true)
    }

    fn all_partitions(&self) -> VecDeque<Arc<Partition>> {
        self.topics.sorted().iter().flat_map(|(_, topic)| topic.view().partitions.clone()).collect()
    }
}

/// One step in a partition, and whether it is done with.
fn step(partition: &Partition, bytes: u64) -> (flymq_storage::Scrubbed, bool) {
    let Some(log) = partition.local_log() else { return (flymq_storage::Scrubbed::default(), true) };
    match log.scrub(bytes) {
        Ok(done) => {
            metrics::counter!("flymq_scrub_bytes_total").increment(done.bytes);
            metrics::counter!("flymq_scrub_damaged_ranges_total").increment(done.damaged as u64);
            if let Some(replica) = partition.replica().filter(|_| done.damaged > 0) {
                replica.damage_met();
            }
            (done, done.finished)
        }
        Err(error) => {
            let (topic, partition) = (partition.topic(), partition.number());
            tracing::warn!(%topic, %partition, %error, "the scrub cannot read a partition");
            (flymq_storage::Scrubbed::default(), true)
        }
    }
}
