//! A thread of its own for the lanes that move much. Encrypting one range takes as long as many live frames: on the
//! threads of everything else, which are few on small machines, producers would wait behind it.

use std::sync::LazyLock;

use tokio::runtime::{Builder, Handle, Runtime};

/// Of the process: several nodes in one (`flymq dev`) share it. Started by the first far replica; it never ends.
static BULK: LazyLock<Option<Runtime>> = LazyLock::new(|| {
    let runtime =
        Builder::new_multi_thread().worker_threads(1).enable_all().thread_name("flymq-bulk").build();
    runtime
        .inspect_err(|error| tracing::warn!(%error, "no thread for replicas that catch up: they share those of producers"))
        .ok()
});

/// Where the work of bulk lanes runs; none where the system gives no thread.
pub(super) fn runtime() -> Option<&'static Handle> {
    BULK.as_ref().map(Runtime::handle)
}
