//! Keeping `__consumer_offsets` short: now and then all offsets are written again, and what lies before goes.

use super::Groups;
use crate::engine::Engine;
use crate::error::EngineError;
use crate::task::blocking;

impl Engine {
    /// Makes a checkpoint of a log of `__consumer_offsets` when it has grown enough. A failure harms nothing: the
    /// log stays longer.
    pub(super) async fn checkpoint_if_due(&self, index: usize) {
        let Some(log) = self.groups.logs.get().and_then(|logs| logs.get(index)) else { return };
        if !log.checkpoint_due(self.options.offsets_checkpoint_bytes) {
            return;
        }
        if let Err(error) = self.checkpoint(index).await {
            tracing::warn!(%error, "could not shorten the log of committed offsets");
        }
    }

    async fn checkpoint(&self, index: usize) -> Result<(), EngineError> {
        let Some(logs) = self.groups.logs.get() else { return Ok(()) };
        let (log, count) = (logs[index].clone(), logs.len());
        let (book, now) = (self.groups.book.clone(), self.clock.wall());
        let appending = log.clone();
        let range = blocking(move || {
            appending.append_checkpoint(&book, |group| Groups::log_index(group, count) == index, now)
        })
        .await??;
        let Some(range) = range else { return Ok(()) };
        log.durable(range.end).await?;
        log.settle(&self.groups.book);
        blocking(move || log.cut(range.start, now)).await??;
        Ok(())
    }
}
