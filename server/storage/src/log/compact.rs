//! Compaction: of every key the latest record stays, the others go. Offsets never change.
//!
//! A cleaning goes over the closed segments below the high watermark. It first reads what came since the last one (the
//! dirty part) and notes the latest offset of each key, as many as fit into its memory; then it writes all segments
//! below that again, from old to new, without the records that have a later one. Each new file is complete and durable
//! before it takes the name of the first segment that it stands for; readers of the old ones go on undisturbed. A crash
//! leaves the old segments or the new one, and a start removes old ones that the new one covers.
//!
//! Old to new, and deletions last: at no moment does an older record of a key come back to life.

mod batches;
mod keys;
mod options;
mod rule;

use std::sync::atomic::Ordering;

use flymq_types::{BatchFlags, Offset, RecordBatch};

use super::lookup::Lookup;
use super::view::SegmentView;
use super::{Log, LogInner};
use crate::checkpoint::Checkpoint;
use crate::error::{Result, StorageError};
use crate::segment::header::{HEADER_BYTES, Replaced, SegmentHeader};
use crate::segment::writer::SegmentWriter;
use crate::segment::{PreparedSegment, index_path};
use batches::{Cleaner, open};
use keys::LatestKeys;
pub use options::{Compacted, Compaction};
use rule::{Pass, Verdict};

/// Bytes read at a time.
const READ_BYTES: usize = 1 << 20;
/// The segment that is written is closed for a cleaning once it has so many bytes, or a quarter of a segment.
const MIN_CLOSE_BYTES: u64 = 1 << 20;

impl Log {
    /// Cleans the log, if enough has come since the last time. Blocking work, for as long as it takes to read and write
    /// the log; appends, reads and retention go on meanwhile. Nothing happens while another cleaning runs.
    ///
    /// # Errors
    /// `Io`, `DiskFull`, `Closed`, `Poisoned`: what was cleaned until then is, no record is lost.
    pub fn compact(&self, how: &Compaction) -> Result<Compacted> {
        let Some(_turn) = self.0.cleaning.try_lock() else { return Ok(Compacted::default()) };
        self.0.announcing(|log| log.compact(how))
    }
}

/// What there is to clean.
struct Work {
    segments: Vec<SegmentView>,
    /// First offset that no cleaning has looked at.
    dirty: u64,
}

impl LogInner {
    fn compact(&self, how: &Compaction) -> Result<Compacted> {
        let clock = &self.context.clock;
        let began = clock.monotonic();
        let mut done = Compacted::default();
        if !how.by_key {
            self.drop_expired(how, &mut done)?;
            done.took = clock.monotonic().saturating_sub(began);
            return Ok(done);
        }
        let mut due = how.min_dirty_percent;
        while let Some(work) = self.work(how, due)? {
            self.pass(work, how, &mut done)?;
            // A second pass is for keys that had no room in the first one.
            due = 0;
        }
        done.took = clock.monotonic().saturating_sub(began);
        Ok(done)
    }

    /// The closed segments, if enough of them is dirty; closes the one that is written where that is worth it.
    fn work(&self, how: &Compaction, due: u8) -> Result<Option<Work>> {
        let segment_bytes = self.config.lock().segment_bytes;
        let cleaned = self.checkpoint.lock().file.as_ref().map_or(0, |file| file.current().cleaned);
        let dirty = cleaned.max(self.start.load(Ordering::Acquire));
        let mut writer = self.writer.lock();
        if writer.active.is_some() && writer.tip.position >= (segment_bytes / 4).min(MIN_CLOSE_BYTES) {
            let (all, fresh) = self.weigh(dirty);
            if writer.tip.next_offset <= how.upto.0 && is_due(all, fresh, due) {
                self.seal_active(&mut writer)?;
            }
        }
        let segments = self.sealed_below(&writer, how.upto.0);
        drop(writer);
        let bytes = |views: &mut dyn Iterator<Item = &SegmentView>| views.map(|view| view.tip.position).sum();
        let all = bytes(&mut segments.iter());
        let fresh = bytes(&mut segments.iter().filter(|view| view.tip.next_offset > dirty));
        Ok((fresh > 0 && is_due(all, fresh, due)).then_some(Work { segments, dirty }))
    }

