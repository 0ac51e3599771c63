//! B29 on one node: three workers read a topic as a group, and write what they make of it in transactions, while the broker is killed and workers
//! die and come back: each message has one result.

use std::time::Duration;

use flymq_tests::transform::{self, WORKERS, Workers};
use rand::Rng as _;

use crate::{
    effort,
    row::Scenario,
    transactions::{self, TIMEOUT_S},
};

#[tokio::test(flavor = "multi_thread")]
async fn b29_what_a_group_transforms_is_there_exactly_once_through_kills() {
    let _alone = super::alone().await;
    let fault =
        "consume, transform, produce by a group of three: the broker is killed, workers die and come back";
    let Some(mut scenario) = Scenario::begin("B29", fault, "kills") else { return };
    let (cycles, mut rng) = (effort::cycles(4, 100), effort::rng("B29"));
    let dir = tempfile::tempdir().expect("a directory");
    let (address, launch) = super::at_a_fixed_address(dir.path());
    let launch = launch.with("TRANSACTION_TIMEOUT", &TIMEOUT_S.to_string());
    let mut broker = launch.start();
    scenario.started(broker.start);
    let client = transactions::connect(&address).await;
    transform::prepare(&client).await;
    let mut workers = Workers::start(&client, &address, 400 * cycles).await;
    for cycle in 0..cycles {
        // The moment is chance: nothing is waited for.
        tokio::time::sleep(Duration::from_millis(rng.random_range(200..1_500))).await;
        broker.kill();
        let number = rng.random_range(0..WORKERS);
        if cycle % 2 == 0 {
            workers.die(number);
        }
        broker = launch.start();
        scenario.started(broker.start);
        if cycle % 2 == 0 {
            workers.come_back(number);
        }
        scenario.cycle(cycles);
    }
    workers.finish(&client, &mut scenario).await;
    drop(broker);
    scenario.finish();
}
