//! Backups of topics: made from a live broker, verified, and restored with the offsets that the records had.
//!
//! ```text
//! broker ──fetch (whole batches)──► chunk files ──► manifest, written last
//! broker ◄──RestoreRecords── chunk files ◄── everything verified first
//! ```
//!
//! `docs/backup.md` has the format. No name in a backup is ever used as a path: files are named by this crate, a name is
//! read by taking it apart and accepted only if putting it together again gives the same.

mod chunk;
mod create;
mod error;
mod manifest;
mod names;
mod restore;
mod seal;
mod select;
mod store;
mod verify;

pub use create::{CreateOptions, Created, create};
pub use error::BackupError;
pub use manifest::{
    ChunkEntry, GroupBackup, Manifest, OffsetEntry, OffsetSpan, PartitionBackup, TopicBackup,
};
pub use names::{BackupId, ChunkName};
pub use restore::{RestoreOptions, Restored, RestoredTopic, restore};
pub use seal::BackupKey;
pub use store::{DirectoryStore, Store, open};
pub use verify::{list, load, verify};

/// How far a backup or a restore has come, for a progress bar.
#[derive(Debug, Clone, Copy)]
pub enum Step<'a> {
    /// Work on a topic begins: about so many bytes.
    Topic { name: &'a str, bytes: u64 },
    /// Bytes that were read or written.
    Bytes(u64),
}

/// Is told of every step.
pub type Progress<'a> = &'a (dyn Fn(Step<'_>) + Send + Sync);
