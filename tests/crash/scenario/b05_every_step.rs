//! B5: a crash between any two steps of creating, renaming and removing files, with the directories' syncs.

use super::simulated::{Promised, check, script};
use crate::row::Scenario;
use flymq_storage::SimDisk;

#[tokio::test]
async fn b05_a_crash_between_any_two_steps_leaves_a_whole_log() {
    let _alone = super::alone().await;
    let fault = "Crash between any two steps of create, append, roll, retention, delete; nothing survives that was not \
                 synced (simulated disk)";
    let Some(mut scenario) = Scenario::begin("B5", fault, "crashes") else { return };
    for steps in 0_u64.. {
        let (disk, mut promised) = (SimDisk::new(), Promised::default());
        disk.stop_after(steps);
        let outcome = script(&disk, &mut promised);
        let stopped = disk.stopped();
        disk.crash_losing_all();
        check(&disk, &promised, false, &mut scenario, &format!("after {steps} steps"));
        scenario.cycle(steps);
        if !stopped {
            outcome.expect("a disk that does not stop does not fail");
            break;
        }
    }
    scenario.at_least(100);
    scenario.finish();
}
