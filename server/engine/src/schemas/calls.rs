//! The registry's calls.

use std::sync::Arc;
use std::time::Duration;

use flymq_schemas::{Compatibility, Compiled, incompatibilities};
use flymq_types::TopicName;

use super::{NewSchema, SCHEMAS_FEATURE, SchemaBinding, SubjectNaming, Validators, compile};
use crate::engine::Engine;
use crate::error::EngineError;
use crate::meta::{
    Command, DeleteSchema, MetaError, RegisterSchema, Rejection, Reply, SchemaBook, SchemaRejection,
    SchemaSubject, SchemaVersion, SetCompatibility,
};
use crate::task::blocking;
use crate::topic::{TopicChange, TopicInfo};

/// How long a request for a schema that is unknown here waits for news of it.
const BARRIER_WAIT: Duration = Duration::from_secs(1);
/// How often a registration is made anew after somebody else's.
const ATTEMPTS: usize = 8;
/// Longest name of a subject, bytes: a topic's with `-value`.
const MAX_SUBJECT: usize = 300;

impl Engine {
    /// Registers a version of a subject. A text that is a live version of it already is not registered again.
    ///
    /// # Errors
    /// `SchemaInvalid`, `SchemaIncompatible`, `SchemaNotFound` (a reference), `InvalidArgument`, `SchemasOff`, `FeatureOff`,
    /// `LimitReached`, or a failure of the metadata.
    pub async fn register_schema(&self, new: NewSchema) -> Result<Arc<SchemaVersion>, EngineError> {
        self.check_schemas()?;
        check_subject(&new.subject)?;
        self.latest_schemas().await;
        for _ in 0..ATTEMPTS {
            let book = self.metadata().schemas.clone();
            let (given, kept) = (new.clone(), self.schemas.clone());
            let prepared = blocking(move || prepare(&book, &given, &kept)).await??;
            let revision = match prepared {
                Prepared::There(version) => return Ok(version),
                Prepared::New { revision } => revision,
            };
            let command = RegisterSchema {
                subject: new.subject.clone(),
                revision,
                kind: new.kind,
                definition: new.definition.clone(),
                references: new.references.clone(),
                compatibility: new.compatibility,
                created: self.clock.wall(),
            };
            match self.meta.propose(vec![Command::RegisterSchema(command)]).await {
                Ok(applied) => {
                    let mut replies = applied.replies.into_iter();
                    if let Some(Reply::SchemaRegistered(version)) = replies.next() {
                        return Ok(version);
                    }
                    return Err(EngineError::MetaUnavailable {
                        reason: "another answer was expected".to_owned(),
                    });
                }
                Err(MetaError::Rejected(Rejection::Schema(SchemaRejection::Conflict { .. }))) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(EngineError::Conflict { what: format!("schema {}", new.subject) })
    }

    /// What stands against registering it after `version` (none: as the subject's rule says); empty: nothing, as for a subject
    /// that is new.
    ///
    /// # Errors
    /// `SchemaInvalid`, `SchemaNotFound` for a version that is not there, `SchemasOff`.
    pub async fn schema_incompatibilities(
        &self,
        new: NewSchema,
        version: Option<u32>,
    ) -> Result<Vec<String>, EngineError> {
        self.check_schemas()?;
        self.latest_schemas().await;
        let (book, kept) = (self.metadata().schemas.clone(), self.schemas.clone());
        blocking(move || {
            let compiled = compile(&book, new.kind, &new.definition, &new.references)?;
            let unknown = || EngineError::SchemaNotFound { subject: new.subject.to_string(), version };
            let subject = book.subjects.get(&new.subject);
            let rule = book.compatibility(&new.subject);
            let earlier = match (subject, version) {
                (subject, Some(_)) => {
                    vec![subject.and_then(|known| known.version(version)).ok_or_else(unknown)?.clone()]
                }
                (Some(subject), None) => subject.live().rev().cloned().collect(),
                (None, None) => Vec::new(),
            };
            Ok(incompatibilities(rule, &compiled, &validators(&book, &earlier, &kept)?))
        })
        .await?
    }

    /// A version of a subject; none: the latest. With the rule in force.
    ///
    /// # Errors
    /// `SchemaNotFound`, `SchemasOff`.
    pub async fn schema(
        &self,
        subject: &str,
        version: Option<u32>,
    ) -> Result<(Arc<SchemaVersion>, Compatibility), EngineError> {
        self.check_schemas()?;
        let find = |book: &SchemaBook| {
            let found = book.version(subject, version).cloned();
            found.map(|found| (found, book.compatibility(subject)))
        };
        if version.is_some()
            && let Some(found) = find(&self.metadata().schemas)
        {
            return Ok(found);
        }
        self.latest_schemas().await;
        let found = find(&self.metadata().schemas);
        found.ok_or_else(|| EngineError::SchemaNotFound { subject: subject.to_owned(), version })
    }

    /// The schema of an id, deleted or not.
    ///
    /// # Errors
    /// `SchemaIdNotFound`, `SchemasOff`.
    pub async fn schema_by_id(&self, id: u32) -> Result<(Arc<SchemaVersion>, Compatibility), EngineError> {
        self.check_schemas()?;
        if !self.metadata().schemas.ids.contains_key(&id) {
            self.latest_schemas().await;
        }
        let book = self.metadata().schemas.clone();
        let found = book.ids.get(&id).ok_or(EngineError::SchemaIdNotFound { id })?;
        Ok((found.clone(), book.compatibility(&found.subject)))
    }

    /// All schemas at the time of the call.
    ///
    /// # Errors
    /// `SchemasOff`.
    pub async fn schema_book(&self) -> Result<Arc<SchemaBook>, EngineError> {
        self.check_schemas()?;
        self.latest_schemas().await;
        Ok(self.metadata().schemas.clone())
    }

    /// Marks versions as deleted (none: all of the subject), or with `permanent` forgets those that are. Returns which.
    ///
    /// # Errors
    /// `SchemaNotFound`, `SchemaInUse`, `InvalidArgument`, `SchemasOff`, `FeatureOff`, or a failure of the metadata.
    pub async fn delete_schema(
        &self,
        subject: &str,
        version: Option<u32>,
        permanent: bool,
    ) -> Result<Vec<u32>, EngineError> {
        self.check_schemas()?;
        if !permanent {
            self.latest_schemas().await;
            self.check_found_by_strategy(subject, version)?;
        }
        let command = DeleteSchema { subject: subject.into(), version, permanent };
        let applied = self.meta.propose(vec![Command::DeleteSchema(command)]).await?;
        Ok(match applied.replies.into_iter().next() {
            Some(Reply::SchemaDeleted { versions }) => versions,
            _ => Vec::new(),
        })
    }

    /// Refuses to delete the last version of a subject that a topic finds by its own name: nothing could be produced there any more.
    /// (That a topic names the subject, the metadata sees to itself.)
    fn check_found_by_strategy(&self, subject: &str, version: Option<u32>) -> Result<(), EngineError> {
        let image = self.metadata();
        let Some(known) = image.schemas.subjects.get(subject) else { return Ok(()) };
        if known.live().any(|live| version.is_some_and(|version| live.version != version)) {
            return Ok(());
        }
        let finds = |topic: &TopicName, naming: &Option<SubjectNaming>, part: &str| {
            *naming == Some(SubjectNaming::TopicName) && subject == format!("{topic}-{part}")
        };
        let by = image.topics.values().find(|topic| {
            topic.config.schema.as_ref().is_some_and(|binding| {
                finds(&topic.name, &binding.value, "value") || finds(&topic.name, &binding.key, "key")
            })
        });
        match by {
            Some(topic) => Err(EngineError::SchemaInUse {
                subject: subject.to_owned(),
                by: format!("topic {}", topic.name),
            }),
            None => Ok(()),
        }
    }

    /// Sets the rule of a subject (none: of all that have none of their own); without a rule the subject has none of its own any
    /// more.
    ///
    /// # Errors
    /// `InvalidArgument`, `SchemasOff`, `FeatureOff`, or a failure of the metadata.
    pub async fn set_compatibility(
        &self,
        subject: Option<&str>,
        compatibility: Option<Compatibility>,
    ) -> Result<(), EngineError> {
        self.check_schemas()?;
        subject.map_or(Ok(()), check_subject)?;
        let command = SetCompatibility { subject: subject.map(Arc::from), compatibility };
        self.meta.propose(vec![Command::SetCompatibility(command)]).await?;
        Ok(())
    }

    /// Binds what the topic's records have to match; none: they may be anything again.
    ///
    /// # Errors
    /// `SchemaNotFound` (a subject that is named and is not there), what [`Engine::alter_topic`] fails by, `SchemasOff`, `FeatureOff`.
    pub async fn bind_schema(
        &self,
        topic: &TopicName,
        binding: Option<SchemaBinding>,
    ) -> Result<TopicInfo, EngineError> {
        self.check_schemas()?;
        self.latest_schemas().await;
        let book = self.metadata().schemas.clone();
        for subject in binding.iter().flat_map(SchemaBinding::subjects) {
            if book.version(subject, None).is_none() {
                return Err(EngineError::SchemaNotFound { subject: subject.to_owned(), version: None });
            }
        }
        let change = TopicChange { schema: Some(binding.map(Arc::new)), ..TopicChange::default() };
        self.alter_topic(topic, change).await
    }

    pub(super) fn check_schemas(&self) -> Result<(), EngineError> {
        self.check_running()?;
        if !self.options.schemas {
            return Err(EngineError::SchemasOff);
        }
        if self.is_member() && self.metadata().cluster.features < SCHEMAS_FEATURE {
            return Err(EngineError::FeatureOff { feature: "schemas", needed: SCHEMAS_FEATURE });
        }
        Ok(())
    }

    /// Waits until this node knows what was registered through others before the call; without an answer what is known here has to do.
    pub(super) async fn latest_schemas(&self) {
        if self.is_member() {
            let _known = tokio::time::timeout(BARRIER_WAIT, self.meta.barrier()).await;
        }
    }
}

enum Prepared {
    There(Arc<SchemaVersion>),
    New { revision: u64 },
}

/// Compiles the new schema and holds it against the earlier versions.
fn prepare(book: &SchemaBook, new: &NewSchema, kept: &Validators) -> Result<Prepared, EngineError> {
    let none = SchemaSubject::default();
    let subject = book.subjects.get(&new.subject).map_or(&none, |subject| &**subject);
    let same = subject.live().rev().find(|old| old.says(new.kind, &new.definition, &new.references));
    if let Some(same) = same {
        return Ok(Prepared::There(same.clone()));
    }
    let earlier: Vec<_> = subject.live().rev().cloned().collect();
    let rule = book.compatibility(&new.subject);
    if let Some(asked) = new.compatibility.filter(|asked| *asked != rule && !earlier.is_empty()) {
        let reason = format!(
            "the rule of {} is {}: changing it to {} needs SetCompatibility",
            new.subject,
            rule.name(),
            asked.name()
        );
        return Err(EngineError::InvalidArgument { field: "compatibility", reason });
    }
    let compiled = compile(book, new.kind, &new.definition, &new.references)?;
    let reasons = incompatibilities(rule, &compiled, &validators(book, &earlier, kept)?);
    if !reasons.is_empty() {
        let (subject, rule) = (new.subject.to_string(), rule.name());
        return Err(EngineError::SchemaIncompatible { subject, rule, reasons });
    }
    Ok(Prepared::New { revision: subject.revision })
}

fn validators(
    book: &SchemaBook,
    versions: &[Arc<SchemaVersion>],
    kept: &Validators,
) -> Result<Vec<(u32, Arc<Compiled>)>, EngineError> {
    versions.iter().map(|old| Ok((old.version, kept.of(book, old.id)?))).collect()
}

fn check_subject(subject: &str) -> Result<(), EngineError> {
    let why = match subject {
        "" => "must not be empty",
        _ if subject.len() > MAX_SUBJECT => "is longer than 300 bytes",
        _ if subject.chars().any(char::is_control) => "must not contain control characters",
        _ => return Ok(()),
    };
    Err(EngineError::InvalidArgument { field: "name", reason: format!("a schema's name {why}") })
}
