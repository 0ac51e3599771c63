//! The only place where the engine starts work beside the caller's own task.

use std::future::Future;

use tokio::runtime::{Handle, RuntimeFlavor};

use crate::error::EngineError;

/// Runs blocking disk work on the runtime's blocking threads. It goes on to its end also if the caller goes away.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, EngineError> {
    #[allow(clippy::disallowed_methods, reason = "the one place where the engine may")]
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| EngineError::StorageFailed { reason: format!("disk task ended early: {error}") })
}

/// Runs short disk work on this thread, whose other tasks another one takes over meanwhile; `None` on a runtime that has
/// no other.
pub(crate) fn in_place<T>(work: impl FnOnce() -> T) -> Option<T> {
    let flavor = Handle::try_current().ok()?.runtime_flavor();
    #[allow(clippy::disallowed_methods, reason = "the one place where the engine may")]
    (flavor == RuntimeFlavor::MultiThread).then(|| tokio::task::block_in_place(work))
}

/// Runs disk work that nobody waits for.
pub(crate) fn in_background(work: impl FnOnce() + Send + 'static) {
    #[allow(clippy::disallowed_methods, reason = "the one place where the engine may")]
    drop(tokio::task::spawn_blocking(work));
}

/// Runs a change of several steps that must not stop between two of them: it goes on to its end also if the caller
/// goes away.
pub(crate) async fn to_the_end<T: Send + 'static>(
    work: impl Future<Output = Result<T, EngineError>> + Send + 'static,
) -> Result<T, EngineError> {
    #[allow(clippy::disallowed_methods, reason = "the one place where the engine may")]
    tokio::spawn(work).await.unwrap_or_else(|error| {
        Err(EngineError::StorageFailed { reason: format!("a task ended early: {error}") })
    })
}

/// Runs work that nobody waits for.
pub(crate) fn beside(work: impl Future<Output = ()> + Send + 'static) {
    #[allow(clippy::disallowed_methods, reason = "the one place where the engine may")]
    drop(tokio::spawn(work));
}
