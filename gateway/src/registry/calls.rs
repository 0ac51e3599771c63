//! The registry's calls, out of those of the broker.

use std::sync::Arc;

use flymq_api::{Broker, BrokerError, CallContext, ErrorCode, Request, Response};
use flymq_proto::pb;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Answer, error::Refusal};

/// Asks the broker for one request of a client.
pub(super) struct Registry {
    pub broker: Arc<dyn Broker>,
    pub ctx: CallContext,
}

/// A schema in a body.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Text {
    schema: String,
    /// AVRO unless said.
    schema_type: Option<String>,
    #[serde(default)]
    references: Option<Vec<Reference>>,
}

#[derive(Deserialize)]
struct Reference {
    name: String,
    subject: String,
    version: u32,
}

impl Text {
    fn kind(&self) -> Result<pb::SchemaType, Refusal> {
        match self.schema_type.as_deref().unwrap_or("AVRO") {
            "AVRO" => Ok(pb::SchemaType::Avro),
            "JSON" => Ok(pb::SchemaType::Json),
            "PROTOBUF" => Ok(pb::SchemaType::Protobuf),
            other => Err(Refusal::new(422, 42_201, format!("Invalid schema type {other}"))),
        }
    }

    fn references(&self) -> Vec<pb::SchemaReference> {
        let one = |reference: &Reference| pb::SchemaReference {
            name: reference.name.clone(),
            subject: reference.subject.clone(),
            version: reference.version,
        };
        self.references.iter().flatten().map(one).collect()
    }

    /// Whether it says the same, whatever its spaces.
    fn says(&self, schema: &pb::Schema) -> bool {
        let json = |text: &str| serde_json::from_str::<Value>(text).ok();
        let same = schema.definition == self.schema
            || json(&self.schema).is_some_and(|own| Some(own) == json(&schema.definition));
        same && self.kind().is_ok_and(|kind| kind == schema.r#type())
            && self.references() == schema.references
    }
}

fn kind_name(schema: &pb::Schema) -> &'static str {
    match schema.r#type() {
        pb::SchemaType::Json => "JSON",
        pb::SchemaType::Protobuf => "PROTOBUF",
        pb::SchemaType::Avro | pb::SchemaType::Unspecified => "AVRO",
    }
}

fn rule_name(rule: pb::Compatibility) -> &'static str {
    rule.as_str_name().trim_start_matches("COMPATIBILITY_")
}

/// As `/schemas/ids` tells it; AVRO goes without saying.
fn shown(schema: &pb::Schema) -> Value {
    let mut told = json!({"schema": schema.definition});
    if schema.r#type() != pb::SchemaType::Avro {
        told["schemaType"] = json!(kind_name(schema));
    }
    if !schema.references.is_empty() {
        let one =
            |to: &pb::SchemaReference| json!({"name": to.name, "subject": to.subject, "version": to.version});
        told["references"] = schema.references.iter().map(one).collect();
    }
    told
}

/// As `/subjects/…/versions` tells it.
fn shown_version(schema: &pb::Schema) -> Value {
    let mut told = shown(schema);
    told["subject"] = json!(schema.name);
    told["id"] = json!(schema.global_id);
    told["version"] = json!(schema.version);
    told
}

fn number(id: &str) -> Result<u32, Refusal> {
    id.parse().ok().filter(|id| *id > 0).ok_or_else(Refusal::no_schema)
}

/// A version as a path names it; `None`: the latest.
fn version_number(version: &str) -> Result<Option<u32>, Refusal> {
    match version {
        "latest" | "-1" => Ok(None),
        other => match other.parse::<u32>() {
            Ok(number) if number > 0 => Ok(Some(number)),
            _ => {
                let why = format!(
                    "The specified version '{other}' is not a valid version id. Allowed values are between [1, 2^31-1] and the string \
                     \"latest\""
                );
                Err(Refusal::new(422, 42_202, why))
            }
        },
    }
}

impl Registry {
    async fn call<A>(&self, request: impl Into<Request>) -> Result<A, BrokerError>
    where
        A: TryFrom<Response, Error = Response>,
    {
        let response = self.broker.call(self.ctx.clone(), request.into()).await?;
        A::try_from(response)
            .map_err(|_| BrokerError::new(ErrorCode::Internal, "another answer was expected"))
    }

