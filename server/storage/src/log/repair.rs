//! What another replica has, in place of what is damaged here.
//!
//! A segment with damage is written again, its own good batches as they are and the given ones between them, and takes the
//! name of the old file in one step; a segment that is lost is made anew. The chain over the batches shows that
//! what was given is what stood there.

use std::ops::Range;
use std::sync::atomic::Ordering;

use flymq_types::{BatchError, BatchFlags, Offset, RecordBatch};
use flymq_wire::batch::chain;

use super::lookup::Lookup;
use super::replica::is_same;
use super::view::SegmentView;
use super::{CheckpointState, Log, LogInner};
use crate::checkpoint::{Checkpoint, Mark};
use crate::error::{IoContext, Result, StorageError};
use crate::scan::{Found, Window};
use crate::segment::header::HEADER_BYTES;
use crate::segment::index_path;
use crate::segment::writer::SegmentWriter;

/// What a repair did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Repaired {
    /// Segment files that were written again or made anew.
    pub segments: usize,
    /// Batches that were put in.
    pub batches: usize,
}

/// A part of a range to repair.
enum Piece {
    Inside(SegmentView),
    /// No segment has these offsets; the chain value of the segment behind them, where it is known.
    Missing(Range<u64>, Option<u32>),
}

impl Log {
    /// The offsets whose bytes are damaged or missing: as far as the start, reads and scrubs have met them. In order,
    /// without overlaps.
    pub fn damaged(&self) -> Vec<Range<Offset>> {
        let damaged = self.0.view.lock().damaged();
        damaged.into_iter().map(|range| Offset(range.start)..Offset(range.end)).collect()
    }

    /// Puts another replica's batches in place of damaged ones. They fill `range` from its first offset to its last;
    /// `chain` is the chain value before them ([`Log::link_before`] there). Batches of the range that are good here stay
    /// and have to be the same. Each segment is durable and whole at every step; a crash leaves the rest damaged. Waits for a
    /// cleaning that is under way; blocking work for as long as it takes to write the segments again.
    ///
    /// # Errors
    /// `Gap` where the batches do not fill the range, `BrokenChain` where they do not build on each other or what is good
    /// here does not build on them (as where one of the replicas was cleaned: install its segments then), `Diverged` where
    /// what is good here is otherwise, `InvalidBatch`, `OffsetOutOfRange`: the segment is left as it is. `Io`,
    /// `DiskFull`, `ReadOnly`, `Poisoned`, `Closed`.
    pub fn repair(&self, range: Range<Offset>, chain: u32, batches: &[RecordBatch]) -> Result<Repaired> {
        check_given(&range, chain, batches)?;
        self.0.announcing(|log| log.repair(range.start.0..range.end.0, chain, batches))
    }
}

/// Whether the batches fill the range, each building on the one before.
fn check_given(range: &Range<Offset>, mut previous: u32, batches: &[RecordBatch]) -> Result<()> {
    let mut next = range.start;
    for batch in batches {
        let (at, header) = (batch.base_offset(), batch.header());
        if header.flags.contains(BatchFlags::ENCRYPTED) {
            return Err(BatchError::BadFlags { found: header.flags.bits() }.into());
        }
        if at != next {
            return Err(StorageError::Gap { expected: next, found: at });
        }
        if header.server.chain != chain(previous, header.payload_crc) {
            return Err(StorageError::BrokenChain { at });
        }
        (next, previous) = (batch.next_offset(), header.server.chain);
    }
    if next == range.end { Ok(()) } else { Err(StorageError::Gap { expected: range.end, found: next }) }
}

impl LogInner {
    fn repair(&self, range: Range<u64>, chain: u32, given: &[RecordBatch]) -> Result<Repaired> {
        let _cleaning = self.cleaning.lock();
        {
            let mut writer = self.writer.lock();
            self.check_writable()?;
            let (start, end) = (self.start.load(Ordering::Acquire), writer.tip.next_offset);
            if range.start < start || range.end > end {
                return Err(StorageError::OffsetOutOfRange { start: Offset(start), end: Offset(end) });
            }
            if writer.active.as_ref().is_some_and(|active| range.end > active.base_offset) {
                self.seal_active(&mut writer)?;
            }
        }
        let mut done = Repaired::default();
        for piece in self.pieces(&range) {
            match piece {
                Piece::Inside(view) => self.repair_inside(&view, &range, chain, given, &mut done)?,
                Piece::Missing(missing, after) => {
                    self.make_missing(missing, after, chain, given, &mut done)?;
                }
            }
        }
        self.view.lock().mend(&range);
        self.mend_epochs(given)?;
        self.mend_producers(range.start, given)?;
        Ok(done)
    }

