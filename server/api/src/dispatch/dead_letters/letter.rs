//! A dead letter as a record: what became of it stands in headers of its own, all else is as it was. Records that brokers before
//! FlyMQ 2 kept as JSON are read as well.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flymq_engine::{Cause, Moving};
use flymq_proto::pb;
use flymq_types::GroupId;
use serde_json::Value;

use crate::convert;

/// Every header of a dead letter that is not its record's begins like this.
const PREFIX: &str = "flymq-dlq-";
const TOPIC: &str = "flymq-dlq-origin-topic";
const PARTITION: &str = "flymq-dlq-origin-partition";
const OFFSET: &str = "flymq-dlq-origin-offset";
const TIMESTAMP: &str = "flymq-dlq-origin-timestamp";
const ERROR: &str = "flymq-dlq-error";
const REASON: &str = "flymq-dlq-reason";
const ATTEMPTS: &str = "flymq-dlq-attempts";
const GROUP: &str = "flymq-dlq-group";
const FIRST_FAILED: &str = "flymq-dlq-first-failed";
const LAST_FAILED: &str = "flymq-dlq-last-failed";

/// The record as it goes to the dead letters. It keeps its time, and does not expire there.
pub(super) fn buried(mut record: pb::Record, from: &Moving, group: &GroupId) -> pb::Record {
    let reason = match from.cause {
        Cause::Rejected => "rejected",
        Cause::Retries | Cause::Replay => "max_retries_exceeded",
    };
    let headers = [
        (TOPIC, from.topic.to_string()),
        (PARTITION, from.partition.to_string()),
        (OFFSET, from.offset.to_string()),
        (TIMESTAMP, record.timestamp_ms.to_string()),
        (ERROR, from.error.clone()),
        (REASON, reason.to_owned()),
        (ATTEMPTS, from.attempts.to_string()),
        (GROUP, group.to_string()),
        (FIRST_FAILED, from.first_failed.as_millis().to_string()),
        (LAST_FAILED, from.last_failed.as_millis().to_string()),
    ];
    strip(&mut record);
    let header = |(name, value): (&str, String)| pb::Header { name: name.to_owned(), value: value.into() };
    record.headers.extend(headers.map(header));
    record.expires_at_ms = 0;
    record
}

/// The record as it was; where it came from stands in the letter.
pub(super) fn replayed(letter: pb::DeadLetter) -> pb::Record {
    let mut record = letter.record.unwrap_or_default();
    strip(&mut record);
    (record.offset, record.expires_at_ms) = (0, 0);
    record
}

fn strip(record: &mut pb::Record) {
    record.headers.retain(|header| !header.name.starts_with(PREFIX));
}

/// What a record of the topic of dead letters says. One that says of itself nowhere where it came from is none: somebody else has
/// written it there.
pub(super) fn read(partition: i32, record: pb::Record) -> Option<pb::DeadLetter> {
    let id = format!("{partition}-{}", record.offset);
    if let Some(letter) = read_json(&record) {
        return Some(letter);
    }
    let fact = |name: &str| {
        let header = record.headers.iter().find(|header| header.name == name);
        header.map(|header| String::from_utf8_lossy(&header.value).into_owned()).unwrap_or_default()
    };
    let number = |name: &str| fact(name).parse().unwrap_or(0);
    let origin_topic = fact(TOPIC);
    if origin_topic.is_empty() {
        return None;
    }
    Some(pb::DeadLetter {
        id,
        error: fact(ERROR),
        reason: fact(REASON),
        attempts: fact(ATTEMPTS).parse().unwrap_or(0),
        group: fact(GROUP),
        origin_topic,
        origin_partition: fact(PARTITION).parse().unwrap_or(-1),
        origin_offset: fact(OFFSET).parse().unwrap_or(0),
        first_failed_ms: number(FIRST_FAILED),
        last_failed_ms: number(LAST_FAILED),
        record: Some(record),
    })
}

