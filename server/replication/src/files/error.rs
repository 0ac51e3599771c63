//! Why the local metadata cannot be opened.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use flymq_storage::StorageError;

/// A failure to open the metadata. Nothing was changed, unless it says so.
#[derive(Debug, thiserror::Error)]
pub enum LocalMetaError {
    #[error("{operation} {}: {source}", path.display())]
    Io { operation: &'static str, path: PathBuf, source: io::Error },
    /// Stored metadata is damaged. It is never cut or rewritten: without it the broker would take its topics for
    /// unknown.
    #[error("{} is damaged ({reason}); nothing was changed", path.display())]
    Damaged { path: PathBuf, reason: String },
    /// The file is encrypted, and not under a key that was given.
    #[error(transparent)]
    Key(#[from] StorageError),
    /// A newer FlyMQ wrote the file.
    #[error("{} has format version {found}, this build knows {known}: use a newer FlyMQ", path.display())]
    UnknownFormat { path: PathBuf, found: u32, known: u32 },
}

impl LocalMetaError {
    /// The failure as one that passes without a restart: the disk is full or read-only, or no file can be opened. A
    /// failed sync is none, whatever its reason was; nor is one at a step after which it is unknown what is there.
    pub(crate) fn passing(&self) -> Option<StorageError> {
        let Self::Io { operation, path, source } = self else { return None };
        if ["fdatasync", "sync directory", "rename"].contains(operation) {
            return None;
        }
        let (operation, path) = (*operation, path.clone());
        match (source.kind(), source.raw_os_error()) {
            (_, Some(ENFILE | EMFILE)) => Some(StorageError::TooManyOpenFiles { operation, path }),
            (ErrorKind::StorageFull | ErrorKind::QuotaExceeded, _) => Some(StorageError::DiskFull { path }),
            (ErrorKind::ReadOnlyFilesystem, _) => Some(StorageError::ReadOnly { path }),
            _other => None,
        }
    }
}

/// The error numbers of too many open files, in the system and in the process.
const ENFILE: i32 = 23;
const EMFILE: i32 = 24;

pub(crate) type Result<T, E = LocalMetaError> = std::result::Result<T, E>;

/// Adds operation and path to an IO result.
pub(crate) trait IoContext<T> {
    fn on(self, operation: &'static str, path: &Path) -> Result<T>;
}

impl<T> IoContext<T> for io::Result<T> {
    fn on(self, operation: &'static str, path: &Path) -> Result<T> {
        self.map_err(|source| LocalMetaError::Io { operation, path: path.to_owned(), source })
    }
}

pub(crate) fn damaged(path: &Path, reason: impl Into<String>) -> LocalMetaError {
    LocalMetaError::Damaged { path: path.to_owned(), reason: reason.into() }
}
