//! Schemas: registered, compared, bound, and held against what is appended.

use std::sync::Arc;

use bytes::Bytes;
use flymq_engine::meta::SchemaReference;
use flymq_engine::{
    Compatibility, Engine, EngineError, NewSchedule, NewSchema, SchemaBinding, SchemaKind, SubjectNaming,
    Target, ValidationMode, When,
};
use flymq_types::{Acks, Compression};
use flymq_wire::batch::{BatchBuilder, NewRecord};

use crate::support::{Node, new_topic, read_all, topic, until};

const ID: &str = r#"{"type":"object","properties":{"id":{"type":"integer"}},"required":["id"]}"#;
const WIDER: &str =
    r#"{"type":"object","properties":{"id":{"type":"number"},"x":{"type":"string"}},"required":["id"]}"#;

fn schema(subject: &str, text: &str) -> NewSchema {
    NewSchema {
        subject: subject.into(),
        kind: SchemaKind::Json,
        definition: text.into(),
        references: Vec::new(),
        compatibility: None,
    }
}

fn to(subject: &str, mode: Option<ValidationMode>) -> Option<SchemaBinding> {
    Some(SchemaBinding { value: Some(SubjectNaming::Subject(subject.into())), key: None, mode })
}

fn record(key: Option<&[u8]>, value: Option<&[u8]>, headers: &[(&str, &[u8])]) -> BatchBuilder {
    let mut builder = BatchBuilder::new();
    let record = NewRecord { key, value, timestamp: 1, ..NewRecord::default() };
    builder.push_with_headers(&record, headers.iter().copied()).unwrap();
    builder
}

async fn append(engine: &Engine, batch: Bytes) -> Result<u64, EngineError> {
    let appended = engine.append(&topic("t"), Target::RoundRobin, batch, Acks::Leader).await?;
    Ok(appended.base_offset.get())
}

async fn send(engine: &Engine, value: &str) -> Result<u64, EngineError> {
    append(engine, record(None, Some(value.as_bytes()), &[]).build().unwrap()).await
}

async fn opened(node: &Node) -> Arc<Engine> {
    let engine = node.open().await;
    engine.create_topic(new_topic("t", 1)).await.unwrap();
    engine
}

