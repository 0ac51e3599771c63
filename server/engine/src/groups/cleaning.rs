//! Keeping `__consumer_offsets` short: its logs are cleaned by key, as those of any compacted topic, whenever they have
//! grown by `offsets_checkpoint_bytes`.

use flymq_storage::Compaction;

use crate::engine::Engine;
use crate::error::EngineError;
use crate::task::blocking;
use crate::topic::clean;

impl Engine {
    /// Cleans a log of `__consumer_offsets` when it has grown enough. A failure harms nothing: the log stays longer.
    pub(super) async fn clean_offsets_if_due(&self, index: usize) {
        let Some(log) = self.groups.logs.get().and_then(|logs| logs.get(index)) else { return };
        if !log.cleaning_due(self.options.offsets_checkpoint_bytes) {
            return;
        }
        if let Err(error) = self.clean_offsets(index).await {
            tracing::warn!(%error, "could not shorten the log of committed offsets");
        }
    }

    /// A deleted key's tombstone may go with the next cleaning: the log is read from its beginning or not at all.
    async fn clean_offsets(&self, index: usize) -> Result<(), EngineError> {
        let Some(log) = self.groups.logs.get().and_then(|logs| logs.get(index)).cloned() else {
            return Ok(());
        };
        let now = self.clock.wall();
        let done = blocking(move || {
            let how = Compaction { min_dirty_percent: 0, ..Compaction::new(log.high(), now, 0) };
            clean(log.partition(), &how)
        })
        .await??;
        self.counters.cleaned(&done, now);
        Ok(())
    }
}
