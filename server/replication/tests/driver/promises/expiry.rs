//! Records that end (`docs/reliability.md`, B30): some say when, the others live as long as their topic lets them. Whichever node answers:
//! nobody sees one from that instant on, and everybody before. All nodes have the same wall clock here.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::time::Duration;

use flymq_engine::{Engine, EngineError, Target, TopicConfig};
use flymq_types::{Acks, Offset, PartitionId};
use flymq_wire::batch::{BatchBuilder, NewRecord};
use tokio::time::{sleep, timeout};

use super::book::Counts;
use super::clients::{Client, PAUSE, anywhere};
use super::queue::now;
use crate::cluster::DEADLINE;
use crate::engines::{spec, topic};
use crate::peers::Peers;

pub(super) const EXPIRING: &str = "expiring";
/// Of a record that does not say when it ends, ms.
const TTL_MS: u64 = 500;

pub(super) fn config() -> TopicConfig {
    TopicConfig { ttl_ms: Some(TTL_MS), ..TopicConfig::default() }
}

/// A record that was sent.
#[derive(Debug)]
struct Short {
    value: String,
    /// Unix ms. Of the topic's time to live only the bounds are known, until somebody sees it.
    ends: RangeInclusive<i64>,
    /// Where it was acknowledged.
    at: Option<u64>,
}

#[derive(Debug, Default)]
pub(super) struct Expiry {
    sent: Vec<Short>,
    looks: u64,
    seen: u64,
    /// Records that were acknowledged, and behind which a look came without seeing them: once in each look.
    no_more: u64,
    broken: Vec<(&'static str, String)>,
}

/// What one look showed.
struct Look {
    /// Unix ms.
    began: i64,
    over: i64,
    /// What was sent before it.
    sent: usize,
    /// The end of each record.
    there: BTreeMap<String, Option<i64>>,
    /// It came so far.
    end: Offset,
}

impl Look {
    async fn begin(peers: &Peers, sent: usize) -> Result<Self, EngineError> {
        let (began, mut there, mut end) = (now(), BTreeMap::new(), Offset::ZERO);
        loop {
            let spec = spec(EXPIRING, end.get());
            let fetched = anywhere(peers, async |engine: &Engine| engine.fetch(spec.clone()).await).await?;
            for record in fetched.batches.iter().flat_map(|batch| batch.records().unwrap()) {
                let record = record.unwrap();
                let value = String::from_utf8(record.value.unwrap().to_vec()).unwrap();
                there.insert(value, record.expires_at);
            }
            if fetched.next_offset == end {
                return Ok(Self { began, over: now(), sent, there, end });
            }
            end = fetched.next_offset;
        }
    }
}

impl Expiry {
    fn looked(&mut self, look: &Look) {
        let Look { began, over, end, there, .. } = look;
        for one in &mut self.sent[..look.sent] {
            let seen = there.get(&one.value).copied();
            match (seen, one.at) {
                (None, Some(at)) if at < end.get() => {
                    self.no_more += 1;
                    if one.ends.start() > over {
                        self.broken.push(("gone before it", format!("{one:?}, looked for until {over}")));
                    }
                }
                (Some(Some(known)), _) if one.ends.contains(&known) => one.ends = known..=known,
                (Some(other), _) => {
                    self.broken.push(("with another expiry", format!("{one:?}, and there {other:?}")));
                }
                (None, _) => {}
            }
        }
        for (value, known) in there.iter().filter(|(_, known)| known.is_some_and(|known| known <= *began)) {
            let what = format!("{value} ended at {known:?}, looked for from {began}");
            self.broken.push(("seen after its expiry", what));
        }
        self.looks += 1;
        self.seen += there.len() as u64;
    }

    /// What is there in the end, once a look comes as far as anything was acknowledged.
    pub async fn check(mut self, peers: &Peers, counts: &mut Counts) {
        let acknowledged = self.sent.iter().filter_map(|one| one.at).max();
        let whole = async {
            loop {
                if let Ok(look) = Look::begin(peers, self.sent.len()).await
                    && acknowledged.is_none_or(|last| look.end.get() > last)
                {
                    return look;
                }
                sleep(PAUSE).await;
            }
        };
        match timeout(DEADLINE, whole).await {
            Ok(look) => self.looked(&look),
            Err(_) => counts.broke("stuck", &format!("{EXPIRING}: no look comes to {acknowledged:?}")),
        }
        for (promise, example) in self.broken {
            counts.broke(promise, &example);
        }
        counts.happened("looks for records that expire", self.looks);
        counts.happened("seen before their expiry", self.seen);
        counts.happened("seen no more", self.no_more);
    }
}

impl Client {
    /// One to three records in a batch, each with its own end or none.
    pub async fn produce_short(self) {
        while !self.stopped() {
            let (mut builder, mut sent) = (BatchBuilder::new(), Vec::new());
            let began = now();
            for _ in 0..1 + self.below(3) {
                let value = self.book.lock().fresh();
                let own = match self.below(8) {
                    0..3 => None,
                    3 => Some(began + i64::try_from(self.below(30_000)).unwrap()),
                    _ => Some(began + i64::try_from(self.below(800)).unwrap()),
                };
                let text = Some(value.as_bytes());
                builder.push(&NewRecord { value: text, expires_at: own, ..NewRecord::default() }).unwrap();
                sent.push((value, own));
            }
            let (name, batch) = (topic(EXPIRING), builder.build().unwrap());
            let target = Target::Partition(PartitionId(0));
            let append =
                async |engine: &Engine| engine.append(&name, target.clone(), batch.clone(), Acks::All).await;
            let first = self.ask(append).await.ok().map(|appended| appended.base_offset.get());
            let ttl = i64::try_from(TTL_MS).unwrap();
            let by_topic = began + ttl..=if first.is_some() { now() + ttl } else { i64::MAX };
            let sent = (0..).zip(sent).map(|(number, (value, own))| {
                let ends = own.map_or(by_topic.clone(), |own| own..=own);
                Short { value, ends, at: first.map(|first| first + number) }
            });
            self.book.lock().expiry.sent.extend(sent);
            sleep(2 * PAUSE).await;
        }
    }

    /// Looks at all that is there. Of a look that fails nothing is known.
    pub async fn look_often(self) {
        while !self.stopped() {
            let sent = self.book.lock().expiry.sent.len();
            if let Ok(look) = Look::begin(&self.peers, sent).await {
                self.book.lock().expiry.looked(&look);
            }
            sleep(Duration::from_millis(self.below(20))).await;
        }
    }
}