    /// A list of epochs that was rebuilt while the batches were damaged knows nothing of theirs.
    fn mend_epochs(&self, given: &[RecordBatch]) -> Result<()> {
        let mut writer = self.writer.lock();
        let mut epochs = writer.epochs.clone();
        given.iter().for_each(|batch| epochs.learn(batch.leader_epoch(), batch.base_offset()));
        if epochs != writer.epochs {
            epochs.store(&*self.context.vital, &self.place.dir)?;
            writer.epochs = epochs;
        }
        Ok(())
    }

    /// The segments that have offsets of `range`, and the gaps between them.
    fn pieces(&self, range: &Range<u64>) -> Vec<Piece> {
        let view = self.view.lock();
        let (mut pieces, mut at) = (Vec::new(), range.start);
        for found in view.segments.iter().filter(|found| found.tip.next_offset > range.start) {
            let base = found.segment.base_offset.min(range.end);
            if at < base {
                let after = (found.segment.base_offset == base).then_some(found.segment.base_chain);
                pieces.push(Piece::Missing(at..base, known(after)));
            }
            if found.segment.base_offset >= range.end {
                return pieces;
            }
            pieces.push(Piece::Inside(found.clone()));
            at = found.tip.next_offset;
        }
        if at < range.end {
            pieces.push(Piece::Missing(at..range.end, None));
        }
        pieces
    }

    /// Writes a segment again with the given batches where its own are damaged.
    fn repair_inside(
        &self,
        view: &SegmentView,
        range: &Range<u64>,
        chain: u32,
        given: &[RecordBatch],
        done: &mut Repaired,
    ) -> Result<()> {
        let (base, end) = (view.segment.base_offset, view.tip.next_offset);
        let before = self.chain_into_segment(base, chain, given);
        let header = self.new_header(base, before.unwrap_or(view.segment.base_chain), view.segment.replaced);
        let writer = self.unseen(header)?;
        let mut merge = Merge { writer, next: base, chain: before, given, range: range.clone(), put: 0 };
        let merged = self.merge(view, &mut merge).and_then(|()| merge.end(end, self.chain_after(view)));
        let Merge { writer, put, .. } = merge;
        if let Err(error) = merged {
            writer.discard(&*self.context.disk);
            return Err(error);
        }
        if put == 0 {
            writer.discard(&*self.context.disk);
            return Ok(());
        }
        let (incarnation, tip) = (writer.header().incarnation(), *writer.tip());
        if !self.swap(std::slice::from_ref(view), writer)? {
            let (start, end) = (self.start.load(Ordering::Acquire), self.end.load(Ordering::Acquire));
            return Err(StorageError::OffsetOutOfRange { start: Offset(start), end: Offset(end) });
        }
        done.segments += 1;
        done.batches += put;
        self.rename_mark(Mark { segment_base: base, incarnation, tip })
    }

    /// Has the durable mark name the new file where it named the old one.
    fn rename_mark(&self, mark: Mark) -> Result<()> {
        let mut checkpoint = self.checkpoint.lock();
        let CheckpointState { file, durable } = &mut *checkpoint;
        if durable.is_some_and(|known| known.segment_base == mark.segment_base) {
            *durable = Some(mark);
        }
        match file {
            Some(file) if file.current().mark.segment_base == mark.segment_base => {
                let renamed = Checkpoint { mark, ..file.current() };
                file.write_both(renamed).map_err(|error| self.judge(error))
            }
            Some(_) | None => Ok(()),
        }
    }

