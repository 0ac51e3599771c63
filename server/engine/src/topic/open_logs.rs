//! Opening and making the logs of a topic's partitions, on blocking threads.

use std::ops::Range;
use std::sync::Arc;

use flymq_storage::{DataDir, StorageError};
use flymq_types::{Offset, PartitionId, TopicId, TopicName};

use super::TopicSettings;
use crate::partition::Partition;

/// Which logs to open.
#[derive(Debug, Clone)]
pub(crate) struct OpenLogs {
    pub(crate) data: Arc<DataDir>,
    pub(crate) id: TopicId,
    pub(crate) name: TopicName,
    pub(crate) settings: TopicSettings,
}

impl OpenLogs {
    /// Makes the logs of new partitions, which begin at `first` (by number) or at 0; on a failure those made are
    /// removed again.
    pub(crate) fn create(
        &self,
        numbers: Range<u32>,
        first: &[Offset],
    ) -> Result<Vec<Arc<Partition>>, StorageError> {
        let mut made = Vec::with_capacity(numbers.len());
        for number in numbers.clone().map(PartitionId) {
            let first = first.get(number.get() as usize).copied();
            match self.open_one(number, first) {
                Ok(partition) => made.push(partition),
                Err(error) => {
                    drop(made);
                    self.remove(numbers.start..number.get() + 1);
                    return Err(error);
                }
            }
        }
        Ok(made)
    }

    /// Removes logs that never held a record.
    pub(crate) fn remove(&self, numbers: Range<u32>) {
        for number in numbers.map(PartitionId) {
            if let Err(error) = self.data.delete_log(self.id, number) {
                tracing::warn!(topic = %self.id, partition = %number, %error, "cannot remove an empty log");
            }
        }
    }

    /// Opens a log of a known topic; one that cannot be opened makes an offline partition, the others go on.
    pub(crate) fn open_existing(&self, number: PartitionId) -> Arc<Partition> {
        match self.open_one(number, None) {
            Ok(partition) => partition,
            Err(error) => self.offline(number, error.to_string()),
        }
    }

    fn offline(&self, number: PartitionId, reason: String) -> Arc<Partition> {
        tracing::error!(topic = %self.id, partition = %number, reason, "partition is offline");
        Partition::offline(self.name.clone(), number, reason)
    }

    fn open_one(&self, number: PartitionId, first: Option<Offset>) -> Result<Arc<Partition>, StorageError> {
        let config = self.settings.log_config(&self.name);
        let (log, _report) = self.data.open_log(self.id, number, config)?;
        if let Some(first) = first.filter(|first| *first > Offset::ZERO) {
            log.start_at(first)?;
        }
        Ok(Partition::alone(self.name.clone(), number, log))
    }
}
