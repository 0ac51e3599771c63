//! B3: the power goes while a broker on a real ext4 works.

use crate::{effort, load::Writers, row::Scenario};

#[tokio::test(flavor = "multi_thread")]
async fn b03_a_power_cut_takes_nothing_that_was_promised() {
    let _alone = super::alone().await;
    let fault = "Power cut on ext4: the block device as it was at one instant, booted";
    let Some(scenario) = Scenario::begin("B3", fault, "pictures") else { return };
    let (pictures, rng) = (effort::cycles(3, 200), effort::rng("B3"));
    super::power_cut::run(scenario, pictures, rng, Writers::All).await;
}
