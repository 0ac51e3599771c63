//! The [`MetaStore`] of a cluster.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use flymq_engine::meta::{Applied, Command, MetaError, MetaImage, MetaStore, MetaVersion, MetaWatch};
use futures::future::BoxFuture;
use openraft::Raft;

use super::log::{LogReader, RaftLog};
use super::machine::Machine;
use super::network::Network;
use super::options::{RaftMetaError, RaftMetaOptions, RaftMetaSettings};
use super::pending::Pending;
use super::types::{MetaPeer, RaftId, Types};
use crate::files::LocalMetaError;
use crate::files::error::IoContext;
use crate::task::blocking;

/// A member of the metadata group, voter or learner. Clones share one.
///
/// A new member knows nothing and waits: for [`RaftMetaStore::bootstrap`], or for the leader to add it.
#[derive(Debug, Clone)]
pub struct RaftMetaStore(pub(super) Arc<Member>);

/// What the parts of the store share.
pub(super) struct Member {
    pub(super) id: RaftId,
    pub(super) cluster: [u8; 16],
    pub(super) raft: Raft<Types>,
    pub(super) machine: Machine,
    pub(super) log: LogReader,
    pub(super) pending: Arc<Pending>,
    pub(super) network: Network,
    pub(super) settings: RaftMetaSettings,
}

impl fmt::Debug for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Member({}, leader {:?})", self.id, self.leader())
    }
}

impl RaftMetaStore {
    /// Opens or creates the files of a member and lets it take part.
    ///
    /// # Errors
    /// `Files`: nothing was changed, unless it says so. `Settings`. `Start`.
    pub async fn open(options: RaftMetaOptions) -> Result<Self, RaftMetaError> {
        let config = options.settings.config()?;
        let start = |reason: String| RaftMetaError::Start { reason };
        let pending = Arc::new(Pending::new(options.id, &*options.rng));
        let files = (options.clone(), pending.clone());
        let opened = blocking(move || open_files(&files.0, files.1)).await.map_err(start)?;
        let (log, machine) = opened?;
        let RaftMetaOptions { id, cluster, transport, settings, clock, .. } = options;
        let network =
            Network { transport, cluster, backoff: settings.heartbeat, clock, heard: Arc::default() };
        let reader = log.reader();
        let raft = Raft::new(id, Arc::new(config), network.clone(), log, machine.clone());
        let raft = raft.await.map_err(|error| start(error.to_string()))?;
        Ok(Self(Arc::new(Member { id, cluster, raft, machine, log: reader, pending, network, settings })))
    }

    /// This member.
    pub fn id(&self) -> RaftId {
        self.0.id
    }

    /// Who leads the group, as far as this member knows.
    pub fn leader(&self) -> Option<RaftId> {
        self.0.leader()
    }

    /// Whether this member leads the group, and a majority has answered what it sent within that time: no other one can have
    /// been elected in less than the election timeout since.
    pub fn leads_surely(&self, within: Duration) -> bool {
        let metrics = self.0.raft.metrics();
        let metrics = metrics.borrow();
        let network = &self.0.network;
        let voters = metrics.membership_config.membership().get_joint_config();
        let since = network.heard.majority_since(self.0.id, metrics.vote, voters);
        let recent = |since: Duration| network.clock.monotonic().saturating_sub(since) <= within;
        metrics.current_leader == Some(self.0.id) && since.is_some_and(recent)
    }

    /// Wants to lead the group now: for whoever knows that the leader is gone. Others only vote for it once they have not
    /// heard of the leader for the longest election timeout.
    pub async fn campaign(&self) {
        // It only fails if this member has stopped.
        let _stopped = self.0.raft.trigger().elect().await;
    }

    /// Stops taking part. What was under way may take effect or not; the files can be opened again afterwards.
    pub async fn shutdown(&self) {
        // It only fails if a task of openraft has panicked; then it no longer runs either.
        let _stopped = self.0.raft.shutdown().await;
        let machine = self.0.machine.clone();
        // Only a panic of that write could end it early.
        let _closed = blocking(move || machine.close()).await;
    }
}

fn open_files(
    options: &RaftMetaOptions,
    pending: Arc<Pending>,
) -> Result<(RaftLog, Machine), LocalMetaError> {
    let RaftMetaOptions { disk, path, vault, settings, .. } = options;
    disk.create_dir(path).on("create directory", path)?;
    if let Some(parent) = path.parent() {
        disk.sync_dir(parent).on("sync directory", parent)?;
    }
    let (machine, found) = Machine::open(disk.clone(), path, vault.clone(), pending.clone())?;
    let (rewrite, covered) = (settings.rewrite_after_bytes, machine.covered());
    let log = RaftLog::open(disk, path, vault.clone(), rewrite, (found, covered), pending)?;
    Ok((log, machine))
}

impl Member {
    pub(super) fn leader(&self) -> Option<RaftId> {
        self.raft.metrics().borrow().current_leader
    }

    pub(super) fn failure(&self) -> Option<String> {
        let metrics = self.raft.metrics();
        let failed = metrics.borrow().running_state.as_ref().err().map(ToString::to_string);
        failed.map(|reason| format!("metadata takes no more changes until a restart: {reason}"))
    }

    /// The leader and how to reach it, unless it is this member or nobody.
    pub(super) fn other_leader(&self) -> Option<(RaftId, MetaPeer)> {
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow();
        let leader = metrics.current_leader.filter(|leader| *leader != self.id)?;
        let peer = metrics.membership_config.membership().get_node(&leader)?;
        Some((leader, peer.clone()))
    }
}

impl MetaStore for RaftMetaStore {
    fn propose(&self, commands: Vec<Command>) -> BoxFuture<'_, Result<Applied, MetaError>> {
        let member = self.0.clone();
        Box::pin(async move { member.propose(&commands).await })
    }

    fn image(&self) -> Arc<MetaImage> {
        self.0.machine.image()
    }

    fn watch(&self) -> MetaWatch {
        self.0.machine.watch()
    }

    fn barrier(&self) -> BoxFuture<'_, Result<MetaVersion, MetaError>> {
        let member = self.0.clone();
        Box::pin(async move { member.barrier().await })
    }

    fn failure(&self) -> Option<String> {
        self.0.failure()
    }
}
