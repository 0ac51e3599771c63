//! Records with a time to live: there until then, and for nobody any more afterwards.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
};

use flymq_client::{Client, FetchSpec, pb};
use rand::Rng as _;
use tokio::time::sleep;

use super::{Hand, PAUSE, now_ms, store, text};
use crate::row::Scenario;

pub const TOPIC: &str = "fate-expiry";
/// The writer's and the broker's milliseconds are cut off in different places.
const ROUNDING: i64 = 1;

/// What the writer was told, and what the reader saw.
#[derive(Debug, Default)]
pub struct Expiry(Mutex<Told>);

#[derive(Debug, Default)]
struct Told {
    /// Earliest and latest time of expiry, by value.
    stored: BTreeMap<String, (i64, i64)>,
    looks: u64,
    seen: u64,
    late: Vec<String>,
    missed: Vec<String>,
}

impl Expiry {
    pub(super) async fn write(self: Arc<Self>, mut hand: Hand) {
        let mut number = 0_u64;
        while !hand.over() {
            let value = format!("e{number}");
            number += 1;
            let ttl: i64 = hand.rng.random_range(200..2_500);
            let before = now_ms();
            match store(&hand.client, TOPIC, &value, ttl).await {
                Ok(()) => {
                    let times = (before + ttl, now_ms() + ttl);
                    self.0.lock().expect("nobody panics").stored.insert(value, times);
                }
                Err(_) => sleep(PAUSE).await,
            }
        }
    }

    /// Reads everything, again and again.
    pub(super) async fn look(self: Arc<Self>, hand: Hand) {
        while !hand.over() {
            let known = self.0.lock().expect("nobody panics").stored.clone();
            let Some(pages) = pages(&hand.client).await else {
                sleep(PAUSE).await;
                continue;
            };
            self.compare(&known, &pages, now_ms());
        }
    }

    /// What was asked for after its expiry was there for nobody; what is in time was there.
    fn compare(&self, known: &BTreeMap<String, (i64, i64)>, pages: &[(i64, Vec<String>)], ended: i64) {
        let mut told = self.0.lock().expect("nobody panics");
        told.looks += 1;
        let mut seen = BTreeSet::new();
        for (asked, values) in pages {
            let late =
                |value: &&String| known.get(*value).is_some_and(|(_, latest)| latest + ROUNDING < *asked);
            told.late.extend(values.iter().filter(late).cloned());
            seen.extend(values);
        }
        told.seen += seen.len() as u64;
        let due = known.iter().filter(|(_, (earliest, _))| *earliest - ROUNDING > ended);
        let missed = due.map(|(value, _)| value).filter(|value| !seen.contains(value));
        told.missed.extend(missed.cloned());
    }

    pub(super) fn finish(&self, scenario: &mut Scenario) {
        let told = self.0.lock().expect("nobody panics");
        told.late.iter().for_each(|value| scenario.violated(&format!("{value} was read after its expiry")));
        told.missed.iter().for_each(|value| scenario.lost(&format!("{value} was gone before its expiry")));
        assert!(told.looks > 5 && told.seen > 20, "nobody looked: {} looks, {} seen", told.looks, told.seen);
        scenario.note(format!(
            "expiry: {} records with 0.2 to 2.5 s to live, seen {} times in {} looks; seen after it 0, gone before it 0",
            told.stored.len(),
            told.seen,
            told.looks
        ));
    }
}

/// Everything that is there, page by page, with the time at which each was asked for; `None` where a node did not answer.
async fn pages(client: &Client) -> Option<Vec<(i64, Vec<String>)>> {
    let mut spec = FetchSpec { max_messages: 10_000, ..FetchSpec::new(TOPIC, 0, 0) };
    let mut pages = Vec::new();
    loop {
        let asked = now_ms();
        match client.fetch(&spec).await {
            Ok(fetched) => {
                pages.push((asked, fetched.messages.iter().map(|message| text(&message.value)).collect()));
                if fetched.next_offset == spec.offset {
                    return Some(pages);
                }
                spec.offset = fetched.next_offset;
            }
            // Its beginning has moved: what had expired is gone from the disk.
            Err(error) if error.code == pb::ErrorCode::OffsetOutOfRange => {
                spec.offset = error.metadata.get("start")?.parse().ok()?;
            }
            Err(_) => return None,
        }
    }
}
