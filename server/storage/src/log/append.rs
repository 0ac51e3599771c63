//! The way of a batch to the segment file.

use std::io::IoSlice;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use flymq_types::{BatchError, LeaderEpoch, Offset, RecordBatch, Timestamp};
use flymq_wire::batch::{ServerFields, chain};

use super::producers::{NewSequence, Verdict, is_control, is_unnumbered, marker_of};
use super::view::SegmentView;
use super::{Appended, Log, LogConfig, LogInner, Writer};
use crate::checkpoint::{Checkpoint, CheckpointFile, Mark};
use crate::crypt::{KeyBlock, Protection, SealedRun, SegmentCipher, TAG_BYTES};
use crate::error::{IoContext, Result, StorageError};
use crate::scan::MAX_BATCH_BYTES;
use crate::segment::header::{HEADER_BYTES, SegmentHeader};
use crate::segment::tip::Tip;
use crate::segment::{PreparedSegment, Segment, allocation};

/// So many batches at most go into one vectored write (two buffers each, 1,024 at once).
const MAX_RUN: usize = 512;

impl Log {
    /// Appends one batch: gives it the next offsets, stamps the leader's fields into its header and writes it. When it
    /// returns, the batch survives `kill -9` of the process; for a power cut see [`Log::request_sync`]. A batch that its
    /// idempotent producer has sent before (one of its last five) is not appended again: its offsets are told.
    ///
    /// # Errors
    /// `StaleEpoch`, `BatchTooLarge`, `DiskFull`, `ReadOnly`, `UnknownProducer`, `ProducerFenced`, `OutOfOrderSequence`, `CoordinatorFenced`, `InvalidBatch` (no marker): nothing
    /// was appended, the log goes on. `Poisoned` after
    /// an earlier failure, `Io` for the failure itself, `Closed`.
    pub fn append(&self, batch: &RecordBatch, epoch: LeaderEpoch, now: Timestamp) -> Result<Appended> {
        let mut results = self.append_many(std::slice::from_ref(batch), epoch, now);
        results.pop().unwrap_or(Err(StorageError::Closed))
    }

    /// Appends batches in order with as few writes as can be; one result for each. A batch that is refused for itself
    /// does not hold up the others; after an error of the disk all later ones fail with it.
    pub fn append_many(
        &self,
        batches: &[RecordBatch],
        epoch: LeaderEpoch,
        now: Timestamp,
    ) -> Vec<Result<Appended>> {
        let mut results = Vec::with_capacity(batches.len());
        let outcome = self.0.append_all(batches, epoch, now, &mut results);
        if let Err(error) = outcome {
            results.resize(batches.len(), Err(error));
        }
        if self.0.failure.get().is_some() {
            self.0.announce_failure();
        }
        results
    }
}

impl LogInner {
    fn append_all(
        self: &Arc<Self>,
        batches: &[RecordBatch],
        epoch: LeaderEpoch,
        now: Timestamp,
        results: &mut Vec<Result<Appended>>,
    ) -> Result<()> {
        let config = *self.config.lock();
        let mut writer = self.writer.lock();
        let appended = self.append_locked(&mut writer, config, batches, epoch, now, results);
        // Under the lock: no append comes between a failure and its consequence.
        appended.map_err(|error| self.judge(error))
    }

    fn append_locked(
        self: &Arc<Self>,
        writer: &mut Writer,
        config: LogConfig,
        batches: &[RecordBatch],
        epoch: LeaderEpoch,
        now: Timestamp,
        results: &mut Vec<Result<Appended>>,
    ) -> Result<()> {
        while let Some(batch) = batches.get(results.len()) {
            self.check_writable()?;
            if !config.vital {
                self.context.space.admit()?;
            }
            if batch.size() > MAX_BATCH_BYTES {
                let error = StorageError::BatchTooLarge { bytes: batch.size(), limit: MAX_BATCH_BYTES };
                results.push(Err(error));
                continue;
            }
            if let Some(known) = judge(writer, batch, config, now) {
                results.push(known);
                continue;
            }
            let segment = self.active_segment(writer, batch, config)?;
            self.enter_epoch(writer, epoch)?;
            let rest = &batches[results.len()..];
            let run = run_length(writer, &segment, rest, config);
            let run = in_sequence(writer, &rest[..run], config, now);
            let stamped = stamp_run(&writer.tip, &rest[..run], segment.incarnation, epoch, now);
            let appended: Vec<_> = stamped.iter().map(|batch| Ok(appended(batch))).collect();
            self.commit_run(writer, &segment, stamped, config)?;
            results.extend(appended);
        }
        Ok(())
    }

