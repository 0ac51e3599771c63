//! Every way in which the engine can refuse or fail, one variant per failure, with the facts of it.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use flymq_storage::StorageError;
use flymq_types::{
    BatchError, GroupId, LeaderEpoch, NodeId, Offset, PartitionId, TopicName, TransactionalId,
};

use crate::groups::{NotHeld, RecordAt};
use crate::meta::{MetaError, NodeRejection, PartitionRejection, Rejection, SchemaRejection};
use crate::schedules::ScheduleId;

/// A failed call on the engine. Cheap to clone: one failure may answer many waiters.
#[derive(Debug, Clone, thiserror::Error)]
pub enum EngineError {
    /// No such topic; for a produce: and `topics.auto_create` is off.
    #[error("topic not found: {topic}")]
    TopicNotFound { topic: TopicName },
    #[error("topic already exists: {topic}")]
    TopicAlreadyExists { topic: TopicName },
    #[error("partition {partition} not found: topic {topic} has {partitions}")]
    PartitionNotFound { topic: TopicName, partition: PartitionId, partitions: u32 },
    /// The group has neither committed offsets nor members.
    #[error("consumer group not found: {group}")]
    GroupNotFound { group: GroupId },
    /// The group still has members, so that its offsets cannot be deleted.
    #[error("consumer group {group} still has {members} members")]
    GroupNotEmpty { group: GroupId, members: usize },

