//! The only place where this crate starts work beside the caller's own task.

/// Runs blocking disk work on the runtime's blocking threads. It goes on to its end also if the caller goes away.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, String> {
    #[allow(clippy::disallowed_methods, reason = "the one place where this crate may")]
    tokio::task::spawn_blocking(work).await.map_err(|error| format!("disk task ended early: {error}"))
}
