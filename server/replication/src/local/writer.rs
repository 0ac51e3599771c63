//! The one who changes the files.

use std::path::PathBuf;
use std::sync::Arc;

use flymq_engine::meta::{Command, Effects, MetaError, MetaImage, Rejection, Reply, State};
use flymq_proto::internal as pb;
use flymq_storage::{Disk, FileVault};
use prost::Message;

use super::{LocalMetaOptions, snapshot};
use crate::convert::{proposal_from_pb, proposal_to_pb};
use crate::files::error::{IoContext, Result, damaged};
use crate::files::log::{Entry, LogRole, MAX_PAYLOAD_BYTES, MetaLog, PreparedLog};

/// Entries are `flymq.internal.v1.Proposal`s.
const ROLE: LogRole = LogRole { magic: *b"FLYMQMLG", name: "metadata log" };

#[derive(Debug)]
pub(super) struct Writer {
    disk: Arc<dyn Disk>,
    snapshot_path: PathBuf,
    log_path: PathBuf,
    state: State,
    pub(super) log: MetaLog,
    snapshot_bytes: u64,
    snapshot_after_bytes: u64,
    vault: Option<FileVault>,
    /// After a failed write or sync nothing is known about the files: no more proposals until a restart.
    pub(super) failed: Option<String>,
}

impl Writer {
    pub(super) fn open(options: LocalMetaOptions) -> Result<Self> {
        let LocalMetaOptions { disk, path, snapshot_after_bytes, vault } = options;
        disk.create_dir(&path).on("create directory", &path)?;
        if let Some(parent) = path.parent() {
            disk.sync_dir(parent).on("sync directory", parent)?;
        }
        let (snapshot_path, log_path) = (path.join("snapshot"), path.join("log"));
        let keys = vault.as_ref();
        let (image, snapshot_bytes, snapshot_is_current) = snapshot::load(&*disk, &snapshot_path, keys)?;
        let base = image.version.0;
        let mut state = State::from_image(image);
        let opened =
            MetaLog::open(&*disk, &log_path, ROLE, keys, |entry| replay(&mut state, &entry, &log_path))?;
        let log = match opened {
            Some(log) => log,
            None if base == 0 => PreparedLog::new(&*disk, &log_path, ROLE, 0, keys, &[])?.publish(&*disk)?,
            None => return Err(damaged(&log_path, "it is missing beside its snapshot")),
        };
        let is_current = snapshot_is_current && log.is_current();
        let failed = None;
        let mut writer = Self {
            disk,
            snapshot_path,
            log_path,
            state,
            log,
            snapshot_bytes,
            snapshot_after_bytes,
            vault,
            failed,
        };
        if !is_current {
            tracing::info!(path = %path.display(), "encrypting the metadata under the current key");
            writer.log = writer.prepare_snapshot()?.publish(&*writer.disk)?;
        }
        Ok(writer)
    }

    pub(super) fn image(&self) -> Arc<MetaImage> {
        self.state.image()
    }

    /// Applies to a copy, makes the entry durable, and only then lets the state be seen.
    pub(super) fn propose(&mut self, commands: &[Command]) -> Result<(Vec<Reply>, Effects), MetaError> {
        if let Some(reason) = &self.failed {
            return Err(MetaError::Unavailable { reason: reason.clone() });
        }
        let mut next = self.state.clone();
        let outcome = next.apply_all(commands).map_err(|rejection: Rejection| MetaError::from(rejection))?;
        let payload = proposal_to_pb(commands).encode_to_vec();
        if payload.len() > MAX_PAYLOAD_BYTES {
            let reason = format!("a proposal of {} bytes is larger than {MAX_PAYLOAD_BYTES}", payload.len());
            return Err(MetaError::Unavailable { reason });
        }
        if let Err(error) = self.log.append(next.image().version.0, &payload) {
            // The log's end has not moved: the next entry goes to the same place.
            if let Some(passing) = error.passing() {
                return Err(MetaError::Storage(passing));
            }
            let reason = format!("metadata takes no more changes until a restart: {error}");
            tracing::error!(%error, "the metadata log failed");
            self.failed = Some(reason.clone());
            return Err(MetaError::Unavailable { reason });
        }
        self.state = next;
        Ok(outcome)
    }

    /// Cuts the log by a snapshot when it has grown. Failing before the new log is in place harms nothing.
    pub(super) fn snapshot_if_due(&mut self) {
        let due = self.log.bytes() > self.snapshot_after_bytes && self.log.bytes() > 2 * self.snapshot_bytes;
        if !due || self.failed.is_some() {
            return;
        }
        match self.prepare_snapshot() {
            Ok(prepared) => match prepared.publish(&*self.disk) {
                Ok(log) => self.log = log,
                Err(error) => {
                    // The open file may not be the one that the next start reads.
                    tracing::error!(%error, "the metadata log could not be replaced");
                    self.failed = Some(format!("metadata takes no more changes until a restart: {error}"));
                }
            },
            Err(error) if error.passing().is_some() => {
                tracing::warn!(%error, "could not write a metadata snapshot; the log goes on growing");
            }
            Err(error) => {
                // A later sync that succeeds would prove nothing about this one.
                tracing::error!(%error, "a metadata snapshot failed");
                self.failed = Some(format!("metadata takes no more changes until a restart: {error}"));
            }
        }
    }

    fn prepare_snapshot(&mut self) -> Result<PreparedLog> {
        let image = self.state.image();
        let (prepared, bytes) =
            snapshot::prepare_snapshot(&*self.disk, &self.snapshot_path, &image, self.vault.as_ref())?;
        prepared.publish(&*self.disk)?;
        self.snapshot_bytes = bytes;
        PreparedLog::new(&*self.disk, &self.log_path, ROLE, image.version.0, self.vault.as_ref(), &[])
    }
}

/// Applies a stored entry that the snapshot does not hold yet.
fn replay(state: &mut State, entry: &Entry<'_>, path: &std::path::Path) -> Result<()> {
    let applied = state.image().version.0;
    if entry.version <= applied {
        return Ok(());
    }
    if entry.version != applied + 1 {
        return Err(damaged(path, format!("entry {} follows version {applied}", entry.version)));
    }
    let wrong = |reason: String| damaged(path, format!("entry {}: {reason}", entry.version));
    let proposal = pb::Proposal::decode(entry.payload).map_err(|error| wrong(error.to_string()))?;
    let commands = proposal_from_pb(proposal).map_err(|error| wrong(error.to_string()))?;
    state.apply_all(&commands).map(|_| ()).map_err(|rejection| wrong(rejection.to_string()))
}
