//! Transactions under faults, for one node and for three (`docs/reliability.md`, B24, B26 to B28): the load, the checker, and the
//! look at the end.

mod checker;
mod load;

use std::{collections::BTreeMap, time::Duration};

use flymq_client::{Client, FetchSpec, pb};
use rand::{Rng as _, rngs::StdRng};
use tokio::time::{Instant, sleep};

use crate::{
    chaos_proxy::ChaosProxy,
    effort,
    row::{Scenario, grouped},
};
use checker::{Anomalies, End, Key, check};
pub use load::{Load, Style, connect};

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

/// Longest time that requests are held back, in milliseconds, in a short run and in a long one: beyond the timeout of their
/// transactions.
const HELD_MS: (u64, u64) = (6_500, 15_000);

fn held_ms() -> u64 {
    effort::cycles(HELD_MS.0, HELD_MS.1)
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
    let stopped = Instant::now();
    while let Some(open) = some_open(client).await {
        let limit = Duration::from_secs(TIMEOUT_S + 5);
        if stopped.elapsed() > limit {
            scenario.violated(&format!("hanging after {limit:?}: {open}"));
            break;
        }
        sleep(Duration::from_millis(50)).await;
    }
    let settled = stopped.elapsed();
    let mut last = BTreeMap::new();
    for key in load::keys() {
        last.insert(key.clone(), read(client, &key, pb::Isolation::ReadCommitted).await);
        check_stable(client, &key, scenario).await;
    }
    for (id, offset) in offsets {
        let stored = client.committed(&load::group(id), load::OFFSETS).await.unwrap_or_default();
        let stored = stored.first().map_or(0, |at| at.offset);
        if stored != offset {
            scenario.violated(&format!("client {id} committed offset {offset}, and {stored} is there"));
        }
    }
    let found = check(&units, &last);
    tell(&found, scenario);
    scenario.read(last.values().map(|values| values.len() as u64).sum());
    let ended = |end| units.iter().filter(|unit| unit.end == end && !unit.sent.is_empty()).count();
    let (committed, aborted) = (ended(End::Committed), ended(End::Aborted));
    assert!(committed > 20 && aborted > 0, "the load was no load: {committed} committed, {aborted} aborted");
    let count = |of: &std::sync::atomic::AtomicU64| of.load(std::sync::atomic::Ordering::Relaxed);
    let old_epochs_taken = count(&counts.zombie_taken);
    (0..old_epochs_taken).for_each(|_| scenario.violated("a call of a replaced producer was taken"));
    scenario.note(format!(
        "{committed} committed, {aborted} aborted, {} unknown; {} requests came again later ({} of them answered as before), {} of replaced \
         producers; old epochs taken {old_epochs_taken}, inconsistent offsets {}, aborted reads {}, torn {}, duplicates {}, out of order {}, \
         skipped polls {}, nonmonotonic polls {}, read cycles {}; write cycles {} (allowed); nothing open {} ms after the end",
        ended(End::Unknown),
        count(&counts.late),
        count(&counts.late_taken),
        count(&counts.zombie_sends),
        found.inconsistent,
        found.aborted_read,
        found.torn,
        found.duplicate,
        found.inverted,
        found.skipped,
        found.nonmonotonic,
        found.read_cycles,
        found.write_cycles,
        settled.as_millis()
    ));
}

fn tell(found: &Anomalies, scenario: &mut Scenario) {
    for example in &found.examples {
        eprintln!("{example}");
    }
    (0..found.lost).for_each(|_| scenario.lost("a committed value"));
    (0..found.phantom).for_each(|_| scenario.phantom("a value"));
    (0..found.wrong() - found.lost - found.phantom).for_each(|_| scenario.violated("an anomaly, see above"));
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
async fn check_stable(client: &Client, (topic, partition): &Key, scenario: &mut Scenario) {
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
            (Ok(stable), Ok(end)) if stable == end => return,
            ends if since.elapsed() > Duration::from_secs(10) => {
                return scenario.violated(&format!("{topic}/{partition} is stuck: {ends:?}"));
            }
            _ => sleep(Duration::from_millis(50)).await,
        }
    }
}
