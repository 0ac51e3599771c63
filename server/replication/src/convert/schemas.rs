//! Schemas and what topics are bound to.

use std::sync::Arc;

use flymq_engine::meta::{
    DeleteSchema, RegisterSchema, SchemaBook, SchemaReference, SchemaSubject, SchemaVersion, SetCompatibility,
};
use flymq_engine::{Compatibility, SchemaBinding, SchemaKind, SubjectNaming, ValidationMode};
use flymq_proto::internal as pb;
use flymq_types::Timestamp;

use super::{ConvertError, Result};

fn kind_to_pb(kind: SchemaKind) -> i32 {
    match kind {
        SchemaKind::Json => pb::SchemaKind::Json,
        SchemaKind::Avro => pb::SchemaKind::Avro,
        SchemaKind::Protobuf => pb::SchemaKind::Protobuf,
    }
    .into()
}

fn kind_from_pb(kind: i32) -> Result<SchemaKind> {
    match pb::SchemaKind::try_from(kind) {
        Ok(pb::SchemaKind::Json) => Ok(SchemaKind::Json),
        Ok(pb::SchemaKind::Avro) => Ok(SchemaKind::Avro),
        Ok(pb::SchemaKind::Protobuf) => Ok(SchemaKind::Protobuf),
        Ok(pb::SchemaKind::Unspecified) | Err(_) => Err(ConvertError::Field("schema kind")),
    }
}

pub(super) fn rule_to_pb(rule: Option<Compatibility>) -> i32 {
    match rule {
        None => pb::SchemaRule::Unspecified,
        Some(Compatibility::None) => pb::SchemaRule::None,
        Some(Compatibility::Backward) => pb::SchemaRule::Backward,
        Some(Compatibility::Forward) => pb::SchemaRule::Forward,
        Some(Compatibility::Full) => pb::SchemaRule::Full,
        Some(Compatibility::BackwardTransitive) => pb::SchemaRule::BackwardTransitive,
        Some(Compatibility::ForwardTransitive) => pb::SchemaRule::ForwardTransitive,
        Some(Compatibility::FullTransitive) => pb::SchemaRule::FullTransitive,
    }
    .into()
}

fn rule_from_pb(rule: i32) -> Result<Option<Compatibility>> {
    let rule = pb::SchemaRule::try_from(rule).map_err(|_| ConvertError::Field("schema rule"))?;
    Ok(match rule {
        pb::SchemaRule::Unspecified => None,
        pb::SchemaRule::None => Some(Compatibility::None),
        pb::SchemaRule::Backward => Some(Compatibility::Backward),
        pb::SchemaRule::Forward => Some(Compatibility::Forward),
        pb::SchemaRule::Full => Some(Compatibility::Full),
        pb::SchemaRule::BackwardTransitive => Some(Compatibility::BackwardTransitive),
        pb::SchemaRule::ForwardTransitive => Some(Compatibility::ForwardTransitive),
        pb::SchemaRule::FullTransitive => Some(Compatibility::FullTransitive),
    })
}

fn references_to_pb(references: &[SchemaReference]) -> Vec<pb::SchemaReference> {
    let one = |reference: &SchemaReference| pb::SchemaReference {
        name: reference.name.to_string(),
        subject: reference.subject.to_string(),
        version: reference.version,
    };
    references.iter().map(one).collect()
}

fn references_from_pb(references: Vec<pb::SchemaReference>) -> Vec<SchemaReference> {
    let one = |reference: pb::SchemaReference| SchemaReference {
        name: reference.name.into(),
        subject: reference.subject.into(),
        version: reference.version,
    };
    references.into_iter().map(one).collect()
}

pub(super) fn register_to_pb(register: &RegisterSchema) -> pb::RegisterSchema {
    pb::RegisterSchema {
        subject: register.subject.to_string(),
        revision: register.revision,
        kind: kind_to_pb(register.kind),
        definition: register.definition.to_string(),
        references: references_to_pb(&register.references),
        compatibility: rule_to_pb(register.compatibility),
        created_ms: register.created.as_millis(),
    }
}

pub(super) fn register_from_pb(register: pb::RegisterSchema) -> Result<RegisterSchema> {
    Ok(RegisterSchema {
        subject: register.subject.into(),
        revision: register.revision,
        kind: kind_from_pb(register.kind)?,
        definition: register.definition.into(),
        references: references_from_pb(register.references),
        compatibility: rule_from_pb(register.compatibility)?,
        created: Timestamp(register.created_ms),
    })
}

pub(super) fn delete_to_pb(delete: &DeleteSchema) -> pb::DeleteSchema {
    let version = delete.version.unwrap_or_default();
    pb::DeleteSchema { subject: delete.subject.to_string(), version, permanent: delete.permanent }
}

pub(super) fn delete_from_pb(delete: &pb::DeleteSchema) -> DeleteSchema {
    let version = (delete.version > 0).then_some(delete.version);
    DeleteSchema { subject: delete.subject.as_str().into(), version, permanent: delete.permanent }
}

pub(super) fn set_to_pb(set: &SetCompatibility) -> pb::SetCompatibility {
    let subject = set.subject.as_deref().unwrap_or_default().to_owned();
    pb::SetCompatibility { subject, compatibility: rule_to_pb(set.compatibility) }
}

