//! The partition log: record batches on disk, in order, with offsets that are dense and never reused.
//!
//! ```text
//! DataDir ──┬── lock, identity, lost+found
//!           ├── Log (one per partition) ── segments, sparse indexes, epoch index, checkpoint, tail cache
//!           └── sync thread: group commit over all logs of the directory
//! ```
//!
//! The API (sync, threads only; every call may be made from several threads at once; `Log` is a cheap handle):
//!
//! ```text
//! DataDir::open(DataDirOptions { disk, path, clock, rng, sync, tail_cache_bytes, space }) -> Result<DataDir, StorageError>
//!   .id() -> DirectoryId                             .logs() -> Result<Vec<(TopicId, PartitionId)>, _>
//!   .open_log(TopicId, PartitionId, LogConfig) -> Result<(Log, RecoveryReport), _>     creates it where missing
//!   .delete_log(TopicId, PartitionId)                .delete_topic(TopicId)            .space() .check_space() .vital_disk()
//! Log (Clone)
//!   .append(&RecordBatch, LeaderEpoch, now: Timestamp) -> Result<Appended { base_offset, last_offset, append_time }, _>
//!   .append_many(&[RecordBatch], LeaderEpoch, now) -> Vec<Result<Appended, _>>     one write for many
//!   .read(from: Offset, max_bytes: usize, upto: Offset) -> Result<Vec<RecordBatch>, _>
//!        whole batches below `upto` (exclusive), at least one if there is any; the first may begin before `from`;
//!        empty at the end; OffsetOutOfRange { start, end }; Corrupt { start, end } for a damaged range alone
//!   .start_offset() .durable_offset() .end_offset() -> Offset       (start <= durable <= end)
//!   .request_sync()                                  a sync round starts at once; those asking meanwhile get the next
//!   .wait_durable(Offset, Duration) -> Result<(), _> blocking, for tests and start-up
//!   .subscribe(&Arc<dyn DurableListener>)            held weakly; durable(end) after each round, failed(error) once
//!   .offset_for_timestamp(Timestamp) -> Result<Option<Offset>, _>
//!   .begin_epoch(LeaderEpoch)                        durable before the first batch of the epoch
//!   .epoch_end(LeaderEpoch) -> Option<EpochEnd { epoch, end }>   .epochs() -> Vec<EpochStart { epoch, first }>
//!   .link_before(Offset) -> Result<Link { epoch, chain }, _>    what the batch at this offset builds on
//!   .read_raw(from, max_bytes)                       as read, up to the log's end, for a follower
//!   .append_replica(&[RecordBatch]) -> Result<Replicated { end, appended, skipped }, _>   as the leader stamped them
//!   .truncate_to(end, committed) -> Result<Offset, _>           cuts off what is not its leader's, durably
//!   .export() -> Result<Export, _>                   the closed segments, for a follower that is far behind
//!   .begin_install(base, chain) -> Result<Install, _>           and there: all of them or none
//!   .damaged() -> Vec<Range<Offset>>                 .repair(range, chain, &[RecordBatch]) -> Result<Repaired, _>
//!   .stats() -> LogStats { segments, bytes, last_sync, .. }
//!   .retain(now, Retention { ms, bytes }, upto) -> Result<Retired { segments, bytes }, _>    whole old segments below `upto`
//!   .advance_start(to: Offset, upto) -> Result<Retired, _>               deletes all records below `to`
//! ```

mod checkpoint;
mod crypt;
mod data_dir;
mod disk;
mod epochs;
mod error;
mod index;
pub mod inspect;
mod layout;
mod log;
mod lost_found;
mod pending;
mod scan;
mod segment;
mod space;
mod sync;
mod tail;
#[cfg(test)]
mod testing;

pub use crypt::{EncryptionKey, EncryptionKeys, FileCipher, FileVault, KeyError, KeyId};
pub use data_dir::{DataDir, DataDirOptions, DirectoryId, Rotation, RotationStep};
pub use disk::{
    DirEntry, Disk, DiskFile, DiskLock, DiskSpace, FaultOp, FileMap, LockOutcome, LockState, OpenMode,
    RealDisk, SimDisk, WholeSync,
};
pub use error::StorageError;
pub use index::{IndexHealth, IndexStats, IndexStrategy};
pub use log::{
    AbortedTransaction, Appended, Compacted, Compaction, EpochEnd, EpochStart, Export, FoundRecords,
    HeaderQuery, Install, Link, Log, LogConfig, LogStats, OpenTransaction, ProducerLimits, Protected,
    RecoveryReport, Repaired, Replicated, Retention, Retired, Scrubbed, SealedSegment, SegmentSpan,
    split_batches,
};
pub use space::{SpaceOptions, SpaceReport, SpaceState, SpaceWatch};
pub use sync::{DurableListener, SyncMode};
