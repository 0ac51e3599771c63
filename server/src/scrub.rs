//! Looks for bit rot before a consumer finds it, gently.

use std::{sync::Arc, time::Duration};

use flymq_engine::{Engine, ScrubPass};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

/// The first pass begins so long after the start: a broker that comes up has better things to do.
const FIRST: Duration = Duration::from_secs(5 * 60);
const STEP: Duration = Duration::from_secs(1);

/// Goes over all closed segments every `interval` until `stop`, at `bytes_per_second`.
pub(crate) async fn run(
    engine: Arc<Engine>,
    interval: Duration,
    bytes_per_second: u64,
    stop: CancellationToken,
) {
    if interval.is_zero() {
        return;
    }
    let mut wait = FIRST.min(interval);
    while stop.run_until_cancelled(sleep(wait)).await.is_some() {
        let mut pass = ScrubPass::default();
        loop {
            match engine.scrub(&mut pass, bytes_per_second).await {
                Ok(true) => break,
                Ok(false) => {}
                Err(error) => return warn!(%error, "the scrub stops"),
            }
            if stop.run_until_cancelled(sleep(STEP)).await.is_none() {
                return;
            }
        }
        if pass.damaged > 0 {
            error!(
                ranges = pass.damaged,
                "the scrub has found damage: see `flymq-cli partition health --unwell`"
            );
        } else {
            info!(bytes = pass.bytes, "the scrub has found nothing");
        }
        wait = interval;
    }
}
