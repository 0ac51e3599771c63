//! What can go wrong in storage, as the layers above need to tell it apart.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use flymq_types::{BatchError, LeaderEpoch, Offset, PartitionId, TopicId};

/// A failed call on a log or a data directory. Cheap to clone: one failure may answer many waiters.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum StorageError {
    /// Another process works on the data directory.
    #[error(
        "the data directory {} is in use by {}: one directory serves one broker",
        path.display(),
        pid.map_or_else(|| "another process".to_owned(), |pid| format!("process {pid}"))
    )]
    DirectoryLocked { path: PathBuf, pid: Option<u32> },
    /// A newer (or no) FlyMQ wrote this file. It is left as it is.
    #[error("{} has format version {found}, this build knows up to {known}: use a newer FlyMQ; nothing was changed", path.display())]
    UnknownFormat { path: PathBuf, found: u32, known: u32 },
    /// The identity file of the data directory cannot be read; it is never rewritten.
    #[error("{} is damaged ({reason}): restore it from a backup; nothing was changed", path.display())]
    DamagedIdentity { path: PathBuf, reason: String },
    /// The directory has an identity, but its records are gone, as under a volume that is not mounted.
    #[error(
        "{} is missing, though this data directory was in use: is a volume not mounted? Put it back, or make it by hand to \
         begin again without the records; nothing was changed", path.display()
    )]
    RecordsMissing { path: PathBuf },
    /// The data is encrypted, and no key was given.
    #[error(
        "the data in {} is encrypted: set FLYMQ_ENCRYPTION_ENABLED=true and FLYMQ_ENCRYPTION_KEY to the key with id \
         {needed}; nothing was changed", path.display()
    )]
    KeyMissing { path: PathBuf, needed: String },
    /// The data is encrypted under another key than those given.
    #[error(
        "wrong encryption key: the data in {} needs the key with id {needed}, given was {given}; set FLYMQ_ENCRYPTION_KEY to \
         the right key, or during a rotation add the old key to FLYMQ_ENCRYPTION_OLD_KEYS; nothing was changed", path.display()
    )]
    WrongKey { path: PathBuf, needed: String, given: String },
    /// The data directory belongs to another node.
    #[error(
        "the data directory {} belongs to node {owner}, and this is node {node}: two nodes never share one; choose \
         another directory, start as {owner} again, or, if the node was renamed, change node_id in its meta.json; \
         nothing was changed",
        path.display()
    )]
    OtherNode { path: PathBuf, owner: String, node: String },
    /// Something else is where a directory has to be.
    #[error("{} is not a directory: move it away, or choose another data directory; nothing was changed", path.display())]
    NotADirectory { path: PathBuf },
    /// This user may not do that.
    #[error("{operation} {}: this user has no permission; give the data directory to the user that runs the broker (chown -R)", path.display())]
    NoPermission { operation: &'static str, path: PathBuf },
    /// The log was deleted, or its data directory closed.
    #[error("the log is closed")]
    Closed,
    /// The same log was opened twice in one process.
    #[error("the log of topic {topic} partition {partition} is already open")]
    AlreadyOpen { topic: TopicId, partition: PartitionId },
    /// The read asks for an offset that the log does not have (any more, or yet).
    #[error("offset is out of range: the log has {start} to {end} (exclusive)")]
    OffsetOutOfRange { start: Offset, end: Offset },
    /// The stored bytes of these offsets are damaged or missing. Offsets around the range can be read.
    #[error("offsets {start} to {end} (exclusive) are damaged on disk")]
    Corrupt { start: Offset, end: Offset },
    /// The batch does not fit the format.
    #[error("batch refused: {0}")]
    InvalidBatch(#[from] BatchError),
    /// The batch is larger than a segment may ever be.
    #[error("batch of {bytes} bytes is larger than {limit}")]
    BatchTooLarge { bytes: usize, limit: usize },
    /// The append comes from a leader that has been replaced.
    #[error("leader epoch {given} is older than {current}")]
    StaleEpoch { given: LeaderEpoch, current: LeaderEpoch },
    /// The log does not know the producer, whose first batch would have sequence 0: it has not written for longer than
    /// producers are remembered, or never had its id from here. Nothing was appended.
    #[error("producer {producer} is not known, and its batch begins with sequence {found}, not 0")]
    UnknownProducer { producer: u64, found: i32 },
    /// A producer with the same id and a later epoch has taken over. Nothing was appended.
    #[error("producer {producer} has epoch {current} now: epoch {epoch} is over")]
    ProducerFenced { producer: u64, epoch: u16, current: u16 },
    /// A later coordinator has ended a transaction of this producer. Nothing was appended.
    #[error("a coordinator of term {current} has spoken for producer {producer}: term {given} is over")]
    CoordinatorFenced { producer: u64, given: u32, current: u32 },
    /// A batch of this producer is missing before this one. Nothing was appended.
    #[error(
        "the batch of producer {producer} (epoch {epoch}) begins with sequence {found}, expected was {expected}"
    )]
    OutOfOrderSequence { producer: u64, epoch: u16, expected: i32, found: i32 },
    /// A leader's batches begin behind the end of the log. Nothing was appended.
    #[error("the batch at {found} does not follow the log's end, {expected}")]
    Gap { expected: Offset, found: Offset },
    /// The log holds something else than the leader at these offsets. Nothing was appended; what is not the leader's has
    /// to be cut off first.
    #[error("the log differs from its leader's at offset {at}")]
    Diverged { at: Offset },
    /// The batch does not build on what stands before it in this log. Nothing was changed.
    #[error("the batch at {at} does not build on the batch before it")]
    BrokenChain { at: Offset },
    /// Records that are committed are never cut off. Nothing was changed.
    #[error("the log cannot be cut at {end}: its records up to {committed} are committed")]
    Committed { end: Offset, committed: Offset },
    /// What the call was reading was cut off meanwhile.
    #[error("the log was cut at {end} while it was read")]
    Truncated { end: Offset },
    /// Another transfer of segments into this log has not ended.
    #[error("segments are being installed in this log already")]
    Installing,
    /// No space left. Nothing was appended; the log goes on when there is space again.
    #[error("no space left on the disk of {}", path.display())]
    DiskFull { path: PathBuf },
    /// Less space is left than is kept free for commits, metadata and deletions. Nothing was appended; the log goes
    /// on by itself when there is space again.
    #[error("the disk of {} has {free} bytes left, and {min_free} are to stay free (min_free_bytes)", path.display())]
    SpaceLow { path: PathBuf, free: u64, min_free: u64 },
    /// The process has as many files open as it may. Nothing was appended.
    #[error("{operation} {}: too many files are open", path.display())]
    TooManyOpenFiles { operation: &'static str, path: PathBuf },
    /// The file system is read-only. Nothing was appended; reads go on.
    #[error("the file system of {} is read-only", path.display())]
    ReadOnly { path: PathBuf },
    /// An earlier write or fdatasync of this log failed. It takes no more appends until a restart has re-read the
    /// disk; what was durable before can still be read.
    #[error("the log takes no more appends since an earlier failure: {cause}")]
    Poisoned { cause: Arc<StorageError> },
    /// Any other failure of the file system.
    #[error("{operation} {}: {source}", path.display())]
    Io { operation: &'static str, path: PathBuf, source: Arc<io::Error> },
    /// The offset did not become durable within the time given.
    #[error("not durable within the time given")]
    Timeout,
}

impl StorageError {
    /// Names the operation and file of an IO error; a full and a read-only disk become their own kinds. Not so for a
    /// failed fdatasync: what it leaves behind is unknown, whatever its reason was.
    pub(crate) fn io(operation: &'static str, path: &Path, source: io::Error) -> Self {
        let path = path.to_owned();
        if operation == "fdatasync" {
            return Self::Io { operation, path, source: Arc::new(source) };
        }
        if matches!(source.raw_os_error(), Some(ENFILE | EMFILE)) {
            return Self::TooManyOpenFiles { operation, path };
        }
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::DiskFull { path },
            io::ErrorKind::ReadOnlyFilesystem => Self::ReadOnly { path },
            io::ErrorKind::NotADirectory => Self::NotADirectory { path },
            io::ErrorKind::AlreadyExists if operation == "create directory" => Self::NotADirectory { path },
            io::ErrorKind::PermissionDenied => Self::NoPermission { operation, path },
            _ => Self::Io { operation, path, source: Arc::new(source) },
        }
    }

    /// The error that later callers get once this one has closed the log for appends.
    pub(crate) fn poison(&self) -> Self {
        match self {
            Self::Poisoned { .. } => self.clone(),
            other => Self::Poisoned { cause: Arc::new(other.clone()) },
        }
    }

    /// Whether the bytes of a log are in doubt after it: a failed write, fdatasync, rename or directory sync.
    pub(crate) fn closes_a_log(&self) -> bool {
        matches!(self, Self::Io { .. } | Self::NoPermission { .. } | Self::NotADirectory { .. })
    }

    /// Whether a data directory is refused as it is, in a sentence that says what to do.
    pub fn is_refusal(&self) -> bool {
        matches!(
            self,
            Self::UnknownFormat { .. }
                | Self::DamagedIdentity { .. }
                | Self::RecordsMissing { .. }
                | Self::OtherNode { .. }
                | Self::NotADirectory { .. }
                | Self::NoPermission { .. }
                | Self::KeyMissing { .. }
                | Self::WrongKey { .. }
        )
    }

    /// Whether the same call can succeed later without a restart.
    pub fn is_transient(&self) -> bool {
        matches!(
            self,
            Self::DiskFull { .. }
                | Self::SpaceLow { .. }
                | Self::TooManyOpenFiles { .. }
                | Self::ReadOnly { .. }
                | Self::Timeout
        )
    }
}

/// The error numbers of too many open files, in the system and in the process.
const ENFILE: i32 = 23;
const EMFILE: i32 = 24;

pub(crate) type Result<T, E = StorageError> = std::result::Result<T, E>;

/// Adds operation and path to an IO result.
pub(crate) trait IoContext<T> {
    fn on(self, operation: &'static str, path: &Path) -> Result<T>;
}

impl<T> IoContext<T> for io::Result<T> {
    fn on(self, operation: &'static str, path: &Path) -> Result<T> {
        self.map_err(|source| StorageError::io(operation, path, source))
    }
}
