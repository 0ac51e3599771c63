//! From the end towards the beginning: where the last so many records of a log begin.

use flymq_types::{BatchHeader, InflateLimits, Offset};
use flymq_wire::batch::{BatchFlags, Records};

use super::Log;
use super::lookup::Lookup;
use crate::error::Result;
use crate::segment::header::HEADER_BYTES;

impl Log {
    /// The offset from which on there are `records` records below `upto`; the log start where there are fewer. What is
    /// damaged, deleted or was compacted away does not count, nor what was aborted, nor a marker. Reads headers alone, from the end back.
    ///
    /// # Errors
    /// `Io`, `Closed`; `Corrupt` when a compacted batch has to be opened and cannot.
    pub fn offset_back(&self, records: u64, upto: Offset) -> Result<Offset> {
        self.0.check_open()?;
        let (segments, start) = {
            let view = self.0.view.lock();
            (view.segments.clone(), self.start_offset())
        };
        let upto = upto.min(self.end_offset()).0;
        let mut count = Countdown { log: self, left: records, start: start.0, upto };
        if records == 0 {
            return Ok(Offset(count.upto));
        }
        for view in segments.iter().rev() {
            if let Some(found) = Lookup::new(view).count_back(&mut count)? {
                return Ok(found);
            }
        }
        Ok(start)
    }
}

/// How many records are still to be passed, and between which offsets they count.
struct Countdown<'a> {
    log: &'a Log,
    left: u64,
    start: u64,
    upto: u64,
}

impl Lookup<'_> {
    /// Passes the segment's records from its end; the offset of the last one to pass, if it is in here.
    fn count_back(&self, count: &mut Countdown<'_>) -> Result<Option<Offset>> {
        let mut end = self.limit();
        while end > HEADER_BYTES as u64 {
            let run = self.run_before(end)?;
            for (position, header) in run.iter().rev() {
                if let Some(found) = self.pass_back(*position, header, count)? {
                    return Ok(Some(found));
                }
                if header.server.base_offset <= count.start {
                    return Ok(Some(Offset(count.start)));
                }
            }
            end = run.first().map_or(0, |(position, _)| *position);
        }
        Ok(None)
    }

    /// The batches from an index entry before `end` up to there.
    fn run_before(&self, end: u64) -> Result<Vec<(u64, BatchHeader)>> {
        let hint = self.segment().index.lock().before(end);
        let mut run = Vec::new();
        self.hop_from(hint, |position, header| {
            if position < end {
                run.push((position, *header));
            }
            position >= end
        })?;
        Ok(run)
    }

    fn pass_back(
        &self,
        position: u64,
        header: &BatchHeader,
        count: &mut Countdown<'_>,
    ) -> Result<Option<Offset>> {
        let (from, to) = (header.server.base_offset.max(count.start), header.next_offset().min(count.upto));
        if from >= to || header.flags.contains(BatchFlags::CONTROL) || count.log.is_aborted(header) {
            return Ok(None);
        }
        if header.flags.contains(BatchFlags::COMPACTED) {
            return self.pass_compacted(position, header, count);
        }
        if count.left <= to - from {
            return Ok(Some(Offset(to - count.left)));
        }
        count.left -= to - from;
        Ok(None)
    }

    /// A batch with holes says only inside which offsets it has.
    fn pass_compacted(
        &self,
        position: u64,
        header: &BatchHeader,
        count: &mut Countdown<'_>,
    ) -> Result<Option<Offset>> {
        let batches = self.take(position, header, 0, u64::MAX)?;
        let opened = batches.first().and_then(|batch| batch.open(&InflateLimits::BATCH).ok());
        let records = opened.iter().flat_map(Records::iter).flatten();
        let offsets: Vec<_> =
            records.map(|r| r.offset).filter(|offset| (count.start..count.upto).contains(offset)).collect();
        let found = usize::try_from(count.left).ok().and_then(|left| offsets.iter().rev().nth(left - 1));
        count.left -= count.left.min(offsets.len() as u64);
        Ok(found.map(|offset| Offset(*offset)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SimDisk;
    use crate::log::tests::support::*;
    use crate::{IndexStrategy, LogConfig, Retention};

    #[test]
    fn tails_of_every_length_begin_where_they_should() {
        for index in [IndexStrategy::default(), IndexStrategy::DenseOffset] {
            let fixture = Fixture::open(&SimDisk::new(), LogConfig { index, ..from_files(6_000) });
            for i in 0..100_u8 {
                fixture.put(&vec![&[i; 90][..]; usize::from(i % 3) + 1]).unwrap();
            }
            fixture.sync();
            let end = fixture.log.end_offset().0;
            for records in 0..end + 5 {
                let expected = Offset(end.saturating_sub(records));
                assert_eq!(fixture.log.offset_back(records, ALL).unwrap(), expected, "{records} back");
            }
            assert_eq!(fixture.log.offset_back(3, Offset(50)).unwrap(), Offset(47));
            fixture.log.retain(NOW, Retention { ms: 0, bytes: 9_000 }, ALL).unwrap();
            let start = fixture.log.start_offset();
            assert!(start > Offset(10));
            assert_eq!(fixture.log.offset_back(end, ALL).unwrap(), start);
        }
    }

    #[test]
    fn damaged_records_do_not_count() {
        let disk = SimDisk::new();
        let fixture = Fixture::open(&disk, from_files(1 << 20));
        for i in 0..10_u8 {
            fixture.put(&[&[i; 1_000]]).unwrap();
        }
        // The header of the batch of record 7.
        disk.tamper(&segment_file(0), |bytes| bytes[4096 + 7 * (96 + 1_005) + 30] ^= 1).unwrap();
        let back = |records| fixture.log.offset_back(records, ALL).unwrap();
        assert_eq!((back(1), back(2), back(3), back(4)), (Offset(9), Offset(8), Offset(6), Offset(5)));
    }
}
