//! Records that end: some say when, the others live as long as their topic lets them. Nobody sees one from that instant on, and
//! everybody before, whatever is cleaned away and however often the broker starts.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use flymq_engine::{Engine, EngineError, Fetched, NewTopic, Target, TopicConfig};
use flymq_types::{Acks, PartitionId, SeededRng};
use flymq_wire::batch::{BatchBuilder, NewRecord};
use parking_lot::Mutex;

use super::book::Book;
use super::clients::{Client, REQUESTS};
use super::counts::{Broken, Event};
use crate::support::*;

const EXPIRING: &str = "expiring";
/// Of a record that does not say when it ends, ms.
const TTL_MS: u64 = 500;
/// So that there are closed segments, from which expired records are taken.
const PADDING: usize = 6_000;

pub(super) fn topic_of_short_lives() -> NewTopic {
    let config =
        TopicConfig { ttl_ms: Some(TTL_MS), segment_bytes: Some(64 << 10), ..TopicConfig::default() };
    NewTopic { config, ..new_topic(EXPIRING, 1) }
}

/// A record that was sent.
#[derive(Debug)]
pub(super) struct Short {
    value: String,
    /// Unix ms. Of the topic's time to live only the bounds are known.
    ends: RangeInclusive<i64>,
    stored: bool,
}

pub(super) async fn live<'a>(client: impl Fn() -> Client<'a>) {
    let (producer, reader) = (client(), client());
    tokio::join!(producer.produce_short(), reader.look_often());
}

/// What is there after the last start.
pub(super) async fn last_look(node: &Node, engine: &Engine, book: &mut Book, rng: SeededRng) {
    let book = Mutex::new(book);
    soon(Client { node, engine, book: &book, rng }.look()).await.unwrap();
}

/// Value and end of each record.
fn records(fetched: &[Fetched]) -> BTreeMap<String, Option<i64>> {
    let batches = fetched.iter().flat_map(|fetched| &fetched.batches);
    let records = batches.flat_map(|batch| {
        batch.records().unwrap().map(|record| {
            let record = record.unwrap();
            let value = std::str::from_utf8(record.value.unwrap()).unwrap();
            (value.trim_end().to_owned(), record.expires_at)
        })
    });
    records.collect()
}

impl Client<'_> {
    /// One to three records in a batch, each with its own end or none.
    async fn produce_short(&self) {
        for _ in 0..REQUESTS {
            let (mut builder, mut sent) = (BatchBuilder::new(), Vec::new());
            let began = self.now();
            for _ in 0..1 + self.below(3) {
                let value = self.book.lock().fresh();
                let own = match self.below(8) {
                    0..3 => None,
                    3 => Some(began + i64::try_from(self.below(30_000)).unwrap()),
                    _ => Some(began + i64::try_from(self.below(800)).unwrap()),
                };
                let padded = format!("{value:PADDING$}");
                let text = Some(padded.as_bytes());
                builder.push(&NewRecord { value: text, expires_at: own, ..NewRecord::default() }).unwrap();
                sent.push((value, own));
            }
            let target = Target::Partition(PartitionId(0));
            let batch = builder.build().unwrap();
            let stored = self.engine.append(&topic(EXPIRING), target, batch, Acks::All).await.is_ok();
            let ttl = i64::try_from(TTL_MS).unwrap();
            let by_topic = began + ttl..=if stored { self.now() + ttl } else { i64::MAX };
            let sent = sent.into_iter().map(|(value, own)| {
                let ends = own.map_or(by_topic.clone(), |own| own..=own);
                Short { value, ends, stored }
            });
            self.book.lock().short.extend(sent);
            if self.stopped() {
                return;
            }
            self.pause().await;
        }
    }

    /// Looks at all that is there, and has what is over taken out of the log.
    async fn look_often(&self) {
        for _ in 0..REQUESTS {
            let cleaned = match self.below(4) {
                0 => self.engine.clean_logs().await.map(|cleaned| cleaned.expired),
                _ => self.look().await.map(|()| 0),
            };
            self.count(Event::TakenOut, cleaned.unwrap_or_default());
            if self.stopped() {
                return;
            }
            self.pause().await;
        }
    }

    async fn look(&self) -> Result<(), EngineError> {
        let (began, told) = (self.now(), self.book.lock().short.len());
        let there = records(&fetch_all(self.engine, EXPIRING, 0).await?);
        let now = self.now();
        let mut book = self.book.lock();
        let Book { short, counts, .. } = &mut **book;
        for one in &short[..told] {
            let seen = there.get(&one.value);
            if seen.is_none() && one.stored && *one.ends.start() > now {
                counts.broke(Broken::GoneBefore, &format!("{one:?}, looked for until {now}"));
            }
            if seen.is_some_and(|end| end.is_none_or(|end| !one.ends.contains(&end))) {
                counts.broke(Broken::OtherEnd, &format!("{one:?}, and there {seen:?}"));
            }
            counts.happened(Event::NoMoreSeen, u64::from(seen.is_none() && one.stored));
        }
        for (value, end) in there.iter().filter(|(_, end)| end.is_some_and(|end| end <= began)) {
            counts.broke(Broken::SeenAfter, &format!("{value} ended at {end:?}, looked for from {began}"));
        }
        counts.happened(Event::Looks, 1);
        counts.happened(Event::Seen, there.len() as u64);
        Ok(())
    }
}
