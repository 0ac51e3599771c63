//! Takes what a filter passes over out of what was fetched, before it is cut into replies.
//!
//! Batches of which every record matches stay as they are; of others only the matching records are built anew, with their
//! offsets. The work is bounded: after [`WORK`] a run ends where it stands, and the reader asks again from there.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use flymq_engine::Fetched;
use flymq_filter::{Filter, Record, Undecided};
use flymq_types::{BatchFlags, Offset, PartitionId, RecordBatch, RecordView, TopicName};
use flymq_wire::batch::{BatchBuilder, BatchError, NewRecord, ProducerFields, Records};

use crate::{
    BrokerError, ErrorCode,
    convert::{Opener, damaged},
};

/// How long one run is looked through. A record that was begun is finished, and one at least is.
pub(super) const WORK: Duration = Duration::from_millis(200);
/// Records between two looks at the clock.
const LOOK_EVERY: u64 = 32;

/// A reader's filter, and where it reads.
#[derive(Debug, Clone)]
pub(super) struct Sieve {
    pub filter: Arc<Filter>,
    pub topic: TopicName,
    pub opener: Opener,
}

/// What became of a run.
#[derive(Debug)]
pub(super) struct Sifted {
    /// With the batches that hold a match; its `next_offset` is where the search has come to.
    pub fetched: Fetched,
    /// Records that were passed over.
    pub filtered: u64,
    /// Those of them on which the filter failed.
    pub failed: u64,
    /// Whether it stopped before the end of the run.
    pub stopped: bool,
}

impl Sifted {
    /// All of a run.
    pub fn whole(fetched: Fetched) -> Self {
        Self { fetched, filtered: 0, failed: 0, stopped: false }
    }

    /// Whether there is nothing more to look through for now.
    pub fn at_the_end(&self) -> bool {
        !self.stopped && (self.fetched.held || self.fetched.next_offset >= self.fetched.high_watermark)
    }

    /// Together with a run before it in which nothing matched.
    pub fn after(mut self, earlier: &Self) -> Self {
        self.filtered += earlier.filtered;
        self.failed += earlier.failed;
        self
    }
}

impl Sieve {
    /// Looks through a run, on a thread that may block.
    ///
    /// # Errors
    /// `FILTER_ON_ENCRYPTED` where the first record is one that the filter may not look into, and those of [`Opener::open`] for
    /// the first batch: what comes later ends the run before it.
    pub async fn sift(
        &self,
        from: Offset,
        partition: PartitionId,
        fetched: Fetched,
    ) -> Result<Sifted, BrokerError> {
        let sieve = self.clone();
        let work = move || {
            let run = Run {
                sieve: &sieve,
                partition,
                from,
                begun: Instant::now(),
                looked_at: 0,
                sifted: empty(&fetched),
            };
            run.go(fetched)
        };
        tokio::task::spawn_blocking(work).await.unwrap_or_else(|ended| {
            Err(BrokerError::new(ErrorCode::Internal, format!("filtering failed: {ended}")))
        })
    }
}

fn empty(fetched: &Fetched) -> Sifted {
    Sifted::whole(Fetched { batches: Vec::new(), ..*fetched })
}

struct Run<'a> {
    sieve: &'a Sieve,
    partition: PartitionId,
    from: Offset,
    begun: Instant,
    /// Records so far.
    looked_at: u64,
    sifted: Sifted,
}

/// Why a run ends before its end.
enum Stop {
    /// Before this record.
    At(u64),
    Failed(BrokerError),
}

