//! B41: every life of the broker has a new key at rest, and is killed while what the older keys wrapped is being wrapped
//! anew. Backups under kills have a test of their own (`tests/backup`).

use std::time::Duration;

use rand::Rng as _;

use crate::{checker::Fault, effort, load::Writers, row::Scenario, run::Run};

/// How long the broker lives under load, ms.
const LIFE_MS: std::ops::Range<u64> = 50..700;

/// The key of a life, 64 hexadecimal digits.
fn key(life: u64) -> String {
    format!("{:064x}", life + 1)
}

#[tokio::test(flavor = "multi_thread")]
async fn b41_a_key_rotated_under_kills_leaves_everything_readable() {
    let _alone = super::alone().await;
    let fault = "Key at rest rotated at every start, `kill -9` in the middle, under load";
    let Some(mut scenario) = Scenario::begin("B41", fault, "rotations") else { return };
    let (cycles, mut rng) = (effort::cycles(4, 80), effort::rng("B41"));
    let dir = tempfile::tempdir().expect("a directory");
    let mut run = Run::new("b41", &dir.path().join("data"), Fault::Kill);
    let with_key = |run: &Run, life: u64| {
        let older: Vec<String> = (0..life).map(key).collect();
        let launch = run.launch.clone().with("ENCRYPTION_ENABLED", "true").with("ENCRYPTION_KEY", &key(life));
        if older.is_empty() { launch } else { launch.with("ENCRYPTION_OLD_KEYS", &older.join(",")) }
    };
    for cycle in 0..cycles {
        let launch = with_key(&run, cycle);
        let broker = run.start_with(&launch, &mut scenario).await;
        run.look(&broker, cycle.is_multiple_of(10)).await;
        let clients = run.load(&broker, Writers::All).await;
        // The moment of the kill is chance: nothing is waited for.
        tokio::time::sleep(Duration::from_millis(rng.random_range(LIFE_MS))).await;
        broker.kill();
        run.ended(clients).await;
        scenario.cycle(cycles);
    }
    let launch = with_key(&run, cycles);
    let broker = run.start_with(&launch, &mut scenario).await;
    run.look(&broker, true).await;
    broker.kill();
    run.finish(&mut scenario);
    scenario.finish();
}
