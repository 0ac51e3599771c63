//! Consumer groups: committed offsets on the internal topic `__consumer_offsets`, and members.

mod types;

pub use types::{
    CommittedOffset, GroupDescription, GroupState, GroupSummary, MemberGuard, MemberInfo, OffsetCommit,
    PartitionLag,
};
