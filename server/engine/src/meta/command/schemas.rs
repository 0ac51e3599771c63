//! Schemas come, go, and change their rule.

use std::sync::Arc;

use flymq_schemas::{Compatibility, SchemaKind};
use flymq_types::Timestamp;

use super::{Effects, Rejection, Reply, SchemaRejection};
use crate::meta::{MetaImage, SchemaBook, SchemaReference, SchemaSubject, SchemaVersion};

/// Most versions of all subjects together, and bytes of their texts: every node keeps them in memory, and every snapshot has them.
const MAX_VERSIONS: usize = 10_000;
const MAX_BYTES: usize = 32 << 20;

/// A new version, if its subject is still at `revision`. Whoever makes the command has compiled it and compared it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegisterSchema {
    pub subject: Arc<str>,
    /// 0 for a subject that is not there.
    pub revision: u64,
    pub kind: SchemaKind,
    pub definition: Arc<str>,
    pub references: Vec<SchemaReference>,
    /// A rule for the subject.
    pub compatibility: Option<Compatibility>,
    pub created: Timestamp,
}

/// Marks versions as deleted, or forgets those that were.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeleteSchema {
    pub subject: Arc<str>,
    /// None: all of them.
    pub version: Option<u32>,
    /// They have to be marked already.
    pub permanent: bool,
}

/// Another rule for a subject, or for all that have none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetCompatibility {
    /// None: for all that have none of their own.
    pub subject: Option<Arc<str>>,
    /// None: that of all.
    pub compatibility: Option<Compatibility>,
}

impl RegisterSchema {
    pub(super) fn apply(&self, image: &mut MetaImage) -> Result<(Reply, Effects), Rejection> {
        let book = Arc::make_mut(&mut image.schemas);
        let mut subject =
            book.subjects.get(&self.subject).map(|subject| (**subject).clone()).unwrap_or_default();
        if subject.revision != self.revision {
            return Err(SchemaRejection::Conflict { subject: self.subject.clone() }.into());
        }
        let versions = || book.subjects.values().flat_map(|subject| &subject.versions);
        let bytes: usize = versions().map(|version| version.definition.len()).sum();
        if versions().count() >= MAX_VERSIONS || bytes + self.definition.len() > MAX_BYTES {
            return Err(SchemaRejection::TooMany { limit: MAX_VERSIONS }.into());
        }
        let alike = book.ids.values().find(|one| one.says(self.kind, &self.definition, &self.references));
        let id = alike.map_or(book.last_id + 1, |one| one.id);
        let version = Arc::new(SchemaVersion {
            subject: self.subject.clone(),
            version: subject.last_version + 1,
            id,
            kind: self.kind,
            definition: self.definition.clone(),
            references: self.references.clone(),
            created: self.created,
            deleted: false,
        });
        subject.revision += 1;
        subject.last_version += 1;
        subject.compatibility = self.compatibility.or(subject.compatibility);
        subject.versions.push(version.clone());
        book.last_id = book.last_id.max(id);
        book.ids.insert(id, version.clone());
        book.subjects.insert(self.subject.clone(), Arc::new(subject));
        Ok((Reply::SchemaRegistered(version), Effects::new()))
    }
}

impl DeleteSchema {
    pub(super) fn apply(&self, image: &mut MetaImage) -> Result<(Reply, Effects), Rejection> {
        let unknown = || SchemaRejection::Unknown { subject: self.subject.clone(), version: self.version };
        let old = image.schemas.subjects.get(&self.subject).ok_or_else(unknown)?;
        let meant = |version: &SchemaVersion| self.version.is_none_or(|number| version.version == number);
        let mut subject = SchemaSubject::clone(old);
        let mut numbers = Vec::new();
        if self.permanent {
            if old.live().any(|version| meant(version)) {
                return Err(SchemaRejection::NotDeleted { subject: self.subject.clone() }.into());
            }
            subject.versions.retain(|version| {
                let goes = meant(version);
                numbers.extend(goes.then_some(version.version));
                !goes
            });
        } else {
            for version in &mut subject.versions {
                if meant(version) && !version.deleted {
                    numbers.push(version.version);
                    *version = Arc::new(SchemaVersion { deleted: true, ..(**version).clone() });
                }
            }
            in_use(image, &self.subject, &numbers, subject.live().next().is_none())?;
        }
        if numbers.is_empty() {
            return Err(unknown().into());
        }
        subject.revision += 1;
        let book = Arc::make_mut(&mut image.schemas);
        book.subjects.insert(self.subject.clone(), Arc::new(subject));
        book.index();
        Ok((Reply::SchemaDeleted { versions: numbers }, Effects::new()))
    }
}

/// Refuses to delete what other schemas refer to, and the last version of a subject that a topic is bound to.
fn in_use(image: &MetaImage, subject: &Arc<str>, versions: &[u32], all: bool) -> Result<(), Rejection> {
    let by = |by: String| Err(SchemaRejection::InUse { subject: subject.clone(), by }.into());
    for other in image.schemas.subjects.values().flat_map(|other| other.live()) {
        let refers =
            other.references.iter().any(|to| to.subject == *subject && versions.contains(&to.version));
        let goes = other.subject == *subject && versions.contains(&other.version);
        if refers && !goes {
            return by(format!("schema {}-v{}", other.subject, other.version));
        }
    }
    let binds = |name: &str| name == &**subject;
    let bound = image
        .topics
        .values()
        .find(|topic| topic.config.schema.as_ref().is_some_and(|binding| binding.subjects().any(binds)));
    match bound.filter(|_| all) {
        Some(topic) => by(format!("topic {}", topic.name)),
        None => Ok(()),
    }
}

impl SetCompatibility {
    pub(super) fn apply(&self, image: &mut MetaImage) -> Result<(Reply, Effects), Rejection> {
        let book = Arc::make_mut(&mut image.schemas);
        match &self.subject {
            None => book.compatibility = self.compatibility.unwrap_or(SchemaBook::default().compatibility),
            Some(name) => {
                let mut subject =
                    book.subjects.get(name).map(|subject| (**subject).clone()).unwrap_or_default();
                subject.revision += 1;
                subject.compatibility = self.compatibility;
                book.subjects.insert(name.clone(), Arc::new(subject));
            }
        }
        Ok((Reply::CompatibilitySet, Effects::new()))
    }
}
