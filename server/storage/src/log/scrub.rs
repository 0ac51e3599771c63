//! The scrub: closed segments are read again, little by little, so that bit rot is found before a consumer finds it.

use flymq_types::{Offset, Timestamp};

use super::Log;
use super::lookup::Lookup;
use super::view::SegmentView;
use crate::error::{IoContext, Result, StorageError};
use crate::scan::{Found, Window};

/// Where the scrub of a log is.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct ScrubState {
    /// The next offset to look at; below the log's start: from the beginning.
    next: u64,
    pub(super) finished: Option<Timestamp>,
    pub(super) bytes: u64,
}

/// What one step of a scrub did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Scrubbed {
    /// Bytes read.
    pub bytes: u64,
    /// Damaged ranges that nobody had met before.
    pub damaged: usize,
    /// It came to the end of the closed segments; the next step begins anew.
    pub finished: bool,
}

impl Log {
    /// Reads on through the closed segments and checks every batch, about `max_bytes` and at least one batch. Damage is
    /// kept for [`Log::stats`]; nothing is changed.
    ///
    /// # Errors
    /// `Io`, `Closed`.
    pub fn scrub(&self, max_bytes: u64) -> Result<Scrubbed> {
        self.0.check_open()?;
        let mut state = *self.0.scrub.lock();
        let mut done = Scrubbed::default();
        while done.bytes < max_bytes.max(1) {
            let next = state.next.max(self.start_offset().0);
            let Some(view) = self.closed_segment(next) else {
                (state.next, state.finished) = (0, Some(self.0.context.clock.wall()));
                done.finished = true;
                break;
            };
            state.next = self.scrub_segment(&view, next, max_bytes, &mut done)?;
        }
        state.bytes += done.bytes;
        *self.0.scrub.lock() = state;
        Ok(done)
    }

    /// The closed segment with `offset`, or the first one behind it.
    fn closed_segment(&self, offset: u64) -> Option<SegmentView> {
        let view = self.0.view.lock();
        let last = view.segments.last()?.segment.base_offset;
        view.segment_of(offset).filter(|view| view.segment.base_offset != last).cloned()
    }

    /// Checks a segment from `from` on; returns the offset to go on at.
    fn scrub_segment(
        &self,
        view: &SegmentView,
        from: u64,
        max_bytes: u64,
        done: &mut Scrubbed,
    ) -> Result<u64> {
        let (segment, end) = (&view.segment, view.tip.next_offset);
        let mut at = from.max(segment.base_offset);
        let mut position = match Lookup::new(view).find(at) {
            Ok((position, _)) => position,
            Err(error @ StorageError::Corrupt { end, .. }) => {
                done.damaged += usize::from(self.0.note_damage(view, &error));
                return Ok(end.0.max(at + 1));
            }
            Err(error) => return Err(error),
        };
        let has_all = segment.replaced.is_none();
        let mut window = Window::over(segment, view.tip.position);
        while position < view.tip.position && done.bytes < max_bytes.max(1) {
            let before = position;
            let bad = match window.batch_at(position).on("read", &segment.path)? {
                Found::Batch(header, _) => {
                    let hole = (at, header.server.base_offset);
                    at = header.next_offset();
                    position += header.batch_len() as u64;
                    // A segment that was mended has no bytes for what else was damaged in it.
                    Some(hole).filter(|_| has_all)
                }
                Found::BadPayload(_) | Found::Nothing => {
                    let behind = window.next_verified(position + 1, at).on("read", &segment.path)?;
                    let next = behind.map_or(end, |(_, header)| header.server.base_offset);
                    position = behind.map_or(view.tip.position, |(position, _)| position);
                    Some((std::mem::replace(&mut at, next), next))
                }
            };
            if let Some((start, end)) = bad.filter(|(start, end)| start < end) {
                let error = StorageError::Corrupt { start: Offset(start), end: Offset(end) };
                done.damaged += usize::from(self.0.note_damage(view, &error));
            }
            done.bytes += position - before;
        }
        if position < view.tip.position {
            return Ok(at);
        }
        if has_all && at < end {
            let error = StorageError::Corrupt { start: Offset(at), end: Offset(end) };
            done.damaged += usize::from(self.0.note_damage(view, &error));
        }
        Ok(end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SimDisk;
    use crate::log::tests::support::*;

    fn written(disk: &SimDisk) -> Fixture {
        let fixture = Fixture::open(disk, from_files(4096));
        for i in 0..40_u8 {
            fixture.put(&[&[i; 300]]).unwrap();
        }
        fixture
    }

    /// Steps until the end; the number of ranges found.
    fn whole(log: &Log, step: u64) -> usize {
        let mut damaged = 0;
        loop {
            let done = log.scrub(step).unwrap();
            damaged += done.damaged;
            if done.finished {
                return damaged;
            }
        }
    }

    #[test]
    fn bit_rot_in_closed_segments_is_found_and_stays_known() {
        for step in [1, 1_000, 1 << 20] {
            let disk = SimDisk::new();
            let fixture = written(&disk);
            assert_eq!(whole(&fixture.log, step), 0);
            let len = 96 + 305;
            // The payload of record 2, and the header of record 5, in the first segment.
            disk.tamper(&segment_file(0), |bytes| bytes[4096 + 2 * len + 200] ^= 1).unwrap();
            disk.tamper(&segment_file(0), |bytes| bytes[4096 + 5 * len + 30] ^= 1).unwrap();
            assert_eq!(whole(&fixture.log, step), 2, "step {step}");
            let known = [(Offset(2), Offset(3)), (Offset(5), Offset(6))];
            assert_eq!(fixture.log.stats().quarantined, known);
            assert_eq!(whole(&fixture.log, step), 0, "no news");
            assert_eq!(fixture.log.stats().quarantined, known);
            assert!(fixture.log.stats().scrub_finished.is_some() && fixture.log.is_damaged());
        }
    }

    #[test]
    fn the_segment_being_written_is_left_alone() {
        let disk = SimDisk::new();
        let fixture = Fixture::open(&disk, from_files(1 << 20));
        fixture.put(&[b"x"]).unwrap();
        assert_eq!(fixture.log.scrub(1 << 20).unwrap(), Scrubbed { bytes: 0, damaged: 0, finished: true });
    }
}
