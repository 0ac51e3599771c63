//! Why a filter text is refused.

use crate::FilterKind;

/// A filter text that is not of its kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}{why}", position.map(|(line, column)| format!("line {line}, column {column}: ")).unwrap_or_default())]
pub struct InvalidFilter {
    pub kind: FilterKind,
    pub why: String,
    /// Line and column of the first fault, both from 1, where it has one.
    pub position: Option<(usize, usize)>,
}

impl InvalidFilter {
    pub(crate) fn new(kind: FilterKind, why: impl Into<String>) -> Self {
        Self { kind, why: why.into(), position: None }
    }

    /// At a byte of `text`.
    pub(crate) fn at(mut self, text: &str, byte: usize) -> Self {
        let before = text.get(..byte).unwrap_or(text);
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        self.position = Some((line, column));
        self
    }
}
