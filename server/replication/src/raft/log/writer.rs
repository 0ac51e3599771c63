//! The one who changes the log's file.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use flymq_storage::{Disk, FileVault};
use parking_lot::RwLock;

use super::frame::{Frame, decode, encode_append, encode_purge, encode_truncate};
use super::window::Window;
use crate::files::error::{LocalMetaError, Result, damaged};
use crate::files::log::{LogRole, MetaLog, PreparedLog};
use crate::raft::types::{Entry, LogId};

const ROLE: LogRole = LogRole { magic: *b"FLYMQRLG", name: "raft log" };
/// Entries of one call of openraft go in steps of about this many bytes.
const STEP_BYTES: usize = 8 << 20;

/// Why a log takes no more steps.
#[derive(Debug, Clone, thiserror::Error)]
#[error("the metadata log takes no more entries until a restart: {0}")]
pub(crate) struct LogFailed(pub(super) String);

/// After a failed write or sync nothing is known about the file: it refuses everything until a restart.
#[derive(Debug)]
pub(super) struct Writer {
    disk: Arc<dyn Disk>,
    path: PathBuf,
    vault: Option<FileVault>,
    log: MetaLog,
    /// The number of the last step in the file.
    step: u64,
    /// Bytes of the file right after it was written anew.
    kept_bytes: u64,
    rewrite_after_bytes: u64,
    window: Arc<RwLock<Window>>,
    failed: Option<LogFailed>,
}

impl Writer {
    /// Opens or creates the log; `None` for `create` refuses to create, with that reason.
    pub(super) fn open(
        disk: Arc<dyn Disk>,
        path: &Path,
        vault: Option<FileVault>,
        rewrite_after_bytes: u64,
        create: Result<(), String>,
    ) -> Result<Self> {
        let mut window = Window::default();
        let mut step = 0;
        let opened = MetaLog::open(&*disk, path, ROLE, vault.as_ref(), |stored| {
            step = stored.version;
            let wrong = |reason: String| damaged(path, format!("step {}: {reason}", stored.version));
            let frame = decode(Bytes::copy_from_slice(stored.payload)).map_err(|e| wrong(e.to_string()))?;
            window.check(&frame).map_err(wrong)?;
            window.apply(frame);
            Ok(())
        })?;
        let log = match (opened, create) {
            (Some(log), _) => log,
            (None, Err(reason)) => return Err(damaged(path, reason)),
            (None, Ok(())) => {
                PreparedLog::new(&*disk, path, ROLE, 0, vault.as_ref(), &[])?.publish(&*disk)?
            }
        };
        let window = Arc::new(RwLock::new(window));
        let path = path.to_owned();
        let (kept_bytes, failed) = (0, None);
        let mut writer =
            Self { disk, path, vault, log, step, kept_bytes, rewrite_after_bytes, window, failed };
        if !writer.log.is_current() {
            tracing::info!(path = %writer.path.display(), "encrypting the metadata log under the current key");
            writer.rewrite()?;
        }
        Ok(writer)
    }

    pub(super) fn window(&self) -> Arc<RwLock<Window>> {
        self.window.clone()
    }

    /// Appends, and returns when the entries are on the disk and in the window.
    pub(super) fn append(&mut self, entries: Vec<Entry>) -> Result<(), LogFailed> {
        let mut rest = entries.into_iter().peekable();
        while rest.peek().is_some() {
            let mut bytes = 0;
            let mut step = Vec::new();
            while let Some(entry) = rest.next_if(|_| bytes < STEP_BYTES) {
                bytes += entry_bytes(&entry);
                step.push(entry);
            }
            let payload = encode_append(step.iter());
            self.take(&payload, Frame::Append(step))?;
        }
        Ok(())
    }

    /// Forgets the entries from `since` on, durably.
    pub(super) fn truncate(&mut self, since: u64) -> Result<(), LogFailed> {
        self.take(&encode_truncate(since), Frame::Truncate(since))
    }

    /// Forgets the entries up to `upto`, durably; now and then the file is written anew without them.
    pub(super) fn purge(&mut self, upto: LogId) -> Result<(), LogFailed> {
        self.take(&encode_purge(&upto), Frame::Purge(upto))?;
        if self.log.bytes() > self.rewrite_after_bytes && self.log.bytes() > 2 * self.kept_bytes {
            let rewritten = self.rewrite();
            self.checked(rewritten)?;
        }
        Ok(())
    }

    /// Makes a step durable, then lets it be seen.
    fn take(&mut self, payload: &[u8], frame: Frame) -> Result<(), LogFailed> {
        if let Some(failed) = &self.failed {
            return Err(failed.clone());
        }
        // A step that makes no sense must not get into the file: the next start would refuse all of it.
        let checked = self.window.read().check(&frame);
        checked.map_err(|reason| self.fail(reason))?;
        if !cfg!(mutant = "raft_entry_not_on_disk") {
            let appended = self.log.append(self.step + 1, payload);
            self.checked(appended)?;
        }
        self.step += 1;
        // The lock is not held while the disk works: readers go on.
        self.window.write().apply(frame);
        Ok(())
    }

    fn checked(&mut self, result: Result<()>) -> Result<(), LogFailed> {
        result.map_err(|error| self.fail(error.to_string()))
    }

    fn fail(&mut self, reason: String) -> LogFailed {
        tracing::error!(%reason, "the metadata log failed");
        self.failed.insert(LogFailed(reason)).clone()
    }

    /// Writes the file anew, without what is forgotten.
    fn rewrite(&mut self) -> Result<(), LocalMetaError> {
        let steps = {
            let window = self.window.read();
            let purged = window.purged().map(|upto| encode_purge(&upto));
            let entries: Vec<&Entry> = window.entries().iter().collect();
            let mut steps: Vec<Vec<u8>> = purged.into_iter().collect();
            let mut from = 0;
            while from < entries.len() {
                let mut bytes = 0;
                let fits = entries[from..].iter().take_while(|entry| {
                    let fits = bytes < STEP_BYTES;
                    bytes += entry_bytes(entry);
                    fits
                });
                let to = from + fits.count();
                steps.push(encode_append(entries[from..to].iter().copied()));
                from = to;
            }
            steps
        };
        let prepared = PreparedLog::new(&*self.disk, &self.path, ROLE, 0, self.vault.as_ref(), &steps)?;
        self.log = prepared.publish(&*self.disk)?;
        self.step = steps.len() as u64;
        self.kept_bytes = self.log.bytes();
        Ok(())
    }
}

/// About how many bytes an entry takes.
pub(super) fn entry_bytes(entry: &Entry) -> usize {
    const SMALL: usize = 256;
    match &entry.payload {
        openraft::EntryPayload::Normal(proposal) => SMALL + proposal.commands.len(),
        openraft::EntryPayload::Blank | openraft::EntryPayload::Membership(_) => SMALL,
    }
}
