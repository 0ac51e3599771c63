//! B22: only committed records are read: what a reader was shown is there after a power cut of all nodes, though nobody
//! waited for a disk.

use super::{alone, begin, power_cut};
use crate::{effort, history::Promise};

#[tokio::test(flavor = "multi_thread")]
async fn b22_what_was_read_survives_a_power_cut_of_all_nodes() {
    let _alone = alone().await;
    let fault = "Power cut of the whole cluster while all write with `leader` and readers follow";
    let Some(scenario) = begin("B22", fault, "pictures") else { return };
    let (pictures, rng) = (effort::cycles(1, 40), effort::rng("B22"));
    power_cut::run(scenario, pictures, rng, Promise::Leader).await;
}