    async fn list(
        &self,
        subject: &str,
        include_deleted: bool,
    ) -> Result<pb::ListSchemasResponse, BrokerError> {
        self.call(pb::ListSchemasRequest { name: subject.to_owned(), include_deleted }).await
    }

    /// The versions of a subject that is there.
    async fn of_subject(&self, subject: &str, deleted: bool) -> Result<Vec<pb::Schema>, Refusal> {
        let schemas = self.list(subject, deleted).await?.schemas;
        if schemas.is_empty() { Err(Refusal::no_subject(subject)) } else { Ok(schemas) }
    }

    async fn schema_of_id(&self, id: &str) -> Result<pb::Schema, Refusal> {
        let request = pb::GetSchemaRequest { global_id: number(id)?, ..Default::default() };
        let reply: pb::GetSchemaResponse = self.call(request).await?;
        reply.schema.ok_or_else(Refusal::no_schema)
    }

    pub async fn by_id(&self, id: &str) -> Answer {
        Ok(shown(&self.schema_of_id(id).await?))
    }

    pub async fn text_by_id(&self, id: &str) -> Answer {
        Ok(json!(self.schema_of_id(id).await?.definition))
    }

    async fn with_id(&self, id: &str) -> Result<Vec<pb::Schema>, Refusal> {
        let id = number(id)?;
        let mut schemas = self.list("", false).await?.schemas;
        schemas.retain(|schema| schema.global_id == id);
        if schemas.is_empty() { Err(Refusal::no_schema()) } else { Ok(schemas) }
    }

    pub async fn versions_of_id(&self, id: &str) -> Answer {
        let one = |schema: &pb::Schema| json!({"subject": schema.name, "version": schema.version});
        Ok(self.with_id(id).await?.iter().map(one).collect())
    }

    pub async fn subjects_of_id(&self, id: &str) -> Answer {
        let mut names: Vec<_> = self.with_id(id).await?.into_iter().map(|schema| schema.name).collect();
        names.dedup();
        Ok(json!(names))
    }

    pub async fn subjects(&self, deleted: bool) -> Answer {
        let schemas = self.list("", deleted).await?.schemas;
        let mut names: Vec<_> = schemas.into_iter().map(|schema| schema.name).collect();
        names.dedup();
        Ok(json!(names))
    }

    pub async fn versions(&self, subject: &str, deleted: bool) -> Answer {
        let schemas = self.of_subject(subject, deleted).await?;
        Ok(schemas.iter().map(|schema| schema.version).collect())
    }

    pub async fn version(&self, subject: &str, version: &str, deleted: bool) -> Answer {
        let number = version_number(version)?;
        let schemas = self.of_subject(subject, deleted).await?;
        let found = match number {
            None => schemas.last(),
            Some(number) => schemas.iter().find(|schema| schema.version == number),
        };
        found.map(shown_version).ok_or_else(|| Refusal::no_version(version))
    }

    pub async fn register(&self, subject: &str, text: Text) -> Answer {
        // What differs in spaces alone is no new version.
        let there = self.list(subject, false).await?.schemas;
        if let Some(same) = there.iter().rev().find(|schema| text.says(schema)) {
            return Ok(json!({"id": same.global_id, "version": same.version, "schema": same.definition}));
        }
        let request = pb::RegisterSchemaRequest {
            name: subject.to_owned(),
            r#type: text.kind()?.into(),
            references: text.references(),
            definition: text.schema,
            ..Default::default()
        };
        let reply: pb::RegisterSchemaResponse = self.call(request).await?;
        let schema = reply.schema.ok_or_else(Refusal::no_schema)?;
        Ok(json!({"id": schema.global_id, "version": schema.version, "schema": schema.definition}))
    }

    pub async fn look_up(&self, subject: &str, text: &Text) -> Answer {
        let schemas = self.of_subject(subject, false).await?;
        let found = schemas.iter().rev().find(|schema| text.says(schema));
        found.map(shown_version).ok_or_else(Refusal::no_schema)
    }

