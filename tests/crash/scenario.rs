//! One file a fault. A scenario runs the real broker (or, where it says so, the log on the simulated disk) under load,
//! does the fault, looks, and leaves a row of counts.

mod b01_kill;
mod b03_power_cut;
mod b05_every_step;
mod b06_torn_write;
mod b07_failed_sync;
mod b08_full_disk;
mod b09_interrupted_call;
mod b10_read_only;
mod b12_bit_flip;
mod b14_lost_file;
mod b22_read_is_durable;
mod b25_idempotence;
mod b28_transactions;
mod b28b_steps;
mod b29_transform;
mod b30_group;
mod b31_fates;
mod b32_retention;
mod b41_key_rotation;
mod injured;
mod power_cut;
mod simulated;
mod transaction_state;

use std::path::Path;

use flymq_tests::ports::free_address;
use tokio::sync::{Mutex, MutexGuard};

use crate::broker::Launch;

/// One scenario at a time: each wants the machine, and its counts should not depend on the others.
pub async fn alone() -> MutexGuard<'static, ()> {
    static ONE: Mutex<()> = Mutex::const_new(());
    ONE.lock().await
}

/// A broker that comes back where its clients know it: at a port that was free a moment ago.
pub fn at_a_fixed_address(dir: &Path) -> (String, Launch) {
    let address = free_address();
    let launch = Launch::new(&dir.join("data")).with("BIND_ADDR", &address);
    (address, launch)
}
