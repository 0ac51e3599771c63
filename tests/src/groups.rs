//! A consumer group in a storm, for one node and for three (`docs/reliability.md`, B30): members that come, go, fall silent and commit
//! when they should no more; the checker, and the look at the end.

mod checker;
mod load;

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use flymq_client::{Client, pb};
use tokio::time::{Instant, sleep};

use crate::row::Scenario;
use checker::check;
pub use load::{Storm, TOPIC};

/// All is read and committed by then, once the storm is over.
const DEADLINE: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(50);

/// Makes the topic.
pub async fn prepare(client: &Client) {
    let since = Instant::now();
    while let Err(error) = client.create_topic(TOPIC, load::PARTITIONS).await {
        if error.code == pb::ErrorCode::TopicAlreadyExists {
            return;
        }
        assert!(since.elapsed() < DEADLINE, "{error}");
        sleep(PAUSE).await;
    }
}

/// Lets the members read to the end in peace, and counts into the scenario.
pub async fn finish(storm: Storm, client: &Client, scenario: &mut Scenario) {
    storm.calm_down();
    let since = Instant::now();
    let ends = loop {
        match behind(client).await {
            Ok((0, ends)) => break ends,
            Ok((lag, ends)) if since.elapsed() > DEADLINE => {
                scenario.violated(&format!("{lag} records are not committed {DEADLINE:?} after the storm"));
                break ends;
            }
            Err(why) => assert!(since.elapsed() < DEADLINE, "{why}"),
            _ => {}
        }
        sleep(PAUSE).await;
    };
    let settled = since.elapsed();
    let (history, counts) = storm.stop().await;
    let found = check(&history, &ends);
    found.examples.iter().for_each(|example| eprintln!("{example}"));
    (0..found.skipped).for_each(|_| scenario.lost("a record that no member read"));
    (0..found.count() - found.skipped).for_each(|_| scenario.violated("an anomaly, see above"));
    scenario.read(ends.values().sum());
    let count = |of: &AtomicU64| of.load(Relaxed);
    assert!(count(&counts.commits) > 50 && count(&counts.stored) > 100, "the storm was no storm: {counts:?}");
    scenario.note(format!(
        "{} joins, {} silences (as SIGSTOP makes them), {} left, {} vanished, {} replaced; {} commits, {} refused; stale commits taken {}, two owners {}, \
         offsets that went back {}, begun behind {}, begun beyond {}, skipped {}; all committed {} ms after the end",
        count(&counts.joins),
        count(&counts.silent),
        count(&counts.left),
        count(&counts.vanished),
        count(&counts.replaced),
        count(&counts.commits),
        count(&counts.refused),
        found.stale,
        found.two_owners,
        found.back,
        found.behind,
        found.beyond,
        found.skipped,
        settled.as_millis()
    ));
}

/// How far the group is behind, and where the partitions end.
async fn behind(client: &Client) -> Result<(u64, BTreeMap<i32, u64>), String> {
    let request =
        pb::GetLagRequest { group: load::GROUP.to_owned(), topic: TOPIC.to_owned(), partition: None };
    let answer = client.call::<_, pb::GetLagResponse>("GetLag", &request).await;
    let answer = answer.map_err(|error| error.to_string())?;
    if answer.partitions.len() != usize::try_from(load::PARTITIONS).expect("few") {
        return Err(format!("the lag of {} partitions only", answer.partitions.len()));
    }
    let ends = answer.partitions.iter().map(|one| (one.partition, one.latest)).collect();
    Ok((answer.total, ends))
}
