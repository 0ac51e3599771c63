//! One fetch, with its long poll.

use std::pin::pin;
use std::time::Duration;

use flymq_types::{Isolation, Offset, PartitionId, Timestamp, TopicName};
use tokio::time::sleep;

use super::mend::until_mended;
use super::visible::visible;
use super::{FetchSpec, Fetched};
use crate::engine::Engine;
use crate::error::EngineError;
use crate::partition::{HighWatermark, Partition};
use crate::steady::SteadyClock;

/// How long a read of records that are appended but not yet synced waits for them, even one that asks not to wait:
/// their producer may have its acknowledgement already. A sync takes a fraction of a millisecond; this is the bound
/// for a disk in trouble.
const COMMIT_WAIT: Duration = Duration::from_secs(2);

impl Engine {
    /// Reads whole batches below the high watermark from an offset on, waiting up to `max_wait` for `min_bytes`.
    /// At least one batch comes if any is readable, whatever its size.
    ///
    /// # Errors
    /// `TopicNotFound` (also when the topic is deleted during the wait), `PartitionNotFound`, `NotLeader` (also when the
    /// leadership ends during the wait, or where there is nothing and another node may lead by now), `CommitUnknown` where
    /// there may be something that is not known to be committed, `OffsetOutOfRange`,
    /// `CorruptData` for a damaged range alone that nobody else has, `Mending` where others are slow to mend it, or a storage
    /// failure.
    pub async fn fetch(&self, spec: FetchSpec) -> Result<Fetched, EngineError> {
        let partition = self.partition_soon(&spec.topic, spec.partition).await?;
        let max_bytes = spec.max_bytes.min(self.options.limits.batch_bytes);
        let limit = Duration::from_millis(self.options.limits.fetch_wait_ms.into());
        let poll = Poll {
            partition: &partition,
            term: &partition.term(),
            offset: spec.offset,
            max_bytes,
            min_bytes: spec.min_bytes.clamp(1, max_bytes.max(1)),
            max_wait: spec.max_wait.min(limit),
            isolation: spec.isolation,
            clock: &self.steady,
        };
        let fetched = match poll.run().await {
            Err(error) => {
                until_mended(&partition, poll.term, (spec.offset, spec.isolation), &self.steady, error)
                    .await?;
                poll.run().await?
            }
            Ok(fetched) => fetched,
        };
        if fetched.batches.is_empty() {
            // "There is nothing yet" is what only that leader can say whom nobody can have replaced.
            partition.check_sure()?;
            partition.check_settled(fetched.next_offset)?;
        }
        Ok(fetched)
    }

    /// An open partition.
    pub(crate) fn partition(
        &self,
        topic: &TopicName,
        number: PartitionId,
    ) -> Result<std::sync::Arc<Partition>, EngineError> {
        self.check_running()?;
        let topic = self.topics.get(topic)?;
        topic.check_whole()?;
        topic.partition(number)
    }
}

struct Poll<'a> {
    partition: &'a Partition,
    term: &'a HighWatermark,
    offset: Offset,
    max_bytes: usize,
    min_bytes: usize,
    max_wait: Duration,
    isolation: Isolation,
    clock: &'a SteadyClock,
}

impl Poll<'_> {
    async fn run(&self) -> Result<Fetched, EngineError> {
        // Before the first look at the log's end: see `enter_reader`.
        let _waiting = self.term.enter_reader();
        let fetched = self.read(self.offset)?;
        let at_once = self.max_wait.is_zero() && !self.commit_pending(&fetched);
        if at_once || fetched.bytes() >= self.min_bytes { Ok(fetched) } else { self.wait(fetched).await }
    }

    /// Reads again at every rise of the watermark until there is enough or time is over.
    async fn wait(&self, mut fetched: Fetched) -> Result<Fetched, EngineError> {
        let mut deadline = pin!(sleep(self.max_wait));
        let mut commit_deadline = pin!(sleep(self.max_wait.max(COMMIT_WAIT)));
        while fetched.bytes() < self.min_bytes {
            if fetched.log_end_offset > fetched.high_watermark {
                self.partition.log()?.request_sync();
            }
            let pending = self.commit_pending(&fetched);
            let until = if pending { commit_deadline.as_mut() } else { deadline.as_mut() };
            tokio::select! {
                biased;
                reached = self.term.reached(fetched.high_watermark.max(fetched.next_offset).plus(1)) => {
                    reached.map_err(|stop| self.partition.stop_error(stop))?;
                }
                () = until => break,
            }
            // What was there and is not to be seen need not be read again.
            let from = if fetched.batches.is_empty() { fetched.next_offset } else { self.offset };
            fetched = self.read(from)?;
        }
        Ok(fetched)
    }

    fn read(&self, from: Offset) -> Result<Fetched, EngineError> {
        read_at(self.partition, self.term, (from, self.isolation), self.max_bytes, self.clock.now())
    }

    /// Whether the asked record is appended and only waits for its sync: not for the end of a transaction.
    fn commit_pending(&self, fetched: &Fetched) -> bool {
        fetched.batches.is_empty() && fetched.next_offset < fetched.log_end_offset && !fetched.held
    }
}

/// What is readable now, in this term of leadership.
pub(super) fn read_at(
    partition: &Partition,
    term: &HighWatermark,
    (offset, isolation): (Offset, Isolation),
    max_bytes: usize,
    now: Timestamp,
) -> Result<Fetched, EngineError> {
    let log = partition.log()?;
    let high_watermark = term.get();
    let (low_watermark, log_end_offset) = (log.start_offset(), log.end_offset());
    if offset < low_watermark || offset > log_end_offset {
        return Err(partition.out_of_range(offset, low_watermark, log_end_offset));
    }
    let (mut next_offset, mut held) = (offset, false);
    let batches = loop {
        let high = term.get();
        let upto = partition.readable_below(high, isolation);
        let mut stored = partition.read(next_offset, max_bytes, upto)?;
        let Some(last) = stored.last() else {
            held = upto < high;
            break stored;
        };
        next_offset = last.next_offset();
        if isolation == Isolation::ReadCommitted && !cfg!(mutant = "aborted_batches_shown") {
            log.retain_committed(&mut stored);
        }
        let seen = visible(stored, now).map_err(EngineError::InvalidBatch)?;
        if !seen.is_empty() {
            break seen;
        }
    };
    // The watermark may have risen meanwhile: an answer never holds records above the one it names.
    let high_watermark = high_watermark.max(next_offset.min(term.get())).max(low_watermark);
    Ok(Fetched {
        batches,
        next_offset,
        held,
        high_watermark,
        low_watermark,
        log_end_offset: log_end_offset.max(high_watermark),
    })
}
