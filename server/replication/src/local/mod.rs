//! Metadata on this node's own disk.
//!
//! ```text
//! <dir>/log        every proposal since the snapshot, fdatasynced before it applies
//! <dir>/snapshot   the metadata at some version; written under a temporary name, then renamed
//! ```
//! Start: snapshot, then the log's entries above its version. A crash between the two renames of a snapshot leaves a
//! log that begins before the snapshot ends; its old entries are skipped.

mod snapshot;
mod writer;

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use arc_swap::ArcSwap;
use flymq_engine::meta::{Applied, Command, MetaError, MetaImage, MetaStore, MetaVersion, MetaWatch};
use flymq_storage::{Disk, FileVault};
use futures::future::BoxFuture;
use parking_lot::Mutex;
use tokio::sync::watch;

use writer::Writer;

use crate::files::LocalMetaError;
use crate::task::blocking;

/// Where the metadata is kept.
#[derive(Debug, Clone)]
pub struct LocalMetaOptions {
    pub disk: Arc<dyn Disk>,
    /// A directory of its own, inside a locked data directory; its parent exists.
    pub path: PathBuf,
    /// A snapshot is written when the log is longer than this and than twice the last snapshot, bytes.
    pub snapshot_after_bytes: u64,
    /// Encrypts both files. What is there and plain, or under an older key, is written anew at the start.
    pub vault: Option<FileVault>,
}

impl LocalMetaOptions {
    /// With a snapshot after 1 MiB of log, not encrypted.
    pub fn new(disk: Arc<dyn Disk>, path: impl Into<PathBuf>) -> Self {
        Self { disk, path: path.into(), snapshot_after_bytes: 1 << 20, vault: None }
    }
}

/// The [`MetaStore`] of a node without cluster. Clones share one store.
#[derive(Debug, Clone)]
pub struct LocalMetaStore(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    writer: Mutex<Writer>,
    image: ArcSwap<MetaImage>,
    version: watch::Sender<MetaVersion>,
    /// Why there are no more proposals, once there are none.
    failure: OnceLock<String>,
}

impl LocalMetaStore {
    /// Opens or creates the store. Blocks on the disk.
    ///
    /// # Errors
    /// `Damaged`, `UnknownFormat`, `Key`: nothing was changed. `Io`.
    pub fn open(options: LocalMetaOptions) -> Result<Self, LocalMetaError> {
        let writer = Writer::open(options)?;
        let image = writer.image();
        let (version, _) = watch::channel(image.version);
        Ok(Self(Arc::new(Inner {
            writer: Mutex::new(writer),
            image: ArcSwap::new(image),
            version,
            failure: OnceLock::new(),
        })))
    }
}

impl Inner {
    fn propose(&self, commands: &[Command]) -> Result<Applied, MetaError> {
        let mut writer = self.writer.lock();
        let proposed = writer.propose(commands);
        let applied = proposed.map(|(replies, effects)| {
            let image = writer.image();
            let version = image.version;
            self.image.store(image);
            self.version.send_replace(version);
            writer.snapshot_if_due();
            Applied { version, replies, effects }
        });
        if let Some(reason) = &writer.failed {
            self.failure.get_or_init(|| reason.clone());
        }
        applied
    }
}

impl MetaStore for LocalMetaStore {
    fn propose(&self, commands: Vec<Command>) -> BoxFuture<'_, Result<Applied, MetaError>> {
        let inner = self.0.clone();
        Box::pin(async move {
            let proposed = blocking(move || inner.propose(&commands)).await;
            proposed.unwrap_or_else(|reason| Err(MetaError::Unavailable { reason }))
        })
    }

    fn image(&self) -> Arc<MetaImage> {
        self.0.image.load_full()
    }

    fn watch(&self) -> MetaWatch {
        self.0.version.subscribe()
    }

    fn failure(&self) -> Option<String> {
        self.0.failure.get().cloned()
    }

    /// One node applies what it proposes before it answers: the image is always the newest.
    fn barrier(&self) -> BoxFuture<'_, Result<MetaVersion, MetaError>> {
        Box::pin(async move { Ok(self.image().version) })
    }
}

#[cfg(test)]
mod tests;
