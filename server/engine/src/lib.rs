//! The broker's engine: topics, the append and the read path, consumer groups, and the metadata state machine.
//! Domain types in, domain types out; it knows neither protobuf nor sockets.
//!
//! ```text
//! Engine ──┬── topic     registry of open partitions, create, delete, alter
//!          ├── produce   route → log → wait for the group commit
//!          ├── fetch     batches below the high watermark, long poll, subscriptions
//!          ├── groups    offsets on `__consumer_offsets`, members
//!          ├── offsets   earliest, latest, by time
//!          └── meta      Command → State::apply, the MetaStore trait
//! ```
//!
//! Time, randomness and disk come by trait ([`EngineDeps`]). Tasks are spawned in [`task`](self) alone.

mod engine;
mod error;
mod fetch;
mod groups;
pub mod meta;
mod offsets;
mod options;
mod produce;
mod topic;

pub use engine::{Engine, EngineDeps, EngineStats};
pub use error::EngineError;
pub use fetch::{FetchSpec, Fetched, Pulled, SubscribeSpec, Subscription};
pub use groups::{
    CommittedOffset, GroupDescription, GroupState, GroupSummary, MemberGuard, MemberInfo, OffsetCommit,
    PartitionLag,
};
pub use offsets::StartFrom;
pub use options::EngineOptions;
pub use produce::{Appended, Target};
pub use topic::{CleanupPolicy, NewTopic, PartitionInfo, TopicChange, TopicConfig, TopicInfo, TopicSettings};