    /// Whoever goes on from the group's offsets has to wait for the end of that transaction.
    #[error(
        "a transaction with offsets of consumer group {group} is not over: where the group goes on is known at its end"
    )]
    OffsetsPending { group: GroupId },

    /// A transaction that is not over has offsets of the group: its commit would bring back what was deleted or reset.
    #[error(
        "a transaction that is not over has offsets of consumer group {group}: producer id {producer_id}, epoch {epoch}"
    )]
    GroupInTransaction { group: GroupId, producer_id: u64, epoch: u16 },
    /// The member never joined, has left, or its session is over: it owns nothing.
    #[error(
        "member {member} is not in consumer group {group}: it left, or was not heard of within its session"
    )]
    UnknownMember { group: GroupId, member: Arc<str> },
    /// Another process has joined with the same instance id since.
    #[error(
        "member {member} of consumer group {group} was replaced: another process joined as instance {instance}"
    )]
    InstanceFenced { group: GroupId, member: Arc<str>, instance: String },
    /// The group has never come to what the member says it knows.
    #[error(
        "consumer group {group} is at generation {current}, and member {member} names {asked} or an epoch that never was"
    )]
    StaleGeneration { group: GroupId, member: Arc<str>, asked: u64, current: u64 },
    /// The member does not own the partition, or was given it in a later generation than it names. Nothing was committed.
    #[error(
        "member {member} of consumer group {group} may not commit {topic}/{partition} in generation {asked}: {}",
        given.map_or_else(|| "the partition is not its own".to_owned(), |given| format!("it has it since generation {given}"))
    )]
    NotOwner {
        group: GroupId,
        member: Arc<str>,
        topic: TopicName,
        partition: PartitionId,
        asked: u64,
        /// The generation in which it was given to the member, where it was.
        given: Option<u64>,
        current: u64,
    },
    /// The record is not the caller's to answer for. Nothing was done.
    #[error("consumer group {} may not answer for record {} of {}/{}: {}", record.group, record.offset, record.topic, record.partition, match why {
        NotHeld::ByAnother => "another member holds it",
        NotHeld::Nobody => "nobody holds it",
        NotHeld::Settled => "it was acknowledged or committed past",
        NotHeld::Dead => "it goes, or went, to the dead letters",
    })]
    RecordNotHeld { record: Box<RecordAt>, why: NotHeld },
    /// The asked offset is below the log start or above the log end. `start..end` is what the log has.
    #[error("offset {offset} is out of range: {topic}/{partition} has {start} to {end} (exclusive)")]
    OffsetOutOfRange { topic: TopicName, partition: PartitionId, offset: Offset, start: Offset, end: Offset },
    /// The topic takes and shows no records until its restore is finished.
    #[error("topic {topic} is being restored from backup {backup}")]
    Restoring { topic: TopicName, backup: Arc<str> },
    /// The topic is whole, or being restored from another backup.
    #[error("topic {topic} is not being restored from backup {backup}")]
    NotRestoring { topic: TopicName, backup: String },
    /// A setting or argument has a value that it cannot have.
    #[error("{field}: {reason}")]
    InvalidArgument { field: &'static str, reason: String },
    /// More replicas were asked for than there are nodes.
    #[error("replication factor {asked} needs {asked} nodes, the cluster has {nodes}")]
    ReplicationFactor { asked: u32, nodes: u32 },
    /// Partitions may only grow: records would be lost and keys would move.
    #[error("topic {topic} has {current} partitions and cannot go to {asked}: partitions only grow")]
    PartitionsShrink { topic: TopicName, current: u32, asked: u32 },
    /// The topic belongs to the broker itself and may not be written or changed by users.
    #[error("topic {topic} is internal")]
    InternalTopic { topic: TopicName },
    /// Compaction keeps the latest record of each key: a record without key has no place. Nothing was appended.
    #[error("topic {topic} is compacted: every record needs a key")]
    KeyRequired { topic: TopicName },
    /// A bound of [`flymq_types::Limits`] is reached.
    #[error("there are already {limit} {what}, the most allowed")]
    LimitReached { what: &'static str, limit: usize },
    /// The bytes are not a valid record batch. Nothing was appended.
    #[error("invalid record batch: {0}")]
    InvalidBatch(BatchError),
    /// The batch or one of its records is above the limit. Nothing was appended.
    #[error("{what} of {bytes} bytes is larger than the limit of {limit}")]
    TooLarge { what: &'static str, bytes: usize, limit: usize },
    /// The partition does not know the idempotent producer, and the batch is not its first one. Nothing was appended.
    #[error(
        "{topic}/{partition} does not know producer {producer}, whose batch begins with sequence {sequence}: it has not written for \
         longer than producers are remembered, or was never given its id here"
    )]
    UnknownProducer { topic: TopicName, partition: PartitionId, producer: u64, sequence: i32 },
    /// A producer with the same id and a later epoch has taken over. Nothing was appended.
    #[error("producer {producer} has epoch {current} in {topic}/{partition}: its epoch {epoch} is over")]
    ProducerFenced { topic: TopicName, partition: PartitionId, producer: u64, epoch: u16, current: u16 },
    /// A coordinator of a later term has ended a transaction of this producer. Nothing was appended.
    #[error(
        "a coordinator of term {current} has ended a transaction of producer {producer} in {topic}/{partition}: term {given} is over"
    )]
    CoordinatorFenced { topic: TopicName, partition: PartitionId, producer: u64, given: u32, current: u32 },
    /// A batch of the idempotent producer is missing before this one. Nothing was appended.
    #[error(
        "the batch of producer {producer} (epoch {epoch}) for {topic}/{partition} begins with sequence {sequence}, and the next one is \
         {expected}: {}", if sequence < expected { "it is behind the five newest, and cannot be told from a repeat any more" } else { "a batch before it is missing" }
    )]
    OutOfOrderSequence {
        topic: TopicName,
        partition: PartitionId,
        producer: u64,
        epoch: u16,
        expected: i32,
        sequence: i32,
    },
    /// `acks=all` asks for more in-sync replicas than there are. Nothing was appended.
    #[error("{topic}/{partition} has {in_sync} in-sync replicas, acks=all needs {required}")]
    NotEnoughReplicas { topic: TopicName, partition: PartitionId, in_sync: u32, required: u32 },
    /// The leader found these records when it began to lead, and too few replicas are in sync to say that they are
    /// committed; the leader before may have told somebody of them
    /// ([KIP-207](https://cwiki.apache.org/confluence/display/KAFKA/KIP-207%3A+Offsets+returned+by+ListOffsetsResponse+should+be+monotonically+increasing+even+during+a+partition+leader+change)).
    #[error(
        "whether {topic}/{partition} holds committed records from offset {from} to {end} is not known: {in_sync} replicas are in sync, \
         {required} have to be"
    )]
    CommitUnknown {
        topic: TopicName,
        partition: PartitionId,
        from: Offset,
        end: Offset,
        in_sync: u32,
        required: u32,
    },
    /// Another node leads the partition, as far as is known here, or none does. Nothing was done.
    #[error(
        "not leader: {topic}/{partition} is led by {} in epoch {leader_epoch}",
        leader.as_ref().map_or("nobody yet", NodeId::as_str)
    )]
    NotLeader { topic: TopicName, partition: PartitionId, leader: Option<NodeId>, leader_epoch: LeaderEpoch },
    /// Another node took over before all in-sync replicas had what was appended or deleted: it may be kept or not.
    #[error(
        "the leader of {topic}/{partition} changed before every in-sync replica had it: it may be stored or not"
    )]
    LeadershipLost { topic: TopicName, partition: PartitionId, leader_epoch: LeaderEpoch },
    /// Another node keeps the group's offsets, or this one is not ready to yet.
    #[error("not the coordinator of consumer group {group}: that is {}", node.as_ref().map_or("nobody yet", NodeId::as_str))]
    NotCoordinator { group: GroupId, node: Option<NodeId> },
    /// Another node coordinates the transactional id, or this one is not ready to yet.
    #[error(
        "not the coordinator of transactional id {id}: that is {}",
        node.as_ref().map_or("nobody yet", NodeId::as_str)
    )]
    NotTransactionCoordinator { id: TransactionalId, node: Option<NodeId> },
    /// Nothing is known of the transactional id: it was never given, or was not used for longer than it is kept.
    #[error("no transaction of transactional id {id} is known")]
    TransactionNotFound { id: TransactionalId },
    /// The transaction is in another state than the call needs. Nothing was done.
    #[error("the transaction of {id} with epoch {epoch} is not open for this: {why}")]
    TransactionState { id: TransactionalId, epoch: u16, why: Cow<'static, str> },
    /// Another producer has the transactional id now, or its coordinator aborted the transaction after its timeout.
    #[error(
        "epoch {epoch} of transactional id {id} is over, {current} is the current one: another producer has taken its place, or the transaction was open for longer than its timeout"
    )]
    TransactionFenced { id: TransactionalId, epoch: u16, current: u16 },
    /// A later version of the broker has written the state of the id.
    #[error("the state of transactional id {id} was written by a later version of FlyMQ: use that one")]
    TransactionUnreadable { id: TransactionalId },
    /// The configuration says so.
    #[error("this server has no transactions (transaction.enabled is false)")]
    TransactionsOff,
    /// Another node keeps the scheduled messages for the topic, or this one is not ready to yet.
    #[error(
        "the messages scheduled for topic {topic} are kept by {}",
        node.as_ref().map_or("nobody yet", NodeId::as_str)
    )]
    NotScheduleCoordinator { topic: TopicName, node: Option<NodeId> },
    /// It was delivered, or cancelled, or never was; or it is just about to be delivered.
    #[error(
        "no message {id} is scheduled for topic {topic}: it was delivered, or cancelled, or never was there"
    )]
    ScheduleNotFound { topic: TopicName, id: ScheduleId },
    /// Later than `delayed.max_delay` allows.
    #[error("a delay of {delay_ms} ms is longer than the limit of {limit_ms} ms (delayed.max_delay)")]
    DelayTooLong { delay_ms: i64, limit_ms: u64 },
    /// The configuration says so.
    #[error("this server has no scheduled messages (delayed.enabled is false)")]
    SchedulesOff,
    /// No such schema, or no such version of it, or it is deleted.
    #[error("schema not found: {subject} {}", version.map_or_else(|| "(any version)".to_owned(), |number| format!("v{number}")))]
    SchemaNotFound { subject: String, version: Option<u32> },
    /// No schema has that id.
    #[error("no schema has the id {id}")]
    SchemaIdNotFound { id: u32 },
    /// The text is no schema of its kind, or one that would cost too much.
    #[error("the schema is invalid: {reason}")]
    SchemaInvalid { reason: String },
    /// The subject's rule forbids the new version.
    #[error("the schema is not compatible with {subject} ({rule}): {}", reasons.join("; "))]
    SchemaIncompatible { subject: String, rule: &'static str, reasons: Vec<String> },
    /// A record does not match. Nothing was appended.
    #[error("record {record}: schema validation failed: [{}]", errors.join("; "))]
    SchemaViolation { topic: String, subject: String, record: usize, errors: Vec<String> },
    /// A client has encrypted a record that a schema is to be held against. Nothing was appended.
    #[error(
        "record {record} is encrypted by its client (header flymq-encryption), so that {topic}'s schema cannot be held against it: \
         unbind the schema, or send plain values"
    )]
    SchemaEncrypted { topic: String, record: usize },
    /// Other schemas or topics need it.
    #[error("schema {subject} cannot be deleted: it is in use by {by}")]
    SchemaInUse { subject: String, by: String },
    /// The configuration says so.
    #[error("this server has no schemas (schema.enabled is false)")]
    SchemasOff,
    /// Not every node of the cluster has this yet.
    #[error("{feature} need feature version {needed} of the cluster: upgrade all of its nodes")]
    FeatureOff { feature: &'static str, needed: u32 },
    /// Another node that is needed for it cannot be reached. It may have done it.
    #[error("another node is needed for this: {reason}")]
    PeerUnavailable { reason: String },
    /// The stored bytes of `start..end` are damaged; offsets around them can be read.
    #[error("offsets {start} to {end} (exclusive) of {topic}/{partition} are damaged on disk")]
    CorruptData { topic: TopicName, partition: PartitionId, start: Offset, end: Offset },
    /// The stored bytes of `start..end` are damaged here, and other replicas have not mended them in time.
    #[error(
        "offsets {start} to {end} (exclusive) of {topic}/{partition} are damaged on this node's disk, and no other replica has mended \
         them yet: try again, and if it goes on, read on from {end}"
    )]
    Mending { topic: TopicName, partition: PartitionId, start: Offset, end: Offset },
    /// No space on the data disk. Nothing was appended.
    #[error("the data disk is full")]
    StorageFull,
    /// Less is free on the data disk than is kept for commits and metadata. Nothing was appended.
    #[error(
        "the data disk is nearly full: {free} bytes are left, and {min_free} are to stay free (min_free_bytes)"
    )]
    StorageLow { free: u64, min_free: u64 },
    /// The process may open no more files, and the partition needs one. Nothing was appended.
    #[error("too many files are open: raise the limit on open files (ulimit -n, LimitNOFILE)")]
    TooManyOpenFiles,
    /// The data disk is read-only. Nothing was appended.
    #[error("the data disk is read-only")]
    ReadOnly,
    /// A disk operation failed. For a produce it is unknown whether the records survive a restart.
    #[error("storage failed: {reason}")]
    StorageFailed { reason: String },
    /// A partition whose log could not be opened at start; the others go on.
    #[error("{topic}/{partition} is offline: {reason}")]
    PartitionOffline { topic: TopicName, partition: PartitionId, reason: String },
    /// The state was changed by somebody else meanwhile; reading it again and retrying helps.
    #[error("{what} was changed by another request meanwhile")]
    Conflict { what: String },
    /// The answer did not come in time; the request may have taken effect.
    #[error("no answer within {} ms", waited.as_millis())]
    Timeout { waited: Duration },
    /// The metadata could not be written.
    #[error("metadata is unavailable: {reason}")]
    MetaUnavailable { reason: String },
    /// The broker is stopping.
    #[error("the broker is shutting down")]
    ShuttingDown,
}

