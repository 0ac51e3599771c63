//! B31 on one node: dead letters, a queue, schedules and expiry while the broker is killed.

use std::time::Duration;

use flymq_tests::fates::{self, Fates};
use rand::Rng as _;

use crate::{effort, row::Scenario, transactions::connect};

#[tokio::test(flavor = "multi_thread")]
async fn b31_each_record_has_one_fate_through_kills() {
    let _alone = super::alone().await;
    let fault = "`kill -9` while records fail, wait for their time and expire";
    let Some(mut scenario) = Scenario::begin("B31", fault, "kills") else { return };
    let cycles = effort::cycles(6, 200);
    let mut rng = effort::rng("B31");
    let dir = tempfile::tempdir().expect("a directory");
    let (address, launch) = super::at_a_fixed_address(dir.path());
    let launch = launch.with("DLQ_MAX_RETRIES", "1000");
    let mut broker = launch.start();
    scenario.started(broker.start);
    let client = connect(&address).await;
    fates::prepare(&client).await;
    let load = Fates::start(&address, rng.random()).await;
    for _ in 0..cycles {
        // The moment is chance: nothing is waited for.
        tokio::time::sleep(Duration::from_millis(rng.random_range(100..1_200))).await;
        broker.kill();
        broker = launch.start();
        scenario.started(broker.start);
        scenario.cycle(cycles);
    }
    load.finish(&client, &mut scenario).await;
    drop(broker);
    scenario.finish();
}
