//! Opening and making the logs of a topic's partitions, on blocking threads.

use std::ops::Range;
use std::sync::Arc;

use flymq_storage::{DataDir, Log, StorageError};
use flymq_types::{Offset, PartitionId, TopicId, TopicName};

use super::TopicSettings;
use crate::meta::TopicPartition;
use crate::partition::Partition;
use crate::replication::Replication;

/// Which logs to open.
#[derive(Debug, Clone)]
pub(crate) struct OpenLogs {
    pub(crate) data: Arc<DataDir>,
    pub(crate) id: TopicId,
    pub(crate) name: TopicName,
    pub(crate) settings: TopicSettings,
    /// Who keeps them together with other nodes; none on a broker without cluster.
    pub(crate) replication: Option<Arc<dyn Replication>>,
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
            match self.open_log(number, first) {
                Ok(log) => made.push(Partition::alone(self.name.clone(), number, log)),
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
        let log = self.open_log(number, None).map_err(|error| error.to_string());
        if let Err(reason) = &log {
            tracing::error!(topic = %self.id, partition = %number, reason, "partition is offline");
        }
        match (&self.replication, log) {
            (Some(replication), log) => {
                let at = TopicPartition { topic: self.id, name: self.name.clone(), partition: number };
                Partition::replicated(at, log, &**replication)
            }
            (None, Ok(log)) => Partition::alone(self.name.clone(), number, log),
            (None, Err(reason)) => Partition::offline(self.name.clone(), number, reason),
        }
    }

    fn open_log(&self, number: PartitionId, first: Option<Offset>) -> Result<Log, StorageError> {
        let config = self.settings.log_config(&self.name);
        let (log, _report) = self.data.open_log(self.id, number, config)?;
        if let Some(first) = first.filter(|first| *first > Offset::ZERO) {
            log.start_at(first)?;
        }
        Ok(log)
    }
}