impl EngineError {
    /// A storage failure of one partition.
    pub(crate) fn storage(topic: &TopicName, partition: PartitionId, error: StorageError) -> Self {
        let topic = topic.clone();
        match error {
            StorageError::Corrupt { start, end } => Self::CorruptData { topic, partition, start, end },
            StorageError::InvalidBatch(error) => Self::InvalidBatch(error),
            StorageError::BatchTooLarge { bytes, limit } => Self::TooLarge { what: "batch", bytes, limit },
            StorageError::UnknownProducer { producer, found: sequence } => {
                Self::UnknownProducer { topic, partition, producer, sequence }
            }
            StorageError::ProducerFenced { producer, epoch, current } => {
                Self::ProducerFenced { topic, partition, producer, epoch, current }
            }
            StorageError::CoordinatorFenced { producer, given, current } => {
                Self::CoordinatorFenced { topic, partition, producer, given, current }
            }
            StorageError::OutOfOrderSequence { producer, epoch, expected, found: sequence } => {
                Self::OutOfOrderSequence { topic, partition, producer, epoch, expected, sequence }
            }
            StorageError::DiskFull { .. } => Self::StorageFull,
            StorageError::SpaceLow { free, min_free, .. } => Self::StorageLow { free, min_free },
            StorageError::TooManyOpenFiles { .. } => Self::TooManyOpenFiles,
            StorageError::ReadOnly { .. } => Self::ReadOnly,
            StorageError::Closed => Self::TopicNotFound { topic },
            other => Self::StorageFailed { reason: other.to_string() },
        }
    }

