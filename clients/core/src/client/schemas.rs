//! The registry of schemas. Requests with many fields are the proto's.

use flymq_proto::pb;

use super::Client;
use crate::error::ClientError;

impl Client {
    /// Registers a version of a schema; answers with the one that has the text already, if there is one. `None` where `dry_run` only asks.
    ///
    /// # Errors
    /// `SchemaInvalid` for a text that is none, `SchemaIncompatible` says what does not fit the versions before.
    pub async fn register_schema(
        &self,
        request: &pb::RegisterSchemaRequest,
    ) -> Result<Option<pb::Schema>, ClientError> {
        let reply: pb::RegisterSchemaResponse = self.call("RegisterSchema", request).await?;
        Ok(reply.schema)
    }

    /// A version of a schema; none: the newest.
    ///
    /// # Errors
    /// `SchemaNotFound`.
    pub async fn schema(&self, name: &str, version: Option<u32>) -> Result<pb::Schema, ClientError> {
        let request = pb::GetSchemaRequest {
            name: name.to_owned(),
            version: version.unwrap_or(0),
            ..pb::GetSchemaRequest::default()
        };
        let reply: pb::GetSchemaResponse = self.call("GetSchema", &request).await?;
        reply.schema.ok_or_else(|| ClientError::protocol("the server sent no schema"))
    }

    /// All versions of a schema, or of all schemas, by name and version.
    ///
    /// # Errors
    /// Transport errors.
    pub async fn schemas(&self, name: Option<&str>) -> Result<Vec<pb::Schema>, ClientError> {
        let request = pb::ListSchemasRequest {
            name: name.unwrap_or_default().to_owned(),
            ..pb::ListSchemasRequest::default()
        };
        let reply: pb::ListSchemasResponse = self.call("ListSchemas", &request).await?;
        Ok(reply.schemas)
    }

    /// What is wrong with a value by a version of a schema (none: the newest), each with its path; empty: it matches.
    ///
    /// # Errors
    /// `SchemaNotFound`.
    pub async fn validate_schema(
        &self,
        name: &str,
        version: Option<u32>,
        value: impl Into<bytes::Bytes>,
    ) -> Result<Vec<String>, ClientError> {
        let request = pb::ValidateSchemaRequest {
            name: name.to_owned(),
            version: version.unwrap_or(0),
            value: value.into(),
            ..pb::ValidateSchemaRequest::default()
        };
        let reply: pb::ValidateSchemaResponse = self.call("ValidateSchema", &request).await?;
        Ok(reply.errors)
    }

    /// Deletes a version of a schema (none: all); which ones. Their ids are still found, until they are deleted once more, `permanent`.
    ///
    /// # Errors
    /// `SchemaNotFound`; `InUse` while a topic or another schema needs it.
    pub async fn delete_schema(
        &self,
        name: &str,
        version: Option<u32>,
        permanent: bool,
    ) -> Result<Vec<u32>, ClientError> {
        let request =
            pb::DeleteSchemaRequest { name: name.to_owned(), version: version.unwrap_or(0), permanent };
        let reply: pb::DeleteSchemaResponse = self.call("DeleteSchema", &request).await?;
        Ok(reply.versions)
    }

    /// Says which further versions of a schema are taken; of an empty name: of all that have no rule of their own.
    ///
    /// # Errors
    /// `SchemaNotFound`.
    pub async fn set_compatibility(&self, name: &str, rule: pb::Compatibility) -> Result<(), ClientError> {
        let request = pb::SetCompatibilityRequest { name: name.to_owned(), compatibility: rule.into() };
        self.call::<_, pb::SetCompatibilityResponse>("SetCompatibility", &request).await.map(drop)
    }

    /// Has what comes into a topic match schemas, or with neither names nor strategies take anything again.
    ///
    /// # Errors
    /// `TopicNotFound`, `SchemaNotFound`.
    pub async fn bind_schema(&self, request: &pb::BindSchemaRequest) -> Result<(), ClientError> {
        self.call::<_, pb::BindSchemaResponse>("BindSchema", request).await.map(drop)
    }
}
