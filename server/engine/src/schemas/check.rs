//! Records against what their topic is bound to.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use flymq_schemas::{SchemaKind, unframe};
use flymq_types::{RecordBatch, RecordView, TopicName};
use flymq_wire::batch::Records;

use super::{ENCRYPTED, SchemaBinding, SubjectNaming, ValidationMode, Validators};
use crate::engine::Engine;
use crate::error::EngineError;
use crate::meta::SchemaBook;
use crate::produce::check_batch;
use crate::task::blocking;

/// Payloads above this, bytes, are checked beside the tasks of others.
const INLINE: usize = 64 << 10;
/// Milliseconds between two warnings in the log.
const WARN_EVERY: i64 = 1_000;

static WARNED: AtomicI64 = AtomicI64::new(i64::MIN);

impl Engine {
    /// Holds a batch against the binding of its topic.
    ///
    /// # Errors
    /// `SchemaViolation`, `SchemaEncrypted`, `SchemaNotFound`, `InvalidBatch`.
    pub(crate) async fn check_against(
        &self,
        binding: &Arc<SchemaBinding>,
        topic: &TopicName,
        batch: &RecordBatch,
    ) -> Result<(), EngineError> {
        let mode = binding.mode.unwrap_or(self.options.schema_validation);
        if mode == ValidationMode::Off || !self.options.schemas {
            return Ok(());
        }
        let count = u64::from(batch.record_count());
        let checked = match self.check_batch_against(binding, topic, batch).await {
            // It may have been registered through another node just now.
            Err(EngineError::SchemaNotFound { .. } | EngineError::SchemaIdNotFound { .. })
                if self.is_member() =>
            {
                self.latest_schemas().await;
                self.check_batch_against(binding, topic, batch).await
            }
            checked => checked,
        };
        let Err(error) = checked else {
            metrics::counter!("flymq_schema_records_validated_total").increment(count);
            return Ok(());
        };
        if mode == ValidationMode::Strict || matches!(error, EngineError::InvalidBatch(_)) {
            metrics::counter!("flymq_schema_batches_refused_total").increment(1);
            return Err(error);
        }
        metrics::counter!("flymq_schema_batches_warned_total").increment(1);
        let now = self.clock.wall().as_millis();
        let last = WARNED.load(Ordering::Relaxed);
        if now.saturating_sub(last) >= WARN_EVERY && WARNED.swap(now, Ordering::Relaxed) == last {
            tracing::warn!(%topic, %error, "a record does not match the schema of its topic; it is kept (schema.validation is warn)");
        }
        Ok(())
    }

    /// Holds records against one subject, whatever their topic is bound to.
    ///
    /// # Errors
    /// As [`Engine::check_against`], and `SchemasOff`.
    pub async fn check_records(
        &self,
        subject: &str,
        topic: &TopicName,
        batch: bytes::Bytes,
    ) -> Result<(), EngineError> {
        self.check_schemas()?;
        let batch = check_batch(batch, true, &self.options.limits)?;
        let value = Some(SubjectNaming::Subject(subject.into()));
        let binding = SchemaBinding { value, key: None, mode: Some(ValidationMode::Strict) };
        self.check_against(&Arc::new(binding), topic, &batch).await
    }

    /// Why the value does not match the version of the subject (none: the latest); empty: it does.
    ///
    /// # Errors
    /// `SchemaNotFound`, `SchemasOff`.
    pub async fn check_value(
        &self,
        subject: &str,
        version: Option<u32>,
        value: bytes::Bytes,
    ) -> Result<Vec<String>, EngineError> {
        let (schema, _) = self.schema(subject, version).await?;
        let (book, validators) = (self.metadata().schemas.clone(), self.schemas.clone());
        blocking(move || {
            let compiled = validators.of(&book, schema.id)?;
            Ok(match unframe(&value) {
                Some((id, rest)) if id == schema.id => compiled.check_framed(rest),
                _ => compiled.check(&value),
            })
        })
        .await?
    }

    async fn check_batch_against(
        &self,
        binding: &Arc<SchemaBinding>,
        topic: &TopicName,
        batch: &RecordBatch,
    ) -> Result<(), EngineError> {
        let records = batch.open(&self.options.limits.inflate()).map_err(EngineError::InvalidBatch)?;
        let check = Check {
            book: self.metadata().schemas.clone(),
            validators: self.schemas.clone(),
            binding: binding.clone(),
            topic: topic.clone(),
        };
        if records.payload().len() <= INLINE {
            return check.records(&records);
        }
        blocking(move || check.records(&records)).await?
    }
}