    /// A failure of the data directory as a whole.
    pub(crate) fn directory(error: StorageError) -> Self {
        match error {
            StorageError::DiskFull { .. } => Self::StorageFull,
            StorageError::SpaceLow { free, min_free, .. } => Self::StorageLow { free, min_free },
            StorageError::TooManyOpenFiles { .. } => Self::TooManyOpenFiles,
            StorageError::ReadOnly { .. } => Self::ReadOnly,
            other => Self::StorageFailed { reason: other.to_string() },
        }
    }
}

impl From<MetaError> for EngineError {
    fn from(error: MetaError) -> Self {
        match error {
            MetaError::Rejected(rejection) => rejection.into(),
            MetaError::Storage(error) => Self::directory(error),
            MetaError::Unavailable { reason } => Self::MetaUnavailable { reason },
        }
    }
}

impl From<Rejection> for EngineError {
    fn from(rejection: Rejection) -> Self {
        match rejection {
            Rejection::TopicExists { name } => Self::TopicAlreadyExists { topic: name },
            Rejection::TopicUnknown { name } => Self::TopicNotFound { topic: name },
            Rejection::TopicIdUsed { name } => Self::Conflict { what: format!("the id of topic {name}") },
            Rejection::PartitionsShrink { name, current, asked } => {
                Self::PartitionsShrink { topic: name, current, asked }
            }
            Rejection::Conflict { name } => Self::Conflict { what: format!("topic {name}") },
            Rejection::TooManyTopics { limit } => Self::LimitReached { what: "topics", limit },
            Rejection::PartitionUnknown { name, partition, partitions } => {
                Self::PartitionNotFound { topic: name, partition, partitions }
            }
            Rejection::ReplicationFactor { asked, nodes } => Self::ReplicationFactor { asked, nodes },
            Rejection::MinInsync { .. } => {
                Self::InvalidArgument { field: "min_insync_replicas", reason: rejection.to_string() }
            }
            Rejection::Node(NodeRejection::StaleEpoch { id, .. }) => {
                Self::Conflict { what: format!("node {id}") }
            }
            Rejection::Node(reason) => Self::InvalidArgument { field: "node_id", reason: reason.to_string() },
            Rejection::Partition(
                PartitionRejection::StaleLeaderEpoch { at, .. }
                | PartitionRejection::StalePartitionEpoch { at, .. },
            ) => Self::Conflict { what: format!("partition {at}") },
            Rejection::Schema(reason) => reason.into(),
            Rejection::Partition(reason) => {
                Self::InvalidArgument { field: "replicas", reason: reason.to_string() }
            }
        }
    }
}

impl From<SchemaRejection> for EngineError {
    fn from(rejection: SchemaRejection) -> Self {
        match rejection {
            SchemaRejection::Conflict { subject } => Self::Conflict { what: format!("schema {subject}") },
            SchemaRejection::Unknown { subject, version } => {
                Self::SchemaNotFound { subject: subject.to_string(), version }
            }
            SchemaRejection::InUse { subject, by } => Self::SchemaInUse { subject: subject.to_string(), by },
            SchemaRejection::NotDeleted { .. } => {
                Self::InvalidArgument { field: "permanent", reason: rejection.to_string() }
            }
            SchemaRejection::TooMany { limit } => Self::LimitReached { what: "schemas", limit },
        }
    }
}