    /// Writes a stamped run at the end of the active segment, and shows it.
    pub(super) fn commit_run(
        self: &Arc<Self>,
        writer: &mut Writer,
        segment: &Segment,
        run: Vec<RecordBatch>,
        config: LogConfig,
    ) -> Result<()> {
        self.begin_producers(writer, &run)?;
        let sealed = self.seal_run(segment, &run);
        self.write_run(writer, segment, &run, sealed.as_ref(), config)?;
        self.note_producers(writer, &run, config.producers);
        self.publish(writer, segment, run, sealed.as_ref());
        if let Some(sealed) = sealed {
            self.context.seal_pool.give_back(sealed);
        }
        Ok(())
    }

    /// The segment to write `batch` into: the active one while it has room, else a new one.
    pub(super) fn active_segment(
        &self,
        writer: &mut Writer,
        batch: &RecordBatch,
        config: LogConfig,
    ) -> Result<Arc<Segment>> {
        let encrypting = self.context.keyring.is_some();
        match &writer.active {
            Some(active)
                if active.protection.accepts(encrypting, MAX_RUN)
                    && has_room(&writer.tip, active, batch, config) =>
            {
                Ok(active.clone())
            }
            Some(_) | None => self.roll(writer, (batch.size() + TAG_BYTES) as u64, config),
        }
    }

    /// Seals the active segment, if there is one, and opens the next.
    fn roll(&self, writer: &mut Writer, first_batch: u64, config: LogConfig) -> Result<Arc<Segment>> {
        let disk = &*self.context.disk;
        self.create_directories()?;
        let header = self.new_header(writer.tip.next_offset, writer.tip.chain, None);
        let protection = self.new_protection(&header);
        let (prepared, allocated, clean) = match self.take_spare() {
            Some(spare) => {
                let allocated = spare.bytes;
                (PreparedSegment::recycle(disk, header, protection, spare)?, allocated, HEADER_BYTES as u64)
            }
            None => {
                let allocated = allocation(0, HEADER_BYTES as u64 + first_batch, config.segment_bytes);
                self.admit_allocation(allocated, config)?;
                let dir = &self.place.dir;
                (PreparedSegment::create(disk, dir, header, protection, allocated)?, allocated, u64::MAX)
            }
        };
        if writer.active.is_some() {
            self.note_roll();
        }
        if let Err(error) = self.seal_active(writer) {
            prepared.discard(disk);
            return Err(error);
        }
        let published = prepared.publish(&self.context.disk, &self.place.dir, config.index);
        let segment = published.map_err(|error| self.judge(error))?;
        let segment = Arc::new(segment);
        writer.tip = Tip::start(writer.tip.next_offset, writer.tip.chain, writer.tip.append_time);
        (writer.allocated, writer.clean) = (allocated, clean);
        writer.active = Some(segment.clone());
        let view = SegmentView { segment: segment.clone(), tip: writer.tip };
        let mut readable = self.view.lock();
        // A segment that never got a batch has given its name to the new one.
        readable.segments.retain(|known| known.segment.base_offset != segment.base_offset);
        readable.segments.push(view);
        Ok(segment)
    }

    /// A new data key for a new segment, where the directory encrypts.
    pub(super) fn new_protection(&self, header: &SegmentHeader) -> (Protection, Option<KeyBlock>) {
        let Some(keyring) = &self.context.keyring else { return (Protection::Plain, None) };
        let place = self.segment_place(header.base_offset.0);
        let (cipher, key) = SegmentCipher::create(keyring, &place, header.uuid, &*self.context.rng);
        (Protection::Encrypted(Box::new(cipher)), Some(key))
    }

    /// The run as it goes to the disk of an encrypted segment.
    fn seal_run(&self, segment: &Segment, run: &[RecordBatch]) -> Option<SealedRun> {
        let cipher = segment.protection.cipher()?;
        let mut sealed = self.context.seal_pool.take();
        cipher.seal(run, &mut sealed);
        Some(sealed)
    }

    /// Closes the active segment: all its batches are durable and it never changes again.
    pub(super) fn seal_active(&self, writer: &mut Writer) -> Result<()> {
        if let Some(active) = writer.active.clone() {
            self.snapshot_producers(writer).map_err(|error| self.judge(error))?;
            active.seal(&writer.tip).map_err(|error| self.judge(error))?;
            writer.active = None;
        }
        Ok(())
    }

