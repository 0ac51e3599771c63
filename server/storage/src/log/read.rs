//! Reading whole batches: from the tail cache, else from the segment files.

use bytes::BytesMut;
use flymq_types::{BatchHeader, Offset, RecordBatch};
use flymq_wire::batch::HEADER_LEN;

use super::Log;
use super::lookup::Lookup;
use crate::error::{IoContext, Result, StorageError};

impl Log {
    /// Whole batches from the one that holds `from`, in order, together at most `max_bytes` but at least one if there is
    /// any; none that ends past `upto` (exclusive). The first may begin before `from`. Empty where `from` is at or past
    /// `upto` or the end. One call may stop early, at the end of a segment or before a damaged range: go on from the
    /// last batch's [`RecordBatch::next_offset`].
    ///
    /// # Errors
    /// `OffsetOutOfRange`; `Corrupt` when `from` itself lies in a damaged range: nothing is ever served from there, and
    /// a read from its end goes on; `Truncated` where the log was cut off meanwhile; `Io`; `Closed`.
    pub fn read(&self, from: Offset, max_bytes: usize, upto: Offset) -> Result<Vec<RecordBatch>> {
        self.0.check_open()?;
        let segment = {
            let view = self.0.view.lock();
            let (start, end) = (self.start_offset(), self.end_offset());
            if from < start || from > end {
                return Err(StorageError::OffsetOutOfRange { start, end });
            }
            if from >= upto.min(end) {
                return Ok(Vec::new());
            }
            if let Some(cached) = view.tail.read(from.0, max_bytes, upto.0) {
                return Ok(cached);
            }
            if let Some(bad) = view.quarantine_of(from.0) {
                return Err(StorageError::Corrupt { start: Offset(bad.start), end: Offset(bad.end) });
            }
            let Some(segment) = view.segment_of(from.0) else {
                return Err(StorageError::Corrupt { start: from, end });
            };
            segment.clone()
        };
        let lookup = Lookup::new(&segment);
        let found = lookup.find(from.0);
        let batches = found.and_then(|(position, header)| lookup.take(position, &header, max_bytes, upto.0));
        batches.map_err(|error| self.0.explain(&segment, error))
    }
}

impl Lookup<'_> {
    /// Batches from `position` on, which holds the batch of `first`. Nothing unverified leaves here.
    pub(super) fn take(
        &self,
        position: u64,
        first: &BatchHeader,
        max_bytes: usize,
        upto: u64,
    ) -> Result<Vec<RecordBatch>> {
        if first.next_offset() > upto {
            return Ok(Vec::new());
        }
        let rest = usize::try_from(self.limit() - position).unwrap_or(usize::MAX);
        let mut buffer = BytesMut::zeroed(first.batch_len().max(max_bytes.min(rest)).min(rest));
        let read = self.segment().file.read_up_to_at(&mut buffer, position);
        let read = read.on("read", &self.segment().path)?;
        buffer.truncate(read);
        let batches = self.verified(buffer, first.server.base_offset, max_bytes, upto);
        if batches.is_empty() {
            let (start, end) = (Offset(first.server.base_offset), Offset(first.next_offset()));
            return Err(StorageError::Corrupt { start, end });
        }
        Ok(batches)
    }

    /// The whole, verified, consecutive batches that `bytes` begin with.
    fn verified(
        &self,
        mut bytes: BytesMut,
        mut offset: u64,
        max_bytes: usize,
        upto: u64,
    ) -> Vec<RecordBatch> {
        let (mut batches, mut taken) = (Vec::new(), 0);
        while bytes.len() >= HEADER_LEN {
            let Ok(header) = BatchHeader::parse(&bytes) else { break };
            let len = header.batch_len();
            let ours = header.server.incarnation == self.segment().incarnation
                && header.server.base_offset == offset;
            let wanted = header.next_offset() <= upto && (batches.is_empty() || taken + len <= max_bytes);
            if !ours || !wanted || len > bytes.len() {
                break;
            }
            let stored = bytes.split_to(len);
            let Some(batch) = self.segment().protection.batch(&header, stored) else { break };
            offset = batch.next_offset().0;
            taken += len;
            batches.push(batch);
        }
        batches
    }
}
