//! Reading a segment from its bytes alone: is there a whole, verified batch at this position, and if not, where is
//! the next one?

use bytes::BytesMut;
use flymq_types::{BatchHeader, RecordBatch};
use flymq_wire::batch::{HEADER_LEN, MAGIC, verify_header_crc};

use crate::crypt::{PLAIN, Protection, TAG_BYTES};
use crate::disk::DiskFile;
use crate::segment::Segment;
use std::io;

/// No stored batch is larger, whatever the configured limits are: bounds what damaged lengths can make us read.
pub(crate) const MAX_BATCH_BYTES: usize = 64 << 20;

/// Read ahead of a scan over a whole segment.
const CHUNK: usize = 256 << 10;
/// Read ahead while looking for one batch from an index entry.
const LOOKUP_CHUNK: usize = 16 << 10;

/// What lies at a position of a segment.
#[derive(Debug)]
pub(crate) enum Found {
    /// A batch of this segment; both crcs hold.
    Batch(BatchHeader, [u8; HEADER_LEN]),
    /// A good header of this segment; the payload is cut short or its crc does not hold.
    BadPayload(BatchHeader),
    /// No header of this segment.
    Nothing,
}

/// A window over a file that reads ahead in large steps.
#[derive(Debug)]
pub(crate) struct Window<'a> {
    file: &'a dyn DiskFile,
    incarnation: u64,
    protection: &'a Protection,
    /// Bytes from here on do not exist for this reader.
    limit: u64,
    start: u64,
    buffer: Vec<u8>,
    chunk: usize,
}

impl<'a> Window<'a> {
    /// Over `[0, limit)` of the segment's file.
    pub fn over(segment: &'a Segment, limit: u64) -> Self {
        let protection = &segment.protection;
        Self { protection, ..Self::plain(&*segment.file, segment.incarnation, limit) }
    }

    /// As [`Window::over`], for a reader that looks at a few headers only.
    pub fn for_lookup(segment: &'a Segment, limit: u64) -> Self {
        Self { chunk: LOOKUP_CHUNK, ..Self::over(segment, limit) }
    }

    /// Over `[0, limit)` of a file that holds batches of `incarnation`, none of them encrypted.
    pub fn plain(file: &'a dyn DiskFile, incarnation: u64, limit: u64) -> Self {
        let protection = &PLAIN;
        Self { file, incarnation, protection, limit, start: 0, buffer: Vec::new(), chunk: CHUNK }
    }

    /// Over `[0, limit)` of a file whose batches of `incarnation` are stored as `protection` says.
    pub fn with(file: &'a dyn DiskFile, incarnation: u64, protection: &'a Protection, limit: u64) -> Self {
        Self { protection, ..Self::plain(file, incarnation, limit) }
    }

    /// At most `len` bytes at `position`; fewer where the limit or the file ends.
    fn bytes(&mut self, position: u64, len: usize) -> io::Result<&[u8]> {
        let len = len.min(usize::try_from(self.limit.saturating_sub(position)).unwrap_or(usize::MAX));
        let end = self.start + self.buffer.len() as u64;
        if position < self.start || position + len as u64 > end {
            let want = len.max(self.chunk).min((self.limit.saturating_sub(position)) as usize);
            self.buffer.resize(want, 0);
            let read = self.file.read_up_to_at(&mut self.buffer, position)?;
            self.buffer.truncate(read);
            self.start = position;
        }
        let from = (position - self.start) as usize;
        let rest = self.buffer.get(from..).unwrap_or(&[]);
        Ok(&rest[..len.min(rest.len())])
    }

    /// What is at hand from `position` on, read anew where that is less than a header. A recycled file is full of old
    /// headers, and a read for each would take minutes.
    fn ahead(&mut self, position: u64) -> io::Result<&[u8]> {
        let end = self.start + self.buffer.len() as u64;
        let at_hand = if position < self.start { 0 } else { end.saturating_sub(position) as usize };
        self.bytes(position, if at_hand < HEADER_LEN { CHUNK } else { at_hand })
    }

    /// The header at `position`, if its crc holds and it belongs to this segment. The payload is not looked at.
    pub fn header_at(&mut self, position: u64) -> io::Result<Option<(BatchHeader, [u8; HEADER_LEN])>> {
        let (incarnation, protection) = (self.incarnation, self.protection);
        let Some(head) = self.bytes(position, HEADER_LEN)?.first_chunk::<HEADER_LEN>() else {
            return Ok(None);
        };
        let Ok(header) = BatchHeader::parse(head) else { return Ok(None) };
        let ours = (cfg!(mutant = "stale_incarnation_accepted") || header.server.incarnation == incarnation)
            && protection.fits(&header)
            && header.batch_len() <= MAX_BATCH_BYTES + TAG_BYTES;
        Ok((ours && verify_header_crc(head).is_ok()).then_some((header, *head)))
    }