    /// Brings a segment's own good batches and the given ones in order.
    fn merge(&self, view: &SegmentView, merge: &mut Merge<'_>) -> Result<()> {
        let (segment, limit) = (&view.segment, view.tip.position);
        let lookup = Lookup::new(view);
        let mut window = Window::over(segment, limit);
        let (mut position, mut least) = (HEADER_BYTES as u64, segment.base_offset);
        while position < limit {
            self.check_open()?;
            match window.batch_at(position).on("read", &segment.path)? {
                Found::Batch(header, _) if header.server.base_offset >= least => {
                    for own in lookup.take(position, &header, 0, u64::MAX)? {
                        merge.own(&own)?;
                    }
                    position += header.batch_len() as u64;
                    least = header.next_offset();
                }
                Found::Batch(..) | Found::BadPayload(_) | Found::Nothing => {
                    match window.next_verified(position + 1, least).on("read", &segment.path)? {
                        Some((behind, _)) => position = behind,
                        None => break,
                    }
                }
            }
        }
        merge.fill(view.tip.next_offset)
    }

    /// Makes segments for offsets that none has.
    fn make_missing(
        &self,
        missing: Range<u64>,
        after: Option<u32>,
        chain: u32,
        given: &[RecordBatch],
        done: &mut Repaired,
    ) -> Result<()> {
        let first = given.partition_point(|batch| batch.base_offset().0 < missing.start);
        let behind = given.partition_point(|batch| batch.next_offset().0 <= missing.end);
        let mut rest = &given[first..behind.max(first)];
        let last = rest.last().map(|last| (last.next_offset().0, last.header().server.chain));
        if rest.first().map(|first| first.base_offset().0) != Some(missing.start)
            || last.map(|(end, _)| end) != Some(missing.end)
        {
            return Err(StorageError::Diverged { at: Offset(missing.start) });
        }
        let mut before = first.checked_sub(1).map_or(chain, |before| given[before].header().server.chain);
        let own = self.chain_out_of(missing.start);
        if own.is_some_and(|own| own != before) {
            return Err(StorageError::BrokenChain { at: Offset(missing.start) });
        }
        if after.is_some_and(|after| last.is_some_and(|(_, chain)| chain != after)) {
            return Err(StorageError::BrokenChain { at: Offset(missing.end) });
        }
        let segment_bytes = self.config.lock().segment_bytes;
        while let Some(batch) = rest.first() {
            let mut writer = self.unseen(self.new_header(batch.base_offset().0, before, None))?;
            let mut count = 0;
            let mut filled = Ok(());
            for batch in rest {
                let fits = count == 0 || writer.size() + batch.size() as u64 <= segment_bytes;
                if filled.is_err() || !fits {
                    break;
                }
                filled = writer.push_kept(batch);
                before = batch.header().server.chain;
                count += 1;
            }
            if let Err(error) = filled.and_then(|()| writer.close()) {
                writer.discard(&*self.context.disk);
                return Err(error);
            }
            self.insert(writer)?;
            done.segments += 1;
            done.batches += count;
            rest = &rest[count..];
        }
        Ok(())
    }

    /// Puts a new segment between the others.
    fn insert(&self, writer: SegmentWriter) -> Result<()> {
        let (disk, dir) = (&self.context.disk, &self.place.dir);
        let _front = self.front.lock();
        let base = writer.header().base_offset.0;
        let start = self.start.load(Ordering::Acquire);
        if let Err(error) = self.check_writable() {
            writer.discard(&**disk);
            return Err(error);
        }
        if writer.tip().next_offset <= start {
            writer.discard(&**disk);
            return Ok(());
        }
        if let Err(error) = disk.remove_file(&index_path(dir, base)) {
            tracing::debug!(log = %dir.display(), %error, "no index file to remove");
        }
        let strategy = self.config.lock().index;
        let (segment, tip) = writer.publish(disk, dir, strategy).map_err(|error| self.judge(error))?;
        let mut view = self.view.lock();
        let at = view.segments.partition_point(|view| view.segment.base_offset < base);
        view.segments.insert(at, SegmentView { segment: segment.into(), tip });
        Ok(())
    }

