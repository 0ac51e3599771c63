//! What the clients in the field are told when a request fails. They tell errors apart by their text alone.

use flymq_api::{BrokerError, ErrorCode};
use flymq_wire::v1::EncodeError;

/// A request that failed, as the text of its coded error frame.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Failure {
    pub(super) text: String,
}

impl Failure {
    pub(super) fn text(text: impl Into<String>) -> Self {
        Self { text: text.into() }
    }
}

impl From<EncodeError> for Failure {
    fn from(error: EncodeError) -> Self {
        Self::text(format!("cannot encode the reply: {error}"))
    }
}

/// What a request was about, for errors that do not say it themselves.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct About<'a> {
    pub(super) topic: &'a str,
    pub(super) group: &'a str,
    pub(super) partition: i32,
}

impl<'a> About<'a> {
    pub(super) fn topic(topic: &'a str) -> Self {
        Self { topic, ..Self::default() }
    }

    pub(super) fn partition(topic: &'a str, partition: i32) -> Self {
        Self { topic, partition, ..Self::default() }
    }

    pub(super) fn group(topic: &'a str, group: &'a str, partition: i32) -> Self {
        Self { topic, group, partition }
    }

    /// The failure that clients read: the texts of the original where clients act on them or people know them, else
    /// the broker's message.
    pub(super) fn failure(self, error: &BrokerError) -> Failure {
        let fact = |key: &str, ours: &str| error.metadata.get(key).map_or(ours.to_owned(), Clone::clone);
        Failure::text(match error.code {
            ErrorCode::TopicNotFound => format!("topic not found: {}", fact("topic", self.topic)),
            ErrorCode::PartitionNotFound => {
                format!("partition {} not found", fact("partition", &self.partition.to_string()))
            }
            ErrorCode::GroupNotFound => self.group_not_found().text,
            // Its clients know one answer to an offset without a record.
            ErrorCode::EndOfPartition | ErrorCode::RecordNotFound => "EOF".to_owned(),
            ErrorCode::NotLeader => not_leader(error),
            ErrorCode::SchemaNotFound => schema_not_found(error),
            ErrorCode::SchemaValidationFailed if error.metadata.contains_key("errors") => {
                format!("schema validation failed: [{}]", fact("errors", ""))
            }
            ErrorCode::AuthenticationRequired => "authentication required".to_owned(),
            ErrorCode::AuthenticationFailed => "invalid username or password".to_owned(),
            ErrorCode::PermissionDenied => format!("unauthorized: {}", error.message),
            ErrorCode::Unimplemented
            | ErrorCode::Unspecified
            | ErrorCode::Internal
            | ErrorCode::InvalidArgument
            | ErrorCode::Protocol
            | ErrorCode::TopicAlreadyExists
            | ErrorCode::OffsetOutOfRange
            | ErrorCode::RecordTooLarge
            | ErrorCode::FrameTooLarge
            | ErrorCode::CorruptBatch
            | ErrorCode::CorruptData
            | ErrorCode::StorageFull
            | ErrorCode::StorageFailed
            | ErrorCode::NotEnoughReplicas
            | ErrorCode::Timeout
            | ErrorCode::FilterInvalid
            | ErrorCode::FilterOnEncrypted
            | ErrorCode::Overloaded
            | ErrorCode::Unavailable
            | ErrorCode::Connection
            | ErrorCode::FeatureDisabled
            | ErrorCode::UnknownProducer
            | ErrorCode::ProducerFenced
            | ErrorCode::OutOfOrderSequence
            | ErrorCode::IllegalGeneration
            | ErrorCode::UnknownMember
            | ErrorCode::InstanceFenced
            | ErrorCode::ScheduleNotFound
            | ErrorCode::TransactionNotFound
            | ErrorCode::TransactionState
            | ErrorCode::SchemaInvalid
            | ErrorCode::SchemaIncompatible
            | ErrorCode::SchemaValidationFailed
            | ErrorCode::MessageNotFound
            | ErrorCode::UserNotFound
            | ErrorCode::UserAlreadyExists
            | ErrorCode::RoleNotFound
            | ErrorCode::Cancelled
            | ErrorCode::Conflict
            | ErrorCode::InUse
            | ErrorCode::DelayTooLong
            | ErrorCode::UnsupportedVersion
            | ErrorCode::ReadOnly
            | ErrorCode::RouteNotFound
            | ErrorCode::MethodNotAllowed
            | ErrorCode::RecordNotHeld => error.message.clone(),
        })
    }

    pub(super) fn group_not_found(self) -> Failure {
        Failure::text(format!("consumer group not found: {}:{}", self.topic, self.group))
    }
}

fn schema_not_found(error: &BrokerError) -> String {
    match (error.metadata.get("schema"), error.metadata.get("version")) {
        (Some(name), Some(version)) => format!("schema not found: {name} v{version}"),
        (Some(name), None) => format!("no schema found for topic: {name}"),
        (None, _) => error.message.clone(),
    }
}

/// The Go client follows `leader_addr` where the text also holds `not leader`.
fn not_leader(error: &BrokerError) -> String {
    match (error.metadata.get("leader"), error.metadata.get("leader_addr")) {
        (id, Some(addr)) => {
            format!("not leader: leader_id={} leader_addr={addr}", id.map_or("", String::as_str))
        }
        (Some(id), None) => format!("not leader: leader_id={id}, which has no address for this client"),
        (None, None) => "not leader: no leader elected".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(error: &BrokerError) -> String {
        About::group("t", "g", 3).failure(error).text
    }

    #[test]
    fn texts_that_clients_act_on_are_the_originals() {
        let error = |code| BrokerError::new(code, "other words");
        assert_eq!(told(&error(ErrorCode::TopicNotFound)), "topic not found: t");
        assert_eq!(told(&error(ErrorCode::TopicNotFound).with("topic", "x")), "topic not found: x");
        assert_eq!(told(&error(ErrorCode::PartitionNotFound)), "partition 3 not found");
        assert_eq!(told(&error(ErrorCode::GroupNotFound)), "consumer group not found: t:g");
        assert_eq!(told(&error(ErrorCode::EndOfPartition)), "EOF");
        assert_eq!(told(&error(ErrorCode::NotLeader)), "not leader: no leader elected");
        let leader = error(ErrorCode::NotLeader).with("leader", "n2");
        assert_eq!(told(&leader), "not leader: leader_id=n2, which has no address for this client");
        let leader = leader.with("leader_addr", "h:9092");
        assert_eq!(told(&leader), "not leader: leader_id=n2 leader_addr=h:9092");
        assert_eq!(told(&error(ErrorCode::Timeout)), "other words");
    }
}