    pub async fn delete(&self, subject: &str, version: Option<&str>, permanent: bool) -> Answer {
        let mut number = version.map(version_number).transpose()?;
        let schemas = self.of_subject(subject, permanent).await?;
        if number == Some(None) {
            number = Some(schemas.last().map(|schema| schema.version));
        }
        let number = number.flatten();
        let named = number.and_then(|number| schemas.iter().find(|schema| schema.version == number));
        match (version, named) {
            (Some(version), None) => return Err(Refusal::no_version(version)),
            (Some(_), Some(one)) if permanent && !one.deleted => {
                let why = format!(
                    "Subject '{subject}' Version {} was not deleted first before being permanently deleted",
                    one.version
                );
                return Err(Refusal::new(404, 40_407, why));
            }
            (None, _) if permanent && schemas.iter().any(|schema| !schema.deleted) => {
                let why =
                    format!("Subject '{subject}' was not deleted first before being permanently deleted");
                return Err(Refusal::new(404, 40_405, why));
            }
            _ => {}
        }
        let request =
            pb::DeleteSchemaRequest { name: subject.to_owned(), version: number.unwrap_or(0), permanent };
        let reply: pb::DeleteSchemaResponse = self.call(request).await?;
        Ok(match number {
            Some(number) => json!(number),
            None => json!(reply.versions),
        })
    }

    pub async fn compatible(&self, subject: &str, version: Option<&str>, text: Text) -> Answer {
        let schemas = self.of_subject(subject, false).await?;
        let compare_with = match version {
            None => 0,
            Some(version) => {
                let latest = schemas.last().map_or(0, |schema| schema.version);
                let number = version_number(version)?.unwrap_or(latest);
                let known = schemas.iter().any(|schema| schema.version == number);
                if known { number } else { return Err(Refusal::no_version(version)) }
            }
        };
        let request = pb::RegisterSchemaRequest {
            name: subject.to_owned(),
            r#type: text.kind()?.into(),
            references: text.references(),
            definition: text.schema,
            dry_run: true,
            compare_with,
            ..Default::default()
        };
        match self.call::<pb::RegisterSchemaResponse>(request).await {
            Ok(_) => Ok(json!({"is_compatible": true})),
            Err(error) if error.code == ErrorCode::SchemaIncompatible => {
                Ok(json!({"is_compatible": false, "messages": [error.message]}))
            }
            Err(error) => Err(error.into()),
        }
    }

    pub async fn config(&self) -> Answer {
        let rule = self.list("", false).await?.default_compatibility();
        Ok(json!({"compatibilityLevel": rule_name(rule)}))
    }

    /// The rule in force: whether it is the subject's own is not told apart.
    pub async fn config_of(&self, subject: &str, or_global: bool) -> Answer {
        let listed = self.list(subject, false).await?;
        match listed.schemas.first() {
            Some(schema) => Ok(json!({"compatibilityLevel": rule_name(schema.compatibility())})),
            None if or_global => Ok(json!({"compatibilityLevel": rule_name(listed.default_compatibility())})),
            None => {
                let why = format!("Subject '{subject}' does not have subject-level compatibility configured");
                Err(Refusal::new(404, 40_408, why))
            }
        }
    }

    pub async fn set_config(&self, subject: &str, rule: &str) -> Answer {
        let known = pb::Compatibility::from_str_name(&format!("COMPATIBILITY_{rule}"));
        let Some(known) = known.filter(|known| *known != pb::Compatibility::Unspecified) else {
            let why = "Invalid compatibility level. Valid values are none, backward, forward, full, backward_transitive, \
                       forward_transitive, and full_transitive";
            return Err(Refusal::new(422, 42_203, why));
        };
        let request = pb::SetCompatibilityRequest { name: subject.to_owned(), compatibility: known.into() };
        self.call::<pb::SetCompatibilityResponse>(request).await?;
        Ok(json!({"compatibility": rule}))
    }

    pub async fn unset_config(&self, subject: &str) -> Answer {
        let before = self.config_of(subject, true).await?;
        let request = pb::SetCompatibilityRequest { name: subject.to_owned(), compatibility: 0 };
        self.call::<pb::SetCompatibilityResponse>(request).await?;
        Ok(before)
    }
}
