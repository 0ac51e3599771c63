//! What happens to a replica, and what it wants done.

use bytes::Bytes;
use flymq_types::{Acks, LeaderEpoch, Offset};

use super::{
    BrokerEpoch, BrokerId, Chunk, EpochStart, Frame, Millis, PartitionMeta, RangeHead, Span, StreamId,
};

/// Names a request of the driver in its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Token(pub u64);

/// Something happened.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ReplicaEvent {
    /// The metadata group has committed this. After a start, the first one must be at least as new as this broker's own
    /// registration: an older one could name a leader whose epoch is long over.
    Meta(PartitionMeta),
    /// A producer's batch of `records` (at least 1) records.
    Produce { batch: Bytes, records: u32, acks: Acks, token: Token },
    /// A producer has sent a batch again that is in the log already, below `end` of it: answer as for the first time, once
    /// that is committed.
    Await { base: Offset, end: Offset, token: Token },
    /// Delete everything below `before`; retention gives no token.
    DeleteRecords { before: Offset, token: Option<Token> },
    /// A sync that began in `generation` of the log is done: everything below `end` is on disk.
    LocalDurable { end: Offset, generation: u32 },
    /// From another replica. Frames of a registration of this broker that is over must not be given here.
    Frame { from: BrokerId, frame: Frame },
    /// What [`ReplicaAction::SendRange`] asked for is sent: the batches of `first..until`, and no others.
    RangeSent { to: BrokerId, stream: StreamId, first: Offset, until: Offset },
    /// The metadata group did not apply the change that was compared with this partition epoch.
    IsrRefused { partition_epoch: u32 },
    /// The metadata group did not apply the hand-over that was compared with this partition epoch.
    HandOverRefused { partition_epoch: u32 },
    /// The metadata leader has answered the heartbeat that was *sent* at this time. The answer names the version of the
    /// metadata, and [`ReplicaEvent::Meta`] of that version has been given before: a leader that was fenced meanwhile
    /// would trust itself again otherwise.
    SessionRenewed { sent: Millis },
    /// The bytes of this range are damaged (found by a read or a scrub).
    Corrupt(Span),
    /// The bytes that [`ReplicaAction::Repair`] gave are on disk.
    Repaired(Span),
    /// Time has passed; every few tens of milliseconds while there is work, seldom when idle.
    Tick,
}

/// A wish of the leader to change the in-sync replicas
/// (AlterPartition of [KIP-497](https://cwiki.apache.org/confluence/display/KAFKA/KIP-497%3A+Add+inter-broker+API+to+alter+ISR)).
///
/// The metadata group applies it when `leader_epoch` and `partition_epoch` are the current ones, the sender leads, and
/// each member that is new is registered under this broker epoch and not fenced. It counts the partition epoch up *even
/// where the members are the same*: that is how a leader makes sure that an earlier wish can no longer come true.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct IsrChange {
    pub leader_epoch: LeaderEpoch,
    pub partition_epoch: u32,
    /// The new set. No broker epoch: a member that is in the set already and has not been heard of in this epoch.
    pub isr: Vec<(BrokerId, Option<BrokerEpoch>)>,
}

/// Why a replica will not lead though it should.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ResignReason {
    /// It has led in this epoch before, and may have lost batches of it.
    EpochUsed,
    /// Its log has damaged ranges, and others are in sync.
    Corrupt,
    /// Its disk is late again and again, and those of the others are not. It leads on until another one does.
    Slow,
}

/// Which connection carries a range.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Lane {
    /// With the frames that acknowledgements wait for.
    Live,
    /// The bulk connection, throttled: the follower is far behind.
    CatchUp,
}

/// Something to be done, in the order in which it is given.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ReplicaAction {
    /// Note the epoch, and have it on disk before anything else is done.
    StartEpoch(EpochStart),
    /// Append a producer's batch at `base`.
    Append { base: Offset, epoch: LeaderEpoch, batch: Bytes },
    /// Append what of `chunk` lies at and above `from`, the end of the log. New epochs are on disk before their batches.
    AppendRange { from: Offset, chunk: Chunk },
    /// Cut everything at and above `end`, on disk before anything is appended. The log is of `generation` then.
    Truncate { end: Offset, generation: u32 },
    /// Delete everything, go on at `start`.
    Reset { start: Offset, generation: u32 },
    /// Delete everything below.
    AdvanceStart(Offset),
    /// Write these bytes in place of the damaged ones, sync, and say [`ReplicaEvent::Repaired`].
    Repair { chunk: Chunk },
    /// Send a frame.
    Send { to: BrokerId, frame: Frame },
    /// Send whole batches from `head.first` on as one [`Frame::Range`]: at least one, and none that begins at or above
    /// `limit`; the driver's own limit of bytes may end it earlier. Then say [`ReplicaEvent::RangeSent`] (where nothing can
    /// be read, send nothing and say `until` = `first`): nothing more is sent to this follower before. Where `limit` is
    /// `head.first`, the frame has no batches and needs no such answer.
    SendRange { to: BrokerId, head: RangeHead, limit: Offset, lane: Lane },
    /// Send a [`Frame::RepairReply`] with these batches.
    SendRepair { to: BrokerId, leader_epoch: LeaderEpoch, span: Span },
    /// Ask the metadata group for this; the answer is a newer [`ReplicaEvent::Meta`] or [`ReplicaEvent::IsrRefused`].
    AlterIsr(IsrChange),
    /// Ask the metadata group for another leader (or, where there is none, for another epoch).
    Resign { leader_epoch: LeaderEpoch, reason: ResignReason },
    /// Ask the metadata group to let that replica lead, compared with this partition epoch; the answer is a newer
    /// [`ReplicaEvent::Meta`] or [`ReplicaEvent::HandOverRefused`].
    HandOver { partition_epoch: u32, to: BrokerId },
    /// Somebody knows of this epoch: get newer metadata.
    RefreshMeta { at_least: LeaderEpoch },
    /// Answer a request: the offset of the first record, or where the log begins at all that are in sync.
    Complete { token: Token, result: Result<Offset, ReplicaError> },
    /// Everything below is committed and may be read.
    AdvanceHighWatermark(Offset),
}

/// Why a request was not done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum ReplicaError {
    /// Not appended.
    #[error("not the leader; the leader in epoch {epoch} is {}", leader.map_or_else(|| "not known".to_owned(), |id| id.0.to_string()))]
    NotLeader { leader: Option<BrokerId>, epoch: LeaderEpoch },
    /// Appended here, and then another took over: the record may be kept or lost.
    #[error("the leadership of epoch {epoch} ended before the record was committed")]
    LeadershipLost { epoch: LeaderEpoch },
    /// Not appended.
    #[error("{in_sync} replicas are in sync, {needed} are needed")]
    NotEnoughReplicas { in_sync: usize, needed: usize },
    /// Not appended: this leader may have been replaced, and would lose what only it has.
    #[error("the session with the metadata leader was not renewed in time")]
    SessionLost,
    /// Not appended: another replica is about to lead. See [`Replica::holds_back`](super::Replica::holds_back).
    #[error("the leadership is being handed over")]
    HandingOver,
    /// Only committed records can be deleted.
    #[error("the high watermark is {high_watermark}, below the offset asked for")]
    NotCommitted { high_watermark: Offset },
    /// A batch has at least one record.
    #[error("the batch has no records")]
    EmptyBatch,
}
