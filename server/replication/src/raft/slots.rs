//! A small value that is replaced often: two slots that are written in turn, each twice.
//!
//! After the 32-byte header (padded to 512 bytes) come four places of 512 bytes: slot 0, slot 0 again, slot 1, slot 1
//! again. A place is `u32` crc32c of what follows · `u8` version 1 · `u8` length · `u64` sequence number · value. A write
//! goes to the slot that does not hold the newest value, so a torn one leaves the other. Damage to one copy is healed by
//! the other, and is not taken for a torn write: the value could go back by that.

use std::io::IoSlice;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use flymq_storage::{Disk, DiskFile};

use crate::files::error::{IoContext, Result, damaged};
use crate::files::file::{header, prepare, read_all, read_header, u32_at, u64_at};

const VERSION: u8 = 1;
/// What a disk writes as a whole.
const PLACE_BYTES: usize = 512;
const HEAD_BYTES: usize = 14;
/// The longest value.
pub(crate) const MAX_VALUE_BYTES: usize = 64;

/// The file's writer. After an error it must not be used again.
#[derive(Debug)]
pub(crate) struct Slots {
    file: Arc<dyn DiskFile>,
    path: PathBuf,
    sequence: u64,
}

impl Slots {
    /// Opens the file with its newest value; `None` where there is no file.
    pub(crate) fn open(
        disk: &dyn Disk,
        path: &Path,
        magic: [u8; 8],
    ) -> Result<Option<(Self, Option<Vec<u8>>)>> {
        let Some((file, bytes)) = read_all(disk, path)? else { return Ok(None) };
        read_header(path, magic, "", &bytes, None)?;
        // A process that died before its fdatasync leaves a value in memory that is not on the disk.
        file.fdatasync().on("fdatasync", path)?;
        let places: Vec<&[u8]> = bytes.chunks(PLACE_BYTES).skip(1).collect();
        if places.len() != 4 || places[3].len() != PLACE_BYTES {
            return Err(damaged(path, "it has the wrong length"));
        }
        let slots = places.chunks(2).map(|copies| {
            let value = copies.iter().find_map(|place| read_place(place));
            let untouched = copies.iter().all(|place| place.iter().all(|byte| *byte == 0));
            (value, untouched)
        });
        let slots: Vec<_> = slots.collect();
        let newest = slots.iter().filter_map(|(value, _)| value.clone()).max();
        let torn_first = slots[1].1 && slots[0].0.is_none();
        if newest.is_none() && !torn_first {
            return Err(damaged(path, "no value in it matches its checksum"));
        }
        let (sequence, value) = newest.map_or((0, None), |(sequence, value)| (sequence, Some(value)));
        Ok(Some((Self { file, path: path.to_owned(), sequence }, value)))
    }

    /// A new file without a value.
    pub(crate) fn create(disk: &dyn Disk, path: &Path, magic: [u8; 8]) -> Result<Self> {
        let mut bytes = vec![0; 5 * PLACE_BYTES];
        let head = header(magic, 0, false);
        bytes[..head.len()].copy_from_slice(&head);
        let file = prepare(disk, path, &bytes, 0)?.publish(disk)?;
        Ok(Self { file, path: path.to_owned(), sequence: 0 })
    }

    /// Puts a value of at most [`MAX_VALUE_BYTES`] in the place of the last one; not durable before [`Slots::sync`].
    pub(crate) fn write(&mut self, value: &[u8]) -> Result<()> {
        debug_assert!(value.len() <= MAX_VALUE_BYTES);
        let sequence = self.sequence + 1;
        let place = place(sequence, value);
        // The first value goes to slot 0.
        let slot = (sequence + 1) % 2;
        let at = PLACE_BYTES as u64 * (1 + 2 * slot);
        let mut copies = [IoSlice::new(&place), IoSlice::new(&place)];
        self.file.write_all_at(&mut copies, at).on("write", &self.path)?;
        self.sequence = sequence;
        Ok(())
    }

    /// Returns when the value is on the disk.
    pub(crate) fn sync(&self) -> Result<()> {
        self.file.fdatasync().on("fdatasync", &self.path)
    }
}

fn place(sequence: u64, value: &[u8]) -> [u8; PLACE_BYTES] {
    let mut place = [0; PLACE_BYTES];
    place[4] = VERSION;
    place[5] = u8::try_from(value.len()).unwrap_or(u8::MAX);
    place[6..HEAD_BYTES].copy_from_slice(&sequence.to_le_bytes());
    place[HEAD_BYTES..HEAD_BYTES + value.len()].copy_from_slice(value);
    let crc = crc32c::crc32c(&place[4..HEAD_BYTES + value.len()]);
    place[..4].copy_from_slice(&crc.to_le_bytes());
    place
}

/// Sequence number and value of a verified place.
fn read_place(place: &[u8]) -> Option<(u64, Vec<u8>)> {
    let end = HEAD_BYTES + usize::from(place[5]);
    let covered = place.get(4..end)?;
    let good = place[4] == VERSION && crc32c::crc32c(covered) == u32_at(place, 0);
    good.then(|| (u64_at(place, 6), place[HEAD_BYTES..end].to_vec()))
}

#[cfg(test)]
mod tests;
