//! Looking at a data directory from outside, without ever writing: what is in it, and whether it is as it was written.
//!
//! Works beside a running broker: of a segment that is being written, what lies above its durable mark is left out, and
//! what vanishes or is replaced meanwhile is no finding. Encrypted payloads need the keys; headers do not.

mod indexes;
mod log_files;
mod report;
mod segment;
mod side_files;
mod verify;
mod walk;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use flymq_types::{PartitionId, TopicId};

use crate::crypt::{EncryptionKeys, Keyring};
use crate::data_dir::DirectoryId;
use crate::disk::{Disk, LockState};
use crate::error::{IoContext, Result};

pub use indexes::{IndexReport, rebuild_indexes};
pub use report::{Finding, FindingKind, SegmentReport, VerifyReport};
pub use walk::{BatchReport, PayloadState};

const LOCK_FILE: &str = "flymq.lock";
const TOPICS: &str = "topics";

/// A data directory, a part of it, or one segment, for reading.
#[derive(Debug)]
pub struct Inspector {
    disk: Arc<dyn Disk>,
    /// The data directory, where the path lies in one.
    root: Option<PathBuf>,
    path: PathBuf,
    keyring: Option<Keyring>,
    directory: Option<DirectoryId>,
    /// A broker works on the directory now.
    running: Option<LockState>,
}

/// One partition's directory.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct LogDir {
    pub topic: TopicId,
    pub partition: PartitionId,
    pub path: PathBuf,
}

impl Inspector {
    /// For a data directory, a topic's or a partition's directory in it, or a segment file.
    ///
    /// # Errors
    /// `Io` where the path cannot be looked at.
    pub fn open(disk: Arc<dyn Disk>, path: &Path, keys: Option<&EncryptionKeys>) -> Result<Self> {
        let root = path.ancestors().find(|dir| disk.exists(&dir.join(TOPICS)).unwrap_or(false));
        let root = root.map(Path::to_owned);
        let directory = root.as_ref().and_then(|root| crate::data_dir::read_id(&*disk, root));
        let lock = root.as_ref().map(|root| root.join(LOCK_FILE));
        let running = match &lock {
            Some(lock) => Some(disk.lock_state(lock).on("look at the lock", lock)?),
            None => None,
        };
        let running = running.filter(|state| *state != LockState::Free);
        let keyring = keys.map(Keyring::new);
        Ok(Self { disk, root, path: path.to_owned(), keyring, directory, running })
    }

    /// The process that works on the directory now, where one does.
    pub fn running(&self) -> Option<LockState> {
        self.running
    }

    /// The data directory that the path lies in.
    pub fn root(&self) -> Option<&Path> {
        self.root.as_deref()
    }

    /// The partitions at or under the path, in order.
    ///
    /// # Errors
    /// `Io`.
    pub fn logs(&self) -> Result<Vec<LogDir>> {
        let Some(topics) = self.root.as_ref().map(|root| root.join(TOPICS)) else { return Ok(Vec::new()) };
        let mut logs = Vec::new();
        for topic in self.disk.list(&topics).on("list", &topics)? {
            let Ok(id) = topic.name.parse::<TopicId>() else { continue };
            let dir = topics.join(&topic.name);
            for entry in self.disk.list(&dir).on("list", &dir)? {
                let Ok(number) = entry.name.parse() else { continue };
                let log = LogDir { topic: id, partition: PartitionId(number), path: dir.join(&entry.name) };
                if log.path.starts_with(&self.path) || self.path.starts_with(&log.path) {
                    logs.push(log);
                }
            }
        }
        logs.sort_unstable();
        Ok(logs)
    }
}

#[cfg(test)]
mod tests;
