//! Lets old records go, now and then.

use std::{sync::Arc, time::Duration};

use flymq_engine::Engine;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

/// How often the settings of retention are applied.
const PERIOD: Duration = Duration::from_secs(60);

/// Applies retention in all topics every minute until `stop`.
pub(crate) async fn run(engine: Arc<Engine>, stop: CancellationToken) {
    while stop.run_until_cancelled(tokio::time::sleep(PERIOD)).await.is_some() {
        match engine.enforce_retention().await {
            Ok(0) => {}
            Ok(segments) => info!(segments, "removed old segments"),
            Err(error) => warn!(%error, "retention did not run"),
        }
    }
}
