//! B1: `kill -9` under load, at moments of chance, again and again.

use std::time::Duration;

use rand::Rng as _;

use crate::{checker::Fault, effort, load::Writers, row::Scenario, run::Run};

/// Every so many cycles all records are read again, else the new ones and the last known.
const FULL_READ: u64 = 25;
/// How long the broker lives under load, ms.
const LIFE_MS: std::ops::Range<u64> = 50..500;

#[tokio::test(flavor = "multi_thread")]
async fn b01_kill_9_loses_nothing() {
    let _alone = super::alone().await;
    let Some(mut scenario) = Scenario::begin("B1", "`kill -9` under load", "kills") else { return };
    let cycles = effort::cycles(10, 500);
    let mut rng = effort::rng("B1");
    let dir = tempfile::tempdir().expect("a directory");
    let mut run = Run::new("b1", &dir.path().join("data"), Fault::Kill);
    for cycle in 0..cycles {
        let broker = run.start(&mut scenario).await;
        run.look(&broker, cycle.is_multiple_of(FULL_READ)).await;
        let clients = run.load(&broker, Writers::All).await;
        // The moment of the kill is chance: nothing is waited for.
        tokio::time::sleep(Duration::from_millis(rng.random_range(LIFE_MS))).await;
        broker.kill();
        run.ended(clients).await;
        scenario.cycle(cycles);
    }
    let broker = run.start(&mut scenario).await;
    run.look(&broker, true).await;
    let counts = run.checker.counts.clone();
    scenario.note(format!("{} commits, {} topic changes", counts.commits, counts.topics));
    let least = counts.leader.min(counts.all).min(counts.commits);
    assert!(least > cycles, "the load was no load: {counts:?}");
    run.finish(&mut scenario);
    scenario.finish();
}
