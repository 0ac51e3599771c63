//! Ids of idempotent producers: unique for ever in the cluster.

use tokio::sync::Mutex;

use crate::engine::Engine;
use crate::error::EngineError;
use crate::meta::{AllocateProducerIds, Command, Reply};

/// So many ids at once: one proposal for many producers.
const BLOCK: u32 = 1_000;

/// Ids that this node may still hand out.
#[derive(Debug, Default)]
pub(crate) struct ProducerIds(Mutex<std::ops::Range<u64>>);

impl Engine {
    /// An id for a new idempotent producer, whose epoch is 0. Nobody else ever gets it.
    ///
    /// # Errors
    /// `ShuttingDown`, or a failure of the metadata.
    pub async fn new_producer(&self) -> Result<u64, EngineError> {
        self.check_running()?;
        // Held during the proposal: whoever comes meanwhile takes of the same block.
        let mut left = self.producer_ids.0.lock().await;
        if let Some(id) = left.next() {
            return Ok(id);
        }
        let command = AllocateProducerIds { count: BLOCK, at_least: 0 };
        let applied = self.propose(vec![Command::AllocateProducerIds(command)]).await?;
        let Some(Reply::ProducerIds { first, count }) = applied.replies.first() else {
            let reason = "no block of producer ids came of the proposal".to_owned();
            return Err(EngineError::MetaUnavailable { reason });
        };
        *left = *first..first.saturating_add((*count).into());
        left.next().ok_or(EngineError::LimitReached { what: "producer ids", limit: usize::MAX })
    }
}
