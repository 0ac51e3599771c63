//! Transactions under faults, for one node and for three (`docs/reliability.md`, B24, B26 to B29): the load, the checker, and the
//! look at the end.

mod checker;
mod load;
mod steps;
mod zombie;

use std::{
    collections::{BTreeMap, HashSet},
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use flymq_client::{Client, FetchSpec, pb};
use rand::{Rng as _, rngs::StdRng};
use tokio::time::{Instant, sleep};

use crate::{
    chaos_proxy::ChaosProxy,
    effort,
    row::{Scenario, grouped},
};
use checker::{Anomalies, End, Key, Unit, check};
use load::Counts;
pub use load::{Load, Style, connect};
pub use steps::{ID as STEPS_ID, Steps};

/// Seconds after which the brokers of these scenarios abort a transaction.
pub const TIMEOUT_S: u64 = 5;

/// Makes the topics.
pub async fn prepare(client: &Client) {
    let since = Instant::now();
    let topics = load::TOPICS.iter().map(|topic| (*topic, load::PARTITIONS)).chain([(load::OFFSETS, 1)]);
    for (topic, partitions) in topics {
        while let Err(error) = client.create_topic(topic, partitions).await {
            if error.code == pb::ErrorCode::TopicAlreadyExists {
                break;
            }
            assert!(since.elapsed() < Duration::from_secs(60), "{error}");
            sleep(Duration::from_millis(50)).await;
        }
    }
}

/// Topics that transactions write to.
pub fn topics() -> impl Iterator<Item = &'static str> {
    load::TOPICS.into_iter()
}

/// Partitions that transactions write to.
pub fn places() -> u64 {
    load::keys().count() as u64
}

/// Longest time that requests are held back, in milliseconds, in a short run and in a long one: beyond the timeout of their
/// transactions.
const HELD_MS: (u64, u64) = (6_500, 15_000);

fn held_ms() -> u64 {
    if effort::is_long() { HELD_MS.1 } else { HELD_MS.0 }
}

/// Holds back the requests of one node's clients, who are cut off and go on; they come in the middle of what follows.
pub async fn hold_requests(proxies: &[ChaosProxy], rng: &mut StdRng) {
    let proxy = &proxies[rng.random_range(0..proxies.len())];
    let late = Duration::from_millis(rng.random_range(1_000..held_ms()));
    proxy.hold_requests(Duration::from_millis(rng.random_range(5..60)), late).await;
}

/// Waits until all that was held back has come, and says how much it was.
pub async fn held(proxies: &[ChaosProxy], scenario: &mut Scenario) {
    sleep(Duration::from_millis(held_ms())).await;
    let held: u64 = proxies.iter().map(ChaosProxy::held).sum();
    assert!(held > 0, "no request was held back");
    scenario.note(format!("{} bytes of requests held back", grouped(held)));
}

/// Ends the load, waits until nothing is open, reads everything, and counts into the scenario.
pub async fn finish(load: Load, client: &Client, scenario: &mut Scenario) {
    let counts = load.counts.clone();
    let (units, offsets) = load.stop().await;
    let looked = look(&units, &offsets, &counts, client, scenario).await;
    scenario.read(looked.read);
    note_load(&units, &counts, scenario);
    looked.note(scenario);
}

/// What was found when all was read.
#[derive(Debug)]
pub struct Looked {
    found: Anomalies,
    /// Of old epochs, and what was written twice.
    old: u64,
    /// Clients whose committed offset is another one.
    moved: u64,
    /// Partitions whose last stable offset stands still.
    stuck: u64,
    /// Whether a transaction stayed open.
    hanging: u64,
    settled: Duration,
    /// Values that committed readers see.
    pub read: u64,
}

impl Looked {
    /// How much of it must not be.
    pub fn wrong(&self) -> u64 {
        self.found.wrong() + self.old + self.moved + self.stuck + self.hanging
    }