pub(super) fn set_from_pb(set: &pb::SetCompatibility) -> Result<SetCompatibility> {
    let subject = (!set.subject.is_empty()).then(|| set.subject.as_str().into());
    Ok(SetCompatibility { subject, compatibility: rule_from_pb(set.compatibility)? })
}

pub(super) fn subjects_to_pb(book: &SchemaBook) -> Vec<pb::SchemaSubject> {
    let version = |version: &Arc<SchemaVersion>| pb::SchemaVersion {
        version: version.version,
        id: version.id,
        kind: kind_to_pb(version.kind),
        definition: version.definition.to_string(),
        references: references_to_pb(&version.references),
        created_ms: version.created.as_millis(),
        deleted: version.deleted,
    };
    let subject = |(name, subject): (&Arc<str>, &Arc<SchemaSubject>)| pb::SchemaSubject {
        name: name.to_string(),
        revision: subject.revision,
        last_version: subject.last_version,
        compatibility: rule_to_pb(subject.compatibility),
        versions: subject.versions.iter().map(version).collect(),
    };
    book.subjects.iter().map(subject).collect()
}

pub(super) fn book_from_pb(subjects: Vec<pb::SchemaSubject>, last_id: u32, rule: i32) -> Result<SchemaBook> {
    let subjects = subjects.into_iter().map(|subject| {
        let name: Arc<str> = subject.name.into();
        let version = |version: pb::SchemaVersion| {
            Ok(Arc::new(SchemaVersion {
                subject: name.clone(),
                version: version.version,
                id: version.id,
                kind: kind_from_pb(version.kind)?,
                definition: version.definition.into(),
                references: references_from_pb(version.references),
                created: Timestamp(version.created_ms),
                deleted: version.deleted,
            }))
        };
        let versions = subject.versions.into_iter().map(version).collect::<Result<_>>()?;
        let (revision, last_version) = (subject.revision, subject.last_version);
        let compatibility = rule_from_pb(subject.compatibility)?;
        Ok((name.clone(), Arc::new(SchemaSubject { revision, last_version, compatibility, versions })))
    });
    // Snapshots from before there were schemas say nothing.
    let rule = rule_from_pb(rule)?.unwrap_or_default();
    Ok(SchemaBook::new(subjects.collect::<Result<_>>()?, last_id, rule))
}

fn naming_to_pb(naming: &SubjectNaming) -> pb::SchemaNaming {
    let (strategy, subject) = match naming {
        SubjectNaming::Subject(name) => (pb::SchemaStrategy::Subject, name.to_string()),
        SubjectNaming::TopicName => (pb::SchemaStrategy::TopicName, String::new()),
        SubjectNaming::RecordName => (pb::SchemaStrategy::RecordName, String::new()),
        SubjectNaming::TopicRecordName => (pb::SchemaStrategy::TopicRecordName, String::new()),
    };
    pb::SchemaNaming { strategy: strategy.into(), subject }
}

fn naming_from_pb(naming: pb::SchemaNaming) -> Result<SubjectNaming> {
    Ok(match pb::SchemaStrategy::try_from(naming.strategy) {
        Ok(pb::SchemaStrategy::Subject) => SubjectNaming::Subject(naming.subject.into()),
        Ok(pb::SchemaStrategy::TopicName) => SubjectNaming::TopicName,
        Ok(pb::SchemaStrategy::RecordName) => SubjectNaming::RecordName,
        Ok(pb::SchemaStrategy::TopicRecordName) => SubjectNaming::TopicRecordName,
        Ok(pb::SchemaStrategy::Unspecified) | Err(_) => return Err(ConvertError::Field("schema strategy")),
    })
}

pub(super) fn binding_to_pb(binding: &SchemaBinding) -> pb::SchemaBinding {
    let mode = match binding.mode {
        None => pb::SchemaMode::Unspecified,
        Some(ValidationMode::Strict) => pb::SchemaMode::Strict,
        Some(ValidationMode::Warn) => pb::SchemaMode::Warn,
        Some(ValidationMode::Off) => pb::SchemaMode::Off,
    };
    let naming = |naming: &Option<SubjectNaming>| naming.as_ref().map(naming_to_pb);
    pb::SchemaBinding { value: naming(&binding.value), key: naming(&binding.key), mode: mode.into() }
}

pub(super) fn binding_from_pb(binding: pb::SchemaBinding) -> Result<SchemaBinding> {
    let mode = match pb::SchemaMode::try_from(binding.mode) {
        Ok(pb::SchemaMode::Unspecified) => None,
        Ok(pb::SchemaMode::Strict) => Some(ValidationMode::Strict),
        Ok(pb::SchemaMode::Warn) => Some(ValidationMode::Warn),
        Ok(pb::SchemaMode::Off) => Some(ValidationMode::Off),
        Err(_) => return Err(ConvertError::Field("schema mode")),
    };
    let naming = |naming: Option<pb::SchemaNaming>| naming.map(naming_from_pb).transpose();
    Ok(SchemaBinding { value: naming(binding.value)?, key: naming(binding.key)?, mode })
}
