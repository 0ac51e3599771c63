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

use std::collections::BTreeSet;

use flymq_types::{GroupId, Offset, PartitionId, TopicName};

use crate::meta::MetaImage;
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

    /// The topics of dead letters among those that there are.
    pub fn topics<'a>(&'a self, image: &'a MetaImage) -> DeadLetterTopics<'a> {
        let configs = image.topics.values().filter_map(|topic| topic.config.dead_letters.as_deref());
        let named = configs.filter_map(|config| config.topic.as_ref()).collect();
        DeadLetterTopics { suffix: &self.suffix, named }
    }
}

/// Topics whose name ends in the suffix, or that a policy names.
#[derive(Debug)]
pub struct DeadLetterTopics<'a> {
    suffix: &'a str,
    named: BTreeSet<&'a TopicName>,
}

impl DeadLetterTopics<'_> {
    pub fn has(&self, topic: &TopicName) -> bool {
        (!self.suffix.is_empty() && topic.as_str().ends_with(self.suffix)) || self.named.contains(topic)
    }
}

impl Default for DeadLetterOptions {
    fn default() -> Self {
        Self { enabled: true, max_retries: 3, retry_delay_ms: 1_000, suffix: ".dlq".to_owned() }
    }
}
