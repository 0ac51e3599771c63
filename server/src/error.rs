//! Why the broker does not start: what, why, what to do.

use std::{io, path::PathBuf};

use flymq_config::{ConfigError, ListenAddr};

/// A failed start. Each kind has its own exit code, so that scripts and service managers can tell them apart.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(
        "cannot listen on {addr} ({key}): the port is taken by another program; \
         stop that program, or choose another port with {env} (port 0 takes a free one)"
    )]
    PortInUse { key: &'static str, env: &'static str, addr: ListenAddr },
    #[error("cannot listen on {addr} ({key}): {source}; correct {env}")]
    Listen { key: &'static str, env: &'static str, addr: ListenAddr, source: io::Error },
    #[error(
        "the data directory {} is in use by {}: one directory serves one broker; \
         stop that one, or choose another directory with FLYMQ_DATA_DIR (data_dir)",
        path.display(),
        pid.map_or_else(|| "another process".to_owned(), |pid| format!("process {pid}"))
    )]
    DataDirInUse { path: PathBuf, pid: Option<u32> },
    #[error(
        "the data directory {} is on a read-only file system: a broker must write there; \
         remount it for writing (mount -o remount,rw), or choose another with FLYMQ_DATA_DIR (data_dir)",
        path.display()
    )]
    DataDirReadOnly { path: PathBuf },
    /// Of another version, of another node, damaged, a file, not ours: the reason says what to do.
    #[error("cannot use the data directory (FLYMQ_DATA_DIR, data_dir): {reason}")]
    DataDirRefused { reason: String },
    #[error(
        "cannot use the data directory {}: {reason}; check that the path exists, belongs to this user and has space, \
         or choose another with FLYMQ_DATA_DIR (data_dir)", path.display()
    )]
    DataDir { path: PathBuf, reason: String },
    /// Encryption at rest and the keys given do not go together with the data.
    #[error("{reason}")]
    EncryptionKey { reason: String },
    #[error(
        "cannot recover the data in {}: {reason}; look at the log lines above, and restore the directory from a backup if the disk is at fault", path.display()
    )]
    Recovery { path: PathBuf, reason: String },
    /// This node's log, vote or snapshot of the metadata group is damaged or missing.
    #[error(
        "cannot take part in the metadata group with {}: {reason}. Put no older copy in its place: this node would forget whom it \
         voted for and what it has confirmed. Start it with an empty data directory (FLYMQ_DATA_DIR), FLYMQ_ROLE=agent, \
         FLYMQ_SERVER=<cluster address of another member> and FLYMQ_JOIN_TOKEN: it comes back as another member, and fetches \
         everything from the others", path.display()
    )]
    MetadataGroup { path: PathBuf, reason: String },
    /// The node cannot be a member of the cluster: the reason says what to do.
    #[error("{reason}")]
    Cluster { reason: String },
    /// It was one, and was removed, or another process has taken its id.
    #[error("{reason}")]
    Dismissed { reason: String },
    #[error(
        "cannot start the runtime: {0}; check the limits on threads and open files of this user (ulimit -a)"
    )]
    Runtime(io::Error),
}

impl StartError {
    /// Exit code of the process. 2 is a wrong command line, 1 anything that has no code of its own.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Config(_) => 3,
            Self::PortInUse { .. } | Self::Listen { .. } => 4,
            Self::DataDirInUse { .. } => 5,
            Self::DataDirReadOnly { .. } | Self::DataDirRefused { .. } | Self::DataDir { .. } => 6,
            Self::Recovery { .. } | Self::MetadataGroup { .. } => 7,
            Self::EncryptionKey { .. } => 8,
            Self::Cluster { .. } | Self::Dismissed { .. } => 9,
            Self::Runtime(_) => 1,
        }
    }
}
