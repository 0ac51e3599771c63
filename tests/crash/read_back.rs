//! What is there after a restart, noted as events for the checker.

use std::time::{Duration, Instant};

use flymq_client::{Client, ClientError, FetchSpec, pb::ErrorCode};

use crate::{
    history::{History, Op, Phase},
    load::{GROUPS, PARTITIONS, TOPIC, unpadded},
};

/// The client number of these events.
const READER: u32 = 0;
/// By then all that the log holds must be readable.
const DEADLINE: Duration = Duration::from_secs(30);

/// Reads a partition from an offset, or its start, to the end of its log; over ranges that are refused as damaged.
pub async fn partition(client: &Client, history: &History, topic: &str, partition: i32, from: u64) {
    let described = client.topic(topic).await.expect("the topic is there");
    let info =
        described.partitions.iter().find(|p| p.partition == partition).expect("the partition is there");
    let (start, end) = (info.low_watermark, info.log_end_offset);
    if start > 0 {
        history.add(READER, Phase::Ok, Op::Start { partition, offset: start });
    }
    let mut spec = FetchSpec::new(topic, partition, from.max(start));
    spec.max_messages = 100_000;
    spec.max_bytes = 8 << 20;
    spec.max_wait = Duration::from_millis(100);
    let give_up = Instant::now() + DEADLINE;
    while spec.offset < end {
        assert!(Instant::now() < give_up, "{partition}: nothing readable at {} of {end}", spec.offset);
        let page = match client.fetch(&spec).await {
            Ok(page) => page,
            Err(error) => {
                let (from, to) = damaged(&error).unwrap_or_else(|| panic!("{partition}: {error}"));
                assert!(
                    (from..to).contains(&spec.offset),
                    "{partition}: {} is not in {from}..{to}",
                    spec.offset
                );
                history.add(READER, Phase::Ok, Op::Refused { partition, from: spec.offset, to });
                spec.offset = to;
                continue;
            }
        };
        for message in &page.messages {
            let value = unpadded(&message.value);
            history.add(READER, Phase::Ok, Op::Read { partition, offset: message.offset, value });
        }
        spec.offset = page.next_offset;
    }
    history.add(READER, Phase::Ok, Op::End { partition, offset: end });
}

/// The range in a `CORRUPT_DATA`.
pub fn damaged(error: &ClientError) -> Option<(u64, u64)> {
    let number = |key| error.metadata.get(key)?.parse().ok();
    if error.code == ErrorCode::CorruptData { Some((number("start")?, number("end")?)) } else { None }
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
