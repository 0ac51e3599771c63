//! Where a member keeps its files, whom it talks to, and how patient it is.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use flymq_storage::{Disk, FileVault};
use flymq_types::{Clock, Rng};
use openraft::{Config, SnapshotPolicy};

use super::transport::MetaTransport;
use super::types::RaftId;
use crate::files::LocalMetaError;

/// What a [`super::RaftMetaStore`] is opened with.
#[derive(Debug, Clone)]
pub struct RaftMetaOptions {
    pub disk: Arc<dyn Disk>,
    /// A directory of its own, inside a locked data directory; its parent exists.
    pub path: PathBuf,
    /// Encrypts log and snapshot. What is there and plain, or under an older key, is written anew at the start.
    pub vault: Option<FileVault>,
    pub rng: Arc<dyn Rng>,
    pub clock: Arc<dyn Clock>,
    /// This member; the same at every start, and of no other node.
    pub id: RaftId,
    /// Messages of other clusters are refused.
    pub cluster: [u8; 16],
    pub transport: Arc<dyn MetaTransport>,
    pub settings: RaftMetaSettings,
}

/// How patient a member is, and how long its log gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RaftMetaSettings {
    /// The leader tells that it is there; also how long an append to a follower may take, its fdatasync included.
    pub heartbeat: Duration,
    /// A follower that hears of no leader waits a random time between these two before it wants to be one. At least
    /// five heartbeats.
    pub election: (Duration, Duration),
    /// How long a piece of a snapshot may take.
    pub install_snapshot_timeout: Duration,
    /// How long a proposal or a barrier waits for the group.
    pub request_timeout: Duration,
    /// Entries between two snapshots.
    pub snapshot_after_entries: u64,
    /// Entries that stay behind a snapshot, for members that are a little late.
    pub keep_entries: u64,
    /// The log's file is written anew when it is longer than this and than twice what is kept, bytes.
    pub rewrite_after_bytes: u64,
}

impl Default for RaftMetaSettings {
    fn default() -> Self {
        Self {
            heartbeat: Duration::from_millis(200),
            election: (Duration::from_secs(1), Duration::from_secs(2)),
            install_snapshot_timeout: Duration::from_secs(5),
            request_timeout: Duration::from_secs(10),
            snapshot_after_entries: 5_000,
            keep_entries: 1_000,
            rewrite_after_bytes: 1 << 20,
        }
    }
}

impl RaftMetaSettings {
    pub(super) fn config(&self) -> Result<Config, RaftMetaError> {
        let millis = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        let config = Config {
            cluster_name: "metadata".to_owned(),
            heartbeat_interval: millis(self.heartbeat),
            election_timeout_min: millis(self.election.0),
            election_timeout_max: millis(self.election.1),
            install_snapshot_timeout: millis(self.install_snapshot_timeout),
            max_payload_entries: 64,
            snapshot_policy: SnapshotPolicy::LogsSinceLast(self.snapshot_after_entries),
            max_in_snapshot_log_to_keep: self.keep_entries,
            // A member that is further behind than the log that is kept gets a snapshot anyway.
            replication_lag_threshold: self.snapshot_after_entries,
            ..Config::default()
        };
        config.validate().map_err(|error| RaftMetaError::Settings { reason: error.to_string() })
    }
}

/// Why a member does not start.
#[derive(Debug, thiserror::Error)]
pub enum RaftMetaError {
    #[error(transparent)]
    Files(#[from] LocalMetaError),
    #[error("the settings of the metadata group do not fit together: {reason}")]
    Settings { reason: String },
    #[error("the metadata group does not start: {reason}")]
    Start { reason: String },
}
