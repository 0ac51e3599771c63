//! Why a configuration is refused. All findings of one load are reported together.

use std::fmt;

/// The configuration cannot be used; holds at least one problem.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct ConfigError {
    /// What is wrong, in the order found.
    pub problems: Vec<Problem>,
}

/// One finding: what is wrong and why, and the way out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The key concerned, dotted; None where the file as a whole is concerned.
    pub key: Option<String>,
    /// What is wrong, where, and why.
    pub what: String,
    /// What to do about it.
    pub hint: String,
}

impl Problem {
    pub(crate) fn of(key: &str, what: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { key: Some(key.to_owned()), what: what.into(), hint: hint.into() }
    }

    pub(crate) fn general(what: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { key: None, what: what.into(), hint: hint.into() }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A parser's message may show the lines it complains about.
        let separator = if self.what.contains('\n') { "\n" } else { "; " };
        write!(formatter, "{}{separator}{}", self.what, self.hint)
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.problems.iter().enumerate() {
            if index > 0 {
                formatter.write_str("\n")?;
            }
            write!(formatter, "{problem}")?;
        }
        Ok(())
    }
}

impl From<Problem> for ConfigError {
    fn from(problem: Problem) -> Self {
        Self { problems: vec![problem] }
    }
}
