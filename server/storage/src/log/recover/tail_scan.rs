//! Reading a segment to find where it ends, telling a torn tail from damage.
//!
//! A bad batch with nothing verified behind it and nothing durable at it is the tail of an append that a crash cut
//! off: nobody was told that it is safe, and it goes. Any other bad batch is damage: its offsets are refused to
//! readers, the bytes stay, and the log goes on behind them.

use flymq_types::{BatchHeader, Offset};
use flymq_wire::batch::HEADER_LEN;

use super::Recovery;
use crate::checkpoint::Mark;
use crate::error::{IoContext, Result};
use crate::scan::{Found, Window};
use crate::segment::Segment;
use crate::segment::header::HEADER_BYTES;
use crate::segment::tip::Tip;

/// How reading a segment ended.
enum End {
    /// Nothing but zeros, or the end of the file.
    Blank,
    /// Bytes that are no batch, and no verified batch behind them.
    Garbage,
}

impl Recovery<'_> {
    /// A segment that has a successor but no good footer: all that was in it had been durable.
    pub(super) fn scan_sealed(&mut self, segment: &Segment, next_base: u64) -> Result<Tip> {
        let size = segment.file.size().on("size of", &segment.path)?;
        let start = Tip::start(segment.base_offset, segment.base_chain, self.tip.append_time);
        let (mut tip, _) = self.scan(segment, start, size)?;
        if tip.next_offset < next_base {
            self.quarantine(tip.next_offset..next_base);
            tip.next_offset = next_base;
        }
        Ok(tip)
    }

    /// The last segment, not sealed: from the durable mark to the end. What memory shows is first brought to disk, then
    /// forgotten and read back, so that only what the disk has counts.
    pub(super) fn scan_active(&mut self, segment: &Segment) -> Result<Tip> {
        let file = &*segment.file;
        file.fdatasync().on("fdatasync", &segment.path)?;
        if !cfg!(mutant = "memory_believed") {
            file.drop_cache().on("drop cache of", &segment.path)?;
        }
        let size = file.size().on("size of", &segment.path)?;
        let mark = self.mark().filter(|mark| is_of(mark, segment)).map(|mark| mark.tip);
        let from_start = Tip::start(segment.base_offset, segment.base_chain, self.tip.append_time);
        let start = mark.filter(|mark| mark.position <= size).unwrap_or(from_start);
        let (mut tip, end) = self.scan(segment, start, size)?;
        let mark = mark.filter(|_| !cfg!(mutant = "reuse_offsets"));
        if let Some(mark) = mark.filter(|mark| mark.next_offset > tip.next_offset) {
            // Damage below the mark with nothing behind it: the log goes on behind the mark.
            self.quarantine(tip.next_offset..mark.next_offset);
            return Ok(Tip { position: mark.position.max(tip.position), ..mark });
        }
        if matches!(end, End::Garbage) {
            self.cut(segment, &mut tip, size)?;
        }
        segment.index.lock().cut(tip.position);
        Ok(tip)
    }

    /// The last segment, with its data key lost: nothing in it can be verified, so nothing is cut, and the log goes on in
    /// a new segment behind everything that was given out.
    pub(super) fn scan_lost(&mut self, segment: &Segment) -> Result<Tip> {
        let size = segment.file.size().on("size of", &segment.path)?;
        let mut tip = Tip::start(segment.base_offset, segment.base_chain, self.tip.append_time);
        let mut window = Window::over(segment, size);
        while let Some((header, head)) = window.header_at(tip.position).on("read", &segment.path)? {
            if header.server.base_offset != tip.next_offset {
                break;
            }
            tip.advance(&header, &head);
        }
        let mark = self.mark().filter(|mark| is_of(mark, segment)).map(|mark| mark.tip);
        if let Some(mark) = mark.filter(|mark| mark.next_offset > tip.next_offset) {
            tip = mark;
        }
        self.quarantine(segment.base_offset..tip.next_offset);
        Ok(tip)
    }

    /// Removes a torn tail durably, so that its bytes never meet a later append.
    fn cut(&mut self, segment: &Segment, tip: &mut Tip, size: u64) -> Result<()> {
        if !is_clean_to_the_page(segment, tip.position).on("read", &segment.path)? {
            self.report.torn_bytes += size - tip.position;
        }
        if cfg!(mutant = "torn_tail_kept") {
            return Ok(());
        }
        segment.file.set_len(tip.position).on("cut", &segment.path)?;
        if let Err(error) = segment.file.allocate(size) {
            tracing::warn!(path = %segment.path.display(), %error, "could not allocate ahead again");
        }
        segment.file.fdatasync().on("fdatasync", &segment.path)
    }

    /// Moves `tip` over all verified batches of the segment, noting damage between them.
    fn scan(&mut self, segment: &Segment, mut tip: Tip, size: u64) -> Result<(Tip, End)> {
        let mut window = Window::over(segment, size);
        let first = tip.position;
        let end = loop {
            match window.batch_at(tip.position).on("read", &segment.path)? {
                Found::Batch(header, head) if header.server.base_offset >= tip.next_offset => {
                    self.pass(segment, &mut tip, &header, &head);
                }
                Found::Batch(..) | Found::BadPayload(_) | Found::Nothing => {
                    if window.is_blank_from(tip.position).on("read", &segment.path)? {
                        break End::Blank;
                    }
                    let behind = window.next_verified(tip.position + 1, tip.next_offset);
                    match behind.on("read", &segment.path)? {
                        Some((position, _)) if !cfg!(mutant = "truncate_middle") => tip.position = position,
                        Some(_) | None => break End::Garbage,
                    }
                }
            }
        };
        self.report.scanned_bytes += tip.position - first.max(HEADER_BYTES as u64);
        Ok((tip, end))
    }

    fn pass(&mut self, segment: &Segment, tip: &mut Tip, header: &BatchHeader, head: &[u8; HEADER_LEN]) {
        let base = header.server.base_offset;
        self.quarantine(tip.next_offset..base);
        segment.index.lock().offer(base - segment.base_offset, tip.position, tip.max_timestamp);
        self.epochs.observe(header.server.leader_epoch.into(), Offset(base));
        tip.advance(header, head);
    }
}

/// Whether the mark is of this very file, and not of one that had its place or that comes before it.
fn is_of(mark: &Mark, segment: &Segment) -> bool {
    (mark.segment_base, mark.incarnation) == (segment.base_offset, segment.incarnation)
}

/// Whether `position` lies inside a page whose rest is zero: an append that was whole, with bytes of a recycled file's
/// earlier life behind it.
fn is_clean_to_the_page(segment: &Segment, position: u64) -> std::io::Result<bool> {
    let mut rest = vec![0; (position.next_multiple_of(4096) - position) as usize];
    let read = segment.file.read_up_to_at(&mut rest, position)?;
    Ok(read > 0 && rest[..read].iter().all(|byte| *byte == 0))
}
