//! The append path: choose the partition, append, wait for what the producer wants to be sure of.

mod append;
mod check;
mod ids;
mod marker;
mod ttl;

use bytes::Bytes;
use flymq_types::{Offset, PartitionId, Timestamp};

pub(crate) use check::{check_batch, check_keys, check_stored};
pub(crate) use ids::ProducerIds;

/// Where a batch is to go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// This partition; one that does not exist is an error.
    Partition(PartitionId),
    /// The partition of this key's hash.
    Key(Bytes),
    /// The next partition in turn, per topic, from 0.
    RoundRobin,
}

/// Where a batch went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Appended {
    pub partition: PartitionId,
    /// Offset of the first record.
    pub base_offset: Offset,
    /// Offset of the last record.
    pub last_offset: Offset,
    /// The broker's wall clock at the append.
    pub append_time: Timestamp,
    /// Its idempotent producer had sent it before: nothing was appended now.
    pub duplicate: bool,
}
