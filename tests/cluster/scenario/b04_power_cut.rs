//! B4: the power goes for all three nodes at once.

use super::{alone, begin, power_cut};
use crate::{effort, history::Promise};

#[tokio::test(flavor = "multi_thread")]
async fn b04_a_power_cut_of_all_nodes_takes_nothing_that_was_promised() {
    let _alone = alone().await;
    let fault = "Power cut of the whole cluster: three block devices as they were at one instant, booted";
    let Some(scenario) = begin("B4", fault, "pictures") else { return };
    let (pictures, rng) = (effort::cycles(1, 100), effort::rng("B4"));
    power_cut::run(scenario, pictures, rng, Promise::All).await;
}
