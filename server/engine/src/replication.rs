//! Partitions that several nodes keep: what the engine asks of whoever replicates them, and what it is told.
//!
//! ```text
//! Engine ── append, delete_records, update ──► PartitionReplica ──► log, peers, metadata
//!        ◄── leads, advanced, ended, failed ── ReplicaListener
//! ```

use std::fmt::Debug;
use std::sync::{Arc, Weak};

use flymq_storage::{Appended, Log, StorageError};
use flymq_types::{Acks, LeaderEpoch, Offset, RecordBatch};
use futures::future::BoxFuture;

use crate::meta::{MetaImage, PartitionMeta, TopicPartition};

/// Keeps partitions together with other nodes.
pub trait Replication: Send + Sync + Debug {
    /// Takes this node's part in a partition, and its log: from now on nobody else appends to it or cuts it. It does
    /// nothing before the first [`PartitionReplica::update`].
    fn open(&self, replica: NewReplica) -> Arc<dyn PartitionReplica>;
}

/// A partition of which this node keeps a copy.
#[derive(Debug)]
pub struct NewReplica {
    pub at: TopicPartition,
    /// None where it could not be opened: such a replica gives up every leadership that it gets.
    pub log: Option<Log>,
    /// Told of what becomes of the partition.
    pub listener: Weak<dyn ReplicaListener>,
}

/// Told what this node is to a partition. Calls come in order, from one task; they must return soon.
pub trait ReplicaListener: Send + Sync + Debug {
    /// A term of leadership begins: everything below `high_watermark` is known to be committed.
    fn leads(&self, epoch: LeaderEpoch, high_watermark: Offset);

    /// In the term that runs, everything below `high_watermark` is committed.
    fn advanced(&self, high_watermark: Offset);

    /// The term is over.
    fn ended(&self);

    /// The log takes no more records until a restart. The term is over, if one ran.
    fn failed(&self, error: &StorageError);

    /// Whether somebody waits for records that are appended and not committed: then they are synced at once. Asked
    /// after each append.
    fn reader_waits(&self) -> bool;
}

/// This node's copy of a partition.
pub trait PartitionReplica: Send + Sync + Debug {
    /// The metadata of `image` says this of the partition. An older image than before changes nothing. Says whether it is
    /// this node that leads.
    fn update(&self, meta: &PartitionMeta, min_insync: usize, image: &Arc<MetaImage>) -> bool;

    /// Appends a batch in this node's term, and answers as late as `acks` asks. The order of the calls is the order in the
    /// log. Dropping the future ends the wait alone.
    fn append(&self, batch: RecordBatch, acks: Acks) -> BoxFuture<'static, Result<Appended, ReplicaFailure>>;

    /// Deletes everything below `before`, and answers with the log start once all in-sync replicas have done so.
    fn delete_records(&self, before: Offset) -> BoxFuture<'static, Result<Offset, ReplicaFailure>>;

    /// Retention has moved the start of the leader's log: the others follow.
    fn start_moved(&self);

    /// A read or a scrub has met damaged records (see [`Log::damaged`]).
    fn damage_met(&self);

    /// Whether the leader may say what the latest offset is: nobody can have taken its place meanwhile.
    fn is_sure(&self) -> bool;

    /// What is known to be committed, also where another node leads.
    fn high_watermark(&self) -> Offset;

    /// Lets go of the log, and of everyone who waits: from the call on, also if nobody awaits it. When the future ends,
    /// the log is no longer held here.
    fn close(&self) -> BoxFuture<'static, ()>;
}

/// Why a replica did not do what was asked.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ReplicaFailure {
    /// Nothing was appended or deleted.
    #[error("this node does not lead")]
    NotLeader,
    /// Appended, or the deletion begun, and then another node took over: what becomes of it is the next leader's decision.
    #[error("the leadership ended before all in-sync replicas had it")]
    LeadershipLost,
    /// Not appended.
    #[error("{in_sync} replicas are in sync, {required} are needed")]
    NotEnoughReplicas { in_sync: u32, required: u32 },
    /// Above the high watermark nothing can be deleted.
    #[error("the high watermark is {high_watermark}")]
    NotCommitted { high_watermark: Offset },
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The partition was closed meanwhile.
    #[error("the partition is closed")]
    Closed,
}
