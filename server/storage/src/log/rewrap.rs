//! Rotation of the operator's key: the data keys of a log's segments are wrapped anew, the batches stay as they are.
//!
//! A segment's header has two copies of its wrapped data key. One is replaced and synced before the other is touched, so
//! that at each moment one whole copy is on the disk.

use std::io::IoSlice;

use super::{Log, LogInner};
use crate::crypt::{KeyBlock, Keyring, SegmentCipher};
use crate::disk::{DiskFile, OpenMode};
use crate::error::{IoContext, Result};
use crate::segment::Segment;
use crate::segment::header::{HEADER_BYTES, KEYS_AT, key_copies};

/// How the segments of a log are protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Protected {
    /// Encrypted, the data key wrapped by the current key.
    pub current: usize,
    /// Encrypted, the data key wrapped by an older key or one copy of it damaged.
    pub older: usize,
    /// Not encrypted: written before encryption was turned on.
    pub plain: usize,
    /// Encrypted, and the data key is lost.
    pub lost: usize,
}

impl std::ops::AddAssign for Protected {
    fn add_assign(&mut self, other: Self) {
        self.current += other.current;
        self.older += other.older;
        self.plain += other.plain;
        self.lost += other.lost;
    }
}

impl Log {
    /// Counts the segments by their protection.
    pub fn protected(&self) -> Protected {
        let mut counts = Protected::default();
        for view in &self.0.view.lock().segments {
            *view.segment.protection.count_in(&mut counts) += 1;
        }
        counts
    }

    /// Wraps the data key of one segment by the current key, if there is one that needs it. Appends and reads go on.
    /// Returns whether there was one.
    ///
    /// # Errors
    /// `Io`, `DiskFull`, `ReadOnly`, `Closed`: the segment can be read as before, by the older key.
    pub fn rewrap_one(&self) -> Result<bool> {
        self.0.check_open()?;
        let Some(keyring) = &self.0.context.keyring else { return Ok(false) };
        // No segment leaves the log, and no file gets another's name, meanwhile.
        let _turn = self.0.front.lock();
        let older = {
            let view = self.0.view.lock();
            let older = |segment: &&std::sync::Arc<Segment>| segment.protection.needs_rewrap();
            view.segments.iter().map(|view| &view.segment).find(older).cloned()
        };
        let Some(segment) = older else { return Ok(false) };
        self.0.rewrap(keyring, &segment)?;
        Ok(true)
    }
}

impl LogInner {
    fn rewrap(&self, keyring: &Keyring, segment: &Segment) -> Result<()> {
        let Some(cipher) = segment.protection.cipher() else { return Ok(()) };
        let path = &segment.path;
        let file = self.context.disk.open(path, OpenMode::Write).on("open", path)?;
        let mut block = [0; HEADER_BYTES];
        file.read_up_to_at(&mut block, 0).on("read", path)?;
        let copies = key_copies(&block);
        let place = self.segment_place(segment.base_offset);
        let mine = |copy: &Option<KeyBlock>| copy.filter(|key| cipher.is_of(&key.uuid));
        // The copy that opens; the other one goes first.
        for (at, key) in [(0, copies[0]), (1, copies[1])] {
            let Some(key) = mine(&key) else { continue };
            let Ok(wrapped) = SegmentCipher::wrapped_anew(keyring, &place, &key, &*self.context.rng) else {
                continue;
            };
            for at in [1 - at, at] {
                write_copy(&*file, at, &wrapped).on("write the data key of", path)?;
            }
            cipher.wrapped_by_current();
            return Ok(());
        }
        // The process has the key in memory, the disk has lost it since: the next start will tell.
        tracing::error!(path = %path.display(), "both copies of the segment's data key are damaged on disk");
        cipher.wrapped_by_current();
        Ok(())
    }
}

fn write_copy(file: &dyn DiskFile, copy: usize, key: &KeyBlock) -> std::io::Result<()> {
    file.write_all_at(&mut [IoSlice::new(&key.encode())], KEYS_AT[copy] as u64)?;
    file.fdatasync()
}
