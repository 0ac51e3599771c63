//! What the engine's failures are called at the doors.

use std::ops::Range;

use flymq_engine::EngineError;
use flymq_types::{BatchError, InflateError, Offset, PartitionId, TopicName};

use crate::{BrokerError, ErrorCode};

impl From<EngineError> for BrokerError {
    fn from(error: EngineError) -> Self {
        use EngineError as E;
        let failed = |code| Self::new(code, error.to_string());
        match &error {
            E::TopicNotFound { topic } => failed(ErrorCode::TopicNotFound).with("topic", topic),
            E::TopicAlreadyExists { topic } => failed(ErrorCode::TopicAlreadyExists).with("topic", topic),
            E::PartitionNotFound { topic, partition, partitions } => failed(ErrorCode::PartitionNotFound)
                .with("topic", topic)
                .with("partition", partition)
                .with("partitions", partitions),
            E::GroupNotFound { group } => failed(ErrorCode::GroupNotFound).with("group", group),
            E::GroupNotEmpty { group, members } => {
                failed(ErrorCode::Conflict).with("group", group).with("members", members)
            }
            E::OffsetOutOfRange { topic, partition, offset, start, end } => {
                failed(ErrorCode::OffsetOutOfRange)
                    .with("topic", topic)
                    .with("partition", partition)
                    .with("offset", offset)
                    .with("start", start)
                    .with("end", end)
            }
            E::Restoring { topic, backup } => {
                failed(ErrorCode::Unavailable).with("topic", topic).with("backup_id", backup)
            }
            E::NotRestoring { topic, backup } => {
                failed(ErrorCode::Conflict).with("topic", topic).with("backup_id", backup)
            }
            E::InvalidArgument { field, .. } => failed(ErrorCode::InvalidArgument).with("field", field),
            E::ReplicationFactor { asked, nodes } => failed(ErrorCode::InvalidArgument)
                .with("field", "replication_factor")
                .with("asked", asked)
                .with("nodes", nodes),
            E::PartitionsShrink { topic, current, asked } => failed(ErrorCode::InvalidArgument)
                .with("field", "partitions")
                .with("topic", topic)
                .with("partitions", current)
                .with("asked", asked),
            E::InternalTopic { topic } => failed(ErrorCode::PermissionDenied).with("topic", topic),
            E::KeyRequired { topic } => {
                failed(ErrorCode::InvalidArgument).with("field", "key").with("topic", topic)
            }
            E::LimitReached { what, limit } => {
                failed(ErrorCode::Overloaded).with("what", what).with("limit", limit)
            }
            E::InvalidBatch(batch) => failed(batch_code(batch)),
            E::TooLarge { what, bytes, limit } => {
                failed(if *what == "record" { ErrorCode::RecordTooLarge } else { ErrorCode::FrameTooLarge })
                    .with("bytes", bytes)
                    .with("limit", limit)
            }
            E::NotEnoughReplicas { topic, partition, in_sync, required } => {
                failed(ErrorCode::NotEnoughReplicas)
                    .with("topic", topic)
                    .with("partition", partition)
                    .with("in_sync", in_sync)
                    .with("required", required)
            }
            E::NotLeader { topic, partition, leader, leader_epoch } => {
                let error = failed(ErrorCode::NotLeader)
                    .with("topic", topic)
                    .with("partition", partition)
                    .with("leader_epoch", leader_epoch);
                match leader {
                    Some(leader) => error.with("leader", leader),
                    None => error,
                }
            }
            E::LeadershipLost { topic, partition, leader_epoch } => failed(ErrorCode::Timeout)
                .with("topic", topic)
                .with("partition", partition)
                .with("leader_epoch", leader_epoch),
            E::NotCoordinator { group, node: Some(node) } => {
                failed(ErrorCode::NotLeader).with("group", group).with("leader", node)
            }
            // Retryable: whoever asks again finds the node that is ready.
            E::NotCoordinator { group, node: None } => failed(ErrorCode::Unavailable).with("group", group),
            E::CorruptData { topic, partition, start, end } => {
                damaged(failed(ErrorCode::CorruptData), topic, *partition, *start..*end)
            }
            E::Mending { topic, partition, start, end } => {
                damaged(failed(ErrorCode::Unavailable), topic, *partition, *start..*end)
            }
            E::StorageFull => failed(ErrorCode::StorageFull),
            E::StorageLow { free, min_free } => {
                failed(ErrorCode::StorageFull).with("free_bytes", free).with("min_free_bytes", min_free)
            }
            E::TooManyOpenFiles => failed(ErrorCode::Overloaded).with("what", "open files"),
            E::ReadOnly => failed(ErrorCode::ReadOnly),
            E::StorageFailed { .. } => failed(ErrorCode::StorageFailed),
            E::PartitionOffline { topic, partition, .. } => {
                failed(ErrorCode::Unavailable).with("topic", topic).with("partition", partition)
            }
            E::Conflict { .. } => failed(ErrorCode::Conflict),
            E::Timeout { waited } => failed(ErrorCode::Timeout).with("timeout_ms", waited.as_millis()),
            // After a restart the change may be there or not.
            E::MetaUnavailable { .. } => failed(ErrorCode::StorageFailed).with("what", "metadata"),
            E::ShuttingDown => failed(ErrorCode::Unavailable),
        }
    }
}

/// With the range that cannot be read.
fn damaged(
    error: BrokerError,
    topic: &TopicName,
    partition: PartitionId,
    range: Range<Offset>,
) -> BrokerError {
    let error = error.with("topic", topic).with("partition", partition);
    error.with("start", range.start).with("end", range.end)
}

/// Damaged bytes are worth sending again; malformed ones are not.
fn batch_code(error: &BatchError) -> ErrorCode {
    use BatchError as E;
    match error {
        E::HeaderCrc { .. } | E::PayloadCrc { .. } => ErrorCode::CorruptBatch,
        E::TooLarge => ErrorCode::RecordTooLarge,
        E::Inflate(InflateError::TooLarge { .. }) => ErrorCode::FrameTooLarge,
        E::Truncated { .. }
        | E::TrailingBytes { .. }
        | E::BadMagic { .. }
        | E::BadVersion { .. }
        | E::BadCompression { .. }
        | E::BadFlags { .. }
        | E::BadReserved
        | E::Empty
        | E::BadRecord { .. }
        | E::BadHeaderName { .. }
        | E::CountMismatch { .. }
        | E::TimestampMismatch
        | E::Inflate(InflateError::Invalid(_) | InflateError::TrailingBytes { .. })
        | E::Compressed(_) => ErrorCode::Protocol,
    }
}

impl From<BatchError> for BrokerError {
    fn from(error: BatchError) -> Self {
        Self::new(batch_code(&error), error.to_string())
    }
}