    /// Each count into the scenario's row.
    pub fn note(&self, scenario: &mut Scenario) {
        let Self { found, old, moved, stuck, hanging, settled, .. } = self;
        scenario.note(format!(
            "old epochs taken {old}, inconsistent offsets {}, aborted reads {}, torn {}, lost {}, duplicates {}, out of order {}, phantoms {}, \
             skipped polls {}, nonmonotonic polls {}, read cycles {}, committed offsets that are not as told {moved}, partitions stuck {stuck}, \
             hanging {hanging}; write cycles {} (allowed); nothing open {} ms after the end",
            found.inconsistent,
            found.aborted_read,
            found.torn,
            found.lost,
            found.duplicate,
            found.inverted,
            found.phantom,
            found.skipped,
            found.nonmonotonic,
            found.read_cycles,
            found.write_cycles,
            settled.as_millis()
        ));
    }
}

/// Waits until nothing is open, reads everything and holds it against the history; what is wrong is counted into the scenario.
async fn look(
    units: &[Unit],
    offsets: &BTreeMap<u32, u64>,
    counts: &Counts,
    client: &Client,
    scenario: &mut Scenario,
) -> Looked {
    let stopped = Instant::now();
    let mut hanging = 0;
    while let Some(open) = some_open(client).await {
        let limit = Duration::from_secs(TIMEOUT_S + 5);
        if stopped.elapsed() > limit {
            hanging += 1;
            scenario.violated(&format!("hanging after {limit:?}: {open}"));
            break;
        }
        sleep(Duration::from_millis(50)).await;
    }
    let settled = stopped.elapsed();
    let (mut last, mut stuck, mut old) = (BTreeMap::new(), 0, old_epochs(counts, scenario));
    for key in load::keys() {
        last.insert(key.clone(), read(client, &key, pb::Isolation::ReadCommitted).await);
        stuck += u64::from(!is_stable(client, &key, scenario).await);
        old += old_records(&read(client, &key, pb::Isolation::ReadUncommitted).await, counts, scenario);
    }
    let moved = moved_offsets(client, offsets, scenario).await;
    let found = check(units, &last);
    tell(&found, units, scenario);
    let read = last.values().map(|values| values.len() as u64).sum();
    Looked { found, old, moved, stuck, hanging, settled, read }
}

fn count(of: &AtomicU64) -> u64 {
    of.load(Relaxed)
}

fn note_load(units: &[Unit], counts: &Counts, scenario: &mut Scenario) {
    let ended = |end| units.iter().filter(|unit| unit.end == end && !unit.sent.is_empty()).count();
    let (committed, aborted) = (ended(End::Committed), ended(End::Aborted));
    assert!(committed > 20 && aborted > 0, "the load was no load: {committed} committed, {aborted} aborted");
    let polled: usize = units.iter().map(|unit| unit.polled.len()).sum();
    scenario.note(format!(
        "{committed} committed, {aborted} aborted, {} unknown; {polled} values polled",
        ended(End::Unknown)
    ));
    if count(&counts.late) > 0 {
        let (late, taken) = (count(&counts.late), count(&counts.late_taken));
        scenario.note(format!("{late} requests came again later ({taken} of them answered as before)"));
    }
    if count(&counts.zombie_records) > 0 {
        scenario.note(format!(
            "of replaced producers {} records, {} offsets, {} begins, {} ends",
            count(&counts.zombie_records),
            count(&counts.zombie_offsets),
            count(&counts.zombie_begins),
            count(&counts.zombie_ends)
        ));
    }
}

/// Calls of producers that were replaced and were not refused.
fn old_epochs(counts: &Counts, scenario: &mut Scenario) -> u64 {
    let taken = count(&counts.zombie_taken);
    (0..taken).for_each(|_| scenario.violated("a call of a replaced producer was taken, see above"));
    taken
}

