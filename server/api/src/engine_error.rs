//! What the engine's failures are called at the doors.

use std::ops::Range;

use flymq_engine::{EngineError, NotHeld, RecordAt};
use flymq_types::{BatchError, InflateError, Offset, PartitionId, TopicName};

use crate::{BrokerError, ErrorCode};

impl From<EngineError> for BrokerError {
    fn from(error: EngineError) -> Self {
        use EngineError as E;
        let failed = |code| Self::new(code, error.to_string());
        match &error {
            E::TopicNotFound { topic } => failed(ErrorCode::TopicNotFound).with("topic", topic),
            E::TopicAlreadyExists { topic } => failed(ErrorCode::TopicAlreadyExists).with("topic", topic),
            E::PartitionNotFound { topic, partition, partitions } => {
                placed(failed(ErrorCode::PartitionNotFound), topic, *partition).with("partitions", partitions)
            }
            E::GroupNotFound { group } => failed(ErrorCode::GroupNotFound).with("group", group),
            E::GroupNotEmpty { group, members } => {
                failed(ErrorCode::InUse).with("group", group).with("members", members)
            }
            // Not "group": that is a coordinator that is not ready.
            E::OffsetsPending { group } => failed(ErrorCode::Unavailable).with("pending_offsets_of", group),
            E::GroupInTransaction { group, producer_id, .. } => {
                failed(ErrorCode::InUse).with("group", group).with("producer_id", producer_id)
            }
            E::UnknownMember { group, member }
            | E::InstanceFenced { group, member, .. }
            | E::StaleGeneration { group, member, .. }
            | E::NotOwner { group, member, .. } => {
                member_refused(&error).with("group", group).with("member_id", member)
            }
            E::RecordNotHeld { record, why } => record_refused(&error, record, *why),
            E::OffsetOutOfRange { topic, partition, offset, start, end } => {
                let error = placed(failed(ErrorCode::OffsetOutOfRange), topic, *partition);
                error.with("offset", offset).with("start", start).with("end", end)
            }
            E::Restoring { topic, backup } => {
                failed(ErrorCode::Unavailable).with("topic", topic).with("backup_id", backup)
            }
            E::NotRestoring { topic, backup } => {
                failed(ErrorCode::Conflict).with("topic", topic).with("backup_id", backup)
            }
            E::InvalidArgument { .. }
            | E::ReplicationFactor { .. }
            | E::PartitionsShrink { .. }
            | E::KeyRequired { .. } => argument_refused(&error),
            E::InternalTopic { topic } => failed(ErrorCode::PermissionDenied).with("topic", topic),
            E::LimitReached { what, limit } => {
                failed(ErrorCode::Overloaded).with("what", what).with("limit", limit)
            }
            E::InvalidBatch(batch) => failed(batch_code(batch)),
            E::TooLarge { what, bytes, limit } => {
                failed(too_large(what)).with("bytes", bytes).with("limit", limit)
            }
            E::UnknownProducer { topic, partition, producer, .. }
            | E::ProducerFenced { topic, partition, producer, .. }
            | E::CoordinatorFenced { topic, partition, producer, .. }
            | E::OutOfOrderSequence { topic, partition, producer, .. } => {
                placed(producer_refused(&error), topic, *partition).with("producer_id", producer)
            }
            E::NotEnoughReplicas { .. }
            | E::CommitUnknown { .. }
            | E::NotLeader { .. }
            | E::LeadershipLost { .. }
            | E::NotCoordinator { .. } => leader_refused(&error),
            E::NotTransactionCoordinator { .. }
            | E::TransactionNotFound { .. }
            | E::TransactionState { .. }
            | E::TransactionFenced { .. }
            | E::TransactionUnreadable { .. }
            | E::TransactionsOff
            | E::FeatureOff { .. }
            | E::PeerUnavailable { .. } => transaction_refused(&error),
            E::NotScheduleCoordinator { .. }
            | E::ScheduleNotFound { .. }
            | E::DelayTooLong { .. }
            | E::SchedulesOff => schedule_refused(&error),
            E::SchemaNotFound { .. }
            | E::SchemaIdNotFound { .. }
            | E::SchemaInvalid { .. }
            | E::SchemaIncompatible { .. }
            | E::SchemaViolation { .. }
            | E::SchemaEncrypted { .. }
            | E::SchemaInUse { .. }
            | E::SchemasOff => schema_refused(&error),
            E::CorruptData { topic, partition, start, end } => {
                damaged(failed(ErrorCode::CorruptData), topic, *partition, *start..*end)
            }
            E::Mending { topic, partition, start, end } => {
                damaged(failed(ErrorCode::Unavailable), topic, *partition, *start..*end)
            }
            E::StorageFull
            | E::StorageLow { .. }
            | E::TooManyOpenFiles
            | E::ReadOnly
            | E::StorageFailed { .. } => disk_refused(&error),
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

fn too_large(what: &str) -> ErrorCode {
    if what == "record" { ErrorCode::RecordTooLarge } else { ErrorCode::FrameTooLarge }
}

/// Why a record of a group is not the caller's to answer for.
fn record_refused(error: &EngineError, record: &RecordAt, why: NotHeld) -> BrokerError {
    let state = match why {
        NotHeld::ByAnother => "held",
        NotHeld::Nobody => "not_held",
        NotHeld::Settled => "settled",
        NotHeld::Dead => "dead",
    };
    let failed = BrokerError::new(ErrorCode::RecordNotHeld, error.to_string());
    let failed = placed(failed, &record.topic, record.partition).with("group", &record.group);
    failed.with("offset", record.offset).with("state", state)
}

/// Which field of a request cannot be like that.
fn argument_refused(error: &EngineError) -> BrokerError {
    use EngineError as E;
    let failed = |field| BrokerError::new(ErrorCode::InvalidArgument, error.to_string()).with("field", field);
    match error {
        E::InvalidArgument { field, .. } => failed(field),
        E::ReplicationFactor { asked, nodes } => {
            failed(&"replication_factor").with("asked", asked).with("nodes", nodes)
        }
        E::PartitionsShrink { topic, current, asked } => {
            failed(&"partitions").with("topic", topic).with("partitions", current).with("asked", asked)
        }
        E::KeyRequired { topic } => failed(&"key").with("topic", topic),
        _ => BrokerError::new(ErrorCode::InvalidArgument, error.to_string()),
    }
}

/// Why the disk takes nothing.
fn disk_refused(error: &EngineError) -> BrokerError {
    use EngineError as E;
    let failed = |code| BrokerError::new(code, error.to_string());
    match error {
        E::StorageFull => failed(ErrorCode::StorageFull),
        E::StorageLow { free, min_free } => {
            failed(ErrorCode::StorageFull).with("free_bytes", free).with("min_free_bytes", min_free)
        }
        E::TooManyOpenFiles => failed(ErrorCode::Overloaded).with("what", "open files"),
        E::ReadOnly => failed(ErrorCode::ReadOnly),
        _ => failed(ErrorCode::StorageFailed),
    }
}

/// Why a member of a group is refused.
fn member_refused(error: &EngineError) -> BrokerError {
    let failed = |code| BrokerError::new(code, error.to_string());
    if let EngineError::InstanceFenced { instance, .. } = error {
        return failed(ErrorCode::InstanceFenced).with("instance_id", instance);
    }
    if let EngineError::StaleGeneration { asked, current, .. } = error {
        return failed(ErrorCode::IllegalGeneration).with("asked", asked).with("generation", current);
    }
    if let EngineError::NotOwner { topic, partition, asked, current, .. } = error {
        let error = placed(failed(ErrorCode::IllegalGeneration), topic, *partition);
        return error.with("asked", asked).with("generation", current);
    }
    failed(ErrorCode::UnknownMember)
}

/// Why an idempotent producer is refused.
fn producer_refused(error: &EngineError) -> BrokerError {
    let failed = |code| BrokerError::new(code, error.to_string());
    if let EngineError::ProducerFenced { epoch, current, .. } = error {
        return failed(ErrorCode::ProducerFenced).with("epoch", epoch).with("current_epoch", current);
    }
    if let EngineError::CoordinatorFenced { .. } = error {
        return failed(ErrorCode::ProducerFenced);
    }
    if let EngineError::OutOfOrderSequence { epoch, expected, sequence, .. } = error {
        let error = failed(ErrorCode::OutOfOrderSequence).with("epoch", epoch);
        return error.with("expected_sequence", expected).with("sequence", sequence);
    }
    let failed = failed(ErrorCode::UnknownProducer);
    if let EngineError::UnknownProducer { sequence, .. } = error {
        return failed.with("sequence", sequence);
    }
    failed
}

/// Why something of a transaction is refused.
fn transaction_refused(error: &EngineError) -> BrokerError {
    use EngineError as E;
    let failed = |code| BrokerError::new(code, error.to_string());
    let about = |code, id| failed(code).with("transactional_id", id);
    match error {
        E::NotTransactionCoordinator { id, node: Some(node) } => {
            about(ErrorCode::NotLeader, id).with("leader", node)
        }
        // Retryable: whoever asks again finds the node that is ready.
        E::NotTransactionCoordinator { id, node: None } => about(ErrorCode::Unavailable, id),
        E::TransactionNotFound { id } => about(ErrorCode::TransactionNotFound, id),
        E::TransactionState { id, epoch, why } => {
            about(ErrorCode::TransactionState, id).with("epoch", epoch).with("why", why)
        }
        E::TransactionFenced { id, epoch, current } => {
            about(ErrorCode::ProducerFenced, id).with("epoch", epoch).with("current_epoch", current)
        }
        E::TransactionUnreadable { id } => {
            about(ErrorCode::Unimplemented, id).with("feature", "transactions")
        }
        E::TransactionsOff => failed(ErrorCode::Unimplemented).with("feature", "transactions"),
        E::FeatureOff { feature, needed } => {
            failed(ErrorCode::Unimplemented).with("feature", feature).with("needed", needed)
        }
        _ => failed(ErrorCode::Unavailable).with("what", "another node"),
    }
}

/// Why something of a scheduled message is refused.
fn schedule_refused(error: &EngineError) -> BrokerError {
    use EngineError as E;
    let failed = |code| BrokerError::new(code, error.to_string());
    match error {
        E::NotScheduleCoordinator { topic, node: Some(node) } => {
            failed(ErrorCode::NotLeader).with("topic", topic).with("leader", node)
        }
        // Retryable: whoever asks again finds the node that is ready.
        E::NotScheduleCoordinator { topic, node: None } => {
            failed(ErrorCode::Unavailable).with("schedules_of", topic)
        }
        E::ScheduleNotFound { topic, id } => {
            failed(ErrorCode::ScheduleNotFound).with("topic", topic).with("id", id)
        }
        E::DelayTooLong { delay_ms, limit_ms } => {
            failed(ErrorCode::DelayTooLong).with("delay_ms", delay_ms).with("limit_ms", limit_ms)
        }
        _ => failed(ErrorCode::FeatureDisabled).with("feature", "delayed messages"),
    }
}

/// Why another node is to be asked, or more of them are needed.
fn leader_refused(error: &EngineError) -> BrokerError {
    use EngineError as E;
    let failed = |code| BrokerError::new(code, error.to_string());
    match error {
        E::NotEnoughReplicas { topic, partition, in_sync, required }
        | E::CommitUnknown { topic, partition, in_sync, required, .. } => {
            let error = placed(failed(ErrorCode::NotEnoughReplicas), topic, *partition);
            error.with("in_sync", in_sync).with("required", required)
        }
        E::NotLeader { topic, partition, leader, leader_epoch } => {
            let error = placed(failed(ErrorCode::NotLeader), topic, *partition);
            let error = error.with("leader_epoch", leader_epoch);
            leader.iter().fold(error, |error, leader| error.with("leader", leader))
        }
        E::LeadershipLost { topic, partition, leader_epoch } => {
            placed(failed(ErrorCode::Timeout), topic, *partition).with("leader_epoch", leader_epoch)
        }
        E::NotCoordinator { group, node: Some(node) } => {
            failed(ErrorCode::NotLeader).with("group", group).with("leader", node)
        }
        // Retryable: whoever asks again finds the node that is ready.
        E::NotCoordinator { group, node: None } => failed(ErrorCode::Unavailable).with("group", group),
        _ => failed(ErrorCode::Unavailable),
    }
}

/// Why something of a schema is refused, or a record by one.
fn schema_refused(error: &EngineError) -> BrokerError {
    use EngineError as E;
    let failed = |code| BrokerError::new(code, error.to_string());
    match error {
        E::SchemaNotFound { subject, version } => {
            let failed = failed(ErrorCode::SchemaNotFound).with("schema", subject);
            version.iter().fold(failed, |failed, version| failed.with("version", version))
        }
        E::SchemaIdNotFound { id } => failed(ErrorCode::SchemaNotFound).with("global_id", id),
        E::SchemaInvalid { .. } => failed(ErrorCode::SchemaInvalid),
        E::SchemaIncompatible { subject, rule, reasons } => failed(ErrorCode::SchemaIncompatible)
            .with("schema", subject)
            .with("compatibility", rule)
            .with("reasons", reasons.join("; ")),
        E::SchemaViolation { topic, subject, record, errors } => failed(ErrorCode::SchemaValidationFailed)
            .with("topic", topic)
            .with("schema", subject)
            .with("record", record)
            .with("errors", errors.join(" ")),
        E::SchemaEncrypted { topic, record } => {
            failed(ErrorCode::SchemaValidationFailed).with("topic", topic).with("record", record)
        }
        E::SchemaInUse { subject, by } => failed(ErrorCode::InUse).with("schema", subject).with("by", by),
        _ => failed(ErrorCode::FeatureDisabled).with("feature", "schemas"),
    }
}

/// With the partition that it is about.
fn placed(error: BrokerError, topic: &TopicName, partition: PartitionId) -> BrokerError {
    error.with("topic", topic).with("partition", partition)
}

/// With the range that cannot be read.
fn damaged(
    error: BrokerError,
    topic: &TopicName,
    partition: PartitionId,
    range: Range<Offset>,
) -> BrokerError {
    placed(error, topic, partition).with("start", range.start).with("end", range.end)
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
        | E::BadSequence { .. }
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
