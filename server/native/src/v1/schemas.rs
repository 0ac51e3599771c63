//! REGISTER_SCHEMA, GET_SCHEMA, LIST_SCHEMAS, VALIDATE_SCHEMA and DELETE_SCHEMA.

use flymq_api::ErrorCode;
use flymq_proto::pb;
use flymq_wire::{
    frame::FrameParts,
    v1::{
        ListSchemas, RegisterSchema, SchemaInfo, SchemaItem, SchemaList, SchemaRef, SchemaRegistered,
        SuccessMsg, ValidateReply, ValidateSchema, op, reply_frame,
    },
};

use super::{
    error::{About, Failure},
    session::Session,
};

pub(super) async fn register(session: &Session<'_>, body: RegisterSchema) -> Result<FrameParts, Failure> {
    let kind = match body.kind.0.as_str() {
        "json" => pb::SchemaType::Json,
        "avro" => pb::SchemaType::Avro,
        "protobuf" | "proto" => pb::SchemaType::Protobuf,
        other => return Err(Failure::text(format!("unsupported schema type: {other}"))),
    };
    let definition = String::from_utf8(body.definition.to_vec())
        .map_err(|_| Failure::text("the schema is invalid: it is not UTF-8"))?;
    let name = body.name.clone();
    let request = pb::RegisterSchemaRequest { name, r#type: kind.into(), definition, ..Default::default() };
    let reply: pb::RegisterSchemaResponse =
        session.call(request).await.map_err(|error| About::default().failure(&error))?;
    let version = reply.schema.map_or(0, |schema| schema.version);
    let registered = SchemaRegistered { name: body.name, kind: kind_name(kind.into()).into(), version };
    Ok(reply_frame(op::REGISTER_SCHEMA, &registered)?)
}

pub(super) async fn get(session: &Session<'_>, body: SchemaRef) -> Result<FrameParts, Failure> {
    let request = pb::GetSchemaRequest { name: body.name.clone(), version: body.version, global_id: 0 };
    let reply: pb::GetSchemaResponse =
        session.call(request).await.map_err(|error| About::default().failure(&error))?;
    let schema = reply.schema.unwrap_or_default();
    let rule = schema.compatibility().as_str_name().trim_start_matches("COMPATIBILITY_").to_lowercase();
    let info = SchemaInfo {
        kind: kind_name(schema.r#type).into(),
        compatibility: rule.as_str().into(),
        id: schema.id,
        name: schema.name,
        version: schema.version,
        definition: schema.definition.into(),
    };
    Ok(reply_frame(op::GET_SCHEMA, &info)?)
}

pub(super) async fn list(session: &Session<'_>, body: ListSchemas) -> Result<FrameParts, Failure> {
    let name = body.name.unwrap_or_default();
    let request = pb::ListSchemasRequest { name, include_deleted: false };
    let reply: pb::ListSchemasResponse =
        session.call(request).await.map_err(|error| About::default().failure(&error))?;
    let items = reply.schemas.into_iter().map(|schema| SchemaItem {
        kind: kind_name(schema.r#type).into(),
        id: schema.id,
        version: schema.version,
    });
    Ok(reply_frame(op::LIST_SCHEMAS, &SchemaList { schemas: items.collect() })?)
}

/// A name without schema takes anything, as it did.
pub(super) async fn validate(session: &Session<'_>, body: ValidateSchema) -> Result<FrameParts, Failure> {
    let request = pb::ValidateSchemaRequest { name: body.name, value: body.message, ..Default::default() };
    let reply = match session.call::<pb::ValidateSchemaResponse>(request).await {
        Ok(checked) => ValidateReply { valid: checked.valid, errors: checked.errors },
        Err(error) if error.code == ErrorCode::SchemaNotFound => {
            ValidateReply { valid: true, errors: Vec::new() }
        }
        Err(error) => return Err(About::default().failure(&error)),
    };
    Ok(reply_frame(op::VALIDATE_SCHEMA, &reply)?)
}

pub(super) async fn delete(session: &Session<'_>, body: SchemaRef) -> Result<FrameParts, Failure> {
    let request =
        pb::DeleteSchemaRequest { name: body.name.clone(), version: body.version, permanent: false };
    let _deleted: pb::DeleteSchemaResponse =
        session.call(request).await.map_err(|error| About::default().failure(&error))?;
    Ok(reply_frame(op::DELETE_SCHEMA, &SuccessMsg { ok: true, message: "OK".to_owned() })?)
}

fn kind_name(kind: i32) -> &'static str {
    match pb::SchemaType::try_from(kind) {
        Ok(pb::SchemaType::Avro) => "avro",
        Ok(pb::SchemaType::Protobuf) => "protobuf",
        Ok(pb::SchemaType::Json | pb::SchemaType::Unspecified) | Err(_) => "json",
    }
}