    pub(super) fn create_directories(&self) -> Result<()> {
        let mut checkpoint = self.checkpoint.lock();
        if checkpoint.file.is_some() {
            return Ok(());
        }
        let (disk, place) = (&*self.context.disk, &self.place);
        let (topics, topic) = (&self.context.topics, &place.topic_dir);
        disk.create_dir(topic).on("create directory", topic)?;
        disk.sync_dir(topics).on("sync directory", topics)?;
        disk.create_dir(&place.dir).on("create directory", &place.dir)?;
        disk.sync_dir(topic).on("sync directory", topic)?;
        let (start, end) = (self.start.load(Ordering::Acquire), self.end.load(Ordering::Acquire));
        let mark = Mark { segment_base: end, incarnation: 0, tip: Tip::start(end, 0, i64::MIN) };
        let first = Checkpoint { log_start: start, mark, cleaned: 0 };
        checkpoint.file = Some(CheckpointFile::create(&*self.context.vital, &place.dir, first)?);
        self.context.created.fetch_add(1, Ordering::Release);
        Ok(())
    }

    /// Makes the first offset of a new epoch durable before any of its batches is.
    pub(super) fn enter_epoch(&self, writer: &mut Writer, epoch: LeaderEpoch) -> Result<()> {
        match writer.epochs.latest() {
            Some(current) if epoch < current => Err(StorageError::StaleEpoch { given: epoch, current }),
            Some(current) if epoch == current => Ok(()),
            Some(_) | None => {
                let epochs = writer.epochs.with(epoch, Offset(writer.tip.next_offset));
                if !cfg!(mutant = "skip_epoch_store") {
                    epochs.store(&*self.context.vital, &self.place.dir)?;
                }
                writer.epochs = epochs;
                Ok(())
            }
        }
    }

    /// Takes blocks for the file up to `need`, and some ahead where the disk has them to spare.
    fn reserve(&self, writer: &mut Writer, segment: &Segment, need: u64, config: LogConfig) -> Result<()> {
        if need <= writer.allocated {
            return Ok(());
        }
        let wanted = allocation(writer.allocated, need, config.segment_bytes);
        let spare = config.vital || self.context.space.has_room(wanted - writer.allocated);
        if spare && segment.file.allocate(wanted).is_ok() {
            writer.allocated = wanted;
            return Ok(());
        }
        let least = need.next_multiple_of(4096);
        self.admit_allocation(least - writer.allocated, config)?;
        segment.file.allocate(least).on("allocate", &segment.path)?;
        writer.allocated = least;
        Ok(())
    }

    /// Whether the watermark lets the log take so many bytes of blocks.
    fn admit_allocation(&self, bytes: u64, config: LogConfig) -> Result<()> {
        if config.vital { Ok(()) } else { self.context.space.admit_allocation(bytes) }
    }

    fn write_run(
        &self,
        writer: &mut Writer,
        segment: &Segment,
        run: &[RecordBatch],
        sealed: Option<&SealedRun>,
        config: LogConfig,
    ) -> Result<()> {
        let overhead = segment.protection.overhead();
        let bytes: u64 = run.iter().map(|batch| (batch.size() + overhead) as u64).sum();
        self.reserve(writer, segment, writer.tip.position + bytes, config)?;
        let chunks: Vec<_> = match sealed {
            Some(_) => Vec::new(),
            None => run.iter().flat_map(RecordBatch::chunks).collect(),
        };
        let mut slices: Vec<_> = match sealed {
            Some(sealed) => vec![IoSlice::new(&sealed.bytes)],
            None => chunks.iter().map(|chunk| IoSlice::new(chunk)).collect(),
        };
        let behind = zeros_behind(writer, writer.tip.position + bytes);
        slices.extend((!behind.is_empty()).then(|| IoSlice::new(behind)));
        let written = segment.file.write_all_at(&mut slices, writer.tip.position);
        written.on("write", &segment.path).map_err(|error| self.judge(error))
    }

    /// Lets readers see what was written, and the syncer make it durable.
    fn publish(
        self: &Arc<Self>,
        writer: &mut Writer,
        segment: &Segment,
        run: Vec<RecordBatch>,
        sealed: Option<&SealedRun>,
    ) {
        {
            let mut index = segment.index.lock();
            let plain =
                run.iter().filter(|_| sealed.is_none()).map(|batch| (batch.header(), &batch.head()[..]));
            for (header, head) in plain.chain(sealed.into_iter().flat_map(SealedRun::heads)) {
                let tip = &mut writer.tip;
                index.offer(tip.next_offset - segment.base_offset, tip.position, tip.max_timestamp);
                tip.advance(header, head);
            }
        }
        {
            let mut view = self.view.lock();
            if let Some(last) = view.segments.last_mut() {
                last.tip = writer.tip;
            }
            run.into_iter().for_each(|batch| view.tail.push(batch));
            self.end.store(writer.tip.next_offset, Ordering::Release);
        }
        if !self.dirty.swap(true, Ordering::AcqRel) {
            self.context.syncer.enqueue(self.clone());
        }
    }
}

