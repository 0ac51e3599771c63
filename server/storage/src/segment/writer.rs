//! Filling a segment file that nobody sees yet, and closing it before it gets its name.

use std::io::IoSlice;
use std::path::Path;
use std::sync::Arc;

use flymq_types::RecordBatch;
use flymq_wire::batch::{ServerFields, chain};

use super::footer::{self, FOOTER_BYTES};
use super::header::SegmentHeader;
use super::tip::Tip;
use super::{PreparedSegment, Segment};
use crate::crypt::SealedRun;
use crate::disk::Disk;
use crate::error::{IoContext, Result};
use crate::index::IndexStrategy;

/// Where a batch begins: offset relative to the segment's base, byte, largest timestamp before it (Unix ms).
type Place = (u64, u64, i64);

/// A closed segment in the making.
#[derive(Debug)]
pub(crate) struct SegmentWriter {
    prepared: PreparedSegment,
    tip: Tip,
    places: Vec<Place>,
    sealed: SealedRun,
}

impl SegmentWriter {
    pub fn new(prepared: PreparedSegment) -> Self {
        let tip = Tip::start(prepared.header.base_offset.0, prepared.header.chain, i64::MIN);
        Self { prepared, tip, places: Vec::new(), sealed: SealedRun::default() }
    }

    /// Adds a batch at the next offset. Offset, leader epoch and append time stay as its header has them; chain and
    /// incarnation become those of this segment.
    pub fn push(&mut self, batch: &RecordBatch) -> Result<()> {
        debug_assert_eq!(batch.base_offset().0, self.tip.next_offset);
        let server = ServerFields {
            chain: chain(self.tip.chain, batch.header().payload_crc),
            incarnation: self.prepared.header.incarnation(),
            ..batch.header().server
        };
        self.write(&batch.stamp(server))
    }

    /// Adds a batch that builds on what stood before it in its own log; offsets may be missing between it and the one
    /// before.
    pub fn push_kept(&mut self, batch: &RecordBatch) -> Result<()> {
        let incarnation = self.prepared.header.incarnation();
        self.write(&batch.stamp(ServerFields { incarnation, ..batch.header().server }))
    }

    /// Leaves the offsets up to `offset` without a batch.
    pub fn skip_to(&mut self, offset: u64) {
        self.tip.next_offset = self.tip.next_offset.max(offset);
    }

    fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        debug_assert!(batch.base_offset().0 >= self.tip.next_offset);
        let tip = &mut self.tip;
        let relative = batch.base_offset().0 - self.prepared.header.base_offset.0;
        self.places.push((relative, tip.position, tip.max_timestamp));
        let (file, path) = (&*self.prepared.file, &self.prepared.temporary);
        match self.prepared.protection.cipher() {
            Some(cipher) => {
                self.sealed.clear();
                cipher.seal(std::slice::from_ref(batch), &mut self.sealed);
                let mut slices = [IoSlice::new(&self.sealed.bytes)];
                file.write_all_at(&mut slices, tip.position).on("write", path)?;
                self.sealed.heads().for_each(|(header, head)| tip.advance(header, head));
            }
            None => {
                let chunks: Vec<_> = batch.chunks().collect();
                let mut slices: Vec<_> = chunks.iter().map(|chunk| IoSlice::new(chunk)).collect();
                file.write_all_at(&mut slices, tip.position).on("write", path)?;
                tip.advance(batch.header(), batch.head());
            }
        }
        Ok(())
    }

    /// Bytes so far, header and footer counted.
    pub fn size(&self) -> u64 {
        self.tip.position + FOOTER_BYTES as u64
    }

    /// Writes the footer and makes the whole file durable. Still nobody sees it.
    pub fn close(&self) -> Result<()> {
        let (file, path) = (&*self.prepared.file, &self.prepared.temporary);
        let block = footer::encode(self.prepared.header.incarnation(), &self.tip);
        file.write_all_at(&mut [IoSlice::new(&block)], self.tip.position).on("write footer", path)?;
        file.set_len(self.size()).on("cut", path)?;
        if cfg!(mutant = "compact_without_sync") {
            return Ok(());
        }
        file.fdatasync().on("fdatasync", path)
    }

    /// Gives the closed file its name, durably, in place of the segment that has it.
    pub fn publish(
        self,
        disk: &Arc<dyn Disk>,
        dir: &Path,
        strategy: IndexStrategy,
    ) -> Result<(Segment, Tip)> {
        let Self { prepared, tip, places, .. } = self;
        let segment = prepared.publish(disk, dir, strategy)?;
        fill_index(&segment, places);
        Ok((segment, tip))
    }

    /// The segment, whose closed file has got its name already.
    pub fn named(self, disk: &Arc<dyn Disk>, dir: &Path, strategy: IndexStrategy) -> (Segment, Tip) {
        let Self { prepared, tip, places, .. } = self;
        let segment = prepared.named(disk, dir, strategy);
        fill_index(&segment, places);
        (segment, tip)
    }

    pub fn tip(&self) -> &Tip {
        &self.tip
    }

    pub fn header(&self) -> &SegmentHeader {
        &self.prepared.header
    }

    /// Removes the file; a failure leaves it to the next start.
    pub fn discard(self, disk: &dyn Disk) {
        self.prepared.discard(disk);
    }
}

fn fill_index(segment: &Segment, places: Vec<Place>) {
    let mut index = segment.index.lock();
    places.into_iter().for_each(|(relative, position, before)| index.offer(relative, position, before));
}
