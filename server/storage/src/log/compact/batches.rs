//! Writing the records that stay: small batches are joined, offsets stay as they are.

use flymq_types::{BatchFlags, Compression, InflateLimits, RecordBatch, RecordView};
use flymq_wire::batch::{BatchBuilder, BatchError, NewRecord, ProducerFields, Records, ServerFields, pack};

use super::options::Compaction;
use super::rule::{Pass, Verdict};
use crate::error::Result;
use crate::segment::writer::SegmentWriter;

/// Joined batches get no larger than this many bytes before compression, unless one record is.
const JOINED_BYTES: usize = 256 << 10;
/// Batches of at least this size that lose nothing are copied as they are.
const COPY_BYTES: usize = 4 << 10;

/// What batches must have in common to be joined.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Shape {
    leader_epoch: u32,
    compression: Compression,
    client_encrypted: bool,
}

impl Shape {
    fn of(batch: &RecordBatch) -> Self {
        let header = batch.header();
        Self {
            leader_epoch: header.server.leader_epoch,
            compression: header.compression,
            client_encrypted: header.flags.contains(BatchFlags::CLIENT_ENCRYPTED),
        }
    }
}

/// A compacted batch in the making.
#[derive(Debug)]
struct Joined {
    shape: Shape,
    builder: BatchBuilder,
    base: u64,
    next: u64,
    append_time: i64,
}

/// Cleans the batches of a segment after the other into one writer.
#[derive(Debug)]
pub(super) struct Cleaner<'a> {
    pub pass: &'a Pass,
    pub how: &'a Compaction,
    pub writer: SegmentWriter,
    joined: Option<Joined>,
    /// Records taken out so far, and those of them whose time was over.
    pub removed: u64,
    pub expired: u64,
}

/// Batches that belong to a transaction, or whose records cannot be read here, are never opened.
pub(super) fn open(batch: &RecordBatch) -> Option<Records> {
    let closed = BatchFlags::CONTROL.union(BatchFlags::TRANSACTIONAL);
    if batch.header().flags.without(closed) != batch.header().flags {
        return None;
    }
    batch.open(&InflateLimits::BATCH).ok()
}

impl<'a> Cleaner<'a> {
    pub fn new(pass: &'a Pass, how: &'a Compaction, writer: SegmentWriter) -> Self {
        Self { pass, how, writer, joined: None, removed: 0, expired: 0 }
    }

    /// Adds what stays of the next batch.
    pub fn push(&mut self, batch: &RecordBatch) -> Result<()> {
        let Some(records) = open(batch) else { return self.copy(batch) };
        let changed =
            records.iter().flatten().any(|record| self.pass.judge(&record, self.how) != Verdict::Keep);
        if batch.header().has_producer_id() {
            // The last batch of a producer says where its sequence stands: it keeps its header.
            return if changed { self.alone(batch, &records) } else { self.copy(batch) };
        }
        if !changed && batch.size() >= COPY_BYTES {
            return self.copy(batch);
        }
        self.join(batch, &records)
    }

    fn copy(&mut self, batch: &RecordBatch) -> Result<()> {
        self.flush()?;
        self.writer.push(batch)
    }

    fn alone(&mut self, batch: &RecordBatch, records: &Records) -> Result<()> {
        self.flush()?;
        let header = batch.header();
        self.start(batch);
        if let Some(joined) = &mut self.joined {
            joined.builder.set_producer(ProducerFields {
                id: header.producer_id,
                epoch: header.producer_epoch,
                base_sequence: header.base_sequence,
            });
        }
        self.take(batch, records)?;
        self.flush()
    }

    fn join(&mut self, batch: &RecordBatch, records: &Records) -> Result<()> {
        let fits = |joined: &Joined| {
            let span = batch.next_offset().0 - joined.base;
            joined.shape == Shape::of(batch)
                && span <= u64::from(u32::MAX)
                && joined.builder.size() + records.payload().len() <= JOINED_BYTES
        };
        if !self.joined.as_ref().is_some_and(fits) {
            self.flush()?;
            self.start(batch);
        }
        self.take(batch, records)
    }

    fn start(&mut self, batch: &RecordBatch) {
        let shape = Shape::of(batch);
        let mut builder = BatchBuilder::compacted(0, 0);
        if shape.client_encrypted {
            builder.add_flags(BatchFlags::CLIENT_ENCRYPTED);
        }
        let (base, append_time) = (batch.base_offset().0, batch.header().server.append_time);
        self.joined = Some(Joined { shape, builder, base, next: base, append_time });
    }

    fn take(&mut self, batch: &RecordBatch, records: &Records) -> Result<()> {
        let Some(joined) = &mut self.joined else { return Ok(()) };
        for record in records.iter() {
            let record = record?;
            let expires_at = match self.pass.judge(&record, self.how) {
                Verdict::Keep => record.expires_at,
                Verdict::KeepUntil(end) => Some(end),
                gone @ (Verdict::Drop | Verdict::Expire) => {
                    self.removed += 1;
                    self.expired += u64::from(gone == Verdict::Expire);
                    continue;
                }
            };
            add(joined, &record, expires_at)?;
        }
        joined.next = batch.next_offset().0;
        joined.append_time = joined.append_time.max(batch.header().server.append_time);
        Ok(())
    }

    /// Writes what is in the making.
    pub fn flush(&mut self) -> Result<()> {
        let Some(Joined { shape, mut builder, base, next, append_time }) = self.joined.take() else {
            return Ok(());
        };
        builder.set_span(u32::try_from(next - base).map_err(|_| BatchError::TooLarge)?);
        let bytes = pack(builder.build()?, shape.compression, None)?;
        let fields = ServerFields {
            base_offset: base,
            leader_epoch: shape.leader_epoch,
            append_time,
            ..ServerFields::default()
        };
        let batch = RecordBatch::from_broker(bytes)?.stamp(fields);
        self.writer.push(&batch)
    }
}

fn add(joined: &mut Joined, record: &RecordView<'_>, expires_at: Option<i64>) -> Result<()> {
    let delta = u32::try_from(record.offset - joined.base).map_err(|_| BatchError::TooLarge)?;
    let new = NewRecord { key: record.key, value: record.value, timestamp: record.timestamp, expires_at };
    Ok(joined.builder.push_at(delta, &new, record.headers())?)
}
