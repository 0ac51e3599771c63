//! Schemas in the metadata: every node has all of them, so that each checks what it appends.

use std::collections::BTreeMap;
use std::sync::Arc;

use flymq_schemas::{Compatibility, SchemaKind};
use flymq_types::Timestamp;

/// A schema that another one refers to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SchemaReference {
    /// As the text names it.
    pub name: Arc<str>,
    pub subject: Arc<str>,
    pub version: u32,
}

/// One version of a subject.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SchemaVersion {
    pub subject: Arc<str>,
    /// From 1 in each subject, never given again.
    pub version: u32,
    /// The same for the same text in all subjects; never given to another one.
    pub id: u32,
    pub kind: SchemaKind,
    pub definition: Arc<str>,
    pub references: Vec<SchemaReference>,
    pub created: Timestamp,
    /// Not listed any more, and found by its id alone.
    pub deleted: bool,
}

impl SchemaVersion {
    /// Whether it says the same.
    pub fn says(&self, kind: SchemaKind, definition: &str, references: &[SchemaReference]) -> bool {
        self.kind == kind && *self.definition == *definition && self.references == references
    }
}

/// A name under which versions of one schema follow each other.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SchemaSubject {
    /// Counts the changes; a command names the one it has seen.
    pub revision: u64,
    pub last_version: u32,
    /// None: that of all subjects.
    pub compatibility: Option<Compatibility>,
    /// By version, deleted ones too.
    pub versions: Vec<Arc<SchemaVersion>>,
}

impl SchemaSubject {
    /// Versions that are not deleted, the oldest first.
    pub fn live(&self) -> impl DoubleEndedIterator<Item = &Arc<SchemaVersion>> {
        self.versions.iter().filter(|version| !version.deleted)
    }

    /// The version of that number, or the latest, unless it is deleted.
    pub fn version(&self, number: Option<u32>) -> Option<&Arc<SchemaVersion>> {
        match number {
            None => self.live().next_back(),
            Some(number) => self.live().find(|version| version.version == number),
        }
    }
}

/// All schemas.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SchemaBook {
    pub subjects: BTreeMap<Arc<str>, Arc<SchemaSubject>>,
    /// One version of each id; made from the subjects.
    pub ids: BTreeMap<u32, Arc<SchemaVersion>>,
    pub last_id: u32,
    /// Of subjects that have none of their own.
    pub compatibility: Compatibility,
}

impl SchemaBook {
    /// The book of these subjects.
    pub fn new(
        subjects: BTreeMap<Arc<str>, Arc<SchemaSubject>>,
        last_id: u32,
        compatibility: Compatibility,
    ) -> Self {
        let mut book = Self { subjects, ids: BTreeMap::new(), last_id, compatibility };
        book.index();
        book
    }

    /// Finds the versions' ids anew.
    pub(super) fn index(&mut self) {
        let versions = self.subjects.values().flat_map(|subject| &subject.versions);
        self.ids = versions.map(|version| (version.id, version.clone())).collect();
    }

    /// The version of that number, or the latest, unless it is deleted.
    pub fn version(&self, subject: &str, number: Option<u32>) -> Option<&Arc<SchemaVersion>> {
        self.subjects.get(subject)?.version(number)
    }

    /// The rule in force.
    pub fn compatibility(&self, subject: &str) -> Compatibility {
        let own = self.subjects.get(subject).and_then(|subject| subject.compatibility);
        own.unwrap_or(self.compatibility)
    }
}
