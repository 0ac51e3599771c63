//! Finding records by the value of a header.

use std::sync::Arc;

use flymq_types::{InflateLimits, Offset, RecordBatch};
use flymq_wire::batch::Records;

use super::Log;
use super::lookup::Lookup;
use super::view::SegmentView;
use crate::error::{Result, StorageError};

/// Bytes of log that one call reads to note headers; the caller goes on from where it stopped.
const MAX_SCAN_BYTES: u64 = 256 << 20;
/// Read at a time.
const READ_BYTES: usize = 1 << 20;
/// Postings that a log keeps, 8 bytes each; segments past that are read again for each question.
const MAX_POSTINGS: usize = 4 << 20;

/// What to look for.
#[derive(Debug, Clone)]
pub struct HeaderQuery {
    /// All headers of the topic that are indexed.
    pub indexed: Arc<[String]>,
    pub name: String,
    pub value: Vec<u8>,
    pub from: Offset,
    /// Exclusive.
    pub upto: Offset,
    /// Without records of aborted transactions.
    pub committed: bool,
    /// Most offsets to answer, at least 1.
    pub limit: usize,
}

/// Records that have the header.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FoundRecords {
    /// Rising.
    pub offsets: Vec<Offset>,
    /// Where to go on: every record before it has been looked at.
    pub next: Offset,
}

impl Log {
    /// The records from `from` on that have the header with this value. The index is made on the way, from the log.
    ///
    /// # Errors
    /// `Io`, `Closed`. Damaged records are passed over.
    pub fn find_header(&self, query: &HeaderQuery) -> Result<FoundRecords> {
        self.0.check_open()?;
        let segments = self.0.view.lock().segments.clone();
        let from = query.from.max(self.start_offset());
        let upto = query.upto.min(self.end_offset());
        let mut found = FoundRecords { offsets: Vec::new(), next: from };
        let (mut scan, mut kept) = (MAX_SCAN_BYTES, 0);
        for view in segments.iter().filter(|view| view.tip.next_offset > from.0) {
            if found.next >= upto || found.offsets.len() >= query.limit || scan == 0 {
                return Ok(found);
            }
            self.find_in(view, query, upto, &mut found, (&mut scan, &mut kept))?;
        }
        if found.offsets.len() < query.limit && scan > 0 {
            found.next = found.next.max(upto);
        }
        Ok(found)
    }

    fn find_in(
        &self,
        view: &SegmentView,
        query: &HeaderQuery,
        upto: Offset,
        found: &mut FoundRecords,
        (scan, kept): (&mut u64, &mut usize),
    ) -> Result<()> {
        let (lookup, base) = (Lookup::new(view), view.segment.base_offset);
        // Out of the lock while the log is read; who asks at the same time makes its own.
        let mut index = std::mem::take(&mut view.segment.index.lock().headers);
        index.want(&query.indexed);
        while base + index.covered() < view.tip.next_offset && *scan > 0 {
            let at = base + index.covered();
            match lookup
                .find(at)
                .and_then(|(position, first)| lookup.take(position, &first, READ_BYTES, view.tip.next_offset))
            {
                Ok(batches) if batches.is_empty() => break,
                Ok(batches) => {
                    batches.iter().for_each(|batch| index.add(batch, base));
                    let bytes: usize = batches.iter().map(RecordBatch::size).sum();
                    *scan = scan.saturating_sub(bytes as u64);
                }
                Err(StorageError::Corrupt { end, .. }) => index.skip_to(end.0.max(at + 1) - base),
                Err(error) => return Err(error),
            }
        }
        let end = upto.0.min(base + index.covered());
        let within = found.next.0.saturating_sub(base)..end.saturating_sub(base);
        let candidates = index.candidates(&query.name, &query.value, within);
        *kept += index.len();
        if *kept <= MAX_POSTINGS {
            view.segment.index.lock().headers = index;
        }
        let mut opened: Option<Records> = None;
        for offset in candidates.into_iter().map(|relative| base + relative) {
            let counts = |opened: &Option<Records>| {
                !query.committed || !opened.as_ref().is_some_and(|records| self.is_aborted(records.header()))
            };
            if lookup.has_header(offset, query, &mut opened)? && counts(&opened) {
                found.offsets.push(Offset(offset));
                if found.offsets.len() >= query.limit {
                    found.next = Offset(offset + 1);
                    return Ok(());
                }
            }
        }
        found.next = found.next.max(Offset(end));
        Ok(())
    }
}

