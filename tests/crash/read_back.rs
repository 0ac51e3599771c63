//! What is there after a restart, noted as events for the checker.

use std::time::{Duration, Instant};

use flymq_client::{Client, FetchSpec};

use crate::{
    history::{History, Op, Phase},
    load::{GROUPS, PARTITIONS, TOPIC, unpadded},
};

/// The client number of these events.
const READER: u32 = 0;
/// By then all that the log holds must be readable.
const DEADLINE: Duration = Duration::from_secs(20);

/// Reads a partition from an offset to the end of its log.
pub async fn partition(client: &Client, history: &History, partition: i32, from: u64) {
    let topic = client.topic(TOPIC).await.expect("the topic is there");
    let info = topic.partitions.iter().find(|p| p.partition == partition).expect("the partition is there");
    let end = info.log_end_offset;
    let mut spec = FetchSpec::new(TOPIC, partition, from);
    spec.max_messages = 100_000;
    spec.max_bytes = 8 << 20;
    spec.max_wait = Duration::from_millis(100);
    let give_up = Instant::now() + DEADLINE;
    while spec.offset < end {
        let page = client.fetch(&spec).await.expect("readable");
        assert!(Instant::now() < give_up, "{partition}: nothing readable at {} of {end}", spec.offset);
        for message in &page.messages {
            let value = unpadded(&message.value);
            history.add(READER, Phase::Ok, Op::Read { partition, offset: message.offset, value });
        }
        spec.offset = page.next_offset;
    }
    history.add(READER, Phase::Ok, Op::End { partition, offset: end });
}

/// What the groups have committed; a group without commit stands at 0.
pub async fn commits(client: &Client, history: &History) {
    for group in GROUPS {
        let committed = client.committed(group, TOPIC).await.expect("commits can be asked for");
        for partition in 0..PARTITIONS {
            let offset = committed.iter().find(|c| c.partition == partition).map_or(0, |c| c.offset);
            history.add(READER, Phase::Ok, Op::Committed { group: group.to_owned(), partition, offset });
        }
    }
}

/// The topics beside the one that the records are in.
pub async fn topics(client: &Client, history: &History) {
    let topics = client.list_topics().await.expect("topics can be listed");
    let topics = topics.into_iter().map(|topic| topic.name).filter(|name| name != TOPIC).collect();
    history.add(READER, Phase::Ok, Op::Topics { topics });
}