    /// What lies at `position`, both crcs checked.
    pub fn batch_at(&mut self, position: u64) -> io::Result<Found> {
        let Some((header, head)) = self.header_at(position)? else { return Ok(Found::Nothing) };
        let protection = self.protection;
        let batch = self.bytes(position, header.batch_len())?;
        let payload = batch.get(HEADER_LEN..).unwrap_or(&[]);
        let good = cfg!(mutant = "crc_not_checked_recovery") || protection.verifies(&header, &head, payload);
        Ok(if good { Found::Batch(header, head) } else { Found::BadPayload(header) })
    }

    /// The batch of this header at `position`, readable; `None` where its payload is damaged or cannot be opened here.
    pub fn record_batch_at(
        &mut self,
        position: u64,
        header: &BatchHeader,
    ) -> io::Result<Option<RecordBatch>> {
        let protection = self.protection;
        let stored = BytesMut::from(self.bytes(position, header.batch_len())?);
        Ok((stored.len() == header.batch_len()).then(|| protection.batch(header, stored)).flatten())
    }

    /// Whether every byte from `position` on is zero: preallocated and never written.
    pub fn is_blank_from(&mut self, mut position: u64) -> io::Result<bool> {
        loop {
            let bytes = self.bytes(position, CHUNK)?;
            if bytes.is_empty() {
                return Ok(true);
            }
            if bytes.iter().any(|byte| *byte != 0) {
                return Ok(false);
            }
            position += bytes.len() as u64;
        }
    }

    /// Position and header of the first verified batch at or behind `position` whose first offset is at least
    /// `min_offset`.
    pub fn next_verified(
        &mut self,
        mut position: u64,
        min_offset: u64,
    ) -> io::Result<Option<(u64, BatchHeader)>> {
        loop {
            let bytes = self.ahead(position)?;
            if bytes.len() < HEADER_LEN {
                return Ok(None);
            }
            let Some(skip) = bytes.windows(MAGIC.len()).position(|window| window == MAGIC) else {
                position += (bytes.len() - (MAGIC.len() - 1)) as u64;
                continue;
            };
            position += skip as u64;
            match self.batch_at(position)? {
                Found::Batch(header, _) if header.server.base_offset >= min_offset => {
                    return Ok(Some((position, header)));
                }
                // What looks like a batch inside the payload of another one is that payload's content.
                Found::Batch(header, _) | Found::BadPayload(header) => {
                    let behind = position + header.batch_len() as u64;
                    position = if self.header_at(behind)?.is_some() { behind } else { position + 1 };
                }
                Found::Nothing => position += 1,
            }
        }
    }
}

impl Window<'_> {
    /// As [`Window::next_verified`] by headers alone, for a segment whose payloads nobody can check here.
    pub fn next_header(
        &mut self,
        mut position: u64,
        min_offset: u64,
    ) -> io::Result<Option<(u64, BatchHeader)>> {
        loop {
            let bytes = self.bytes(position, CHUNK)?;
            if bytes.len() < HEADER_LEN {
                return Ok(None);
            }
            let Some(skip) = bytes.windows(MAGIC.len()).position(|window| window == MAGIC) else {
                position += (bytes.len() - (MAGIC.len() - 1)) as u64;
                continue;
            };
            position += skip as u64;
            match self.header_at(position)? {
                Some((header, _)) if header.server.base_offset >= min_offset => {
                    return Ok(Some((position, header)));
                }
                Some(_) | None => position += 1,
            }
        }
    }
}

/// The incarnation in the first whole batch header at or behind `position` whose offset is at least `min_offset`:
/// for a segment whose own header is lost.
pub(crate) fn any_incarnation(
    file: &dyn DiskFile,
    position: u64,
    min_offset: u64,
) -> io::Result<Option<u64>> {
    let mut window = Window::plain(file, 0, file.size()?);
    let mut position = position;
    loop {
        let bytes = window.bytes(position, CHUNK)?;
        if bytes.len() < HEADER_LEN {
            return Ok(None);
        }
        let last = bytes.len() - HEADER_LEN;
        let head = (0..=last)
            .map(|at| &bytes[at..at + HEADER_LEN])
            .find(|head| head.starts_with(&MAGIC) && verify_header_crc(head).is_ok());
        match head.map(BatchHeader::parse) {
            Some(Ok(header)) if header.server.base_offset >= min_offset => {
                return Ok(Some(header.server.incarnation));
            }
            Some(_) | None => position += last as u64 + 1,
        }
    }
}

#[cfg(test)]
mod tests;
