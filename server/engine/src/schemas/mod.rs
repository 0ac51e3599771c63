//! What records have to match: schemas in the metadata, bound to topics, and held against every record where it is appended, by
//! whichever door it came.
//!
//! ```text
//! register ──► compile, compare ──► Command ──► metadata of every node
//! append ──► topic's binding ──► subject ──► version (the frame's id, or the latest) ──► compiled validator (kept by id)
//! ```

mod calls;
mod check;

use std::collections::HashMap;
use std::sync::Arc;

use flymq_schemas::{Compatibility, Compiled, Referred, SchemaKind};
use parking_lot::Mutex;

use crate::error::EngineError;
use crate::meta::{SchemaBook, SchemaReference};

/// From this feature version on every node of a cluster knows schemas.
const SCHEMAS_FEATURE: u32 = 5;
/// The header of records that a client has encrypted.
const ENCRYPTED: &str = "flymq-encryption";
/// Compiled schemas that are kept.
const MAX_COMPILED: usize = 1_000;

/// What becomes of a record that does not match.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ValidationMode {
    /// It is refused, with its batch.
    Strict,
    /// It is appended, counted, and told in the log.
    Warn,
    /// Nothing is looked at.
    Off,
}

/// Which subject has the schema of a key or a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SubjectNaming {
    /// This one.
    Subject(Arc<str>),
    /// `<topic>-key` or `<topic>-value`.
    TopicName,
    /// The name of the record that the schema describes; values name their schema by its id.
    RecordName,
    /// `<topic>-<record name>`; likewise.
    TopicRecordName,
}

/// What the records of a topic have to match.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SchemaBinding {
    pub value: Option<SubjectNaming>,
    pub key: Option<SubjectNaming>,
    /// None: as the server's configuration says (`schema.validation`).
    pub mode: Option<ValidationMode>,
}

impl SchemaBinding {
    /// The subjects that it names.
    pub(crate) fn subjects(&self) -> impl Iterator<Item = &str> {
        [&self.value, &self.key].into_iter().flatten().filter_map(|naming| match naming {
            SubjectNaming::Subject(name) => Some(&**name),
            _ => None,
        })
    }
}

/// A schema to register.
#[derive(Debug, Clone)]
pub struct NewSchema {
    pub subject: Arc<str>,
    pub kind: SchemaKind,
    pub definition: Arc<str>,
    pub references: Vec<SchemaReference>,
    /// The rule of a subject that is new.
    pub compatibility: Option<Compatibility>,
}

/// Compiled schemas by id. A text never changes under its id, so nothing here gets old.
#[derive(Debug, Default)]
pub(crate) struct Validators {
    compiled: Mutex<HashMap<u32, Arc<Compiled>>>,
}

impl Validators {
    /// The validator of that id.
    pub(crate) fn of(&self, book: &SchemaBook, id: u32) -> Result<Arc<Compiled>, EngineError> {
        if let Some(known) = self.compiled.lock().get(&id) {
            return Ok(known.clone());
        }
        let schema = book.ids.get(&id).ok_or(EngineError::SchemaIdNotFound { id })?;
        let compiled = Arc::new(compile(book, schema.kind, &schema.definition, &schema.references)?);
        let mut kept = self.compiled.lock();
        if kept.len() >= MAX_COMPILED {
            kept.clear();
        }
        kept.insert(id, compiled.clone());
        Ok(compiled)
    }
}

/// Compiles a text with all that it refers to.
pub(crate) fn compile(
    book: &SchemaBook,
    kind: SchemaKind,
    definition: &str,
    references: &[SchemaReference],
) -> Result<Compiled, EngineError> {
    let mut referred = Vec::new();
    collect(book, references, &mut referred, 0)?;
    Compiled::new(kind, definition, &referred)
        .map_err(|invalid| EngineError::SchemaInvalid { reason: invalid.reason })
}

/// All that is referred to, what others need before them.
fn collect(
    book: &SchemaBook,
    references: &[SchemaReference],
    into: &mut Vec<Referred>,
    depth: usize,
) -> Result<(), EngineError> {
    for reference in references {
        if into.iter().any(|known: &Referred| known.name == reference.name) {
            continue;
        }
        if depth > flymq_schemas::MAX_REFERENCES || into.len() > flymq_schemas::MAX_REFERENCES {
            let reason = format!("it refers to more than {} schemas", flymq_schemas::MAX_REFERENCES);
            return Err(EngineError::SchemaInvalid { reason });
        }
        // Deleted ones too: what was registered goes on to work.
        let versions = book.subjects.get(&reference.subject).map(|subject| &subject.versions);
        let found = versions.into_iter().flatten().find(|version| version.version == reference.version);
        let found = found.ok_or_else(|| EngineError::SchemaNotFound {
            subject: reference.subject.to_string(),
            version: Some(reference.version),
        })?;
        collect(book, &found.references, into, depth + 1)?;
        into.push(Referred { name: reference.name.clone(), text: found.definition.clone() });
    }
    Ok(())
}