/// The answer to a batch of an idempotent producer that is not appended: it is in the log already, or refused.
fn judge(
    writer: &Writer,
    batch: &RecordBatch,
    config: LogConfig,
    now: Timestamp,
) -> Option<Result<Appended>> {
    if is_control(batch.header()) {
        let Some(marker) = marker_of(batch) else {
            let found = batch.header().flags.bits();
            return Some(Err(BatchError::BadFlags { found }.into()));
        };
        return writer.producers.table.judge_marker(&marker).err().map(Err);
    }
    if is_unnumbered(batch.header()) {
        return writer.producers.table.judge_unnumbered(batch.header()).err().map(Err);
    }
    let new = NewSequence::of(batch.header())?;
    let append_time = now.0.max(writer.tip.append_time);
    match writer.producers.table.judge(&new, append_time, config.producers) {
        Ok(Verdict::New) => None,
        Ok(Verdict::Duplicate(appended)) => Some(Ok(appended)),
        Err(error) => Some(Err(error)),
    }
}

/// How many of `batches` follow each other in their producers' sequences, so that they can be written at once; the first
/// one has been judged. The next one is judged when these are noted.
fn in_sequence(writer: &Writer, batches: &[RecordBatch], config: LogConfig, now: Timestamp) -> usize {
    let mut expected: Vec<NewSequence> = Vec::new();
    for (i, batch) in batches.iter().enumerate() {
        if is_control(batch.header()) || is_unnumbered(batch.header()) {
            // What follows is judged by what it leaves.
            return i.max(1);
        }
        let Some(new) = NewSequence::of(batch.header()) else { continue };
        match expected.iter_mut().find(|last| last.id == new.id) {
            Some(last) if new.follows(last) => *last = new,
            Some(_) => return i,
            None if i > 0 && judge(writer, batch, config, now).is_some() => return i,
            // It may take the room of another one.
            None if !writer.producers.table.knows(new.id) => return i.max(1),
            None => expected.push(new),
        }
    }
    batches.len()
}

fn appended(batch: &RecordBatch) -> Appended {
    Appended {
        base_offset: batch.base_offset(),
        last_offset: batch.last_offset(),
        append_time: batch.append_time(),
        duplicate: false,
    }
}

/// The zeros that fill the last page of a write that ends at `end`, where the file is a recycled one.
fn zeros_behind(writer: &mut Writer, end: u64) -> &'static [u8] {
    const PAGE: u64 = 4096;
    static ZEROS: [u8; PAGE as usize] = [0; PAGE as usize];
    if end <= writer.clean {
        return &[];
    }
    writer.clean = end.next_multiple_of(PAGE).min(writer.allocated.max(end));
    &ZEROS[..(writer.clean - end) as usize]
}

fn has_room(tip: &Tip, segment: &Segment, batch: &RecordBatch, config: LogConfig) -> bool {
    let empty = tip.next_offset == segment.base_offset;
    let size = (batch.size() + segment.protection.overhead()) as u64;
    let fits = tip.position + size <= HEADER_BYTES as u64 + config.segment_bytes;
    let relative = tip.next_offset - segment.base_offset + u64::from(batch.record_count());
    empty || (fits && relative <= u64::from(u32::MAX))
}

/// How many of `batches` go into the segment with one write; the first one always does.
pub(super) fn run_length(
    writer: &Writer,
    segment: &Segment,
    batches: &[RecordBatch],
    config: LogConfig,
) -> usize {
    let mut tip = writer.tip;
    let mut run = 0;
    for batch in batches.iter().take(MAX_RUN) {
        let in_bounds = batch.size() <= MAX_BATCH_BYTES && has_room(&tip, segment, batch, config);
        if run > 0 && !in_bounds {
            break;
        }
        tip.position += (batch.size() + segment.protection.overhead()) as u64;
        tip.next_offset += u64::from(batch.record_count());
        run += 1;
    }
    run
}

fn stamp_run(
    tip: &Tip,
    run: &[RecordBatch],
    incarnation: u64,
    epoch: LeaderEpoch,
    now: Timestamp,
) -> Vec<RecordBatch> {
    let append_time = now.0.max(tip.append_time);
    let (mut base_offset, mut previous) = (tip.next_offset, tip.chain);
    let mut stamp = |batch: &RecordBatch| {
        let chain = chain(previous, batch.header().payload_crc);
        let fields = ServerFields { base_offset, leader_epoch: epoch.0, chain, incarnation, append_time };
        base_offset += u64::from(batch.record_count());
        previous = chain;
        batch.stamp(fields)
    };
    run.iter().map(&mut stamp).collect()
}
