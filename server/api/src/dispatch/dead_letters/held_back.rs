//! Records that could not be moved to the dead letters, so that they do not hold up the others of their group: each is tried again
//! after a while, which grows.

use std::{collections::HashMap, time::Duration};

use flymq_engine::Moving;
use flymq_types::{GroupId, Offset, PartitionId, TopicName};
use tokio::time::Instant;
use tracing::warn;

use crate::BrokerError;

/// Before the first try again.
const FIRST: Duration = Duration::from_millis(500);
/// Between two tries at last.
const LONGEST: Duration = Duration::from_secs(30);
/// A record that has not been tried for so long is none any more: it was moved, committed past or deleted.
const OLD: Duration = Duration::from_secs(300);

#[derive(Debug, Default)]
pub(super) struct HeldBack(HashMap<(TopicName, PartitionId, Offset), Held>);

#[derive(Debug)]
struct Held {
    until: Instant,
    wait: Duration,
    why: String,
}

impl HeldBack {
    /// Whether it is not its turn yet.
    pub fn has(&self, topic: &TopicName, partition: PartitionId, offset: Offset) -> bool {
        let known = self.0.get(&(topic.clone(), partition, offset));
        known.is_some_and(|held| Instant::now() < held.until)
    }

    /// It could not be moved. Says so once for each reason.
    pub fn add(&mut self, group: &GroupId, moving: Moving, error: &BrokerError) {
        let Moving { topic, partition, offset, .. } = moving;
        let why = error.to_string();
        let known = self.0.get(&(topic.clone(), partition, offset));
        if known.is_none_or(|known| known.why != why) {
            warn!(
                %group, %topic, %partition, %offset, code = error.code.as_str_name(), error = %why,
                "a record cannot be moved to the dead letters; it is tried again, others of the group go on",
            );
        }
        let wait = known.map_or(FIRST, |known| (2 * known.wait).min(LONGEST));
        self.0.insert((topic, partition, offset), Held { until: Instant::now() + wait, wait, why });
        metrics::counter!("flymq_dead_letter_moves_failed_total").increment(1);
    }

    pub fn forget_old(&mut self) {
        let now = Instant::now();
        self.0.retain(|_, held| now < held.until + OLD);
    }
}
