//! Serdes over the registry's schemas: JSON documents as Avro or Protobuf, in the frame that Confluent's serializers use (a byte
//! 0, the schema's id in four bytes, big endian, and the value).

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures::{FutureExt as _, future::BoxFuture};
use parking_lot::Mutex;
use serde_json::Value;

use super::{Codec, avro::Avro, protobuf::Protobuf};
use crate::{Client, ClientError, ErrorCode, pb};

/// Bytes before the value.
const FRAME_LEN: usize = 5;
/// How long a writer takes what it knows for the latest version.
const LATEST_FOR: Duration = Duration::from_secs(30);
/// Schemas that one refers to, all together.
const MAX_REFERENCES: usize = 64;
/// Schemas that are kept. A text is never changed under its id, so only memory bounds them.
const KEPT: usize = 1_000;
const READ_AS_WRITTEN: &str = "Read it with the serde that wrote it, such as json, string or binary.";

/// A document or a value that is none of the serde's. SDKs have a class of their own for it, found by `kind`.
fn unfit(message: impl Into<String>, hint: &str) -> ClientError {
    let mut error = ClientError::invalid(message).with("kind", "serialization");
    hint.clone_into(&mut error.hint);
    error
}

/// Writes and reads by schemas of the registry. Clones share what they know.
#[derive(Debug, Clone)]
pub struct SchemaSerde {
    client: Client,
    kind: pb::SchemaType,
    /// None: `<topic>-value`.
    subject: Option<String>,
    known: Arc<Known>,
}

#[derive(Debug, Default)]
struct Known {
    by_id: Mutex<HashMap<u32, Arc<Compiled>>>,
    latest: Mutex<HashMap<String, (Instant, u32)>>,
}

#[derive(Debug)]
enum Compiled {
    Avro(Box<Avro>),
    Protobuf(Protobuf),
    /// Framed JSON has no encoding of its own.
    Json,
}

