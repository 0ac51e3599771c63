//! What the disk does to the engine: for health checks and metrics.

use flymq_storage::SpaceReport;
use flymq_types::{PartitionId, TopicName};

use super::Engine;

/// The state of everything that is on the data disk.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StorageHealth {
    pub disk: SpaceReport,
    /// Partitions that take no more records until a restart, since a write or fdatasync of theirs failed.
    pub failed: Vec<(TopicName, PartitionId)>,
    /// Partitions that could not be opened at start.
    pub offline: Vec<(TopicName, PartitionId)>,
    /// Partitions with damaged or missing records.
    pub damaged: Vec<(TopicName, PartitionId)>,
    /// Why the metadata takes no more changes, where it does not.
    pub metadata: Option<String>,
}

impl Engine {
    /// Looks at every open partition: for a scrape, not for a request.
    pub fn storage_health(&self) -> StorageHealth {
        let mut health = StorageHealth {
            disk: self.data.space(),
            metadata: self.meta.failure(),
            ..StorageHealth::default()
        };
        for (name, topic) in self.topics.sorted() {
            for partition in &topic.view().partitions {
                let place = (name.clone(), partition.number());
                if partition.is_damaged() {
                    health.damaged.push(place.clone());
                }
                if partition.is_offline() {
                    health.offline.push(place);
                } else if partition.has_failed() {
                    health.failed.push(place);
                }
            }
        }
        health
    }
}
