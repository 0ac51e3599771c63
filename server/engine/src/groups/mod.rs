//! Consumer groups: committed offsets and memberships on the internal topic `__consumer_offsets`.
//!
//! On a cluster a group's offsets and members are kept by its coordinator, the leader of the partition that they stand in: it reads
//! them when it begins to lead and forgets them when it ends.

mod book;
mod commit;
mod coordinate;
mod inspect;
mod lag;
mod live;
mod member_calls;
mod members;
mod membership;
mod queue;
mod record;
mod stable;
mod transactional;
mod types;

use std::sync::Arc;

use flymq_types::{GroupId, Offset, PartitionId, TopicId, fnv1a_32};
use parking_lot::RwLockReadGuard;

use crate::durable_map::{DurableLogs, MapLog};
use crate::transactions::KeyedTurns;
use book::Book;
use live::LiveGroups;
pub use member_calls::{CommitAs, Heartbeat, JoinGroup};
pub use members::MemberGuard;
use members::Members;
pub use membership::{Assigned, Assignor, GroupMember, InvalidFilter, TopicFilters, UnknownAssignor};
pub use queue::{
    Acquired, Act, Ask, Cause, DeadLetterOptions, Direction, Moving, Nack, Nacked, NotHeld, Offered,
    RecordAt, RetryPolicy,
};
use record::OffsetKey;
pub use types::{
    CommittedOffset, GroupDescription, GroupState, GroupSummary, MemberInfo, OffsetCommit, PartitionLag,
};

/// The internal topic that holds the committed offsets.
pub const OFFSETS_TOPIC: &str = "__consumer_offsets";

/// All groups of this node.
#[derive(Debug, Default)]
pub(crate) struct Groups {
    /// The partitions of `__consumer_offsets`, and what they say.
    kept: DurableLogs<Book>,
    /// What a producer's transactions have in a group changes one at a time.
    pending_turns: KeyedTurns<(GroupId, u64)>,
    /// Single records of a partition in a group change one call at a time.
    delivery_turns: KeyedTurns<OffsetKey>,
    members: Arc<Members>,
    /// Those with members that are given partitions.
    live: Arc<LiveGroups>,
}

/// One partition of `__consumer_offsets`.
type OffsetsLog = MapLog<Book>;

impl Groups {
    /// The book with everything that is durable by now in it.
    fn settled(&self) -> RwLockReadGuard<'_, Book> {
        self.kept.settled()
    }

    /// A committed offset.
    pub(crate) fn offset(&self, group: &GroupId, topic: TopicId, partition: PartitionId) -> Option<Offset> {
        self.settled().offset(group, topic, partition)
    }

    /// Groups with offsets.
    pub(crate) fn len(&self) -> usize {
        self.settled().len()
    }

    /// Ends every wait for an assignment.
    pub(crate) fn wake(&self) {
        self.live.wake();
    }

    /// Which of `logs` holds a group's offsets.
    fn log_index(group: &GroupId, logs: usize) -> usize {
        fnv1a_32(group.as_str().as_bytes()) as usize % logs.max(1)
    }
}
