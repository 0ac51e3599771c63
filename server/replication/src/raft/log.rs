//! The group's log on this node's disk, as openraft wants it.

mod frame;
mod window;
mod writer;

use std::fmt::Debug;
use std::io;
use std::ops::RangeBounds;
use std::path::Path;
use std::sync::Arc;

use flymq_storage::{Disk, FileVault};
use openraft::storage::{LogFlushed, RaftLogStorage};
use openraft::{AnyError, EntryPayload, LogState, OptionalSend, RaftLogReader};
use parking_lot::{Mutex, RwLock};

use self::window::Window;
use self::writer::{LogFailed, Writer, entry_bytes};
use super::covered::Covered;
use super::pending::Pending;
use super::types::{Entry, LogId, StorageError, StorageIOError, Types, Vote};
use super::vote::{CommittedFile, VoteFile};
use crate::files::error::{Result, damaged};
use crate::task::blocking;

/// At most about so many bytes of entries go to a follower at once.
const READ_BYTES: usize = 4 << 20;

/// Log, vote and committed position. openraft calls its methods one after the other.
#[derive(Debug)]
pub(crate) struct RaftLog {
    files: Arc<Mutex<Files>>,
    window: Arc<RwLock<Window>>,
    pending: Arc<Pending>,
    covered: Covered,
}

#[derive(Debug)]
struct Files {
    writer: Writer,
    vote: VoteFile,
    vote_failed: Option<LogFailed>,
    committed: CommittedFile,
}

impl Files {
    fn store_vote(&mut self, vote: Vote) -> Result<(), LogFailed> {
        if let Some(failed) = &self.vote_failed {
            return Err(failed.clone());
        }
        let stored = self.vote.store(vote);
        stored.map_err(|error| self.vote_failed.insert(LogFailed(error.to_string())).clone())
    }
}

impl RaftLog {
    /// Opens or creates the files `log`, `vote` and `committed` in a directory that is there. Blocks on the disk.
    /// Where there is a snapshot, this node has been a member before, and none of them may be missing.
    ///
    /// # Errors
    /// `Damaged`, `UnknownFormat`, `Key`: nothing was changed. `Io`.
    pub(crate) fn open(
        disk: &Arc<dyn Disk>,
        dir: &Path,
        vault: Option<FileVault>,
        rewrite_after_bytes: u64,
        (has_snapshot, covered): (bool, Covered),
        pending: Arc<Pending>,
    ) -> Result<Self> {
        let (log, vote) = (dir.join("log"), dir.join("vote"));
        // They are created in this order: log, vote.
        let beside = |what: &str| format!("it is missing beside {what}");
        let create = match (has_snapshot, exists(&**disk, &vote)?) {
            (true, _) => Err(beside("its snapshot")),
            (false, true) => Err(beside("its vote")),
            (false, false) => Ok(()),
        };
        let writer = Writer::open(disk.clone(), &log, vault, rewrite_after_bytes, create)?;
        let window = writer.window();
        if let Some(purged) = window.read().purged().filter(|purged| Some(*purged) > covered.upto()) {
            let index = purged.index;
            return Err(damaged(
                &log,
                format!("entries up to {index} are purged, and no snapshot covers them"),
            ));
        }
        let used = has_snapshot || window.read().last().is_some();
        let create = if used { Err(beside("a log that is in use")) } else { Ok(()) };
        let vote = VoteFile::open(&**disk, &vote, create)?;
        let committed = CommittedFile::open(&**disk, &dir.join("committed"))?;
        let files = Arc::new(Mutex::new(Files { writer, vote, vote_failed: None, committed }));
        Ok(Self { files, window, pending, covered })
    }

    pub(crate) fn reader(&self) -> LogReader {
        LogReader(self.window.clone())
    }

    /// Changes the files on a thread that may block.
    async fn change(
        &self,
        change: impl FnOnce(&mut Files) -> Result<(), LogFailed> + Send + 'static,
    ) -> Result<(), LogFailed> {
        let files = self.files.clone();
        blocking(move || change(&mut files.lock())).await.unwrap_or_else(|reason| Err(LogFailed(reason)))
    }
}

fn exists(disk: &dyn Disk, path: &Path) -> Result<bool> {
    use crate::files::error::IoContext;
    disk.exists(path).on("look for", path)
}

