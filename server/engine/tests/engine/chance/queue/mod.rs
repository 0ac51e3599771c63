//! A queue: workers take its records one by one, and each of them ends once, accepted or as a dead letter.

mod fates;
mod mover;
mod worker;

use flymq_engine::{DeadLetterConfig, DeadLetterPolicy, NewTopic, TopicConfig};
use flymq_types::{Acks, PartitionId};
use flymq_wire::batch::{BatchBuilder, NewRecord};

use super::clients::{Client, REQUESTS};
use crate::support::*;
pub(super) use fates::Queued;
pub(super) use mover::work_off;

pub(super) const QUEUE: &str = "queue";
const LETTERS: &str = "queue.dlq";
const GROUP: &str = "workers";
const PARTITIONS: u32 = 2;
const WORKERS: u64 = 3;
/// Redeliveries before a record is dead.
const MAX_RETRIES: u32 = 2;

/// The queue, and where its dead letters go.
pub(super) fn topics() -> [NewTopic; 2] {
    let policy = DeadLetterPolicy {
        max_retries: Some(MAX_RETRIES),
        retry_delay_ms: Some(100),
        ..DeadLetterPolicy::default()
    };
    let letters = DeadLetterConfig { policy, ..DeadLetterConfig::default() };
    let config = TopicConfig { dead_letters: Some(letters.into()), ..TopicConfig::default() };
    [NewTopic { config, ..new_topic(QUEUE, PARTITIONS) }, new_topic(LETTERS, PARTITIONS)]
}

/// Where order counts: a worker gets one record of a key at a time.
fn is_ordered(partition: u32) -> bool {
    partition == 0
}

/// All that work on the queue, until the disk stops or they have done enough.
pub(super) async fn live<'a>(client: impl Fn() -> Client<'a>) {
    let workers = futures::future::join_all((0..WORKERS).map(|number| {
        let client = client();
        async move { client.work(&format!("w{number}")).await }
    }));
    let (producer, mover) = (client(), client());
    tokio::join!(workers, producer.fill(), mover.bury());
}

impl Client<'_> {
    /// Records for the workers, most of them with a key that others have, too.
    async fn fill(&self) {
        for _ in 0..REQUESTS {
            let partition = u32::try_from(self.below(PARTITIONS.into())).unwrap();
            let key = (self.below(4) != 0).then(|| format!("k{}", self.below(3)));
            let value = self.book.lock().fresh();
            let mut builder = BatchBuilder::new();
            let (bytes, value_bytes) = (key.as_deref().map(str::as_bytes), Some(value.as_bytes()));
            builder.push(&NewRecord { key: bytes, value: value_bytes, ..NewRecord::default() }).unwrap();
            let target = flymq_engine::Target::Partition(PartitionId(partition));
            let told = self.engine.append(&topic(QUEUE), target, builder.build().unwrap(), Acks::All).await;
            let at = told.ok().map(|appended| appended.base_offset.get());
            self.book.lock().queue.sent(partition, key, value, at);
            if self.stopped() {
                return;
            }
            self.pause().await;
        }
    }
}
