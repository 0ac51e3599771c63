//! Which node keeps a group's offsets.

use std::sync::Arc;

use flymq_types::GroupId;

use super::commit::offsets_topic;
use super::{Groups, OffsetsLog};
use crate::engine::Engine;
use crate::error::EngineError;
use crate::partition::Partition;

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
