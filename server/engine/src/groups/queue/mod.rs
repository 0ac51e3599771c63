//! Single records of groups: those that failed and are redelivered, those that one reader of a queue holds, and those on their
//! way to the dead letters and back (docs/adr/0008-queues-and-dead-letters.md).
//!
//! They stand beside the committed offsets in `__consumer_offsets`, a record each, and are changed by the group's coordinator
//! alone. Whoever calls this module reads and writes the records themselves: their partitions may be led by other nodes.

mod acquire;
mod calls;
mod moves;
mod state;
mod stored;
#[cfg(test)]
mod tests;

use flymq_types::{GroupId, Offset, PartitionId, TopicName};

use crate::topic::DeadLetterConfig;
pub use acquire::{Ask, Offered};
pub use calls::{Acquired, Nack, Nacked};
pub(super) use moves::end_of_moves;
pub use moves::{Direction, Moving};
pub(super) use state::Delivery;

pub use state::{Act, Cause, NotHeld, RetryPolicy};

/// One record in a group.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RecordAt {
    pub group: GroupId,
    pub topic: TopicName,
    pub partition: PartitionId,
    pub offset: Offset,
}

/// What becomes of records that their readers cannot process (`dlq.*`).
#[derive(Debug, Clone)]
pub struct DeadLetterOptions {
    /// Whether records ever go to the dead letters; else they are redelivered without end.
    pub enabled: bool,
    /// Redeliveries before that.
    pub max_retries: u32,
    /// Before the first redelivery, ms.
    pub retry_delay_ms: u32,
    /// Behind a topic's name: where its dead letters go.
    pub suffix: String,
}

impl DeadLetterOptions {
    /// The name of the topic that the dead letters of `topic` go to; it may be too long for one.
    pub fn topic_of(&self, topic: &TopicName, config: Option<&DeadLetterConfig>) -> String {
        match config.and_then(|config| config.topic.as_ref()) {
            Some(named) => named.to_string(),
            None => format!("{topic}{}", self.suffix),
        }
    }
}

impl Default for DeadLetterOptions {
    fn default() -> Self {
        Self { enabled: true, max_retries: 3, retry_delay_ms: 1_000, suffix: ".dlq".to_owned() }
    }
}
