//! Topics: settings, what they look like, and how they come and go.

mod admin;
mod clustered;
mod compaction;
mod config;
mod dead_letters;
mod delete_records;
mod follow;
mod index_config;
mod info;
mod open_logs;
mod open_topic;
mod registry;
mod restore;
mod retention;
mod scrub;
mod start;

pub(crate) use admin::NODES;
pub(crate) use compaction::clean;
pub(crate) use config::validate_partitions;
pub use config::{CleanupPolicy, NewTopic, RestoreTopic, TopicChange, TopicConfig, TopicSettings};
pub use dead_letters::{DeadLetterChange, DeadLetterConfig, DeadLetterPolicy};
pub use index_config::IndexConfig;
pub use info::{PartitionInfo, TopicInfo};
pub(crate) use open_topic::OpenTopic;
pub(crate) use registry::Registry;
pub(crate) use restore::missing;
pub use scrub::ScrubPass;
