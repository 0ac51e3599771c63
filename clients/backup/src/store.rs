//! Where a backup lies: a directory, or with the feature `object-storage` a bucket.

mod directory;
#[cfg(feature = "object-storage")]
mod objects;

use std::fmt::Debug;

use bytes::Bytes;
use futures::future::BoxFuture;

pub use directory::DirectoryStore;
#[cfg(feature = "object-storage")]
pub use objects::ObjectStore;

use crate::BackupError;

/// A flat place for files.
///
/// # Contract
/// - A file that `put` has begun is there whole or not at all, whatever is killed; with `Ok` it survives a power cut.
/// - `get` reads a plain file of that place: it follows no link and no path.
/// - `list` may also name files that are none of ours.
pub trait Store: Send + Sync + Debug {
    /// How people call the place.
    fn place(&self) -> String;

    fn list(&self) -> BoxFuture<'_, Result<Vec<String>, BackupError>>;

    /// The bytes of a file, which are no more than `limit`.
    ///
    /// # Errors
    /// `Missing`; `Damaged` for a link, a directory or too large a file; `Storage`.
    fn get<'a>(&'a self, name: &'a str, limit: usize) -> BoxFuture<'a, Result<Bytes, BackupError>>;

    fn put<'a>(&'a self, name: &'a str, bytes: Bytes) -> BoxFuture<'a, Result<(), BackupError>>;
}

/// The place that a directory's path or a URL names.
///
/// # Errors
/// `BadPlace` for a URL of a scheme that this build does not know.
pub fn open(place: &str) -> Result<Box<dyn Store>, BackupError> {
    match place.split_once("://") {
        None => Ok(Box::new(DirectoryStore::new(place))),
        Some(("file", path)) => Ok(Box::new(DirectoryStore::new(path))),
        Some(_) => open_url(place),
    }
}

#[cfg(feature = "object-storage")]
fn open_url(place: &str) -> Result<Box<dyn Store>, BackupError> {
    Ok(Box::new(ObjectStore::open(place)?))
}

#[cfg(not(feature = "object-storage"))]
fn open_url(place: &str) -> Result<Box<dyn Store>, BackupError> {
    let reason = "this build stores backups in directories only".to_owned();
    Err(BackupError::BadPlace { place: place.to_owned(), reason })
}
