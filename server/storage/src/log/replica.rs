//! A follower's log: batches come as the leader stamped them, and stay so. Only what belongs to the segment file is
//! written anew: incarnation, header crc and, where the log is encrypted, the write counter.

use std::sync::Arc;

use bytes::Bytes;
use flymq_types::{BatchError, BatchFlags, BatchHeader, LeaderEpoch, Offset, RecordBatch};
use flymq_wire::batch::{ServerFields, chain};

use super::append::run_length;
use super::{Log, LogConfig, LogInner, Writer};
use crate::error::{Result, StorageError};
use crate::scan::MAX_BATCH_BYTES;

/// What a follower took of a leader's batches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Replicated {
    /// End of the log.
    pub end: Offset,
    /// Batches that were appended.
    pub appended: usize,
    /// Batches that the log had already.
    pub skipped: usize,
}

/// The batches that `raw` holds back to back, both crcs of each checked. Nothing is copied.
///
/// # Errors
/// `InvalidBatch` for the first that is not whole: then none of them may be used.
pub fn split_batches(mut raw: Bytes) -> Result<Vec<RecordBatch>> {
    let mut batches = Vec::new();
    while !raw.is_empty() {
        let len = BatchHeader::parse(&raw)?.batch_len();
        batches.push(RecordBatch::from_log(raw.split_to(len.min(raw.len())))?);
    }
    Ok(batches)
}

impl Log {
    /// Whole batches from the one that holds `from` up to the log's end, committed or not, together at most `max_bytes`
    /// but at least one: what a leader sends. Nothing is decompressed; large payloads are shared, not copied.
    ///
    /// # Errors
    /// As [`Log::read`].
    pub fn read_raw(&self, from: Offset, max_bytes: usize) -> Result<Vec<RecordBatch>> {
        self.read(from, max_bytes, Offset::MAX)
    }

    /// Appends a leader's batches with the offsets, epochs, append times and chain values that the leader gave them. Those
    /// that the log holds already, equal in all of it, are skipped. As durable as [`Log::append`].
    ///
    /// # Errors
    /// All are checked before the first is written. `Gap`; `Diverged` for one that the log has otherwise; `StaleEpoch` for
    /// one of an older epoch than the batch before it; `BrokenChain`; `InvalidBatch`, `BatchTooLarge`; `Corrupt` where the
    /// log's own copy is damaged; else as [`Log::append`], and then a part of them may have been appended.
    pub fn append_replica(&self, batches: &[RecordBatch]) -> Result<Replicated> {
        let result = self.0.append_replica(batches);
        if self.0.failure.get().is_some() {
            self.0.announce_failure();
        }
        result
    }
}

impl LogInner {
    fn append_replica(self: &Arc<Self>, batches: &[RecordBatch]) -> Result<Replicated> {
        let config = *self.config.lock();
        let mut writer = self.writer.lock();
        self.check_writable()?;
        let skipped = self.skip_known(&writer, batches)?;
        let new = &batches[skipped..];
        check_new(&writer, new)?;
        let appended = self.append_stamped(&mut writer, config, new);
        appended.map_err(|error| self.judge(error))?;
        Ok(Replicated { end: Offset(writer.tip.next_offset), appended: new.len(), skipped })
    }

    /// How many of the first batches the log has already.
    fn skip_known(self: &Arc<Self>, writer: &Writer, batches: &[RecordBatch]) -> Result<usize> {
        let log = Log(self.clone());
        let mut known = 0;
        while let Some(batch) =
            batches.get(known).filter(|batch| batch.base_offset().0 < writer.tip.next_offset)
        {
            let (at, end) = (batch.base_offset(), batch.next_offset());
            if end > log.start_offset() {
                let own = log.read(at.max(log.start_offset()), 1, Offset::MAX)?;
                if !own.first().is_some_and(|own| is_same(own, batch)) {
                    return Err(StorageError::Diverged { at });
                }
            }
            known += 1;
        }
        Ok(known)
    }

    fn append_stamped(
        self: &Arc<Self>,
        writer: &mut Writer,
        config: LogConfig,
        batches: &[RecordBatch],
    ) -> Result<()> {
        let mut rest = batches;
        while let Some(first) = rest.first() {
            self.check_writable()?;
            if !config.vital {
                self.context.space.admit()?;
            }
            let segment = self.active_segment(writer, first, config)?;
            let epoch = first.leader_epoch();
            self.enter_epoch(writer, epoch)?;
            let same_epoch = rest.iter().take_while(|batch| batch.leader_epoch() == epoch).count();
            let run = run_length(writer, &segment, &rest[..same_epoch], config);
            let stamp = |batch: &RecordBatch| {
                let incarnation = segment.incarnation;
                batch.stamp(ServerFields { incarnation, ..batch.header().server })
            };
            let stamped = rest[..run].iter().map(stamp).collect();
            self.commit_run(writer, &segment, stamped, config)?;
            rest = &rest[run..];
        }
        Ok(())
    }
}

/// Whether `batches` follow the log's end one after the other.
fn check_new(writer: &Writer, batches: &[RecordBatch]) -> Result<()> {
    let (mut next, mut previous) = (writer.tip.next_offset, writer.tip.chain);
    let mut latest = writer.epochs.latest();
    for batch in batches {
        check_next(batch, next, previous, latest)?;
        (next, previous) = (batch.next_offset().0, batch.header().server.chain);
        latest = Some(batch.leader_epoch());
    }
    Ok(())
}

/// Whether a leader's batch follows one that ends at `next`, with that chain value, of that epoch.
pub(super) fn check_next(
    batch: &RecordBatch,
    next: u64,
    previous: u32,
    latest: Option<LeaderEpoch>,
) -> Result<()> {
    let (header, at, given) = (batch.header(), batch.base_offset(), batch.leader_epoch());
    if header.flags.contains(BatchFlags::ENCRYPTED) {
        return Err(BatchError::BadFlags { found: header.flags.bits() }.into());
    }
    if batch.size() > MAX_BATCH_BYTES {
        return Err(StorageError::BatchTooLarge { bytes: batch.size(), limit: MAX_BATCH_BYTES });
    }
    if at.0 != next {
        return Err(StorageError::Gap { expected: Offset(next), found: at });
    }
    if let Some(current) = latest.filter(|latest| given < *latest) {
        return Err(StorageError::StaleEpoch { given, current });
    }
    if header.server.chain != chain(previous, header.payload_crc) {
        return Err(StorageError::BrokenChain { at });
    }
    Ok(())
}

/// Whether two batches are the same but for the segment files that they stand in.
pub(super) fn is_same(a: &RecordBatch, b: &RecordBatch) -> bool {
    let neutral = |batch: &RecordBatch| {
        let server = ServerFields { incarnation: 0, ..batch.header().server };
        batch.header().encode_stamped(&server)
    };
    neutral(a) == neutral(b) && a.payload() == b.payload()
}
