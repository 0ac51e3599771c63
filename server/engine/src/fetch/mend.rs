//! A read that meets damage where other nodes keep the partition as well: they mend it, or one of them leads in this one's place.
//! Either takes moments, and the reader waits for it.

use std::time::Duration;

use flymq_types::{Isolation, Offset};
use tokio::time::{sleep, timeout};

use super::poll::read_at;
use crate::error::EngineError;
use crate::partition::{HighWatermark, Partition, Stop};
use crate::steady::SteadyClock;

/// No read waits any longer.
const LIMIT: Duration = Duration::from_secs(3);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(10);

/// Waits after `error` until the read from `offset` that ended with it may be tried again.
///
/// # Errors
/// `error`, if it is none of damage that others can mend; `NotLeader` with the next leader; `Mending` where it takes too long.
pub(super) async fn until_mended(
    partition: &Partition,
    term: &HighWatermark,
    (offset, isolation): (Offset, Isolation),
    clock: &SteadyClock,
    error: EngineError,
) -> Result<(), EngineError> {
    let EngineError::CorruptData { topic, partition: number, start, end } = error else { return Err(error) };
    if !partition.is_kept_by_others() {
        return Err(EngineError::CorruptData { topic, partition: number, start, end });
    }
    let from = offset.max(start);
    let mended = async {
        loop {
            match term.stopped() {
                Some(Stop::NotLeader) if !partition.is_led_elsewhere() => {}
                Some(stop) => return Err(partition.stop_error(stop)),
                None => match read_at(partition, term, (from, isolation), 1, clock.now()) {
                    Err(EngineError::CorruptData { .. }) => {}
                    other => return other.map(drop),
                },
            }
            sleep(LOOK).await;
        }
    };
    timeout(LIMIT, mended).await.unwrap_or_else(|_late| {
        let mending = EngineError::Mending { topic, partition: number, start, end };
        Err(term.stopped().map_or(mending, |stop| partition.stop_error(stop)))
    })
}
