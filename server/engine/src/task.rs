//! The only place where the engine starts work beside the caller's own task.

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