    /// The chain value that the segment at `base` builds on, as the segment before it or else the giver says.
    fn chain_into_segment(&self, base: u64, chain: u32, given: &[RecordBatch]) -> Option<u32> {
        let own = self.view.lock().chain_into(base);
        let at = given.partition_point(|batch| batch.base_offset().0 < base);
        let begins = given.get(at).is_some_and(|batch| batch.base_offset().0 == base);
        let theirs = at.checked_sub(1).map_or(chain, |before| given[before].header().server.chain);
        known(own).or(begins.then_some(theirs)).or((base == 0).then_some(0))
    }

    /// The chain value behind the segment that ends at `offset`.
    fn chain_out_of(&self, offset: u64) -> Option<u32> {
        let view = self.view.lock();
        let before = view.segments.iter().find(|view| view.tip.next_offset == offset);
        before.map(SegmentView::chain_out)
    }

    /// The chain value that the last batch of a segment has to have, where that is known.
    fn chain_after(&self, view: &SegmentView) -> Option<u32> {
        if view.segment.replaced.is_some() {
            return None;
        }
        let end = view.tip.next_offset;
        let next = {
            let all = self.view.lock();
            all.segments
                .iter()
                .find(|next| next.segment.base_offset == end)
                .map(|next| next.segment.base_chain)
        };
        let writer = self.writer.lock();
        known(next).or((writer.tip.next_offset == end).then_some(writer.tip.chain))
    }
}

/// Zero stands in headers that could not be read.
fn known(chain: Option<u32>) -> Option<u32> {
    chain.filter(|chain| *chain != 0)
}

/// A segment in the making from good batches of two logs.
struct Merge<'a> {
    writer: SegmentWriter,
    /// Offset after the last batch.
    next: u64,
    /// Chain value before the next one; `None` behind a hole.
    chain: Option<u32>,
    given: &'a [RecordBatch],
    /// What is to be repaired: no hole may stay in it.
    range: Range<u64>,
    /// Given batches that were put in.
    put: usize,
}

impl Merge<'_> {
    /// Adds a batch that is good here.
    fn own(&mut self, own: &RecordBatch) -> Result<()> {
        let (at, end) = (own.base_offset(), own.next_offset());
        self.fill(at.0)?;
        let first = self.given.partition_point(|batch| batch.next_offset() <= at);
        let overlaps = self.given.get(first).filter(|batch| batch.base_offset() < end);
        if overlaps.is_some_and(|given| !is_same(own, given)) {
            return Err(StorageError::Diverged { at });
        }
        self.push(own)
    }

    /// Adds the given batches up to `end`; what they do not have stays a hole.
    fn fill(&mut self, end: u64) -> Result<()> {
        let first = self.given.partition_point(|batch| batch.base_offset().0 < self.next);
        let fitting = self.given[first..].iter().take_while(|batch| batch.next_offset().0 <= end);
        for batch in fitting {
            self.push(batch)?;
            self.put += 1;
        }
        Ok(())
    }

    /// Refuses a hole up to `to` where the range was to be repaired.
    fn check_hole(&self, to: u64) -> Result<()> {
        let hole = self.next.max(self.range.start)..to.min(self.range.end);
        if hole.is_empty() { Ok(()) } else { Err(StorageError::Diverged { at: Offset(hole.start) }) }
    }

    /// Closes the new file behind the segment's last offset; the last batch has to have the chain value `after`.
    fn end(&mut self, end: u64, after: Option<u32>) -> Result<()> {
        self.check_hole(end)?;
        let last = self.chain.filter(|_| self.next == end);
        if last.is_some_and(|last| after.is_some_and(|after| last != after)) {
            return Err(StorageError::BrokenChain { at: Offset(end) });
        }
        self.writer.skip_to(end);
        self.writer.close()
    }

    fn push(&mut self, batch: &RecordBatch) -> Result<()> {
        let (at, header) = (batch.base_offset(), batch.header());
        self.check_hole(at.0)?;
        let adjacent = self.chain.filter(|_| at.0 == self.next);
        if adjacent.is_some_and(|before| header.server.chain != chain(before, header.payload_crc)) {
            return Err(StorageError::BrokenChain { at });
        }
        self.writer.push_kept(batch)?;
        (self.next, self.chain) = (batch.next_offset().0, Some(header.server.chain));
        Ok(())
    }
}
