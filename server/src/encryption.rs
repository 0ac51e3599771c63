//! Encryption at rest while the broker runs: says what is not encrypted yet, and carries a rotation of the key through.

use std::{sync::Arc, time::Duration};

use flymq_storage::{DataDir, Protected, RotationStep, StorageError};
use metrics::gauge;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

/// How often the metrics are brought up to date.
const REFRESH: Duration = Duration::from_secs(60);
/// After a failed step.
const RETRY: Duration = Duration::from_secs(10);
/// Progress is logged once in so many segments.
const PROGRESS_STEPS: usize = 100;

/// Runs until `stop`. To be started once all logs are open, and only where the data directory is encrypted.
pub(crate) async fn run(data: Arc<DataDir>, old_keys: usize, stop: CancellationToken) {
    let found = show(&data);
    if found.plain > 0 {
        warn!(
            segments = found.plain,
            "data that was written before encryption was turned on is not encrypted: it stays as it is until \
             retention, compaction or a deletion removes it"
        );
    }
    if found.lost > 0 {
        warn!(segments = found.lost, "data keys are damaged: these segments cannot be read");
    }
    if old_keys > 0 || found.older > 0 {
        rotate(&data, found.older, old_keys, &stop).await;
    }
    while stop.run_until_cancelled(tokio::time::sleep(REFRESH)).await.is_some() {
        show(&data);
    }
}

async fn rotate(data: &Arc<DataDir>, total: usize, old_keys: usize, stop: &CancellationToken) {
    info!(segments = total, "rotating the encryption key: wrapping data keys anew");
    let mut done = 0;
    while !stop.is_cancelled() {
        match step(data.clone()).await {
            Ok(RotationStep::Rewrapped) => {
                done += 1;
                show(data);
                if done % PROGRESS_STEPS == 0 {
                    info!(done, total, "rotating the encryption key");
                }
            }
            Ok(RotationStep::Done) => match finish(data.clone()).await {
                Ok(needed) => return report(&needed, done, old_keys),
                Err(error) => pause(&error, stop).await,
            },
            Err(error) => pause(&error, stop).await,
        }
    }
}

async fn step(data: Arc<DataDir>) -> Result<RotationStep, StorageError> {
    let step = tokio::task::spawn_blocking(move || data.rotate_step()).await;
    step.unwrap_or(Err(StorageError::Closed))
}

/// Ids of the keys that are still needed.
async fn finish(data: Arc<DataDir>) -> Result<Vec<String>, StorageError> {
    let finished = tokio::task::spawn_blocking(move || data.finish_rotation()).await;
    let rotation = finished.unwrap_or(Err(StorageError::Closed))?;
    Ok(rotation.needed.iter().map(ToString::to_string).collect())
}

fn report(needed: &[String], done: usize, old_keys: usize) {
    let [current, older @ ..] = needed else { return };
    if !older.is_empty() {
        warn!(%current, still_needed = %older.join(", "), "some data is still under an older key: keep it in FLYMQ_ENCRYPTION_OLD_KEYS");
    } else if old_keys > 0 {
        info!(%current, segments = done, "the encryption key is rotated: FLYMQ_ENCRYPTION_OLD_KEYS is not needed any more");
    }
}

async fn pause(error: &StorageError, stop: &CancellationToken) {
    warn!(%error, "the rotation of the encryption key waits; everything can be read as before");
    stop.run_until_cancelled(tokio::time::sleep(RETRY)).await;
}

/// Brings the metrics up to date.
fn show(data: &DataDir) -> Protected {
    let found = data.protected();
    for (state, count) in [
        ("current_key", found.current),
        ("older_key", found.older),
        ("plain", found.plain),
        ("key_lost", found.lost),
    ] {
        gauge!("flymq_encryption_segments", "state" => state).set(count as f64);
    }
    found
}
