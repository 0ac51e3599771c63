//! Content filters: which records a reader wants to see. Text, regular expressions, JSON paths and CEL.
//!
//! A filter is compiled once and asked for every record. No filter text and no record can make it panic, and both cost a
//! bounded time: regular expressions run on a linear-time engine, CEL under a budget of steps.

mod any;
mod cel;
mod invalid;
mod path;
mod record;
mod regexes;
mod text;

use any::Any;
pub use invalid::InvalidFilter;
use path::Path;
pub use record::{ENCRYPTION_HEADER, Headers, Record};
use regex::bytes::Regex;
use text::Text;

/// Longest filter text, bytes.
pub const MAX_TEXT: usize = 8 << 10;

/// How the text of a filter is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FilterKind {
    /// As version 1 of the native port: a record matches when it has the `$.path`, or has the text in value or key whatever
    /// the case, or the regular expression matches value or key. A text that is no regular expression is only text.
    Any,
    /// The bytes stand in the value or the key.
    Text,
    /// The regular expression matches the value or the key.
    Regex,
    /// The value is a JSON object that has this `$.dotted.path`, whatever stands there.
    Path,
    /// The expression (<https://cel.dev>) is true.
    Cel,
}

impl FilterKind {
    /// As messages name it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Any => "any",
            Self::Text => "text",
            Self::Regex => "regex",
            Self::Path => "path",
            Self::Cel => "cel",
        }
    }
}

/// Why a filter cannot say whether a record matches.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Undecided {
    /// It asks about a value that its producer encrypted.
    #[error("the value is encrypted by its producer")]
    Encrypted,
    /// The expression fails on this record: a field that is not there, types that do not go together, too many steps.
    #[error("{0}")]
    Failed(String),
}

/// A compiled filter.
#[derive(Debug)]
pub struct Filter(Compiled);

#[derive(Debug)]
enum Compiled {
    Any(Any),
    Text(Text),
    Regex(Regex),
    Path(Path),
    Cel(cel::Program),
}

impl Filter {
    /// Compiles a filter text.
    ///
    /// # Errors
    /// When the text is empty, too long or not of that kind.
    pub fn new(kind: FilterKind, text: &str) -> Result<Self, InvalidFilter> {
        if text.is_empty() {
            return Err(InvalidFilter::new(kind, "the filter is empty"));
        }
        if text.len() > MAX_TEXT {
            let why = format!("the filter has {} bytes; at most {MAX_TEXT} are taken", text.len());
            return Err(InvalidFilter::new(kind, why));
        }
        Ok(Self(match kind {
            FilterKind::Any => Compiled::Any(Any::new(text)?),
            FilterKind::Text => Compiled::Text(Text::new(text)),
            FilterKind::Regex => Compiled::Regex(regexes::compile(kind, text)?),
            FilterKind::Path => Compiled::Path(Path::new(text)?),
            FilterKind::Cel => Compiled::Cel(cel::Program::new(text)?),
        }))
    }

    /// Whether a record matches.
    ///
    /// # Errors
    /// Where the filter asks about an encrypted value, or a CEL expression fails on the record.
    pub fn matches(&self, record: &Record<'_>) -> Result<bool, Undecided> {
        if self.asks_about_the_value() && record.is_encrypted() {
            return Err(Undecided::Encrypted);
        }
        let either =
            |hit: &dyn Fn(&[u8]) -> bool| record.value.is_some_and(hit) || record.key.is_some_and(hit);
        Ok(match &self.0 {
            Compiled::Any(any) => any.matches(record),
            Compiled::Text(text) => either(&|bytes| text.is_in(bytes)),
            Compiled::Regex(regex) => either(&|bytes| regex.is_match(bytes)),
            Compiled::Path(path) => record.value.is_some_and(|value| path.is_in(value)),
            Compiled::Cel(program) => return program.matches(record),
        })
    }

    /// Whether any record in `records`, the uncompressed records of a batch back to back, may match or be undecided. False is
    /// certain and costs one search over the bytes in place of reading each record.
    pub fn may_match(&self, records: &[u8]) -> bool {
        let found = match &self.0 {
            Compiled::Any(any) => any.may_match(records),
            Compiled::Text(text) => text.is_in(records),
            Compiled::Regex(_) | Compiled::Path(_) | Compiled::Cel(_) => true,
        };
        found || memchr::memmem::find(records, ENCRYPTION_HEADER.as_bytes()).is_some()
    }

    fn asks_about_the_value(&self) -> bool {
        match &self.0 {
            Compiled::Cel(program) => program.asks_about_the_value(),
            Compiled::Any(_) | Compiled::Text(_) | Compiled::Regex(_) | Compiled::Path(_) => true,
        }
    }
}

#[cfg(test)]
mod tests;
