//! The changes of metadata, one file each.
//!
//! A command carries all it needs (time, ids): applying it reads no clock, no randomness and no disk, so that
//! every node comes to the same state. On disk and between nodes each has a number (the field of the union in
//! `flymq/internal/v1/command.proto`) that is never used again for another one.

mod alter_topic;
mod create_topic;
mod delete_topic;
mod finish_restore;

use std::sync::Arc;

use flymq_types::{TopicId, TopicName};

pub use alter_topic::AlterTopic;
pub use create_topic::CreateTopic;
pub use delete_topic::DeleteTopic;
pub use finish_restore::FinishRestore;

use super::{MetaImage, TopicMeta};

/// A change of metadata.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    CreateTopic(CreateTopic),
    DeleteTopic(DeleteTopic),
    AlterTopic(AlterTopic),
    FinishRestore(FinishRestore),
}

/// What an applied command answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    TopicCreated(Arc<TopicMeta>),
    TopicDeleted { id: TopicId },
    TopicAltered(Arc<TopicMeta>),
}

/// What every node has to do once the command is applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Open the logs of the topic's partitions, or those that came new, and use its settings.
    OpenTopic(Arc<TopicMeta>),
    /// Close the topic's logs and remove their data.
    RemoveTopic { id: TopicId, name: TopicName },
}

/// In the order in which they are to be done.
pub type Effects = Vec<Effect>;

/// Why a command does not apply. Nothing has changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    #[error("topic {name} exists")]
    TopicExists { name: TopicName },
    #[error("topic {name} does not exist")]
    TopicUnknown { name: TopicName },
    /// The id belongs to another topic, or to a deleted one.
    #[error("the id for topic {name} is taken")]
    TopicIdUsed { name: TopicName },
    #[error("topic {name} has {current} partitions, not fewer than {asked}")]
    PartitionsShrink { name: TopicName, current: u32, asked: u32 },
    /// The command was made from an older state of the topic.
    #[error("topic {name} was changed meanwhile")]
    Conflict { name: TopicName },
    #[error("there are already {limit} topics")]
    TooManyTopics { limit: usize },
}

impl Command {
    /// Applies the command to `image`, or says why not and leaves it as it was.
    pub(super) fn apply(&self, image: &mut MetaImage) -> Result<(Reply, Effects), Rejection> {
        match self {
            Self::CreateTopic(command) => command.apply(image),
            Self::DeleteTopic(command) => command.apply(image),
            Self::AlterTopic(command) => command.apply(image),
            Self::FinishRestore(command) => command.apply(image),
        }
    }
}