/// A record as earlier brokers' clients wrote it: all of it in one JSON document.
fn read_json(record: &pb::Record) -> Option<pb::DeadLetter> {
    if !record.value.starts_with(b"{") || record.headers.iter().any(|header| header.name == TOPIC) {
        return None;
    }
    let document: Value = serde_json::from_slice(&record.value).ok()?;
    let text = |name: &str| document.get(name).and_then(Value::as_str);
    let payload = STANDARD.decode(text("payload")?).ok()?;
    let headers = document.get("headers").and_then(Value::as_object).into_iter().flatten();
    let headers = headers.filter_map(|(name, value)| {
        Some(pb::Header { name: name.clone(), value: value.as_str()?.to_owned().into() })
    });
    Some(pb::DeadLetter {
        id: text("id")?.to_owned(),
        error: text("error_message").unwrap_or_default().to_owned(),
        reason: text("reason").unwrap_or_default().to_owned(),
        attempts: document
            .get("retry_count")
            .and_then(Value::as_u64)
            .unwrap_or(0)
            .try_into()
            .unwrap_or(u32::MAX),
        group: String::new(),
        origin_topic: text("original_topic")?.to_owned(),
        origin_partition: -1,
        origin_offset: document.get("original_offset").and_then(Value::as_u64).unwrap_or(0),
        first_failed_ms: 0,
        last_failed_ms: 0,
        record: Some(pb::Record {
            offset: record.offset,
            timestamp_ms: record.timestamp_ms,
            value: payload.into(),
            headers: headers.collect(),
            ..pb::Record::default()
        }),
    })
}

/// Whether the text is somewhere in the letter, whatever its case. `text` is in lower case.
pub(super) fn has(letter: &pb::DeadLetter, text: &str) -> bool {
    let in_bytes = |bytes: &[u8]| String::from_utf8_lossy(bytes).to_lowercase().contains(text);
    let record = letter.record.as_ref();
    record.is_some_and(|record| in_bytes(&record.value) || convert::key_of(record).is_some_and(in_bytes))
        || [&letter.error, &letter.reason, &letter.group].iter().any(|said| in_bytes(said.as_bytes()))
}

#[cfg(test)]
mod tests {
    use flymq_engine::Direction;
    use flymq_types::{Offset, PartitionId, Timestamp, TopicName};

    use super::*;

    #[test]
    fn a_record_comes_back_as_it_was() {
        let from = Moving {
            topic: TopicName::new("orders").expect("a name"),
            partition: PartitionId(3),
            offset: Offset(17),
            direction: Direction::Bury,
            attempts: 4,
            cause: Cause::Retries,
            error: "boom".to_owned(),
            first_failed: Timestamp(1),
            last_failed: Timestamp(9),
        };
        let headers = vec![pb::Header { name: "h".to_owned(), value: "x".into() }];
        let record = pb::Record {
            timestamp_ms: 5,
            key: Some("k".into()),
            value: "v".into(),
            headers,
            ..pb::Record::default()
        };
        let group = GroupId::new("g").expect("a name");
        let mut there = buried(record.clone(), &from, &group);
        there.offset = 8;
        let letter = read(1, there).expect("a letter");
        assert_eq!((letter.id.as_str(), letter.error.as_str(), letter.attempts), ("1-8", "boom", 4));
        assert_eq!((letter.reason.as_str(), letter.group.as_str()), ("max_retries_exceeded", "g"));
        assert_eq!(
            (letter.origin_topic.as_str(), letter.origin_partition, letter.origin_offset),
            ("orders", 3, 17)
        );
        assert_eq!((letter.first_failed_ms, letter.last_failed_ms), (1, 9));
        assert!(has(&letter, "boom") && has(&letter, "k") && !has(&letter, "q"));
        assert_eq!(replayed(letter), record);
    }

    #[test]
    fn records_of_earlier_brokers_are_read() {
        let value = r#"{"id":"m1","original_topic":"t","original_offset":7,"payload":"AQI=","reason":"processing_error",
            "error_message":"boom","retry_count":2,"headers":{"h":"x"}}"#;
        let letter = read(0, pb::Record { offset: 4, value: value.into(), ..pb::Record::default() });
        let letter = letter.expect("a letter");
        assert_eq!((letter.id.as_str(), letter.origin_offset, letter.attempts), ("m1", 7, 2));
        let record = letter.record.expect("its payload");
        assert_eq!((&record.value[..], record.headers.len(), record.offset), (&[1, 2][..], 1, 4));
        for other in ["{}", "{", "text", r#"{"id":"m","original_topic":"t","payload":"?"}"#] {
            let letter = read(0, pb::Record { offset: 4, value: other.into(), ..pb::Record::default() });
            assert_eq!(letter, None, "{other}");
        }
    }
}
