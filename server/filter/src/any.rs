//! The filter of version 1 of the native port: path, text or regular expression, any of which is a hit.

use regex::bytes::Regex;

use crate::{FilterKind, InvalidFilter, Record, path::Path, regexes};

#[derive(Debug)]
pub(crate) struct Any {
    path: Option<Path>,
    /// The text itself, whatever its case.
    text: Regex,
    /// None where it says the same as `text`, or is no expression.
    regex: Option<Regex>,
}

impl Any {
    pub fn new(text: &str) -> Result<Self, InvalidFilter> {
        let plain = regex::escape(text) == text;
        Ok(Self {
            path: text.starts_with("$.").then(|| Path::new(text).ok()).flatten(),
            text: regexes::any_case(text)?,
            regex: if plain { None } else { regexes::compile(FilterKind::Any, text).ok() },
        })
    }

    pub fn matches(&self, record: &Record<'_>) -> bool {
        let in_path = |path: &Path| record.value.is_some_and(|value| path.is_in(value));
        let hit = |regex: &Regex| {
            record.value.is_some_and(|value| regex.is_match(value))
                || record.key.is_some_and(|key| regex.is_match(key))
        };
        self.path.as_ref().is_some_and(in_path) || hit(&self.text) || self.regex.as_ref().is_some_and(hit)
    }

    /// See [`crate::Filter::may_match`]. A plain text stands in one piece; an expression may look at where a value begins.
    pub fn may_match(&self, records: &[u8]) -> bool {
        self.path.is_some() || self.regex.is_some() || self.text.is_match(records)
    }
}
