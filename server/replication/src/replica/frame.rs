//! What replicas of one partition say to each other. Each frame carries the leader epoch of its sender.

use bytes::Bytes;
use flymq_types::{LeaderEpoch, Offset};

use super::{EpochStart, Span, StreamId};

/// Whole batches, as they lie in the leader's log.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Chunk {
    /// The first offset.
    pub first: Offset,
    /// The offset behind the last record.
    pub until: Offset,
    /// The epoch of the first batch, then each change: from the batch headers.
    pub epochs: Vec<EpochStart>,
    /// The batches. The driver has checked lengths, crc and chain before the state machine sees them.
    pub raw: Bytes,
}

/// What stands before the batches that a leader sends.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RangeHead {
    pub leader_epoch: LeaderEpoch,
    /// The stream of the follower that this belongs to.
    pub stream: StreamId,
    /// The first offset of the batches; where there are none, the one that comes next.
    pub first: Offset,
    /// The epoch of the batch before; None where the leader's log begins here.
    pub prev_epoch: Option<LeaderEpoch>,
    /// The leader's high watermark.
    pub high_watermark: Offset,
    /// The leader's log start.
    pub log_start: Offset,
}

/// Where a follower stands.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Position {
    /// The end of its log.
    pub end: Offset,
    /// What it has on disk: all that counts.
    pub durable: Offset,
    /// Its log start.
    pub log_start: Offset,
    /// The high watermark that it knows.
    pub high_watermark: Offset,
    /// It has damaged ranges: it does not count as in sync until they are mended.
    pub fenced: bool,
}

/// One message between two replicas.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Frame {
    /// Follower: where does `last_epoch`, that of my last batch, end in your log?
    EpochEndRequest { leader_epoch: LeaderEpoch, stream: StreamId, last_epoch: LeaderEpoch },
    /// Leader: my largest epoch that is not above `asked`, and where it ends. No epoch: my log begins later, at `end`.
    EpochEndReply {
        leader_epoch: LeaderEpoch,
        stream: StreamId,
        asked: LeaderEpoch,
        epoch: Option<LeaderEpoch>,
        end: Offset,
    },
    /// Follower: send from here on; the batch before is of `prev_epoch` (none: my log is empty).
    Fetch { leader_epoch: LeaderEpoch, stream: StreamId, from: Offset, prev_epoch: Option<LeaderEpoch> },
    /// Leader: batches, or none to say where things stand.
    Range { head: RangeHead, chunk: Chunk },
    /// Follower: where I stand.
    Ack { leader_epoch: LeaderEpoch, stream: StreamId, position: Position },
    /// Leader: what you ask for is deleted; my log begins here.
    BelowStart { leader_epoch: LeaderEpoch, stream: StreamId, log_start: Offset },
    /// Leader: our logs differ before the offset that you ask for; compare epochs again.
    Diverged { leader_epoch: LeaderEpoch, stream: StreamId },
    /// Anyone: my bytes of this range are damaged; send me yours.
    RepairRequest { leader_epoch: LeaderEpoch, span: Span },
    /// Anyone: here they are.
    RepairReply { leader_epoch: LeaderEpoch, chunk: Chunk },
    /// Anyone: your epoch is over, this is the current one.
    StaleEpoch { leader_epoch: LeaderEpoch },
}

impl Frame {
    /// The epoch that the sender acts in.
    pub fn leader_epoch(&self) -> LeaderEpoch {
        match self {
            Self::EpochEndRequest { leader_epoch, .. }
            | Self::EpochEndReply { leader_epoch, .. }
            | Self::Fetch { leader_epoch, .. }
            | Self::Ack { leader_epoch, .. }
            | Self::BelowStart { leader_epoch, .. }
            | Self::Diverged { leader_epoch, .. }
            | Self::RepairRequest { leader_epoch, .. }
            | Self::RepairReply { leader_epoch, .. }
            | Self::StaleEpoch { leader_epoch } => *leader_epoch,
            Self::Range { head, .. } => head.leader_epoch,
        }
    }
}
