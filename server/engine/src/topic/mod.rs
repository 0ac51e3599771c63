//! Topics: settings, what they look like, and how they come and go.

mod config;
mod info;

pub(crate) use config::validate_partitions;
pub use config::{CleanupPolicy, NewTopic, TopicChange, TopicConfig, TopicSettings};
pub use info::{PartitionInfo, TopicInfo};
