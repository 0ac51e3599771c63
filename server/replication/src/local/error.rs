//! Why the local metadata cannot be opened.

use std::io;
use std::path::{Path, PathBuf};

/// A failure to open the metadata. Nothing was changed, unless it says so.
#[derive(Debug, thiserror::Error)]
pub enum LocalMetaError {
    #[error("{operation} {}: {source}", path.display())]
    Io { operation: &'static str, path: PathBuf, source: io::Error },
    /// Stored metadata is damaged. It is never cut or rewritten: without it the broker would take its topics for
    /// unknown.
    #[error("{} is damaged ({reason}): restore it from a backup; nothing was changed", path.display())]
    Damaged { path: PathBuf, reason: String },
    /// A newer FlyMQ wrote the file.
    #[error("{} has format version {found}, this build knows {known}: use a newer FlyMQ", path.display())]
    UnknownFormat { path: PathBuf, found: u32, known: u32 },
}

pub(super) type Result<T, E = LocalMetaError> = std::result::Result<T, E>;

/// Adds operation and path to an IO result.
pub(super) trait IoContext<T> {
    fn on(self, operation: &'static str, path: &Path) -> Result<T>;
}

impl<T> IoContext<T> for io::Result<T> {
    fn on(self, operation: &'static str, path: &Path) -> Result<T> {
        self.map_err(|source| LocalMetaError::Io { operation, path: path.to_owned(), source })
    }
}

pub(super) fn damaged(path: &Path, reason: impl Into<String>) -> LocalMetaError {
    LocalMetaError::Damaged { path: path.to_owned(), reason: reason.into() }
}
