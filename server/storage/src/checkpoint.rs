//! The durable mark of a log: how far it is known to be on disk, so that recovery reads only what is behind it and
//! can tell a torn tail from damage. Never ahead of the data; an older mark is always true as well.
//!
//! The file has two 4 KiB slots, written in turn; the valid one with the higher sequence counts.

use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::disk::{Disk, DiskFile, OpenMode};
use crate::error::{IoContext, Result, StorageError};
use crate::layout::{self, Verdict, get_u64, put};
use crate::segment::tip::Tip;

pub(crate) const FILE_NAME: &str = "checkpoint";
const TEMPORARY_NAME: &str = "checkpoint.tmp";

const MAGIC: &[u8; 8] = b"FQCHECKP";
const SLOT_BYTES: usize = 512;
const SLOT_DISTANCE: u64 = 4096;

mod at {
    pub const SEQUENCE: usize = 16;
    pub const LOG_START: usize = 24;
    pub const SEGMENT_BASE: usize = 32;
    pub const INCARNATION: usize = 40;
    pub const TIP: usize = 48;
    pub const CLEANED: usize = 88;
}

/// A position in the last segment up to which every batch is on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mark {
    pub segment_base: u64,
    pub incarnation: u64,
    pub tip: Tip,
}

/// What is stored: where the log starts, and how far it is durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Checkpoint {
    pub log_start: u64,
    pub mark: Mark,
    /// The first offset that no cleaning (see `log::compact`) has looked at.
    pub cleaned: u64,
}

#[derive(Debug)]
pub(crate) struct CheckpointFile {
    file: Arc<dyn DiskFile>,
    path: PathBuf,
    sequence: u64,
    current: Checkpoint,
    /// Set by a failed fdatasync; nothing is written any more.
    failed: Option<StorageError>,
}

impl CheckpointFile {
    /// Makes a new file, durable but for its name: the caller syncs the directory.
    pub fn create(disk: &dyn Disk, dir: &Path, first: Checkpoint) -> Result<Self> {
        let temporary = dir.join(TEMPORARY_NAME);
        if disk.exists(&temporary).on("look for", &temporary)? {
            disk.remove_file(&temporary).on("remove", &temporary)?;
        }
        let file = disk.open(&temporary, OpenMode::CreateNew).on("create", &temporary)?;
        file.allocate(2 * SLOT_DISTANCE).on("allocate", &temporary)?;
        let mut checkpoint =
            Self { file, path: dir.join(FILE_NAME), sequence: 0, current: first, failed: None };
        checkpoint.write(first)?;
        disk.rename(&temporary, &checkpoint.path).on("rename", &temporary)?;
        Ok(checkpoint)
    }

    /// Reads the newer valid slot. `Ok(None)` when the file is missing or both slots are damaged.
    pub fn load(disk: &dyn Disk, dir: &Path) -> Result<Option<Self>> {
        let path = dir.join(FILE_NAME);
        let file = match disk.open(&path, OpenMode::Write) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            result => result.on("open", &path)?,
        };
        let mut newest: Option<(u64, Checkpoint)> = None;
        for slot in 0..2 {
            let mut block = [0; SLOT_BYTES];
            file.read_up_to_at(&mut block, slot * SLOT_DISTANCE).on("read", &path)?;
            match layout::judge(&block, MAGIC) {
                Verdict::Good => {
                    let found = (get_u64(&block, at::SEQUENCE), decode(&block));
                    newest = newest.max_by_sequence(found);
                }
                Verdict::Damaged => {}
                Verdict::UnknownVersion(found) => {
                    return Err(StorageError::UnknownFormat { path, found, known: layout::VERSION });
                }
            }
        }
        Ok(newest.map(|(sequence, current)| Self { file, path, sequence, current, failed: None }))
    }

    /// What the file says, for somebody who only looks. `Ok(None)` when it is missing or has no good slot.
    pub fn peek(disk: &dyn Disk, dir: &Path) -> Result<Option<Peeked>> {
        let path = dir.join(FILE_NAME);
        let file = match disk.open(&path, OpenMode::Read) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            result => result.on("open", &path)?,
        };
        let (mut newest, mut bad_slots) = (None, 0);
        for slot in 0..2 {
            let mut block = [0; SLOT_BYTES];
            file.read_up_to_at(&mut block, slot * SLOT_DISTANCE).on("read", &path)?;
            match layout::judge(&block, MAGIC) {
                Verdict::Good => {
                    newest = newest.max_by_sequence((get_u64(&block, at::SEQUENCE), decode(&block)));
                }
                Verdict::Damaged => bad_slots += usize::from(block.iter().any(|byte| *byte != 0)),
                Verdict::UnknownVersion(found) => {
                    return Err(StorageError::UnknownFormat { path, found, known: layout::VERSION });
                }
            }
        }
        Ok(newest.map(|(_, checkpoint)| Peeked { checkpoint, bad_slots }))
    }

    pub fn current(&self) -> Checkpoint {
        self.current
    }

    /// Makes `checkpoint` durable in both slots, after a change that leaves what is older untrue.
    pub fn write_both(&mut self, checkpoint: Checkpoint) -> Result<()> {
        self.write(checkpoint)?;
        self.write(checkpoint)
    }

    /// Makes `checkpoint` durable in the older slot.
    pub fn write(&mut self, checkpoint: Checkpoint) -> Result<()> {
        if let Some(error) = &self.failed {
            return Err(error.poison());
        }
        let sequence = self.sequence + 1;
        let block = encode(sequence, &checkpoint);
        let at = (sequence % 2) * SLOT_DISTANCE;
        self.file.write_all_at(&mut [IoSlice::new(&block)], at).on("write", &self.path)?;
        if let Err(error) = self.file.fdatasync().on("fdatasync", &self.path) {
            self.failed = Some(error.clone());
            return Err(error);
        }
        (self.sequence, self.current) = (sequence, checkpoint);
        Ok(())
    }
}