fn any(error: &LogFailed) -> AnyError {
    AnyError::new(error)
}

/// Reads entries from memory.
#[derive(Debug, Clone)]
pub(crate) struct LogReader(Arc<RwLock<Window>>);

impl LogReader {
    /// The index of the last entry that is durable here.
    pub(crate) fn last_index(&self) -> Option<u64> {
        self.0.read().last().map(|id| id.index)
    }
}

impl RaftLogReader<Types> for LogReader {
    async fn try_get_log_entries<R: RangeBounds<u64> + Clone + Debug + OptionalSend>(
        &mut self,
        range: R,
    ) -> Result<Vec<Entry>, StorageError> {
        Ok(self.0.read().range(range).cloned().collect())
    }

    async fn limited_get_log_entries(&mut self, start: u64, end: u64) -> Result<Vec<Entry>, StorageError> {
        let mut bytes = 0;
        let fits = |entry: &&Entry| {
            let fits = bytes < READ_BYTES;
            bytes += entry_bytes(entry);
            fits
        };
        Ok(self.0.read().range(start..end).take_while(fits).cloned().collect())
    }
}

impl RaftLogReader<Types> for RaftLog {
    async fn try_get_log_entries<R: RangeBounds<u64> + Clone + Debug + OptionalSend>(
        &mut self,
        range: R,
    ) -> Result<Vec<Entry>, StorageError> {
        self.reader().try_get_log_entries(range).await
    }
}

impl RaftLogStorage<Types> for RaftLog {
    type LogReader = LogReader;

    async fn get_log_state(&mut self) -> Result<LogState<Types>, StorageError> {
        let window = self.window.read();
        Ok(LogState { last_purged_log_id: window.purged(), last_log_id: window.last() })
    }

    async fn get_log_reader(&mut self) -> LogReader {
        self.reader()
    }

    async fn save_vote(&mut self, vote: &Vote) -> Result<(), StorageError> {
        let vote = *vote;
        let stored = self.change(move |files| files.store_vote(vote)).await;
        stored.map_err(|error| StorageIOError::write_vote(any(&error)).into())
    }

    async fn read_vote(&mut self) -> Result<Option<Vote>, StorageError> {
        Ok(self.files.lock().vote.vote())
    }

    async fn save_committed(&mut self, committed: Option<LogId>) -> Result<(), StorageError> {
        self.files.lock().committed.store(committed);
        Ok(())
    }

    /// Never ahead of the log.
    async fn read_committed(&mut self) -> Result<Option<LogId>, StorageError> {
        let committed = self.files.lock().committed.committed();
        Ok(committed.filter(|id| Some(*id) <= self.window.read().last()))
    }

    async fn append<I>(&mut self, entries: I, callback: LogFlushed<Types>) -> Result<(), StorageError>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let entries: Vec<Entry> = entries.into_iter().collect();
        for entry in &entries {
            if let EntryPayload::Normal(proposal) = &entry.payload {
                self.pending.entered_the_log(proposal.id);
            }
        }
        match self.change(move |files| files.writer.append(entries)).await {
            Ok(()) => {
                callback.log_io_completed(Ok(()));
                Ok(())
            }
            Err(error) => {
                callback.log_io_completed(Err(io::Error::other(error.clone())));
                Err(StorageIOError::write_logs(any(&error)).into())
            }
        }
    }

    async fn truncate(&mut self, since: LogId) -> Result<(), StorageError> {
        let truncated = self.change(move |files| files.writer.truncate(since.index)).await;
        truncated.map_err(|error| StorageIOError::write_logs(any(&error)).into())
    }

    /// Waits for the snapshot that covers the entries.
    async fn purge(&mut self, upto: LogId) -> Result<(), StorageError> {
        if !cfg!(mutant = "raft_purge_before_snapshot") {
            let covered = self.covered.wait_for(upto).await;
            covered.map_err(|reason| StorageIOError::write_logs(any(&LogFailed(reason))))?;
        }
        let purged = self.change(move |files| files.writer.purge(upto)).await;
        purged.map_err(|error| StorageIOError::write_logs(any(&error)).into())
    }
}

#[cfg(test)]
mod tests;
