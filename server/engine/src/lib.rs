//! The broker's engine: topics, the append and the read path, consumer groups, and the metadata state machine.
//! Domain types in, domain types out; it knows neither protobuf nor sockets.
//!
//! ```text
//! Engine ──┬── topic      create, delete, alter; what is open
//!          ├── partition  a log with its high watermark and those who wait for it
//!          ├── produce    check → route → append → wait for the group commit
//!          ├── fetch      batches below the high watermark, long poll, subscriptions
//!          ├── offsets    earliest, latest, by time
//!          ├── groups     offsets on `__consumer_offsets`, members
//!          ├── transactions  coordinator of transactional ids on `__transactions`
//!          ├── schedules  messages that become visible later, on `__schedules`
//!          ├── schemas    what records have to match, checked where they are appended
//!          ├── durable_map  a map with a compacted topic as its truth, which these three are
//!          ├── replication  the traits of whoever keeps partitions on several nodes
//!          └── meta       Command → State::apply, the MetaStore trait
//! ```
//!
//! Time, randomness and disk come by trait ([`EngineDeps`]); tasks start in the module `task` alone.

mod durable_map;
mod engine;
mod error;
mod fetch;
mod groups;
pub mod meta;
mod offsets;
mod options;
mod partition;
mod primitives;
mod produce;
mod replication;
mod schedules;
mod schemas;
mod steady;
mod task;
mod topic;
mod transactions;

pub use engine::{Engine, EngineDeps, EngineStats, StorageHealth};
pub use error::EngineError;
pub use fetch::{FetchSpec, Fetched, Pulled, SubscribeSpec, Subscription};
pub use flymq_schemas::{Compatibility, SchemaKind};
pub use flymq_storage::{IndexHealth, IndexStats, IndexStrategy, SpaceReport, SpaceState};
pub use groups::{
    Acquired, Act, Ask, Assigned, Assignor, Cause, CommitAs, CommittedOffset, DeadLetterOptions, Direction,
    GroupDescription, GroupMember, GroupState, GroupSummary, Heartbeat, InvalidFilter, JoinGroup,
    MemberGuard, MemberInfo, Moving, Nack, Nacked, NotHeld, OFFSETS_TOPIC, Offered, OffsetCommit,
    PartitionLag, RecordAt, RetryPolicy, TopicFilters, UnknownAssignor,
};
pub use offsets::{HeaderMatch, StartFrom};
pub use options::EngineOptions;
pub use produce::{Appended, Target};
pub use replication::{NewReplica, PartitionReplica, ReplicaFailure, ReplicaListener, Replication};
pub use schedules::{
    Delivered, InvalidScheduleId, NewSchedule, SCHEDULES_TOPIC, ScheduleId, SchedulePeers, Scheduled, When,
};
pub use schemas::{NewSchema, SchemaBinding, SubjectNaming, ValidationMode};
pub use topic::{
    CleanupPolicy, DeadLetterChange, DeadLetterConfig, DeadLetterPolicy, IndexConfig, NewTopic,
    PartitionInfo, RestoreTopic, ScrubPass, TopicChange, TopicConfig, TopicInfo, TopicSettings,
};
pub use transactions::{
    InvalidTransaction, Outcome, Phase, Place, PlaceCall, TRANSACTIONS_TOPIC, TransactionHandle,
    TransactionInfo, TransactionPeers, TransactionTimeout, What,
};