impl Lookup<'_> {
    /// Whether the record has the header. `opened` is the batch of the last question.
    fn has_header(&self, offset: u64, query: &HeaderQuery, opened: &mut Option<Records>) -> Result<bool> {
        let holds = |records: &Records| {
            (records.header().server.base_offset..records.header().next_offset()).contains(&offset)
        };
        if !opened.as_ref().is_some_and(holds) {
            let read =
                self.find(offset).and_then(|(position, first)| self.take(position, &first, 0, u64::MAX));
            let batches = match read {
                Err(StorageError::Corrupt { .. }) => return Ok(false),
                result => result?,
            };
            *opened = batches.first().and_then(|batch| batch.open(&InflateLimits::BATCH).ok());
        }
        let mut records = opened.iter().flat_map(Records::iter).flatten();
        let record = records.find(|record| record.offset == offset);
        Ok(record.is_some_and(|record| {
            record.headers().any(|(name, value)| name == query.name && value == query.value)
        }))
    }
}

#[cfg(test)]
mod tests {
    use flymq_wire::batch::{BatchBuilder, NewRecord};
    use proptest::prelude::*;

    use super::*;
    use crate::SimDisk;
    use crate::log::tests::support::*;

    fn batch(headers: &[Option<u8>]) -> RecordBatch {
        let mut builder = BatchBuilder::new();
        for header in headers {
            let record = NewRecord { key: None, value: Some(&[7; 90]), timestamp: 1, expires_at: None };
            let value = header.map(|value| vec![b'v', value]);
            let headers = value.iter().map(|value| ("id", value.as_slice())).chain([("other", &b"v1"[..])]);
            builder.push_with_headers(&record, headers.collect::<Vec<_>>()).unwrap();
        }
        RecordBatch::from_producer(builder.build().unwrap()).unwrap()
    }

    fn query(value: u8, from: u64, limit: usize) -> HeaderQuery {
        HeaderQuery {
            indexed: vec!["id".to_owned()].into(),
            name: "id".to_owned(),
            value: vec![b'v', value],
            from: Offset(from),
            upto: ALL,
            committed: true,
            limit,
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn records_found_by_header_are_those_of_a_linear_scan(
            batches in prop::collection::vec(prop::collection::vec(prop::option::of(0_u8..4), 1..6), 1..40),
            ask_between in any::<bool>(),
            from in 0_u64..60,
            limit in 1_usize..9,
        ) {
            let fixture = Fixture::open(&SimDisk::new(), from_files(4096));
            let mut all = Vec::new();
            for headers in &batches {
                fixture.log.append(&batch(headers), EPOCH, NOW).unwrap();
                all.extend_from_slice(headers);
                if ask_between {
                    fixture.log.find_header(&query(0, 0, 5)).unwrap();
                }
            }
            for value in 0..4 {
                let expected: Vec<_> = (0_u64..).zip(&all)
                    .filter(|(offset, header)| *offset >= from && **header == Some(value))
                    .map(|(offset, _)| Offset(offset)).collect();
                let found = fixture.log.find_header(&query(value, from, limit)).unwrap();
                prop_assert_eq!(&found.offsets[..], &expected[..limit.min(expected.len())]);
                let rest = fixture.log.find_header(&query(value, found.next.0, usize::MAX)).unwrap();
                prop_assert_eq!([found.offsets, rest.offsets].concat(), expected);
                prop_assert_eq!(rest.next, fixture.log.end_offset().max(Offset(from)));
            }
        }
    }

    #[test]
    fn damaged_records_are_passed_over_and_other_headers_are_not_taken_for_them() {
        let disk = SimDisk::new();
        let fixture = Fixture::open(&disk, from_files(1 << 20));
        let one = batch(&[Some(1)]);
        for _ in 0..5 {
            fixture.log.append(&one, EPOCH, NOW).unwrap();
        }
        let found = |limit| fixture.log.find_header(&query(1, 0, limit)).unwrap().offsets;
        assert_eq!(found(9), [0, 1, 2, 3, 4].map(Offset));
        disk.tamper(&segment_file(0), |bytes| bytes[4096 + 2 * one.size() + 100] ^= 1).unwrap();
        assert_eq!(found(9), [0, 1, 3, 4].map(Offset));
        let other = HeaderQuery { name: "other".to_owned(), value: b"v1".to_vec(), ..query(1, 0, 9) };
        assert_eq!(fixture.log.find_header(&other).unwrap().offsets, [], "not indexed");
    }
}
