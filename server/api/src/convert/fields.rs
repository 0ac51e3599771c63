//! Single fields: names, numbers and enums, each refused with the field's name and the value's bounds.

use std::fmt::Display;

use flymq_engine::{InvalidTransaction, StartFrom, TransactionHandle};
use flymq_proto::pb;
use flymq_types::{
    Acks, GroupId, InvalidName, Isolation, Offset, PartitionId, Timestamp, TopicName, TransactionalId,
};

use crate::{BrokerError, ErrorCode};

/// `INVALID_ARGUMENT` that names the field.
pub(crate) fn invalid(field: &str, why: impl Display) -> BrokerError {
    BrokerError::new(ErrorCode::InvalidArgument, format!("{field}: {why}")).with("field", field)
}

/// A topic to read, internal ones included; the authorizer has already kept users from writing to those.
pub(crate) fn topic(field: &str, name: &str) -> Result<TopicName, BrokerError> {
    TopicName::any(name).map_err(|why: InvalidName| invalid(field, why))
}

pub(crate) fn group(name: &str) -> Result<GroupId, BrokerError> {
    GroupId::new(name).map_err(|why| invalid("group", why))
}

/// The user's name for a producer.
pub(crate) fn transactional_id(id: &str) -> Result<TransactionalId, BrokerError> {
    TransactionalId::new(id).map_err(|why| invalid("transactional_id", why))
}

/// One transaction, as `BeginTransaction` has named it.
pub(crate) fn transaction(id: &str) -> Result<TransactionHandle, BrokerError> {
    id.parse().map_err(|why: InvalidTransaction| invalid("transaction_id", why))
}

pub(crate) fn epoch(field: &str, number: u32) -> Result<u16, BrokerError> {
    u16::try_from(number).map_err(|_| invalid(field, "is above 65535").with("value", number))
}

pub(crate) fn partition(number: i32) -> Result<PartitionId, BrokerError> {
    PartitionId::try_from(number).map_err(|why| invalid("partition", why).with("partition", number))
}

pub(crate) fn optional_partition(number: Option<i32>) -> Result<Option<PartitionId>, BrokerError> {
    number.map(partition).transpose()
}

/// `None`: the server's default.
pub(crate) fn acks(number: i32) -> Result<Option<Acks>, BrokerError> {
    match pb::Acks::try_from(number).map_err(|_| unknown("acks", number))? {
        pb::Acks::Unspecified => Ok(None),
        pb::Acks::None => Ok(Some(Acks::None)),
        pb::Acks::Leader => Ok(Some(Acks::Leader)),
        pb::Acks::All => Ok(Some(Acks::All)),
    }
}

/// As a request names it.
pub(crate) fn acks_message(acks: Acks) -> pb::Acks {
    match acks {
        Acks::None => pb::Acks::None,
        Acks::Leader => pb::Acks::Leader,
        Acks::All => pb::Acks::All,
    }
}

pub(crate) fn isolation(number: i32) -> Result<Isolation, BrokerError> {
    match pb::Isolation::try_from(number).map_err(|_| unknown("isolation", number))? {
        pb::Isolation::Unspecified | pb::Isolation::ReadCommitted => Ok(Isolation::ReadCommitted),
        pb::Isolation::ReadUncommitted => Ok(Isolation::ReadUncommitted),
    }
}

/// Where to begin; `otherwise` where the caller says nothing.
pub(crate) fn start_from(
    field: &str,
    number: i32,
    offset: u64,
    timestamp_ms: i64,
    otherwise: StartFrom,
) -> Result<StartFrom, BrokerError> {
    match pb::StartFrom::try_from(number).map_err(|_| unknown(field, number))? {
        pb::StartFrom::Unspecified => Ok(otherwise),
        pb::StartFrom::Earliest => Ok(StartFrom::Earliest),
        pb::StartFrom::Latest => Ok(StartFrom::Latest),
        pb::StartFrom::Committed => Ok(StartFrom::Committed),
        pb::StartFrom::Offset => Ok(StartFrom::Offset(Offset(offset))),
        pb::StartFrom::Timestamp => Ok(StartFrom::Timestamp(Timestamp(timestamp_ms))),
    }
}

fn unknown(field: &str, number: i32) -> BrokerError {
    invalid(field, format_args!("{number} is no value of this enum")).with("value", number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bad_fields_are_named() {
        let cases = [
            (topic("topic", "a/../b").map(drop), "topic"),
            (topic("name", &"x".repeat(250)).map(drop), "name"),
            (group("__g").map(drop), "group"),
            (partition(-1).map(drop), "partition"),
            (acks(9).map(drop), "acks"),
            (isolation(-1).map(drop), "isolation"),
            (start_from("from", 77, 0, 0, StartFrom::Latest).map(drop), "from"),
        ];
        for (result, field) in cases {
            let error = result.unwrap_err();
            assert_eq!(error.code, ErrorCode::InvalidArgument);
            assert_eq!(error.metadata["field"], field);
        }
    }

    #[test]
    fn silence_means_the_default() {
        assert_eq!(acks(0), Ok(None));
        assert_eq!(isolation(0), Ok(Isolation::ReadCommitted));
        assert_eq!(start_from("from", 0, 0, 0, StartFrom::Committed), Ok(StartFrom::Committed));
    }
}