#[tokio::test]
async fn versions_follow_their_rule() {
    let node = Node::simulated();
    let engine = opened(&node).await;
    let first = engine.register_schema(schema("s", ID)).await.unwrap();
    assert_eq!((first.version, first.id), (1, 1));
    let again = engine.register_schema(schema("s", ID)).await.unwrap();
    assert_eq!((again.version, again.id), (1, 1), "the same text is no new version");
    let elsewhere = engine.register_schema(schema("other", ID)).await.unwrap();
    assert_eq!((elsewhere.version, elsewhere.id), (1, 1), "the same text has the same id");
    let wider = engine.register_schema(schema("s", WIDER)).await.unwrap();
    assert_eq!((wider.version, wider.id), (2, 2));
    let narrower = engine.register_schema(schema("s", r#"{"type":"string"}"#)).await;
    let Err(EngineError::SchemaIncompatible { rule, reasons, .. }) = narrower else { panic!("{narrower:?}") };
    assert!(rule == "backward" && reasons[0].contains("version 2"), "{reasons:?}");
    engine.set_compatibility(Some("s"), Some(Compatibility::None)).await.unwrap();
    assert_eq!(engine.register_schema(schema("s", r#"{"type":"string"}"#)).await.unwrap().version, 3);
    let other_rule = NewSchema { compatibility: Some(Compatibility::Full), ..schema("s", "{}") };
    assert!(matches!(engine.register_schema(other_rule).await, Err(EngineError::InvalidArgument { .. })));
    let bad = engine.register_schema(schema("s", "{")).await;
    assert!(matches!(bad, Err(EngineError::SchemaInvalid { .. })));
    let unnamed = engine.register_schema(schema("", ID)).await;
    assert!(matches!(unnamed, Err(EngineError::InvalidArgument { field: "name", .. })));
}

#[tokio::test]
async fn what_stands_against_a_registration_is_asked_for_without_one() {
    let node = Node::simulated();
    let engine = opened(&node).await;
    let ask = async |name: &str, text: &str, version| {
        engine.schema_incompatibilities(schema(name, text), version).await
    };
    assert_eq!(ask("new", ID, None).await.unwrap(), Vec::<String>::new(), "nothing was before it");
    let early = ask("new", ID, Some(1)).await;
    assert!(matches!(early, Err(EngineError::SchemaNotFound { version: Some(1), .. })), "{early:?}");
    assert!(matches!(ask("new", "{", None).await, Err(EngineError::SchemaInvalid { .. })));
    engine.register_schema(schema("s", ID)).await.unwrap();
    assert_eq!(ask("s", r#"{"type":"string"}"#, None).await.unwrap().len(), 1);
    assert!(matches!(engine.schema("new", None).await, Err(EngineError::SchemaNotFound { .. })));
}

#[tokio::test]
async fn registrations_at_once_get_versions_of_their_own() {
    let node = Node::simulated();
    let engine = opened(&node).await;
    engine.set_compatibility(None, Some(Compatibility::None)).await.unwrap();
    let all =
        (0..6).map(|n| {
            let engine = engine.clone();
            async move {
                engine.register_schema(schema("s", &format!(r#"{{"minimum":{n}}}"#))).await.unwrap().version
            }
        });
    let mut versions = futures::future::join_all(all).await;
    versions.sort_unstable();
    assert_eq!(versions, [1, 2, 3, 4, 5, 6]);
}

#[tokio::test]
async fn deletion_is_soft_and_minds_who_needs_it() {
    let node = Node::simulated();
    let engine = opened(&node).await;
    engine.register_schema(schema("part", r#"{"type":"string"}"#)).await.unwrap();
    let reference = SchemaReference { name: "part".into(), subject: "part".into(), version: 1 };
    let whole =
        NewSchema { references: vec![reference], ..schema("s", r#"{"properties":{"p":{"$ref":"part"}}}"#) };
    let whole = engine.register_schema(whole).await.unwrap();
    let told = engine.check_value("s", None, Bytes::from_static(br#"{"p":1}"#)).await.unwrap();
    assert!(told[0].starts_with("/p: "), "{told:?}");
    let in_use = engine.delete_schema("part", None, false).await;
    assert!(matches!(in_use, Err(EngineError::SchemaInUse { .. })), "{in_use:?}");
    engine.bind_schema(&topic("t"), to("s", None)).await.unwrap();
    let bound = engine.delete_schema("s", None, false).await;
    assert!(matches!(&bound, Err(EngineError::SchemaInUse { by, .. }) if by == "topic t"), "{bound:?}");
    engine.bind_schema(&topic("t"), None).await.unwrap();
    let early = engine.delete_schema("s", None, true).await;
    assert!(matches!(early, Err(EngineError::InvalidArgument { .. })), "{early:?}");
    assert_eq!(engine.delete_schema("s", None, false).await.unwrap(), [1]);
    assert!(matches!(engine.schema("s", None).await, Err(EngineError::SchemaNotFound { .. })));
    assert!(engine.schema_by_id(whole.id).await.unwrap().0.deleted, "by its id it is still found");
    assert_eq!(engine.delete_schema("s", Some(1), true).await.unwrap(), [1]);
    assert!(matches!(engine.schema_by_id(whole.id).await, Err(EngineError::SchemaIdNotFound { .. })));
    assert!(matches!(engine.delete_schema("s", None, false).await, Err(EngineError::SchemaNotFound { .. })));
    assert_eq!(engine.register_schema(schema("s", ID)).await.unwrap().version, 2, "a number is given once");
    let missing = engine.bind_schema(&topic("t"), to("nothing", None)).await;
    assert!(matches!(missing, Err(EngineError::SchemaNotFound { .. })));
}

#[tokio::test]
async fn what_does_not_match_is_not_appended() {
    let mut node = Node::simulated();
    node.options.schema_validation = ValidationMode::Strict;
    let engine = opened(&node).await;
    engine.register_schema(schema("s", ID)).await.unwrap();
    assert_eq!(send(&engine, "anything").await.unwrap(), 0, "nothing is bound");
    engine.bind_schema(&topic("t"), to("s", None)).await.unwrap();
    let refused = send(&engine, r#"{"id":"x"}"#).await;
    let Err(EngineError::SchemaViolation { subject, record: 0, errors, .. }) = refused else {
        panic!("{refused:?}")
    };
    assert!(subject == "s" && errors[0].starts_with("/id: "), "{errors:?}");
    assert_eq!(send(&engine, r#"{"id":1}"#).await.unwrap(), 1);
    let packed = record(None, Some(b"{}"), &[]).build_compressed(Compression::Zstd, None).unwrap();
    assert!(matches!(append(&engine, packed).await, Err(EngineError::SchemaViolation { .. })));
    let encrypted =
        record(None, Some(b"{\"id\":1}"), &[("flymq-encryption", b"AES-256-GCM")]).build().unwrap();
    assert!(matches!(append(&engine, encrypted).await, Err(EngineError::SchemaEncrypted { .. })));
    let deletion = record(Some(b"k"), None, &[]).build().unwrap();
    assert_eq!(append(&engine, deletion).await.unwrap(), 2, "there is no value to look at");
    let later = NewSchedule {
        topic: topic("t"),
        partition: None,
        when: When::After(1_000),
        batch: record(None, Some(b"{}"), &[]).build().unwrap(),
    };
    let later = engine.schedule(later).await;
    assert!(matches!(later, Err(EngineError::SchemaViolation { .. })), "{later:?}");
    engine.bind_schema(&topic("t"), to("s", Some(ValidationMode::Warn))).await.unwrap();
    assert_eq!(send(&engine, "{}").await.unwrap(), 3);
    engine.bind_schema(&topic("t"), to("s", Some(ValidationMode::Off))).await.unwrap();
    assert_eq!(send(&engine, "{}").await.unwrap(), 4);
}

/// What was scheduled before its topic was bound, and does not match, is dropped; what matches comes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_scheduled_message_that_does_not_match_holds_up_no_other() {
    let node = Node::simulated();
    let engine = opened(&node).await;
    engine.register_schema(schema("s", ID)).await.unwrap();
    for value in ["{}", r#"{"id":1}"#] {
        let batch = record(Some(b"k"), Some(value.as_bytes()), &[]).build().unwrap();
        let when = When::After(1_000);
        engine.schedule(NewSchedule { topic: topic("t"), partition: None, when, batch }).await.unwrap();
    }
    engine.bind_schema(&topic("t"), to("s", Some(ValidationMode::Strict))).await.unwrap();
    node.clock.advance(std::time::Duration::from_secs(2));
    until("nothing waits", || engine.pending_schedules() == 0).await;
    let there: Vec<_> = read_all(&engine, "t", 0).await.into_iter().map(|(_, value)| value).collect();
    assert_eq!(there, [r#"{"id":1}"#]);
}

fn framed(id: u32, value: &[u8]) -> Bytes {
    let value = [&[0], &id.to_be_bytes()[..], value].concat();
    record(Some(b"k"), Some(&value), &[]).build().unwrap()
}

#[tokio::test]
async fn frames_name_the_version() {
    let node = Node::simulated();
    let engine = opened(&node).await;
    let old =
        engine.register_schema(schema("t-value", r#"{"title":"Order","type":"integer"}"#)).await.unwrap();
    engine.register_schema(schema("t-value", r#"{"title":"Order","type":"number"}"#)).await.unwrap();
    let other = engine.register_schema(schema("x", r#"{"title":"Other"}"#)).await.unwrap();
    let binding = SchemaBinding { value: Some(SubjectNaming::TopicName), key: None, mode: None };
    engine.bind_schema(&topic("t"), Some(binding)).await.unwrap();
    assert!(append(&engine, framed(old.id, b"1")).await.is_ok());
    assert!(send(&engine, "1.5").await.is_ok(), "the latest");
    let told = append(&engine, framed(old.id, b"1.5")).await;
    assert!(matches!(told, Err(EngineError::SchemaViolation { .. })), "the version that it names: {told:?}");
    assert!(matches!(
        append(&engine, framed(other.id, b"1")).await,
        Err(EngineError::SchemaViolation { .. })
    ));
    let record_name = |naming| SchemaBinding { value: Some(naming), key: None, mode: None };
    engine.bind_schema(&topic("t"), Some(record_name(SubjectNaming::RecordName))).await.unwrap();
    assert!(matches!(append(&engine, framed(old.id, b"1")).await, Err(EngineError::SchemaViolation { .. })));
    assert!(matches!(append(&engine, framed(99, b"1")).await, Err(EngineError::SchemaIdNotFound { id: 99 })));
    assert!(matches!(send(&engine, "1").await, Err(EngineError::SchemaViolation { .. })), "no frame");
    engine.register_schema(schema("Order", r#"{"title":"Order","type":"integer"}"#)).await.unwrap();
    assert!(append(&engine, framed(old.id, b"1")).await.is_ok());
    engine.register_schema(schema("t-Order", r#"{"title":"Order","type":"integer"}"#)).await.unwrap();
    engine.bind_schema(&topic("t"), Some(record_name(SubjectNaming::TopicRecordName))).await.unwrap();
    assert!(append(&engine, framed(old.id, b"1")).await.is_ok());
    let keyed = SchemaBinding { value: None, key: Some(SubjectNaming::Subject("x".into())), mode: None };
    engine.bind_schema(&topic("t"), Some(keyed)).await.unwrap();
    let told = send(&engine, "1").await;
    assert!(matches!(told, Err(EngineError::SchemaViolation { .. })), "no key: {told:?}");
}

#[tokio::test]
async fn an_avro_value_may_begin_like_a_frame() {
    let node = Node::simulated();
    let engine = opened(&node).await;
    let avro = |text: &str| NewSchema { kind: SchemaKind::Avro, ..schema("a", text) };
    let text = r#"{"type":"record","name":"R","fields":[{"name":"a","type":"int"},{"name":"b","type":"long"},{"name":"c","type":"long"},
        {"name":"d","type":"long"},{"name":"e","type":"long"}]}"#;
    let id = engine.register_schema(avro(text)).await.unwrap().id;
    engine.bind_schema(&topic("t"), to("a", None)).await.unwrap();
    let value = |bytes: &[u8]| record(None, Some(bytes), &[]).build().unwrap();
    assert!(append(&engine, value(&[0, 0, 0, 0, 9])).await.is_ok());
    assert!(append(&engine, framed(id, &[2, 2, 2, 2, 2])).await.is_ok());
    assert!(append(&engine, value(&[0, 0, 0, 0])).await.is_err());
}

#[tokio::test]
async fn without_schemas_there_are_none() {
    let mut node = Node::simulated();
    node.options.schemas = false;
    let engine = opened(&node).await;
    assert!(matches!(engine.register_schema(schema("s", ID)).await, Err(EngineError::SchemasOff)));
    assert!(matches!(engine.schema("s", None).await, Err(EngineError::SchemasOff)));
}

#[tokio::test]
async fn what_a_topic_finds_by_its_name_is_in_use_as_well() {
    let node = Node::simulated();
    let engine = opened(&node).await;
    engine.register_schema(schema("t-value", ID)).await.unwrap();
    engine.register_schema(schema("t-value", WIDER)).await.unwrap();
    let by_name = SchemaBinding { value: Some(SubjectNaming::TopicName), ..SchemaBinding::default() };
    engine.bind_schema(&topic("t"), Some(by_name)).await.unwrap();
    assert_eq!(engine.delete_schema("t-value", Some(1), false).await.unwrap(), [1], "another one is left");
    for version in [None, Some(2)] {
        let last = engine.delete_schema("t-value", version, false).await;
        assert!(matches!(&last, Err(EngineError::SchemaInUse { by, .. }) if by == "topic t"), "{last:?}");
    }
    engine.bind_schema(&topic("t"), None).await.unwrap();
    assert_eq!(engine.delete_schema("t-value", None, false).await.unwrap(), [2]);
}
