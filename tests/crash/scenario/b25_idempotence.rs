//! B25 on one node: answers are lost after the append, and the broker is killed.

use std::time::Duration;

use flymq_tests::producers::{self, Producers};
use rand::Rng as _;

use crate::{effort, row::Scenario, transactions::connect};

#[tokio::test(flavor = "multi_thread")]
async fn b25_lost_answers_double_and_disorder_nothing() {
    let _alone = super::alone().await;
    let fault = "answers to idempotent producers are lost with their connections, and `kill -9` now and then";
    let Some(mut scenario) = Scenario::begin("B25", fault, "times") else { return };
    let cycles = effort::cycles(12, 500);
    let mut rng = effort::rng("B25");
    let dir = tempfile::tempdir().expect("a directory");
    let (address, launch) = super::at_a_fixed_address(dir.path());
    let proxies = producers::proxies(std::slice::from_ref(&address)).await;
    let through = proxies[0].address.to_string();
    let launch = launch.with("ADVERTISE_ADDR", &through);
    let mut broker = launch.start();
    scenario.started(broker.start);
    let client = connect(&address).await;
    producers::prepare(&client).await;
    let load = Producers::start(&through).await;
    for cycle in 0..cycles {
        // The moment is chance: nothing is waited for.
        tokio::time::sleep(Duration::from_millis(rng.random_range(20..400))).await;
        producers::lose_answers(&proxies, &mut rng).await;
        if cycle % 4 == 3 {
            broker.kill();
            broker = launch.start();
            scenario.started(broker.start);
        }
        scenario.cycle(cycles);
    }
    load.finish(&client, &proxies, &mut scenario).await;
    drop(broker);
    scenario.finish();
}
