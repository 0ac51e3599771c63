//! Which node keeps a group's offsets.

use std::sync::Arc;
use std::time::Duration;

use flymq_types::GroupId;

use super::commit::offsets_topic;
use super::{Groups, OffsetsLog};
use crate::engine::Engine;
use crate::error::EngineError;
use crate::partition::Partition;

/// How long a node that knows of no group waits for the metadata of the others.
const BARRIER_WAIT: Duration = Duration::from_secs(1);

impl Engine {
    /// The logs of `__consumer_offsets` as they are open now; on a cluster each is loaded while this node leads it. None
    /// before the topic exists.
    pub(super) fn adopt_offsets_logs(&self) -> Arc<Vec<Arc<OffsetsLog>>> {
        let live = self.groups.live.clone();
        let left = move |log: &OffsetsLog| {
            let (index, of) = log.place();
            live.forget(|group| Groups::log_index(group, of) == index);
        };
        self.groups.kept.adopt(self, &offsets_topic(), left)
    }

    /// Has this node keep offsets where it leads, also of partitions that have just been opened.
    pub(crate) fn follow_offsets_topic(&self) {
        drop(self.adopt_offsets_logs());
    }

    /// Waits until this node of a cluster knows whether there are groups at all: `__consumer_offsets` may have been created through
    /// another node, and whoever takes this one's ignorance for an answer begins at the wrong offset.
    ///
    /// # Errors
    /// `NotCoordinator` where it cannot know now; `ShuttingDown`, `Timeout`.
    pub async fn groups_known(&self, group: &GroupId) -> Result<(), EngineError> {
        if !self.is_member() || !self.adopt_offsets_logs().is_empty() {
            return Ok(());
        }
        let name = offsets_topic();
        if self.meta.image().topic(&name).is_none() {
            let asked = tokio::time::timeout(BARRIER_WAIT, self.meta.barrier()).await;
            let unknown = |_| EngineError::NotCoordinator { group: group.clone(), node: None };
            asked.map_err(|_| ()).and_then(|known| known.map_err(|_| ())).map_err(unknown)?;
        }
        let image = self.meta.image();
        if image.topic(&name).is_some() {
            self.until_followed(image.version).await?;
        }
        Ok(())
    }

    /// Refuses a group whose offsets another node keeps, or which are not read yet.
    ///
    /// # Errors
    /// `NotCoordinator`.
    pub(crate) fn check_coordinator(&self, group: &GroupId) -> Result<(), EngineError> {
        if !self.is_member() {
            return Ok(());
        }
        let logs = self.adopt_offsets_logs();
        match logs.get(Groups::log_index(group, logs.len())) {
            Some(log) => self.check_loaded(log, group),
            None => Ok(()),
        }
    }

    /// As [`Engine::check_coordinator`], for the log of the group's offsets.
    pub(super) fn check_loaded(&self, log: &OffsetsLog, group: &GroupId) -> Result<(), EngineError> {
        let partition = log.partition();
        if !partition.is_replicated() {
            return Ok(());
        }
        // With a session that is over, another node may have taken offsets since.
        if partition.log().is_ok() && log.is_loaded() {
            return partition.check_sure().map_err(|_| not_coordinator(partition, group));
        }
        Err(not_coordinator(partition, group))
    }
}

pub(super) fn not_coordinator(partition: &Partition, group: &GroupId) -> EngineError {
    let node = partition.leadership().and_then(|known| known.other.clone());
    EngineError::NotCoordinator { group: group.clone(), node }
}
