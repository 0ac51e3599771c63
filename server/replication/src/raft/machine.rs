//! The group's state machine: the engine's [`State`], fed with committed entries only.

mod snapshot;

use std::io::Cursor;
use std::path::Path;
use std::sync::Arc;

use arc_swap::ArcSwap;
use bytes::Bytes;
use flymq_engine::meta::{Applied, Command, MetaImage, MetaVersion, State};
use flymq_proto::internal as pb;
use flymq_storage::{Disk, FileVault};
use openraft::storage::{RaftStateMachine, Snapshot};
use openraft::{AnyError, EntryPayload, OptionalSend, RaftSnapshotBuilder, SnapshotMeta};
use parking_lot::Mutex;
use prost::Message;
use tokio::sync::watch;

use self::snapshot::{Content, SnapshotFile};
use super::covered::Covered;
use super::pending::{Outcome, Pending};
use super::types::{
    Entry, LogId, MetaPeer, Proposal, ProposalId, RaftId, StorageError, StorageIOError, StoredMembership,
    Types,
};
use crate::convert::proposal_from_pb;
use crate::files::error::Result;
use crate::task::blocking;

/// What is applied. Clones share it; openraft has one, readers have others.
#[derive(Debug, Clone)]
pub(crate) struct Machine(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    position: Mutex<Position>,
    image: ArcSwap<MetaImage>,
    version: watch::Sender<MetaVersion>,
    /// The index behind the last applied entry.
    next: watch::Sender<u64>,
    pending: Arc<Pending>,
    snapshots: Mutex<SnapshotFile>,
}

#[derive(Debug, Clone, Default)]
struct Position {
    state: State,
    applied: Option<LogId>,
    membership: StoredMembership,
}

/// An entry that this build cannot apply: going on without it would make this node differ from the others.
#[derive(Debug, thiserror::Error)]
#[error("metadata entry {index} cannot be applied: {reason}")]
struct Unreadable {
    index: u64,
    reason: String,
}

impl Machine {
    /// Starts from the newest snapshot in the directory; `true` where there is one. Blocks on the disk.
    ///
    /// # Errors
    /// `Damaged`, `UnknownFormat`, `Key`: nothing was changed. `Io`.
    pub(crate) fn open(
        disk: Arc<dyn Disk>,
        dir: &Path,
        vault: Option<FileVault>,
        pending: Arc<Pending>,
    ) -> Result<(Self, bool)> {
        let (snapshots, content) = SnapshotFile::open(disk, &dir.join("snapshot"), vault)?;
        let found = content.is_some();
        let position = content.map(Position::of).unwrap_or_default();
        let (version, _) = watch::channel(position.state.image().version);
        let (next, _) = watch::channel(position.next());
        let inner = Inner {
            image: ArcSwap::new(position.state.image()),
            position: Mutex::new(position),
            version,
            next,
            pending,
            snapshots: Mutex::new(snapshots),
        };
        Ok((Self(Arc::new(inner)), found))
    }

    /// Waits for a snapshot that is being written, and lets none be written any more: openraft builds them beside its core,
    /// whose end does not wait for that.
    pub(crate) fn close(&self) {
        self.0.snapshots.lock().close();
    }

    /// How far the log is covered by the snapshot on the disk.
    pub(crate) fn covered(&self) -> Covered {
        self.0.snapshots.lock().covered()
    }

    pub(crate) fn image(&self) -> Arc<MetaImage> {
        self.0.image.load_full()
    }

    pub(crate) fn watch(&self) -> watch::Receiver<MetaVersion> {
        self.0.version.subscribe()
    }

    /// Returns when the entry at `index` is applied, and everything before it.
    pub(crate) async fn wait_for(&self, index: u64) {
        let mut next = self.0.next.subscribe();
        // The sender lives in `self`.
        let _open = next.wait_for(|next| *next > index).await;
    }
}

impl Position {
    fn of(content: Content) -> Self {
        Self {
            state: State::from_image(content.image),
            applied: content.meta.last_log_id,
            membership: content.meta.last_membership,
        }
    }

    fn next(&self) -> u64 {
        self.applied.map_or(0, |id| id.index + 1)
    }

    /// Applies an entry; the outcome of a proposal.
    fn apply(&mut self, entry: Entry) -> Result<Option<(ProposalId, Outcome)>, Unreadable> {
        let outcome = match entry.payload {
            EntryPayload::Blank => None,
            EntryPayload::Normal(Proposal { id, commands }) => {
                let commands = read_commands(commands)
                    .map_err(|reason| Unreadable { index: entry.log_id.index, reason })?;
                Some((id, self.propose(&commands)))
            }
            EntryPayload::Membership(membership) => {
                self.membership = StoredMembership::new(Some(entry.log_id), membership);
                None
            }
        };
        self.applied = Some(entry.log_id);
        Ok(outcome)
    }

    /// A rejected proposal is an entry like any other: it is rejected on every node and changes nothing.
    fn propose(&mut self, commands: &[Command]) -> Outcome {
        let (replies, effects) = self.state.apply_all(commands)?;
        Ok(Applied { version: self.state.image().version, replies, effects })
    }
}

