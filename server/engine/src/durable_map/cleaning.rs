//! Keeping the log of a map short, whenever it has grown by `offsets_checkpoint_bytes`: by key, as those of any compacted topic,
//! or on a cluster, where the replicas of a log stay the same byte for byte, by a summary at its end, in front of which
//! everything is deleted.

use std::sync::Arc;

use flymq_storage::Compaction;
use flymq_types::Timestamp;
use parking_lot::RwLock;

use super::{DurableLogs, DurableMap, MapLog};
use crate::engine::Engine;
use crate::error::EngineError;
use crate::task::{blocking, to_the_end};
use crate::topic::clean;

impl<M: DurableMap> DurableLogs<M> {
    /// Shortens the log when it has grown enough. A failure harms nothing: the log stays longer.
    pub(crate) async fn clean_if_due(&self, engine: &Engine, log: &Arc<MapLog<M>>) {
        let most = engine.options.offsets_checkpoint_bytes;
        let shortened = match log.partition().is_replicated() {
            true if log.summary_due(most) => summarize(log, &self.map, engine.clock.wall()).await,
            false if log.cleaning_due(most) => clean_log(engine, log.clone()).await,
            true | false => return,
        };
        if let Err(error) = shortened {
            tracing::warn!(%error, "could not shorten the log of {}", M::WHAT);
        }
    }
}

/// A deleted key's tombstone may go with the next cleaning: the log is read from its beginning or not at all.
async fn clean_log<M: DurableMap>(engine: &Engine, log: Arc<MapLog<M>>) -> Result<(), EngineError> {
    let now = engine.clock.wall();
    let done = blocking(move || {
        let how = Compaction { min_dirty_percent: 0, ..Compaction::new(log.high(), now, 0) };
        clean(log.partition(), &how)
    })
    .await??;
    engine.counters.cleaned(&done, now);
    Ok(())
}

/// Writes everything of a log again at its end, and deletes what is before that on all replicas.
pub(super) async fn summarize<M: DurableMap>(
    log: &Arc<MapLog<M>>,
    map: &RwLock<M>,
    now: Timestamp,
) -> Result<(), EngineError> {
    let answers = log.summarize(map, now)?;
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
