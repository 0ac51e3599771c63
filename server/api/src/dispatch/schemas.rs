//! The schema registry (docs/schemas.md).

use flymq_engine::EngineError;
use flymq_proto::pb;

use super::EngineBroker;
use crate::{BrokerError, convert};

impl EngineBroker {
    pub(super) async fn register_schema(
        &self,
        request: pb::RegisterSchemaRequest,
    ) -> Result<pb::RegisterSchemaResponse, BrokerError> {
        let (dry_run, compare_with) = (request.dry_run, convert::version(request.compare_with));
        let new = convert::new_schema(request)?;
        if dry_run {
            let subject = new.subject.to_string();
            let reasons = self.engine.schema_incompatibilities(new, compare_with).await?;
            if !reasons.is_empty() {
                let rule = self.engine.metadata().schemas.compatibility(&subject).name();
                return Err(EngineError::SchemaIncompatible { subject, rule, reasons }.into());
            }
            return Ok(pb::RegisterSchemaResponse { schema: None });
        }
        let registered = self.engine.register_schema(new).await?;
        let rule = self.engine.metadata().schemas.compatibility(&registered.subject);
        Ok(pb::RegisterSchemaResponse { schema: Some(convert::schema_message(&registered, rule)) })
    }

    pub(super) async fn get_schema(
        &self,
        request: pb::GetSchemaRequest,
    ) -> Result<pb::GetSchemaResponse, BrokerError> {
        let (schema, rule) = match request.global_id {
            0 => self.engine.schema(&request.name, convert::version(request.version)).await?,
            id => self.engine.schema_by_id(id).await?,
        };
        Ok(pb::GetSchemaResponse { schema: Some(convert::schema_message(&schema, rule)) })
    }

    pub(super) async fn list_schemas(
        &self,
        request: &pb::ListSchemasRequest,
    ) -> Result<pb::ListSchemasResponse, BrokerError> {
        let book = self.engine.schema_book().await?;
        let subjects = book.subjects.iter();
        let meant = subjects.filter(|(name, _)| request.name.is_empty() || request.name == ***name);
        let schemas = meant.flat_map(|(name, subject)| {
            let rule = book.compatibility(name);
            let shown = subject.versions.iter().filter(|schema| !schema.deleted || request.include_deleted);
            shown.map(move |schema| convert::schema_message(schema, rule))
        });
        Ok(pb::ListSchemasResponse {
            schemas: schemas.collect(),
            default_compatibility: convert::compatibility_message(book.compatibility).into(),
        })
    }

    pub(super) async fn validate_schema(
        &self,
        request: pb::ValidateSchemaRequest,
    ) -> Result<pb::ValidateSchemaResponse, BrokerError> {
        let value = match request.value_text {
            Some(text) if request.value.is_empty() => text.into(),
            _ => request.value,
        };
        let version = convert::version(request.version);
        let errors = self.engine.check_value(&request.name, version, value).await?;
        Ok(pb::ValidateSchemaResponse { valid: errors.is_empty(), errors })
    }

    pub(super) async fn delete_schema(
        &self,
        request: &pb::DeleteSchemaRequest,
    ) -> Result<pb::DeleteSchemaResponse, BrokerError> {
        let version = convert::version(request.version);
        let versions = self.engine.delete_schema(&request.name, version, request.permanent).await?;
        Ok(pb::DeleteSchemaResponse { versions })
    }

    pub(super) async fn set_compatibility(
        &self,
        request: &pb::SetCompatibilityRequest,
    ) -> Result<pb::SetCompatibilityResponse, BrokerError> {
        let rule = convert::compatibility(request.compatibility)?;
        let subject = Some(request.name.as_str()).filter(|name| !name.is_empty());
        self.engine.set_compatibility(subject, rule).await?;
        Ok(pb::SetCompatibilityResponse {})
    }

    pub(super) async fn bind_schema(
        &self,
        request: pb::BindSchemaRequest,
    ) -> Result<pb::BindSchemaResponse, BrokerError> {
        let topic = convert::topic("topic", &request.topic)?;
        self.engine.bind_schema(&topic, convert::binding(&request)?).await?;
        Ok(pb::BindSchemaResponse {})
    }
}