/// Of all that stands in a partition, whatever became of its transaction: what an old epoch has written, or what was written twice.
fn old_records(all: &[(u64, String)], counts: &Counts, scenario: &mut Scenario) -> u64 {
    let of_zombies = counts.zombie_values.lock().expect("nobody panics");
    let mut seen = HashSet::new();
    let wrong = all.iter().filter(|(_, value)| of_zombies.contains(value) || !seen.insert(value));
    wrong.map(|(at, value)| scenario.violated(&format!("taken of an old epoch, at {at}: {value}"))).count()
        as u64
}

/// How many clients committed another offset than the one that is there.
async fn moved_offsets(client: &Client, offsets: &BTreeMap<u32, u64>, scenario: &mut Scenario) -> u64 {
    let mut moved = 0;
    for (id, offset) in offsets {
        let stored = client.committed(&load::group(*id), load::OFFSETS).await.unwrap_or_default();
        let stored = stored.first().map_or(0, |at| at.offset);
        if stored != *offset {
            moved += 1;
            scenario.violated(&format!("client {id} committed offset {offset}, and {stored} is there"));
        }
    }
    moved
}

/// Says what was found; a history that shows something is kept.
fn tell(found: &Anomalies, units: &[Unit], scenario: &mut Scenario) {
    for example in &found.examples {
        eprintln!("{example}");
    }
    (0..found.lost).for_each(|_| scenario.lost("a committed value"));
    (0..found.phantom).for_each(|_| scenario.phantom("a value"));
    (0..found.wrong() - found.lost - found.phantom).for_each(|_| scenario.violated("an anomaly, see above"));
    if found.wrong() > 0 {
        let file = std::env::temp_dir().join(format!("flymq-transactions-{}.txt", std::process::id()));
        std::fs::write(&file, format!("{units:#?}")).expect("there is room for the history");
        eprintln!("the history: {}", file.display());
    }
}

async fn some_open(client: &Client) -> Option<String> {
    let list =
        client.call::<_, pb::ListTransactionsResponse>("ListTransactions", &pb::ListTransactionsRequest {});
    match list.await {
        Ok(list) if list.missing_nodes.is_empty() => {
            list.transactions.first().map(|open| format!("{open:?}"))
        }
        Ok(list) => Some(format!("no answer of {:?}", list.missing_nodes)),
        Err(error) => Some(error.to_string()),
    }
}

async fn read(client: &Client, key: &Key, isolation: pb::Isolation) -> Vec<(u64, String)> {
    let since = Instant::now();
    let mut spec = FetchSpec { isolation, max_messages: 10_000, ..FetchSpec::new(key.0.as_str(), key.1, 0) };
    let mut all = Vec::new();
    loop {
        let fetched = match client.fetch(&spec).await {
            Ok(fetched) => fetched,
            Err(error) => {
                assert!(since.elapsed() < Duration::from_secs(60), "{error}");
                sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        let value = |message: flymq_client::Message| {
            (message.offset, String::from_utf8_lossy(&message.value).into_owned())
        };
        all.extend(fetched.messages.into_iter().map(value));
        if fetched.next_offset == spec.offset {
            return all;
        }
        spec.offset = fetched.next_offset;
    }
}

/// With nothing open, committed readers get to the end of the partition.
async fn is_stable(client: &Client, (topic, partition): &Key, scenario: &mut Scenario) -> bool {
    let latest = async |isolation: pb::Isolation| {
        let request = pb::FindOffsetRequest {
            topic: topic.clone(),
            partition: *partition,
            at: pb::StartFrom::Latest.into(),
            isolation: isolation.into(),
            ..Default::default()
        };
        client.call::<_, pb::FindOffsetResponse>("FindOffset", &request).await.map(|found| found.offset)
    };
    let since = Instant::now();
    loop {
        let ends = (latest(pb::Isolation::ReadCommitted).await, latest(pb::Isolation::ReadUncommitted).await);
        match ends {
            (Ok(stable), Ok(end)) if stable == end => return true,
            ends if since.elapsed() > Duration::from_secs(10) => {
                scenario.violated(&format!("{topic}/{partition} is stuck: {ends:?}"));
                return false;
            }
            _ => sleep(Duration::from_millis(50)).await,
        }
    }
}
