//! Where a value came from.

use std::fmt;
use std::path::PathBuf;

/// The origin of one setting, from the weakest to the strongest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// Nobody set it.
    Default,
    /// The configuration file.
    File(PathBuf),
    /// An environment variable, by name.
    Env(&'static str),
    /// A command-line flag as the user wrote it, e.g. `-human-readable`.
    Flag(String),
}

impl Source {
    /// True where a person or a tool set the value.
    pub fn is_explicit(&self) -> bool {
        *self != Source::Default
    }
}

impl fmt::Display for Source {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::Default => formatter.write_str("default"),
            Source::File(path) => write!(formatter, "file {}", path.display()),
            Source::Env(name) => write!(formatter, "env {name}"),
            Source::Flag(flag) => write!(formatter, "flag {flag}"),
        }
    }
}