impl SchemaSerde {
    /// All names.
    pub const NAMES: [&'static str; 2] = ["avro", "protobuf"];

    /// Avro by the latest version of the subject `<topic>-value`; reads whatever the frames name.
    pub fn avro(client: &Client) -> Self {
        Self::new(client, pb::SchemaType::Avro)
    }

    /// Protobuf: the first message of the schema, by the latest version of `<topic>-value`.
    pub fn protobuf(client: &Client) -> Self {
        Self::new(client, pb::SchemaType::Protobuf)
    }

    /// `avro` or `protobuf`.
    ///
    /// # Errors
    /// `InvalidArgument` that lists the names.
    pub fn by_name(client: &Client, name: &str) -> Result<Self, ClientError> {
        match name {
            "avro" => Ok(Self::avro(client)),
            "protobuf" => Ok(Self::protobuf(client)),
            other => Err(ClientError::invalid(format!(
                "unknown schema serde {other:?}: use one of {}",
                Self::NAMES.join(", ")
            ))),
        }
    }

    fn new(client: &Client, kind: pb::SchemaType) -> Self {
        Self { client: client.clone(), kind, subject: None, known: Arc::default() }
    }

    /// Writes by this subject, whatever the topic.
    #[must_use]
    pub fn subject(mut self, subject: impl Into<String>) -> Self {
        self.subject = Some(subject.into());
        self
    }

    /// A JSON document as a framed value.
    ///
    /// # Errors
    /// `SchemaNotFound`; `InvalidArgument` where the schema is of another type; `SchemaValidationFailed` that names the path where the
    /// document does not fit.
    pub async fn encode(&self, topic: &str, document: &Value) -> Result<Bytes, ClientError> {
        let subject = self.subject.clone().unwrap_or_else(|| format!("{topic}-value"));
        let (id, schema) = self.latest(&subject).await?;
        let encoded = match &*schema {
            Compiled::Avro(avro) if self.kind == pb::SchemaType::Avro => avro.encode(document),
            Compiled::Protobuf(file) if self.kind == pb::SchemaType::Protobuf => file.encode(document),
            _ => {
                let message = format!("the schema {subject} is not one of {}", self.name());
                let hint = "Use the serde of its type, or name another subject.";
                return Err(unfit(message, hint).with("schema", &subject));
            }
        };
        let value = encoded.map_err(|why| {
            let message = format!("the document does not fit the schema {subject}: {why}");
            ClientError::new(ErrorCode::SchemaValidationFailed, message).with("schema", &subject)
        })?;
        let mut framed = Vec::with_capacity(FRAME_LEN + value.len());
        framed.push(0);
        framed.extend_from_slice(&id.to_be_bytes());
        framed.extend_from_slice(&value);
        Ok(framed.into())
    }

    /// The document of a framed value.
    ///
    /// # Errors
    /// `InvalidArgument` for a value without frame, or one that is not what its schema says; `SchemaNotFound`.
    pub async fn decode(&self, value: &[u8]) -> Result<Value, ClientError> {
        let Some(([0, id @ ..], rest)) = value.split_first_chunk::<FRAME_LEN>() else {
            let message = "the value names no schema: it does not begin with a byte 0 and an id";
            return Err(unfit(message, READ_AS_WRITTEN));
        };
        let id = u32::from_be_bytes(*id);
        let decoded = match &*self.by_id(id).await? {
            Compiled::Avro(avro) => avro.decode(rest),
            Compiled::Protobuf(file) => file.decode(rest),
            Compiled::Json => serde_json::from_slice(rest).map_err(|error| error.to_string()),
        };
        decoded.map_err(|why| {
            unfit(format!("the value is not what schema {id} says: {why}"), READ_AS_WRITTEN)
                .with("global_id", id)
        })
    }

    async fn latest(&self, subject: &str) -> Result<(u32, Arc<Compiled>), ClientError> {
        let known = self
            .known
            .latest
            .lock()
            .get(subject)
            .filter(|(at, _)| at.elapsed() < LATEST_FOR)
            .map(|(_, id)| *id);
        if let Some(id) = known {
            return Ok((id, self.by_id(id).await?));
        }
        let schema = self.get(subject, 0, 0).await?;
        let id = schema.global_id;
        let compiled = self.compiled(schema).await?;
        self.known.latest.lock().insert(subject.to_owned(), (Instant::now(), id));
        Ok((id, compiled))
    }

    async fn by_id(&self, id: u32) -> Result<Arc<Compiled>, ClientError> {
        if let Some(known) = self.known.by_id.lock().get(&id) {
            return Ok(Arc::clone(known));
        }
        let schema = self.get("", 0, id).await?;
        self.compiled(schema).await
    }

    async fn get(&self, name: &str, version: u32, global_id: u32) -> Result<pb::Schema, ClientError> {
        let request = pb::GetSchemaRequest { name: name.to_owned(), version, global_id };
        let reply: pb::GetSchemaResponse = self.client.call("GetSchema", &request).await?;
        reply.schema.ok_or_else(|| ClientError::protocol("the server sent no schema"))
    }

    async fn compiled(&self, schema: pb::Schema) -> Result<Arc<Compiled>, ClientError> {
        let others = self.referred(&schema).await?;
        let unreadable = |why: String| {
            ClientError::new(
                ErrorCode::SchemaInvalid,
                format!("schema {} cannot be read here: {why}", schema.id),
            )
        };
        let compiled = match schema.r#type() {
            pb::SchemaType::Avro => {
                let texts: Vec<String> = others.into_iter().map(|(_, text)| text).collect();
                Compiled::Avro(Box::new(Avro::compile(&schema.definition, &texts).map_err(unreadable)?))
            }
            pb::SchemaType::Protobuf => {
                Compiled::Protobuf(Protobuf::compile(&schema.definition, &others).map_err(unreadable)?)
            }
            pb::SchemaType::Json | pb::SchemaType::Unspecified => Compiled::Json,
        };
        let compiled = Arc::new(compiled);
        let mut by_id = self.known.by_id.lock();
        if by_id.len() >= KEPT {
            by_id.clear();
        }
        by_id.insert(schema.global_id, Arc::clone(&compiled));
        Ok(compiled)
    }

    /// Names and texts of all that a schema refers to, and what those refer to.
    async fn referred(&self, schema: &pb::Schema) -> Result<Vec<(String, String)>, ClientError> {
        let mut open = schema.references.clone();
        let mut found: Vec<(String, String)> = Vec::new();
        while let Some(reference) = open.pop() {
            if found.iter().any(|(name, _)| *name == reference.name) {
                continue;
            }
            if found.len() >= MAX_REFERENCES {
                return Err(ClientError::invalid(format!("schema {} refers to too many others", schema.id)));
            }
            let other = self.get(&reference.subject, reference.version, 0).await?;
            open.extend(other.references);
            found.push((reference.name, other.definition));
        }
        Ok(found)
    }
}

impl Codec for SchemaSerde {
    fn name(&self) -> &str {
        if self.kind == pb::SchemaType::Avro { "avro" } else { "protobuf" }
    }

    fn encode_text<'a>(&'a self, topic: &'a str, text: &'a str) -> BoxFuture<'a, Result<Bytes, ClientError>> {
        async move {
            let document: Value = serde_json::from_str(text).map_err(|error| {
                unfit(format!("the message is no JSON: {error}"), "Send a JSON document.")
            })?;
            self.encode(topic, &document).await
        }
        .boxed()
    }

    fn decode_text<'a>(&'a self, value: &'a [u8]) -> BoxFuture<'a, Result<String, ClientError>> {
        async move { Ok(self.decode(value).await?.to_string()) }.boxed()
    }
}
