//! B30 on one node: a group whose members come, go, fall silent and commit too late, while the broker is killed.

use std::time::Duration;

use flymq_tests::groups::{self, Storm};
use rand::Rng as _;

use crate::{effort, row::Scenario, transactions::connect};

#[tokio::test(flavor = "multi_thread")]
async fn b30_a_partition_has_one_owner_in_any_storm() {
    let _alone = super::alone().await;
    let fault = "members join, leave, vanish, fall silent and commit too late, by chance; `kill -9` of the broker now and then";
    let Some(mut scenario) = Scenario::begin("B30", fault, "seconds") else { return };
    let cycles = effort::cycles(10, 300);
    let mut rng = effort::rng("B30");
    let dir = tempfile::tempdir().expect("a directory");
    let (address, launch) = super::at_a_fixed_address(dir.path());
    let mut broker = launch.start();
    scenario.started(broker.start);
    let client = connect(&address).await;
    groups::prepare(&client).await;
    let storm = Storm::start(&address, rng.random()).await;
    for cycle in 0..cycles {
        // The load is what happens meanwhile.
        tokio::time::sleep(Duration::from_secs(1)).await;
        if cycle % 5 == 4 {
            broker.kill();
            broker = launch.start();
            scenario.started(broker.start);
        }
        scenario.cycle(cycles);
    }
    groups::finish(storm, &client, &mut scenario).await;
    drop(broker);
    scenario.finish();
}
