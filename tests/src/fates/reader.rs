//! A reader in order: each record is committed, or fails for ever and is committed in the same step as it goes to the dead letters.

use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use flymq_client::{Client, FetchSpec, pb};
use tokio::time::sleep;

use super::{Hand, PAUSE, all, ask, counted, store, text};
use crate::row::Scenario;

pub const TOPIC: &str = "fate-reader";
const GROUP: &str = "fate-readers";

/// What writer and reader were told.
#[derive(Debug, Default)]
pub struct Reader {
    stored: Mutex<BTreeSet<String>>,
    failed: AtomicU64,
}

impl Reader {
    pub(super) async fn write(self: Arc<Self>, hand: Hand) {
        let mut number = 0_u64;
        while !hand.over() {
            let value = format!("r{number}");
            number += 1;
            match store(&hand.client, TOPIC, &value, 0).await {
                Ok(()) => drop(self.stored.lock().expect("nobody panics").insert(value)),
                Err(_) => sleep(PAUSE).await,
            }
        }
    }

    /// Takes nothing for done that it was not told: after any failure it asks where its group is.
    pub(super) async fn read(self: Arc<Self>, hand: Hand) {
        while !hand.over() {
            if self.go_on(&hand.client, &hand).await.is_none() {
                sleep(PAUSE).await;
            }
        }
    }

    /// From the committed offset on; `None` at the first failure, and at the end.
    async fn go_on(&self, client: &Client, hand: &Hand) -> Option<()> {
        let mut offset = committed(client).await?;
        while !hand.over() {
            let spec = FetchSpec { max_messages: 50, ..FetchSpec::new(TOPIC, 0, offset) };
            let fetched = client.fetch(&spec).await.ok()?;
            if fetched.messages.is_empty() {
                return None;
            }
            for message in fetched.messages {
                self.settle(client, message.offset, &text(&message.value)).await?;
                offset = message.offset + 1;
            }
        }
        Some(())
    }

    async fn settle(&self, client: &Client, offset: u64, value: &str) -> Option<()> {
        if !fails(value) {
            let at = pb::PartitionOffset {
                topic: TOPIC.to_owned(),
                partition: 0,
                offset: offset + 1,
                metadata: String::new(),
            };
            return client.commit(GROUP, vec![at]).await.ok();
        }
        let request = pb::NackRequest {
            group: GROUP.to_owned(),
            topic: TOPIC.to_owned(),
            offset,
            reason: "it fails".to_owned(),
            commit: true,
            max_retries: Some(0),
            ..Default::default()
        };
        let answer = client.call::<_, pb::NackResponse>("Nack", &request).await.ok()?;
        assert!(answer.dead_lettered, "it has no retries");
        self.failed.fetch_add(1, Relaxed);
        Some(())
    }

    /// Each failing record before the committed offset is a dead letter, once; no other is.
    pub(super) async fn finish(&self, client: &Client, scenario: &mut Scenario) {
        let request =
            pb::GetOffsetsRequest { group: GROUP.to_owned(), topic: TOPIC.to_owned(), partition: Some(0) };
        let found: pb::GetOffsetsResponse =
            ask(client, "GetOffsets", &request).await.expect("offsets can be asked for");
        let done = found.offsets.first().map_or(0, |at| at.offset);
        let there = all(client, TOPIC).await;
        let letters = counted(client, &format!("{TOPIC}.dlq")).await;
        let (mut ok, mut dead) = (0_u64, 0_u64);
        for message in &there {
            let value = text(&message.value);
            let times = letters.get(&value).copied().unwrap_or(0);
            match (message.offset < done, fails(&value), times) {
                (true, true, 1) => dead += 1,
                (true, false, 0) => ok += 1,
                (false, _, 0) => {}
                (true, true, 0) => {
                    scenario.lost(&format!("{value} is committed, failed, and not in the dead letters"));
                }
                (before, _, times) => scenario
                    .violated(&format!("{value}: committed: {before}, in the dead letters {times} times")),
            }
        }
        let values: BTreeSet<String> = there.iter().map(|message| text(&message.value)).collect();
        let stored = self.stored.lock().expect("nobody panics");
        stored.difference(&values).for_each(|value| scenario.lost(value));
        scenario.read(there.len() as u64);
        assert!(ok > 20 && dead > 2, "the reader was no reader: {ok}, {dead}");
        scenario.note(format!("in order: {ok} committed, {dead} dead; in both 0, in neither 0, twice 0"));
    }
}

fn fails(value: &str) -> bool {
    value.ends_with('5')
}

async fn committed(client: &Client) -> Option<u64> {
    let found = client.committed(GROUP, TOPIC).await.ok()?;
    Some(found.first().map_or(0, |at| at.offset))
}
