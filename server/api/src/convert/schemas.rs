//! Schemas and bindings.

use flymq_engine::meta::{SchemaReference, SchemaVersion};
use flymq_engine::{Compatibility, NewSchema, SchemaBinding, SchemaKind, SubjectNaming, ValidationMode};
use flymq_proto::pb;

use super::invalid;
use crate::BrokerError;

/// A version that a request names; 0 is none.
pub(crate) fn version(number: u32) -> Option<u32> {
    (number > 0).then_some(number)
}

/// `None`: the request says nothing.
pub(crate) fn compatibility(number: i32) -> Result<Option<Compatibility>, BrokerError> {
    use pb::Compatibility as C;
    let rule = C::try_from(number).map_err(|_| invalid("compatibility", "no value of this enum"))?;
    Ok(match rule {
        C::Unspecified => None,
        C::None => Some(Compatibility::None),
        C::Backward => Some(Compatibility::Backward),
        C::Forward => Some(Compatibility::Forward),
        C::Full => Some(Compatibility::Full),
        C::BackwardTransitive => Some(Compatibility::BackwardTransitive),
        C::ForwardTransitive => Some(Compatibility::ForwardTransitive),
        C::FullTransitive => Some(Compatibility::FullTransitive),
    })
}

pub(crate) fn compatibility_message(rule: Compatibility) -> pb::Compatibility {
    use pb::Compatibility as C;
    match rule {
        Compatibility::None => C::None,
        Compatibility::Backward => C::Backward,
        Compatibility::Forward => C::Forward,
        Compatibility::Full => C::Full,
        Compatibility::BackwardTransitive => C::BackwardTransitive,
        Compatibility::ForwardTransitive => C::ForwardTransitive,
        Compatibility::FullTransitive => C::FullTransitive,
    }
}

/// A schema to register.
pub(crate) fn new_schema(request: pb::RegisterSchemaRequest) -> Result<NewSchema, BrokerError> {
    let kind = match pb::SchemaType::try_from(request.r#type) {
        Ok(pb::SchemaType::Json) => SchemaKind::Json,
        Ok(pb::SchemaType::Avro) => SchemaKind::Avro,
        Ok(pb::SchemaType::Protobuf) => SchemaKind::Protobuf,
        Ok(pb::SchemaType::Unspecified) | Err(_) => {
            return Err(invalid("type", "has to be JSON, AVRO or PROTOBUF"));
        }
    };
    if request.compare_with > 0 && !request.dry_run {
        return Err(invalid("compare_with", "is for dry_run alone"));
    }
    let compatibility = compatibility(request.compatibility)?;
    let reference = |reference: pb::SchemaReference| SchemaReference {
        name: reference.name.into(),
        subject: reference.subject.into(),
        version: reference.version,
    };
    Ok(NewSchema {
        subject: request.name.into(),
        kind,
        definition: request.definition.into(),
        references: request.references.into_iter().map(reference).collect(),
        compatibility,
    })
}

/// A version with the rule of its subject.
pub(crate) fn schema_message(schema: &SchemaVersion, rule: Compatibility) -> pb::Schema {
    let kind = match schema.kind {
        SchemaKind::Json => pb::SchemaType::Json,
        SchemaKind::Avro => pb::SchemaType::Avro,
        SchemaKind::Protobuf => pb::SchemaType::Protobuf,
    };
    let reference = |reference: &SchemaReference| pb::SchemaReference {
        name: reference.name.to_string(),
        subject: reference.subject.to_string(),
        version: reference.version,
    };
    pb::Schema {
        id: format!("{}-v{}", schema.subject, schema.version),
        name: schema.subject.to_string(),
        version: schema.version,
        r#type: kind.into(),
        definition: schema.definition.to_string(),
        compatibility: compatibility_message(rule).into(),
        created_ms: schema.created.as_millis(),
        references: schema.references.iter().map(reference).collect(),
        global_id: schema.id,
        deleted: schema.deleted,
    }
}

fn naming(field: &str, name: &str, strategy: i32) -> Result<Option<SubjectNaming>, BrokerError> {
    use pb::SubjectStrategy as S;
    let strategy = S::try_from(strategy).map_err(|_| invalid(field, "no value of this enum"))?;
    let found = match strategy {
        S::Unspecified if name.is_empty() => return Ok(None),
        S::Unspecified => SubjectNaming::Subject(name.into()),
        _ if !name.is_empty() => {
            return Err(invalid(field, "a subject that is named needs no strategy to find it"));
        }
        S::TopicName => SubjectNaming::TopicName,
        S::RecordName => SubjectNaming::RecordName,
        S::TopicRecordName => SubjectNaming::TopicRecordName,
    };
    Ok(Some(found))
}

/// What a topic is to be bound to; none: to nothing.
pub(crate) fn binding(request: &pb::BindSchemaRequest) -> Result<Option<SchemaBinding>, BrokerError> {
    let mode = match pb::ValidationMode::try_from(request.mode) {
        Ok(pb::ValidationMode::Unspecified) => None,
        Ok(pb::ValidationMode::Strict) => Some(ValidationMode::Strict),
        Ok(pb::ValidationMode::Warn) => Some(ValidationMode::Warn),
        Ok(pb::ValidationMode::Off) => Some(ValidationMode::Off),
        Err(_) => return Err(invalid("mode", "no value of this enum")),
    };
    let value = naming("strategy", &request.name, request.strategy)?;
    let key = naming("key_strategy", &request.key_name, request.key_strategy)?;
    Ok((value.is_some() || key.is_some()).then_some(SchemaBinding { value, key, mode }))
}

pub(crate) fn binding_message(binding: &SchemaBinding) -> pb::BindSchemaRequest {
    use pb::SubjectStrategy as S;
    let naming = |naming: &Option<SubjectNaming>| match naming {
        None => (String::new(), S::Unspecified),
        Some(SubjectNaming::Subject(name)) => (name.to_string(), S::Unspecified),
        Some(SubjectNaming::TopicName) => (String::new(), S::TopicName),
        Some(SubjectNaming::RecordName) => (String::new(), S::RecordName),
        Some(SubjectNaming::TopicRecordName) => (String::new(), S::TopicRecordName),
    };
    let mode = match binding.mode {
        None => pb::ValidationMode::Unspecified,
        Some(ValidationMode::Strict) => pb::ValidationMode::Strict,
        Some(ValidationMode::Warn) => pb::ValidationMode::Warn,
        Some(ValidationMode::Off) => pb::ValidationMode::Off,
    };
    let ((name, strategy), (key_name, key_strategy)) = (naming(&binding.value), naming(&binding.key));
    pb::BindSchemaRequest {
        topic: String::new(),
        name,
        mode: mode.into(),
        key_name,
        strategy: strategy.into(),
        key_strategy: key_strategy.into(),
    }
}
