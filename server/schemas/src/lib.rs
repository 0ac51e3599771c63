//! Schemas of records: JSON Schema, Avro and Protobuf. Text in, a compiled validator out; and whether one schema reads what
//! another one wrote. Pure: no disk, no network, no clock.
//!
//! Texts and records come from users, so everything here has a bound: length, nesting, steps. What a schema refers to is given with
//! it; nothing is ever fetched.

mod avro;
mod frame;
mod json;
mod protobuf;
#[cfg(test)]
mod tests;

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

pub use frame::{FRAME_LEN, frame, unframe};

/// Longest text of a schema, bytes.
pub const MAX_TEXT: usize = 256 << 10;
/// Most schemas that one refers to.
pub const MAX_REFERENCES: usize = 64;
/// Most violations that are told of one value.
const MAX_VIOLATIONS: usize = 16;
/// Longest text of a violation, bytes.
const MAX_VIOLATION: usize = 300;
/// Deepest nesting of braces and brackets in a text, and of a value.
const MAX_DEPTH: usize = 64;

/// The language of a schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SchemaKind {
    Json,
    Avro,
    Protobuf,
}

impl SchemaKind {
    /// `json`, `avro` or `protobuf`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Avro => "avro",
            Self::Protobuf => "protobuf",
        }
    }
}

impl fmt::Display for SchemaKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What a new version of a schema has to keep.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Compatibility {
    None,
    /// The new version reads what the latest one wrote.
    #[default]
    Backward,
    /// The latest version reads what the new one writes.
    Forward,
    /// Both.
    Full,
    /// As the three, with every earlier version.
    BackwardTransitive,
    ForwardTransitive,
    FullTransitive,
}

impl Compatibility {
    /// In small letters, as `backward_transitive`.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Backward => "backward",
            Self::Forward => "forward",
            Self::Full => "full",
            Self::BackwardTransitive => "backward_transitive",
            Self::ForwardTransitive => "forward_transitive",
            Self::FullTransitive => "full_transitive",
        }
    }

    /// Whether every earlier version counts, and not the latest alone.
    pub fn is_transitive(self) -> bool {
        matches!(self, Self::BackwardTransitive | Self::ForwardTransitive | Self::FullTransitive)
    }

    fn backward(self) -> bool {
        matches!(self, Self::Backward | Self::BackwardTransitive | Self::Full | Self::FullTransitive)
    }

    fn forward(self) -> bool {
        matches!(self, Self::Forward | Self::ForwardTransitive | Self::Full | Self::FullTransitive)
    }
}

/// A schema that another one refers to, under the name that it uses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Referred {
    pub name: Arc<str>,
    pub text: Arc<str>,
}

/// Why a text is no schema.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct Invalid {
    pub reason: String,
}

impl Invalid {
    fn new(reason: impl fmt::Display) -> Self {
        Self { reason: shortened(reason.to_string()) }
    }
}

/// A schema that is ready to check values.
#[derive(Debug)]
pub struct Compiled(Inner);

#[derive(Debug)]
enum Inner {
    Json(json::Json),
    Avro(avro::Avro),
    Protobuf(protobuf::Protobuf),
}

impl Compiled {
    /// Compiles a text with all that it refers to, directly or not.
    ///
    /// # Errors
    /// Why it is no schema of that kind, or is one that would cost too much.
    pub fn new(kind: SchemaKind, text: &str, references: &[Referred]) -> Result<Self, Invalid> {
        let total: usize = references.iter().map(|referred| referred.text.len()).sum();
        if text.len() > MAX_TEXT || total > 4 * MAX_TEXT {
            return Err(Invalid::new(format!("it is longer than {MAX_TEXT} bytes")));
        }
        if references.len() > MAX_REFERENCES {
            return Err(Invalid::new(format!("it refers to more than {MAX_REFERENCES} schemas")));
        }
        let compile = || {
            Ok(Self(match kind {
                SchemaKind::Json => Inner::Json(json::Json::compile(text, references)?),
                SchemaKind::Avro => Inner::Avro(avro::Avro::compile(text, references)?),
                SchemaKind::Protobuf => Inner::Protobuf(protobuf::Protobuf::compile(text, references)?),
            }))
        };
        // A parser that is not ours, on a text that anyone may have written.
        let compiled = catch_unwind(AssertUnwindSafe(compile));
        compiled.unwrap_or_else(|_panic| Err(Invalid::new("the parser of this kind of schema failed on it")))
    }

    pub fn kind(&self) -> SchemaKind {
        match &self.0 {
            Inner::Json(_) => SchemaKind::Json,
            Inner::Avro(_) => SchemaKind::Avro,
            Inner::Protobuf(_) => SchemaKind::Protobuf,
        }
    }

    /// The name of what it describes: an Avro name, a Protobuf message (the first), a JSON Schema's `title`.
    pub fn record_name(&self) -> Option<&str> {
        match &self.0 {
            Inner::Json(json) => json.title(),
            Inner::Avro(avro) => avro.record_name(),
            Inner::Protobuf(protobuf) => protobuf.record_name(),
        }
    }

    /// Why the schema does not accept the value; each names the place in it. Empty: it does.
    pub fn check(&self, value: &[u8]) -> Vec<String> {
        match &self.0 {
            Inner::Json(json) => json.check(value),
            Inner::Avro(avro) => avro.check(value),
            Inner::Protobuf(protobuf) => protobuf.check(value),
        }
    }

    /// As [`Self::check`], for what follows the five bytes of a frame ([`unframe`]): Protobuf says there which message it is.
    pub fn check_framed(&self, rest: &[u8]) -> Vec<String> {
        match &self.0 {
            Inner::Protobuf(protobuf) => protobuf.check_framed(rest),
            Inner::Json(_) | Inner::Avro(_) => self.check(rest),
        }
    }

    /// What stands against reading with this schema what was written with `writer`; empty: nothing.
    pub fn cannot_read(&self, writer: &Self) -> Vec<String> {
        let found = match (&self.0, &writer.0) {
            (Inner::Json(reader), Inner::Json(writer)) => reader.cannot_read(writer),
            (Inner::Avro(reader), Inner::Avro(writer)) => reader.cannot_read(writer),
            (Inner::Protobuf(reader), Inner::Protobuf(writer)) => reader.cannot_read(writer),
            _ => vec![format!("a {} schema cannot follow a {} schema", self.kind(), writer.kind())],
        };
        found.into_iter().take(MAX_VIOLATIONS).map(shortened).collect()
    }
}

/// What stands against `new` after `earlier` (newest first; with their versions) under this rule; empty: nothing.
pub fn incompatibilities(
    rule: Compatibility,
    new: &Compiled,
    earlier: &[(u32, Arc<Compiled>)],
) -> Vec<String> {
    let count = if rule.is_transitive() { earlier.len() } else { 1 };
    let mut found = Vec::new();
    for (version, old) in earlier.iter().take(count) {
        if rule.backward() {
            let why = new.cannot_read(old);
            found.extend(why.into_iter().map(|why| format!("it does not read version {version}: {why}")));
        }
        if rule.forward() {
            let why = old.cannot_read(new);
            found.extend(why.into_iter().map(|why| format!("version {version} does not read it: {why}")));
        }
    }
    found.truncate(MAX_VIOLATIONS);
    found
}

/// Cut at a length that an error may have.
fn shortened(mut text: String) -> String {
    if text.len() > MAX_VIOLATION {
        let end = (0..=MAX_VIOLATION).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        text.truncate(end);
        text.push('…');
    }
    text
}