impl Run<'_> {
    fn go(mut self, fetched: Fetched) -> Result<Sifted, BrokerError> {
        for batch in fetched.batches {
            let first = batch.header().server.base_offset.max(self.from.get());
            match self.batch(&batch) {
                Ok(()) => {}
                Err(Stop::At(offset)) => return Ok(self.stopped(offset)),
                Err(Stop::Failed(error)) if self.looked_at == 0 => return Err(error),
                Err(Stop::Failed(_)) => return Ok(self.stopped(first)),
            }
        }
        Ok(self.sifted)
    }

    fn stopped(mut self, offset: u64) -> Sifted {
        self.sifted.fetched.next_offset = Offset(offset);
        self.sifted.stopped = true;
        self.sifted
    }

    fn batch(&mut self, batch: &RecordBatch) -> Result<(), Stop> {
        if batch.header().flags.contains(BatchFlags::CONTROL) {
            return Ok(());
        }
        if self.looked_at > 0 && self.begun.elapsed() >= WORK {
            return Err(Stop::At(batch.header().server.base_offset));
        }
        let records = self.sieve.opener.open(batch).map_err(Stop::Failed)?;
        if !self.sieve.filter.may_match(records.payload()) {
            let count = u64::from(batch.header().record_count);
            (self.looked_at, self.sifted.filtered) = (self.looked_at + count, self.sifted.filtered + count);
            return Ok(());
        }
        let mut kept = Vec::new();
        let (mut seen, mut stop, mut next) = (0, None, batch.header().server.base_offset);
        for record in &records {
            let record = match record {
                Ok(record) => record,
                Err(_) if self.looked_at > 0 => {
                    stop = Some(Stop::At(next));
                    break;
                }
                Err(why) => return Err(Stop::Failed(damaged(batch.header(), why))),
            };
            (seen, next) = (seen + 1, record.offset + 1);
            if record.offset < self.from.get() {
                continue;
            }
            match self.record(&record) {
                Ok(true) => kept.push(record),
                Ok(false) => {}
                Err(why) => {
                    stop = Some(why);
                    break;
                }
            }
        }
        if kept.len() == seen && stop.is_none() {
            self.sifted.fetched.batches.push(batch.clone());
        } else if !kept.is_empty() {
            let end = if let Some(Stop::At(end)) = stop { end } else { batch.header().next_offset() };
            let rest = rebuilt(batch, &records, &kept, end);
            let rest = rest.map_err(|why| Stop::Failed(damaged(batch.header(), why)))?;
            self.sifted.fetched.batches.push(rest);
        }
        stop.map_or(Ok(()), Err)
    }

    fn record(&mut self, view: &RecordView<'_>) -> Result<bool, Stop> {
        if self.looked_at > 0 && self.looked_at.is_multiple_of(LOOK_EVERY) && self.begun.elapsed() >= WORK {
            return Err(Stop::At(view.offset));
        }
        let record = Record::stored(self.sieve.topic.as_str(), self.partition.get(), view);
        match self.sieve.filter.matches(&record) {
            Ok(true) => {
                self.looked_at += 1;
                return Ok(true);
            }
            Ok(false) => {}
            Err(Undecided::Failed(_)) => self.sifted.failed += 1,
            Err(Undecided::Encrypted) if self.looked_at > 0 => return Err(Stop::At(view.offset)),
            Err(Undecided::Encrypted) => return Err(Stop::Failed(self.encrypted(view.offset))),
        }
        self.looked_at += 1;
        self.sifted.filtered += 1;
        Ok(false)
    }

    fn encrypted(&self, offset: u64) -> BrokerError {
        let (topic, partition) = (&self.sieve.topic, self.partition);
        let message = format!(
            "the filter asks about the value of offset {offset} of {topic}/{partition}, which is encrypted"
        );
        BrokerError::new(ErrorCode::FilterOnEncrypted, message)
            .with("topic", topic)
            .with("partition", partition)
            .with("offset", offset)
    }
}

/// The batch with these of its records only, up to offset `end`.
fn rebuilt(
    batch: &RecordBatch,
    records: &Records,
    kept: &[RecordView<'_>],
    end: u64,
) -> Result<RecordBatch, BatchError> {
    let header = *records.header();
    let base = header.server.base_offset;
    let delta = |offset: u64| u32::try_from(offset.saturating_sub(base)).map_err(|_| BatchError::TooLarge);
    let mut builder = BatchBuilder::compacted(delta(end)?, header.first_timestamp);
    builder.add_flags(header.flags.without(BatchFlags::HAS_TTL)).set_producer(ProducerFields {
        id: header.producer_id,
        epoch: header.producer_epoch,
        base_sequence: header.base_sequence,
    });
    for record in kept {
        let (key, value, expires_at) = (record.key, record.value, record.expires_at);
        let new = NewRecord { key, value, timestamp: record.timestamp, expires_at };
        builder.push_at(delta(record.offset)?, &new, record.headers())?;
    }
    Ok(RecordBatch::from_broker(builder.build()?)?.stamp(batch.header().server))
}

#[cfg(test)]
mod tests;