    /// Bytes of the log, and of its segments with offsets from `dirty` on.
    fn weigh(&self, dirty: u64) -> (u64, u64) {
        let view = self.view.lock();
        let fresh = view.segments.iter().filter(|view| view.tip.next_offset > dirty);
        (view.bytes(), fresh.map(|view| view.tip.position).sum())
    }

    /// Takes expired records out of the closed segments that have any.
    fn drop_expired(&self, how: &Compaction, done: &mut Compacted) -> Result<()> {
        let segments = {
            let writer = self.writer.lock();
            self.sealed_below(&writer, how.upto.0)
        };
        let start = self.start.load(Ordering::Acquire);
        let pass = Pass { keys: LatestKeys::new(0), upto: u64::MAX, start, keep_deletions: false };
        for view in segments {
            let due = view.segment.next_expiry.load(Ordering::Relaxed) <= how.now.0;
            if due && self.has_expired(&view, how)? {
                match self.clean(std::slice::from_ref(&view), &pass, how, done) {
                    Ok(()) => done.passes = 1,
                    Err(StorageError::Corrupt { .. }) => done.damaged += 1,
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(())
    }

    /// Whether something in a closed segment has expired; notes when the next record does, so that it is not read before.
    fn has_expired(&self, view: &SegmentView, how: &Compaction) -> Result<bool> {
        let (mut next, mut expired) = (i64::MAX, false);
        let scanned = self.each_batch(view, |batch| {
            if batch.header().flags.contains(BatchFlags::HAS_TTL) {
                for record in open(batch).iter().flat_map(|records| records.iter().flatten()) {
                    let Some(end) = record.expires_at else { continue };
                    expired |= end <= how.now.0;
                    next = next.min(end);
                }
            }
            Ok(!expired)
        });
        match scanned {
            Ok(()) => {}
            // It stays as it is: looking again would find the same.
            Err(StorageError::Corrupt { .. }) => (next, expired) = (i64::MAX, false),
            Err(error) => return Err(error),
        }
        if !expired {
            view.segment.next_expiry.store(next, Ordering::Relaxed);
        }
        Ok(expired)
    }

    fn pass(&self, work: Work, how: &Compaction, done: &mut Compacted) -> Result<()> {
        let mut pass = self.note_keys(&work, how)?;
        let mut touched = work.segments;
        touched.retain(|view| view.segment.base_offset < pass.upto);
        let segment_bytes = self.config.lock().segment_bytes;
        let mut rest = touched.into_iter();
        while let count @ 1.. = group_len(rest.as_slice(), segment_bytes) {
            // Let go of after its turn: the descriptors of replaced files live as long as somebody has them.
            let group: Vec<_> = rest.by_ref().take(count).collect();
            match self.clean(&group, &pass, how, done) {
                Ok(()) => {}
                Err(StorageError::Corrupt { start, end }) => {
                    let log = self.place.dir.display();
                    tracing::warn!(%log, %start, %end, "damaged segments are not cleaned");
                    done.damaged += group.len();
                    pass.keep_deletions = true;
                }
                Err(error) => return Err(error),
            }
        }
        done.passes += 1;
        self.note_cleaned(pass.upto)
    }

    /// Reads the dirty part; ends before the first key that has no room.
    fn note_keys(&self, work: &Work, how: &Compaction) -> Result<Pass> {
        let end = work.segments.last().map_or(work.dirty, |view| view.tip.next_offset);
        let start = self.start.load(Ordering::Acquire);
        let mut pass =
            Pass { keys: LatestKeys::new(how.keys_bytes), upto: end, start, keep_deletions: false };
        for view in work.segments.iter().filter(|view| view.tip.next_offset > work.dirty) {
            let mut full = None;
            let scanned = self.each_batch(view, |batch| {
                for record in open(batch).iter().flat_map(|records| records.iter().flatten()) {
                    let Some(key) = record.key.filter(|_| record.offset >= work.dirty) else { continue };
                    if full.is_none() && !pass.keys.note(key, record.offset) {
                        full = Some(record.offset);
                    }
                }
                Ok(full.is_none())
            });
            match scanned {
                // The rest of the segment is damaged: its keys supersede nothing, which keeps more than need be.
                Ok(()) | Err(StorageError::Corrupt { .. }) => {}
                Err(error) => return Err(error),
            }
            if let Some(offset) = full {
                pass.upto = offset;
                break;
            }
        }
        Ok(pass)
    }

    /// Shows every batch of a closed segment to `visit` until it says `false`.
    fn each_batch(
        &self,
        view: &SegmentView,
        mut visit: impl FnMut(&RecordBatch) -> Result<bool>,
    ) -> Result<()> {
        let lookup = Lookup::new(view);
        let mut offset = view.segment.base_offset;
        while offset < view.tip.next_offset {
            self.check_open()?;
            let (position, header) = lookup.find(offset)?;
            for batch in lookup.take(position, &header, READ_BYTES, u64::MAX)? {
                if batch.base_offset().0 != offset {
                    let (start, end) = (Offset(offset), batch.base_offset());
                    return Err(StorageError::Corrupt { start, end });
                }
                offset = batch.next_offset().0;
                if !visit(&batch)? {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// Writes a group of neighbouring segments again as one, unless it is one that has nothing to lose.
    fn clean(
        &self,
        group: &[SegmentView],
        pass: &Pass,
        how: &Compaction,
        done: &mut Compacted,
    ) -> Result<()> {
        if let [only] = group
            && !self.has_work(only, pass, how)?
        {
            return Ok(());
        }
        let (Some(first), Some(last)) = (group.first(), group.last()) else { return Ok(()) };
        let replaced = Replaced { end: Offset(last.tip.next_offset), chain: last.tip.chain };
        let writer = self.rewritten(first, replaced)?;
        let mut cleaner = Cleaner::new(pass, how, writer);
        let filled = group
            .iter()
            .try_for_each(|view| self.each_batch(view, |batch| cleaner.push(batch).map(|()| true)));
        let closed = filled.and_then(|()| cleaner.flush()).and_then(|()| cleaner.writer.close());
        let Cleaner { writer, removed, expired, .. } = cleaner;
        if let Err(error) = closed {
            writer.discard(&*self.context.disk);
            return Err(error);
        }
        let before: u64 = group.iter().map(|view| view.tip.position).sum();
        let after = writer.size();
        if self.swap(group, writer)? {
            done.segments_before += group.len();
            done.segments_after += 1;
            done.bytes_before += before;
            done.bytes_after += after;
            done.removed += removed;
            done.expired += expired;
        }
        Ok(())
    }

    /// Whether a cleaning would change anything in the segment.
    fn has_work(&self, view: &SegmentView, pass: &Pass, how: &Compaction) -> Result<bool> {
        let mut found = false;
        self.each_batch(view, |batch| {
            let records = open(batch);
            let mut records = records.iter().flat_map(|records| records.iter().flatten());
            found = records.any(|record| pass.judge(&record, how) != Verdict::Keep);
            Ok(!found)
        })?;
        Ok(found)
    }

    /// A new file for the segments from `first` on; nobody sees it yet.
    fn rewritten(&self, first: &SegmentView, replaced: Replaced) -> Result<SegmentWriter> {
        let header = self.new_header(first.segment.base_offset, first.segment.base_chain, Some(replaced));
        self.unseen(header)
    }

    /// The header of a new segment, with an incarnation of its own.
    pub(super) fn new_header(&self, base: u64, chain: u32, replaced: Option<Replaced>) -> SegmentHeader {
        let mut uuid = [0; 16];
        self.context.rng.fill(&mut uuid);
        SegmentHeader {
            uuid,
            topic_id: self.place.topic,
            partition: self.place.partition,
            base_offset: Offset(base),
            created: self.context.clock.wall(),
            chain,
            encrypted: self.context.keyring.is_some(),
            replaced,
        }
    }

    /// A file for a closed segment, under a temporary name that whoever holds the `cleaning` lock may use.
    pub(super) fn unseen(&self, header: SegmentHeader) -> Result<SegmentWriter> {
        let protection = self.new_protection(&header);
        let (disk, dir) = (&*self.context.disk, &self.place.dir);
        let prepared = PreparedSegment::create(disk, dir, header, protection, HEADER_BYTES as u64)?;
        Ok(SegmentWriter::new(prepared))
    }

    /// Puts the new file in the place of `group`, if that is all still there.
    pub(super) fn swap(&self, group: &[SegmentView], writer: SegmentWriter) -> Result<bool> {
        let (disk, dir) = (&self.context.disk, &self.place.dir);
        let _front = self.front.lock();
        let is_there = {
            let view = self.view.lock();
            let at = view.segments.iter().position(|view| same(view, &group[0]));
            at.filter(|at| {
                view.segments.len() >= at + group.len()
                    && view.segments[*at..].iter().zip(group).all(|(view, old)| same(view, old))
            })
        };
        if let Err(error) = self.check_writable() {
            writer.discard(&**disk);
            return Err(error);
        }
        let Some(at) = is_there else {
            writer.discard(&**disk);
            return Ok(false);
        };
        // The old index may live on in a reader's hands; the new one gets a file of its own.
        group[0].segment.index.lock().detach();
        if let Err(error) = disk.remove_file(&index_path(dir, group[0].segment.base_offset)) {
            tracing::debug!(log = %dir.display(), %error, "no index file to remove");
        }
        let strategy = self.config.lock().index;
        let published = writer.publish(disk, dir, strategy).map_err(|error| self.judge(error));
        let (segment, tip) = published?;
        let new = SegmentView { segment: segment.into(), tip };
        {
            let mut view = self.view.lock();
            view.segments.splice(at..at + group.len(), [new]);
            // The batches in memory still have what was taken out.
            view.tail.forget_below(tip.next_offset);
        }
        self.retire(&group[1..])?;
        Ok(true)
    }

    /// Makes it durable how far the log is clean; where that fails, the next cleaning does more than it has to.
    fn note_cleaned(&self, upto: u64) -> Result<()> {
        let mut checkpoint = self.checkpoint.lock();
        let Some(file) = &mut checkpoint.file else { return Ok(()) };
        let current = file.current();
        file.write(Checkpoint { cleaned: current.cleaned.max(upto), ..current })
    }
}

fn same(a: &SegmentView, b: &SegmentView) -> bool {
    a.segment.incarnation == b.segment.incarnation && a.tip == b.tip
}

fn is_due(all: u64, fresh: u64, percent: u8) -> bool {
    fresh.saturating_mul(100) >= all.saturating_mul(percent.into())
}

/// So many segments at most become one: their files stay open until it has taken their place.
const MAX_GROUP: usize = 64;

/// How many of the first segments to write again as one: as many as fit into a segment.
fn group_len(segments: &[SegmentView], segment_bytes: u64) -> usize {
    let Some(first) = segments.first() else { return 0 };
    let mut bytes = 0;
    let fits = |view: &&SegmentView| {
        bytes += view.tip.position - HEADER_BYTES as u64;
        let span = view.tip.next_offset - first.segment.base_offset;
        bytes <= segment_bytes && span <= u64::from(u32::MAX)
    };
    segments.iter().take(MAX_GROUP).take_while(fits).count().max(1)
}
