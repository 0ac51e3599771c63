//! Lets old records go, now and then.

use std::{sync::Arc, time::Duration};

use flymq_engine::Engine;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

/// Applies retention in all topics every `period` (`ttl.cleanup_interval`, a minute) until `stop`.
pub(crate) async fn run(engine: Arc<Engine>, period: Duration, stop: CancellationToken) {
    while stop.run_until_cancelled(tokio::time::sleep(period)).await.is_some() {
        match engine.enforce_retention().await {
            Ok(0) => {}
            Ok(segments) => info!(segments, "removed old segments"),
            Err(error) => warn!(%error, "retention did not run"),
        }
    }
}
