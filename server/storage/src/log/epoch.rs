//! Leader epochs of a log: which offsets each leader wrote, and what a batch builds on.

use flymq_types::{LeaderEpoch, Offset};

use super::lookup::Lookup;
use super::view::View;
use super::{Log, LogInner};
use crate::error::{Result, StorageError};

/// Where an epoch begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EpochStart {
    pub epoch: LeaderEpoch,
    /// Offset of its first batch, or of the first one that it would have.
    pub first: Offset,
}

/// The answer to a follower that asks where an epoch of its own ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EpochEnd {
    /// The latest epoch of the log that is not above the one asked for.
    pub epoch: LeaderEpoch,
    /// Offset after its last batch.
    pub end: Offset,
}

/// What the batch at an offset builds on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Link {
    /// Epoch of the batch before; `None` where the log begins.
    pub epoch: Option<LeaderEpoch>,
    /// Chain value of the batch before.
    pub chain: u32,
}

impl Log {
    /// Makes it durable that a leader's epoch begins at the log's end, before it appends anything. The epoch that is the
    /// latest already stays as it is.
    ///
    /// # Errors
    /// `StaleEpoch`; `Io`, `DiskFull`, `ReadOnly`, `Poisoned`, `Closed`: the epoch has not begun.
    pub fn begin_epoch(&self, epoch: LeaderEpoch) -> Result<()> {
        self.0.announcing(|log| log.begin_epoch(epoch))
    }

    /// The epoch of the last leader that appended (or was about to).
    pub fn latest_epoch(&self) -> Option<LeaderEpoch> {
        self.0.writer.lock().epochs.latest()
    }

    /// The latest epoch that is not above `epoch`, and the offset after its last batch; `None` if the log knows no epoch as
    /// old. A follower that asks its leader this finds where to cut its own log (KIP-101, KIP-279).
    pub fn epoch_end(&self, epoch: LeaderEpoch) -> Option<EpochEnd> {
        let writer = self.0.writer.lock();
        let found = writer.epochs.end_of(epoch, Offset(writer.tip.next_offset));
        found.map(|(epoch, end)| EpochEnd { epoch, end })
    }

    /// Every epoch of the log with its first offset, both rising.
    pub fn epochs(&self) -> Vec<EpochStart> {
        self.0.writer.lock().epochs.iter().map(|(epoch, first)| EpochStart { epoch, first }).collect()
    }

    /// What the batch that begins at `offset`, or will begin there, builds on.
    ///
    /// # Errors
    /// `OffsetOutOfRange`; `Gap` with the batch's first offset where `offset` lies inside a batch; `Corrupt` where the
    /// batch before is damaged; `Io`, `Closed`.
    pub fn link_before(&self, offset: Offset) -> Result<Link> {
        self.0.check_open()?;
        let (start, end) = (self.start_offset(), self.end_offset());
        if offset < start || offset > end {
            return Err(StorageError::OffsetOutOfRange { start, end });
        }
        let epoch = {
            let writer = self.0.writer.lock();
            let epoch = writer.epochs.before(offset);
            if offset.0 == writer.tip.next_offset {
                return Ok(Link { epoch, chain: writer.tip.chain });
            }
            epoch
        };
        Ok(Link { epoch, chain: self.0.chain_before(offset.0)? })
    }
}

impl LogInner {
    fn begin_epoch(&self, epoch: LeaderEpoch) -> Result<()> {
        let mut writer = self.writer.lock();
        self.check_writable()?;
        let begun = self.create_directories().and_then(|()| self.enter_epoch(&mut writer, epoch));
        begun.map_err(|error| self.judge(error))
    }

    /// Chain value of the batch before the one at `offset`, which lies inside the log.
    fn chain_before(&self, offset: u64) -> Result<u32> {
        let segment = {
            let view = self.view.lock();
            if let Some(before) = view.tail.batch_before(offset) {
                return Ok(before.header().server.chain);
            }
            if let Some(chain) = view.chain_into(offset) {
                return Ok(chain);
            }
            let end = Offset(self.end.load(std::sync::atomic::Ordering::Acquire));
            let corrupt = StorageError::Corrupt { start: Offset(offset), end };
            view.segment_of(offset - 1).ok_or(corrupt)?.clone()
        };
        let (_, header) = Lookup::new(&segment).find(offset - 1)?;
        if header.next_offset() != offset {
            let expected = Offset(header.server.base_offset);
            return Err(StorageError::Gap { expected, found: Offset(offset) });
        }
        Ok(header.server.chain)
    }
}

impl View {
    /// The chain value that a segment with this base offset builds on, where there is one.
    pub fn chain_into(&self, base: u64) -> Option<u32> {
        let at = self.segments.iter().position(|view| view.segment.base_offset == base)?;
        let before = at.checked_sub(1).map(|before| &self.segments[before]);
        let before = before.filter(|before| before.tip.next_offset == base);
        Some(before.map_or(self.segments[at].segment.base_chain, super::view::SegmentView::chain_out))
    }
}
