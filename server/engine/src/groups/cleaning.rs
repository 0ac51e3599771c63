//! Keeping `__consumer_offsets` short, whenever its logs have grown by `offsets_checkpoint_bytes`: by key, as those of any
//! compacted topic, or on a cluster, where the replicas of a log stay the same byte for byte, by a summary at its end, in
//! front of which everything is deleted.

use std::sync::Arc;

use flymq_storage::Compaction;
use flymq_types::Timestamp;
use parking_lot::RwLock;

use super::book::Book;
use super::offsets_log::OffsetsLog;
use crate::engine::Engine;
use crate::error::EngineError;
use crate::task::{blocking, to_the_end};
use crate::topic::clean;

impl Engine {
    /// Shortens a log of `__consumer_offsets` when it has grown enough. A failure harms nothing: the log stays longer.
    pub(super) async fn clean_offsets_if_due(&self, log: &Arc<OffsetsLog>) {
        let most = self.options.offsets_checkpoint_bytes;
        let shortened = match log.partition().is_replicated() {
            true if log.summary_due(most) => summarize(log, &self.groups.book, self.clock.wall()).await,
            false if log.cleaning_due(most) => self.clean_offsets(log.clone()).await,
            true | false => return,
        };
        if let Err(error) = shortened {
            tracing::warn!(%error, "could not shorten the log of committed offsets");
        }
    }

    /// A deleted key's tombstone may go with the next cleaning: the log is read from its beginning or not at all.
    async fn clean_offsets(&self, log: Arc<OffsetsLog>) -> Result<(), EngineError> {
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

/// Writes the offsets of a log again at its end, and deletes what is before them on all replicas.
pub(super) async fn summarize(
    log: &Arc<OffsetsLog>,
    book: &RwLock<Book>,
    now: Timestamp,
) -> Result<(), EngineError> {
    let answers = log.summarize(book, now)?;
    let partition = log.partition().clone();
    to_the_end(async move {
        let mut first = None;
        for answer in answers {
            let appended = answer.await?;
            first.get_or_insert(appended.base_offset);
        }
        let (Some(before), Some(replica)) = (first, partition.replica()) else { return Ok(()) };
        let deleted = replica.delete_records(before).await;
        deleted.map(|_start| ()).map_err(|failure| partition.failure(failure))
    })
    .await
}
