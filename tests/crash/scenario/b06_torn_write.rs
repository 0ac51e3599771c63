//! B6: of what was not synced any part of 512 bytes survives, or not, in any order.

use super::simulated::{Promised, check, script};
use crate::{effort, row::Scenario};
use flymq_storage::SimDisk;
use flymq_types::SeededRng;
use rand::Rng as _;

#[tokio::test]
async fn b06_a_torn_write_is_cut_or_named() {
    let _alone = super::alone().await;
    let fault =
        "Crash at any step; of each write that was not synced any 512-byte parts survive (simulated disk)";
    let Some(mut scenario) = Scenario::begin("B6", fault, "crashes") else { return };
    let (cycles, mut rng) = (effort::cycles(300, 20_000), effort::rng("B6"));
    let all = {
        // How many steps the whole script has.
        let mut steps = 0;
        loop {
            let disk = SimDisk::new();
            disk.stop_after(steps);
            let _ = script(&disk, &mut Promised::default());
            if !disk.stopped() {
                break steps;
            }
            steps += 50;
        }
    };
    for _ in 0..cycles {
        let (disk, mut promised) = (SimDisk::new(), Promised::default());
        let (steps, seed) = (rng.random_range(0..all), rng.random());
        disk.stop_after(steps);
        // It fails where the disk stops.
        let _ = script(&disk, &mut promised);
        disk.crash(&SeededRng::new(seed));
        check(&disk, &promised, true, &mut scenario, &format!("seed {seed} after {steps} steps"));
        scenario.cycle(cycles);
    }
    scenario.finish();
}
