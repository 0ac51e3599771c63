//! What a partition's task is sent.

use flymq_engine::ReplicaFailure;
use flymq_storage::{Appended, StorageError};
use flymq_types::{Acks, Offset, RecordBatch};
use tokio::sync::oneshot;

use crate::replica::{BrokerId, Chunk, Frame, Millis, RangeHead, StreamId};

/// The answer to an append.
pub(super) type AppendReply = oneshot::Sender<Result<Appended, ReplicaFailure>>;
/// The answer to a deletion.
pub(super) type DeleteReply = oneshot::Sender<Result<Offset, ReplicaFailure>>;

/// A batch to append.
#[derive(Debug)]
pub(super) struct Produce {
    pub batch: RecordBatch,
    pub acks: Acks,
    pub reply: AppendReply,
}

/// One piece of mail.
#[derive(Debug)]
pub(super) enum Mail {
    Produce(Produce),
    Delete {
        before: Offset,
        reply: DeleteReply,
    },
    /// Retention has moved the log's start.
    StartMoved,
    Frame {
        from: BrokerId,
        frame: Frame,
    },
    /// Everything below is on disk; the sync was in this generation of the log.
    Durable {
        end: Offset,
        generation: u32,
    },
    /// The log takes nothing more.
    Failed(StorageError),
    /// A range for a follower that is far behind has been read.
    Read(Box<ReadRange>),
    /// A range is handed to the socket, or dropped.
    Sent(SentRange),
    IsrRefused {
        partition_epoch: u32,
    },
    HandOverRefused {
        partition_epoch: u32,
    },
    /// A read or a scrub has met damage.
    DamageMet,
    /// There is newer metadata.
    Wake,
    Tick,
    /// Let go of the log, then answer.
    Close(oneshot::Sender<()>),
}

/// A range that was read beside the task.
#[derive(Debug)]
pub(super) struct ReadRange {
    pub to: BrokerId,
    pub head: RangeHead,
    pub read: Result<Option<Chunk>, StorageError>,
}

/// A range that has left.
#[derive(Debug, Clone, Copy)]
pub(super) struct SentRange {
    pub to: BrokerId,
    pub stream: StreamId,
    pub first: Offset,
    pub until: Offset,
    pub bytes: usize,
    /// The next one may not follow before.
    pub not_before: Millis,
}
