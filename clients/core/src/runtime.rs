//! The runtime that bindings without one of their own (Python, Java, the CLI) share.

use std::sync::OnceLock;

use tokio::runtime::{Builder, Runtime};

/// One multi-threaded runtime per process, started at first use.
///
/// # Panics
/// When the operating system refuses to start a thread.
pub fn runtime() -> &'static Runtime {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| {
        Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("flymq-client")
            .enable_all()
            .build()
            .expect("the operating system starts threads")
    })
}

/// Spawns on the caller's runtime, or on the shared one for callers without.
pub(crate) fn spawn(task: impl Future<Output = ()> + Send + 'static) -> tokio::task::JoinHandle<()> {
    match tokio::runtime::Handle::try_current() {
        Ok(handle) => handle.spawn(task),
        Err(_) => runtime().spawn(task),
    }
}