/// A checkpoint as it stands in its file.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peeked {
    pub checkpoint: Checkpoint,
    /// Slots that are neither good nor unused.
    pub bad_slots: usize,
}

trait Newer {
    fn max_by_sequence(self, other: (u64, Checkpoint)) -> Self;
}

impl Newer for Option<(u64, Checkpoint)> {
    fn max_by_sequence(self, other: (u64, Checkpoint)) -> Self {
        match self {
            Some(mine) if mine.0 > other.0 => Some(mine),
            _ => Some(other),
        }
    }
}

fn encode(sequence: u64, checkpoint: &Checkpoint) -> [u8; SLOT_BYTES] {
    let mut block = [0; SLOT_BYTES];
    put(&mut block, at::SEQUENCE, sequence.to_le_bytes());
    put(&mut block, at::LOG_START, checkpoint.log_start.to_le_bytes());
    put(&mut block, at::SEGMENT_BASE, checkpoint.mark.segment_base.to_le_bytes());
    put(&mut block, at::INCARNATION, checkpoint.mark.incarnation.to_le_bytes());
    checkpoint.mark.tip.write(&mut block, at::TIP);
    put(&mut block, at::CLEANED, checkpoint.cleaned.to_le_bytes());
    layout::seal(&mut block, MAGIC);
    block
}

fn decode(block: &[u8; SLOT_BYTES]) -> Checkpoint {
    Checkpoint {
        log_start: get_u64(block, at::LOG_START),
        mark: Mark {
            segment_base: get_u64(block, at::SEGMENT_BASE),
            incarnation: get_u64(block, at::INCARNATION),
            tip: Tip::read(block, at::TIP),
        },
        cleaned: get_u64(block, at::CLEANED),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::SimDisk;

    fn checkpoint(n: u64) -> Checkpoint {
        Checkpoint {
            log_start: n,
            mark: Mark { segment_base: n + 1, incarnation: 5, tip: Tip::start(n + 2, 3, 4) },
            cleaned: n,
        }
    }

    #[test]
    fn the_newest_good_slot_counts() {
        let disk = SimDisk::new();
        let dir = Path::new("/");
        let mut file = CheckpointFile::create(&disk, dir, checkpoint(1)).unwrap();
        disk.sync_dir(dir).unwrap();
        file.write(checkpoint(2)).unwrap();
        file.write(checkpoint(3)).unwrap();
        disk.crash_losing_all();
        assert_eq!(CheckpointFile::load(&disk, dir).unwrap().unwrap().current(), checkpoint(3));

        // Sequence 3 went into slot 1: without it the one before counts.
        disk.tamper(Path::new("/checkpoint"), |bytes| bytes[SLOT_DISTANCE as usize + 30] ^= 4).unwrap();
        let mut older = CheckpointFile::load(&disk, dir).unwrap().unwrap();
        assert_eq!(older.current(), checkpoint(2));
        older.write(checkpoint(9)).unwrap();
        assert_eq!(CheckpointFile::load(&disk, dir).unwrap().unwrap().current(), checkpoint(9));

        disk.tamper(Path::new("/checkpoint"), |bytes| bytes.fill(1)).unwrap();
        assert!(CheckpointFile::load(&disk, dir).unwrap().is_none());
    }

    #[test]
    fn a_failed_fdatasync_ends_writing() {
        let disk = SimDisk::new();
        let mut file = CheckpointFile::create(&disk, Path::new("/"), checkpoint(1)).unwrap();
        disk.fail(crate::disk::FaultOp::Fdatasync, 1, 5);
        assert!(matches!(file.write(checkpoint(2)), Err(StorageError::Io { .. })));
        assert!(matches!(file.write(checkpoint(3)), Err(StorageError::Poisoned { .. })));
        assert_eq!(file.current(), checkpoint(1));
    }
}
