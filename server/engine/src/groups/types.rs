//! What groups look like from outside.

use std::collections::BTreeMap;

use flymq_types::{GroupId, Offset, PartitionId, Timestamp, TopicName};

use super::GroupMember;

/// A position to commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OffsetCommit {
    pub topic: TopicName,
    pub partition: PartitionId,
    /// The next offset to read.
    pub offset: Offset,
    /// Free text of the consumer.
    pub metadata: String,
}

/// A committed position.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommittedOffset {
    pub topic: TopicName,
    pub partition: PartitionId,
    /// The next offset to read.
    pub offset: Offset,
    pub metadata: String,
    pub committed_at: Timestamp,
}

/// How far a group is behind on a partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionLag {
    pub topic: TopicName,
    pub partition: PartitionId,
    /// The next offset to read.
    pub committed: Offset,
    /// Offset after the last appended record.
    pub latest: Offset,
    /// Records behind: max(0, latest - committed).
    pub lag: u64,
    /// Milliseconds since the oldest record not yet committed was appended; 0 where there is none.
    pub lag_ms: u64,
}

/// What a group is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum GroupState {
    /// Offsets only, no member.
    Empty,
    /// Members, and every partition has its place.
    Stable,
    /// Partitions are on their way to other members.
    Rebalancing,
}

/// A group in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupSummary {
    pub group: GroupId,
    pub state: GroupState,
    pub members: usize,
    /// Topics with offsets or members, sorted.
    pub topics: Vec<TopicName>,
}

/// Who reads in a group without being given partitions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberInfo {
    /// Unique in the group; for 0xAF v1 the peer's address.
    pub member_id: String,
    pub client_id: String,
    pub host: String,
    pub topic: TopicName,
}

/// A group with all that is known of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupDescription {
    pub group: GroupId,
    pub state: GroupState,
    /// Counts the target assignments; 0: there was none yet.
    pub generation: u64,
    pub members: Vec<GroupMember>,
    /// By topic name and partition.
    pub offsets: Vec<CommittedOffset>,
}

impl From<MemberInfo> for GroupMember {
    fn from(member: MemberInfo) -> Self {
        let MemberInfo { member_id, client_id, host, topic } = member;
        Self {
            member_id: member_id.into(),
            instance_id: None,
            client_id,
            host,
            epoch: 0,
            topics: vec![topic.to_string()],
            assignment: [(topic, Vec::new())].into(),
            target: BTreeMap::new(),
        }
    }
}
