//! Where metadata becomes durable and agreed upon.

use std::fmt::Debug;
use std::sync::Arc;

use flymq_storage::StorageError;
use futures::future::BoxFuture;
use tokio::sync::watch;

use super::{Command, Effects, MetaImage, MetaVersion, Rejection, Reply};

/// Tells the newest version.
pub type MetaWatch = watch::Receiver<MetaVersion>;

/// What came of a proposal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applied {
    pub version: MetaVersion,
    /// One for each command, in their order.
    pub replies: Vec<Reply>,
    pub effects: Effects,
}

/// Why a proposal has no effect, or none that is known.
#[derive(Debug, Clone, thiserror::Error)]
pub enum MetaError {
    /// A command does not apply. Nothing has changed, nothing was written.
    #[error(transparent)]
    Rejected(#[from] Rejection),
    /// The disk takes nothing just now: full, read-only. Nothing has changed, and the store goes on.
    #[error(transparent)]
    Storage(StorageError),
    /// The write or the agreement failed: after a restart the proposal may be there or not.
    #[error("{reason}")]
    Unavailable { reason: String },
}

/// The cluster's metadata store.
///
/// # Contract
/// - `propose` applies all commands as one step or none of them; with `Ok` they are on disk (of a majority) and in
///   `image`, and survive every crash. The versions of successful proposals are 1, 2, 3 …
/// - A rejected proposal changes nothing, not even the version.
/// - `image` is never older than what any `propose` that has returned made of it, and never shows a proposal that
///   is not durable. It never goes back, except to the empty one before the store is open.
/// - Dropping the future of `propose` cancels the wait, never a write that has begun.
/// - After an `Unavailable` the store may refuse everything until a restart; it must not lose or repeat a proposal.
/// - `watch` sees each version at the latest when `propose` returns; it may skip versions.
///
/// [`super::meta_store_suite`] checks this; every implementation has to pass it.
pub trait MetaStore: Send + Sync + Debug {
    fn propose(&self, commands: Vec<Command>) -> BoxFuture<'_, Result<Applied, MetaError>>;

    fn image(&self) -> Arc<MetaImage>;

    fn watch(&self) -> MetaWatch;

    /// Waits until `image` is at least as new as everything that was proposed anywhere before the call.
    fn barrier(&self) -> BoxFuture<'_, Result<MetaVersion, MetaError>>;

    /// Why the store takes no more proposals until a restart, where it does not.
    fn failure(&self) -> Option<String> {
        None
    }
}
