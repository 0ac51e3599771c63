//! B22: what a reader was shown survives the power cut, also where its producer asked for no fdatasync.

use crate::{effort, load::Writers, row::Scenario};

#[tokio::test(flavor = "multi_thread")]
async fn b22_what_was_read_is_on_disk() {
    let _alone = super::alone().await;
    let fault = "Power cut on ext4 while all write with `leader` and readers follow: what was read is there";
    let Some(scenario) = Scenario::begin("B22", fault, "pictures") else { return };
    let (pictures, rng) = (effort::cycles(2, 40), effort::rng("B22"));
    super::power_cut::run(scenario, pictures, rng, Writers::Leader).await;
}
