//! The only place where this crate starts work beside the caller's own task.

use std::future::Future;

use tokio::runtime::{Handle, RuntimeFlavor};

use crate::raft::Simulation;

/// Runs blocking disk work on the runtime's blocking threads. It goes on to its end also if the caller goes away.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, String> {
    if crate::raft::is_simulated() {
        return Simulation::work(work).await.map_err(|error| format!("{error:?}"));
    }
    #[allow(clippy::disallowed_methods, reason = "the one place where this crate may")]
    tokio::task::spawn_blocking(work).await.map_err(|error| format!("disk task ended early: {error}"))
}

/// Runs blocking disk work on this thread, whose other tasks another one takes over meanwhile where the runtime has one.
pub(crate) fn in_place<T>(work: impl FnOnce() -> T) -> T {
    match Handle::try_current().map(|handle| handle.runtime_flavor()) {
        Ok(RuntimeFlavor::MultiThread) => tokio::task::block_in_place(work),
        Ok(_) | Err(_) => work(),
    }
}

/// Starts a task that runs for as long as what it belongs to.
pub(crate) fn start(task: impl Future<Output = ()> + Send + 'static) {
    if crate::raft::is_simulated() {
        drop(Simulation::spawn(task));
        return;
    }
    #[allow(clippy::disallowed_methods, reason = "the one place where this crate may")]
    drop(tokio::spawn(task));
}
