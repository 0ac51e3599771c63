//! Lets old records go, and cleans compacted logs, now and then.

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
        match engine.clean_logs().await {
            Ok(done) if done.passes == 0 => {}
            Ok(done) => info!(
                records = done.removed,
                bytes_before = done.bytes_before,
                bytes_after = done.bytes_after,
                took_ms = u64::try_from(done.took.as_millis()).unwrap_or(u64::MAX),
                "cleaned compacted logs"
            ),
            Err(error) => warn!(%error, "compacted logs were not cleaned"),
        }
    }
}