fn read_commands(bytes: Bytes) -> Result<Vec<Command>, String> {
    let proposal = pb::Proposal::decode(bytes).map_err(|error| error.to_string())?;
    proposal_from_pb(proposal).map_err(|error| error.to_string())
}

impl Inner {
    /// Lets the position be seen. Who is told of an outcome finds it in the image, and who waits for an index has been
    /// told the outcomes before it.
    fn publish(&self, position: &Position, outcomes: Vec<(ProposalId, Outcome)>) {
        let image = position.state.image();
        let version = image.version;
        self.image.store(image);
        self.version.send_if_modified(|seen| std::mem::replace(seen, version) != version);
        for (id, outcome) in outcomes {
            self.pending.applied(id, outcome);
        }
        self.next.send_replace(position.next());
    }

    /// Applies entries until one cannot be, then tells which.
    fn apply(&self, entries: impl Iterator<Item = Entry>) -> Result<usize, (LogId, Unreadable)> {
        let mut position = self.position.lock();
        let mut outcomes = Vec::new();
        let mut count = 0;
        for entry in entries {
            let id = entry.log_id;
            outcomes.extend(position.apply(entry).map_err(|error| (id, error))?);
            count += 1;
        }
        self.publish(&position, outcomes);
        Ok(count)
    }
}

fn error_of(write: bool, error: &(impl std::error::Error + 'static)) -> StorageError {
    let error = AnyError::new(error);
    if write {
        StorageIOError::write_snapshot(None, error).into()
    } else {
        StorageIOError::read_snapshot(None, error).into()
    }
}

/// A task that ended before its work was done.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Ended(String);

/// Works on the snapshot file on a thread that may block.
async fn with_file<T: Send + 'static>(
    inner: &Arc<Inner>,
    write: bool,
    work: impl FnOnce(&Inner) -> Result<T> + Send + 'static,
) -> Result<T, StorageError> {
    let inner = inner.clone();
    match blocking(move || work(&inner)).await {
        Ok(done) => done.map_err(|error| error_of(write, &error)),
        Err(reason) => Err(error_of(write, &Ended(reason))),
    }
}

/// Writes the position as it was when the builder was made.
#[derive(Debug)]
pub(crate) struct SnapshotBuilder(Arc<Inner>, Position);

impl RaftSnapshotBuilder<Types> for SnapshotBuilder {
    async fn build_snapshot(&mut self) -> Result<Snapshot<Types>, StorageError> {
        let position = self.1.clone();
        with_file(&self.0, true, move |inner| {
            let content = Content::new(position.applied, position.membership, &position.state.image());
            let bytes = content.encode();
            inner.snapshots.lock().store(&content.meta, &bytes)?;
            Ok(Snapshot { meta: content.meta, snapshot: Box::new(Cursor::new(bytes)) })
        })
        .await
    }
}

impl RaftStateMachine<Types> for Machine {
    type SnapshotBuilder = SnapshotBuilder;

    async fn applied_state(&mut self) -> Result<(Option<LogId>, StoredMembership), StorageError> {
        let position = self.0.position.lock();
        Ok((position.applied, position.membership.clone()))
    }

    async fn apply<I>(&mut self, entries: I) -> Result<Vec<()>, StorageError>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let applied = self.0.apply(entries.into_iter());
        let count = applied.map_err(|(id, error)| StorageIOError::apply(id, AnyError::new(&error)))?;
        Ok(vec![(); count])
    }

    async fn get_snapshot_builder(&mut self) -> SnapshotBuilder {
        SnapshotBuilder(self.0.clone(), self.0.position.lock().clone())
    }

    async fn begin_receiving_snapshot(&mut self) -> Result<Box<Cursor<Vec<u8>>>, StorageError> {
        Ok(Box::default())
    }

    async fn install_snapshot(
        &mut self,
        meta: &SnapshotMeta<RaftId, MetaPeer>,
        snapshot: Box<Cursor<Vec<u8>>>,
    ) -> Result<(), StorageError> {
        let meta = meta.clone();
        with_file(&self.0, true, move |inner| {
            let bytes = snapshot.into_inner();
            let mut snapshots = inner.snapshots.lock();
            let content = snapshots.check(Bytes::from(bytes.clone()));
            let content = content.inspect_err(|error| snapshots.covered().failed(&error.to_string()))?;
            if !cfg!(mutant = "raft_snapshot_not_kept") {
                snapshots.store(&meta, &bytes)?;
            }
            let mut position = inner.position.lock();
            *position = Position::of(Content { meta, ..content });
            inner.publish(&position, Vec::new());
            Ok(())
        })
        .await
    }

    async fn get_current_snapshot(&mut self) -> Result<Option<Snapshot<Types>>, StorageError> {
        with_file(&self.0, false, |inner| {
            let stored = inner.snapshots.lock().load()?;
            Ok(stored.map(|(meta, bytes)| Snapshot { meta, snapshot: Box::new(Cursor::new(bytes)) }))
        })
        .await
    }
}

#[cfg(test)]
mod tests;