struct Check {
    book: Arc<SchemaBook>,
    validators: Arc<Validators>,
    binding: Arc<SchemaBinding>,
    topic: TopicName,
}

impl Check {
    fn records(&self, records: &Records) -> Result<(), EngineError> {
        for (number, record) in records.iter().enumerate() {
            self.record(number, &record.map_err(EngineError::InvalidBatch)?)?;
        }
        Ok(())
    }

    fn record(&self, number: usize, record: &RecordView<'_>) -> Result<(), EngineError> {
        if record.headers().any(|(name, _)| name == ENCRYPTED) {
            return Err(EngineError::SchemaEncrypted { topic: self.topic.to_string(), record: number });
        }
        if let Some(naming) = &self.binding.key {
            match record.key {
                Some(key) => self.part(number, naming, "key", key)?,
                None => {
                    return Err(self.violation(number, "its key", vec!["the record has no key".to_owned()]));
                }
            }
        }
        // One without value deletes its key.
        match (&self.binding.value, record.value) {
            (Some(naming), Some(value)) => self.part(number, naming, "value", value),
            _ => Ok(()),
        }
    }

    fn violation(&self, record: usize, subject: &str, errors: Vec<String>) -> EngineError {
        let (topic, subject) = (self.topic.to_string(), subject.to_owned());
        EngineError::SchemaViolation { topic, subject, record, errors }
    }

    fn part(
        &self,
        number: usize,
        naming: &SubjectNaming,
        part: &str,
        bytes: &[u8],
    ) -> Result<(), EngineError> {
        let topic = &self.topic;
        let (subject, errors) = match naming {
            SubjectNaming::Subject(name) => (name.to_string(), self.of_subject(name, bytes)?),
            SubjectNaming::TopicName => {
                let name = format!("{topic}-{part}");
                let errors = self.of_subject(&name, bytes)?;
                (name, errors)
            }
            SubjectNaming::RecordName => self.of_record("", bytes)?,
            SubjectNaming::TopicRecordName => self.of_record(&format!("{topic}-"), bytes)?,
        };
        if errors.is_empty() {
            return Ok(());
        }
        let errors = errors.into_iter().map(|why| if part == "key" { format!("key: {why}") } else { why });
        Err(self.violation(number, &subject, errors.collect()))
    }

    /// Against the version that the frame names, or without a frame against the latest.
    fn of_subject(&self, name: &str, bytes: &[u8]) -> Result<Vec<String>, EngineError> {
        let missing = || EngineError::SchemaNotFound { subject: name.to_owned(), version: None };
        let subject = self.book.subjects.get(name).ok_or_else(missing)?;
        let latest = subject.version(None).ok_or_else(missing)?;
        let framed = unframe(bytes);
        let Some((id, rest)) = framed else {
            return Ok(self.validators.of(&self.book, latest.id)?.check(bytes));
        };
        let errors = match subject.live().find(|version| version.id == id) {
            Some(version) => self.validators.of(&self.book, version.id)?.check_framed(rest),
            None => vec![format!("its frame names the schema id {id}, which {name} does not have")],
        };
        // In Avro a plain value may begin like a frame.
        let plain = !errors.is_empty() && latest.kind == SchemaKind::Avro;
        if plain && self.validators.of(&self.book, latest.id)?.check(bytes).is_empty() {
            return Ok(Vec::new());
        }
        Ok(errors)
    }

    /// Against the schema that the frame names, whose subject has to be called after the record.
    fn of_record(&self, prefix: &str, bytes: &[u8]) -> Result<(String, Vec<String>), EngineError> {
        let Some((id, rest)) = unframe(bytes) else {
            let why =
                "it does not name its schema: a frame (0, id) is needed where subjects are named by record";
            return Ok((String::new(), vec![why.to_owned()]));
        };
        let compiled = self.validators.of(&self.book, id)?;
        let subject = format!("{prefix}{}", compiled.record_name().unwrap_or_default());
        let registered = self.book.subjects.get(&*subject).into_iter().flat_map(|found| found.live());
        let mut registered = registered.filter(|version| version.id == id);
        let errors = match registered.next() {
            Some(_) => compiled.check_framed(rest),
            None => vec![format!("schema id {id} is not registered as {subject}")],
        };
        Ok((subject, errors))
    }
}
