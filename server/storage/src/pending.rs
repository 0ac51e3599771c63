//! A change of a log's files that takes several steps: what it comes to is decided by one small file, durable before the
//! first step. A start that finds the file takes all the steps again; each may have been taken already.

use std::io::{self, IoSlice};
use std::path::Path;
use std::sync::Arc;

use crate::checkpoint::{Checkpoint, CheckpointFile, Mark};
use crate::disk::{Disk, OpenMode};
use crate::epochs::{ENTRY_BYTES, Epochs};
use crate::error::{IoContext, Result, StorageError};
use crate::layout::{self, Verdict, get_u32, get_u64, put};
use crate::log::producers;
use crate::segment::footer::{self, FOOTER_BYTES};
use crate::segment::header::{HEADER_BYTES, SegmentHeader};
use crate::segment::tip::Tip;
use crate::segment::{LOG_SUFFIX, index_path, log_path, parse_name, staged_path};

pub(crate) const FILE_NAME: &str = "pending";
const TEMPORARY_NAME: &str = "pending.tmp";

const MAGIC: &[u8; 8] = b"FQPENDNG";
const FIXED_BYTES: usize = 96;
const INSTALLED_BYTES: usize = 16;
const CRC_BYTES: usize = 4;

mod at {
    pub const KIND: usize = 12;
    pub const LOG_START: usize = 16;
    pub const SEGMENT_BASE: usize = 24;
    pub const INCARNATION: usize = 32;
    pub const TIP: usize = 40;
    pub const CLEANED: usize = 80;
    pub const SEGMENTS: usize = 88;
    pub const EPOCHS: usize = 92;
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Change {
    /// Segments that begin at or behind the new end go.
    Cut,
    /// And the segment that the mark names ends at the mark.
    CutInside,
    /// Staged segments take the place of all others.
    Install(Vec<Installed>),
}

/// A staged segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Installed {
    pub base_offset: u64,
    pub incarnation: u64,
}

/// A log as it will be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pending {
    pub change: Change,
    /// Start, end and last segment of the log afterwards.
    pub checkpoint: Checkpoint,
    pub epochs: Epochs,
}

impl Pending {
    /// Offset after the last record of the log afterwards.
    pub fn end(&self) -> u64 {
        self.checkpoint.mark.tip.next_offset
    }

    /// Decides the change: when it returns, a start takes its steps.
    pub fn store(&self, disk: &dyn Disk, dir: &Path) -> Result<()> {
        let (path, temporary) = (dir.join(FILE_NAME), dir.join(TEMPORARY_NAME));
        if disk.exists(&temporary).on("look for", &temporary)? {
            disk.remove_file(&temporary).on("remove", &temporary)?;
        }
        let file = disk.open(&temporary, OpenMode::CreateNew).on("create", &temporary)?;
        file.write_all_at(&mut [IoSlice::new(&self.encode())], 0).on("write", &temporary)?;
        file.fdatasync().on("fdatasync", &temporary)?;
        let decided = disk.rename(&temporary, &path).and_then(|()| disk.sync_dir(dir));
        // Whatever the reason was, a start may find the file: the log takes nothing more until then.
        decided.map_err(|error| StorageError::Io { operation: "decide on", path, source: Arc::new(error) })
    }

    /// Whether everything is there that the steps need.
    pub fn is_possible(&self, disk: &dyn Disk, dir: &Path) -> Result<bool> {
        let Change::Install(segments) = &self.change else { return Ok(true) };
        for segment in segments {
            let staged = staged_path(dir, segment.base_offset);
            let there = disk.exists(&staged).on("look for", &staged)?
                || incarnation_of(disk, dir, segment.base_offset)? == Some(segment.incarnation);
            if !there {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// `Ok(None)` when the file is missing or damaged.
    pub fn load(disk: &dyn Disk, dir: &Path) -> Result<Option<Self>> {
        let path = dir.join(FILE_NAME);
        let file = match disk.open(&path, OpenMode::Read) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            result => result.on("open", &path)?,
        };
        let mut bytes = vec![0; usize::try_from(file.size().on("size of", &path)?).unwrap_or(0)];
        file.read_exact_at(&mut bytes, 0).on("read", &path)?;
        if bytes.len() < FIXED_BYTES + CRC_BYTES {
            return Ok(None);
        }
        match layout::judge(&bytes, MAGIC) {
            Verdict::Good => Ok(Self::decode(&bytes)),
            Verdict::Damaged => Ok(None),
            Verdict::UnknownVersion(found) => {
                Err(StorageError::UnknownFormat { path, found, known: layout::VERSION })
            }
        }
    }

    fn encode(&self) -> Vec<u8> {
        let (kind, segments): (u32, &[Installed]) = match &self.change {
            Change::Cut => (1, &[]),
            Change::CutInside => (2, &[]),
            Change::Install(segments) => (3, segments),
        };
        let epochs_at = FIXED_BYTES + segments.len() * INSTALLED_BYTES;
        let mut bytes = vec![0; epochs_at + self.epochs.len() * ENTRY_BYTES + CRC_BYTES];
        let Checkpoint { log_start, mark, cleaned } = self.checkpoint;
        put(&mut bytes, at::KIND, kind.to_le_bytes());
        put(&mut bytes, at::LOG_START, log_start.to_le_bytes());
        put(&mut bytes, at::SEGMENT_BASE, mark.segment_base.to_le_bytes());
        put(&mut bytes, at::INCARNATION, mark.incarnation.to_le_bytes());
        mark.tip.write(&mut bytes, at::TIP);
        put(&mut bytes, at::CLEANED, cleaned.to_le_bytes());
        put(&mut bytes, at::SEGMENTS, (segments.len() as u32).to_le_bytes());
        put(&mut bytes, at::EPOCHS, (self.epochs.len() as u32).to_le_bytes());
        for (i, segment) in segments.iter().enumerate() {
            put(&mut bytes, FIXED_BYTES + i * INSTALLED_BYTES, segment.base_offset.to_le_bytes());
            put(&mut bytes, FIXED_BYTES + i * INSTALLED_BYTES + 8, segment.incarnation.to_le_bytes());
        }
        self.epochs.write(&mut bytes, epochs_at);
        layout::seal(&mut bytes, MAGIC);
        bytes
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let epochs_at = FIXED_BYTES + get_u32(bytes, at::SEGMENTS) as usize * INSTALLED_BYTES;
        let epochs_end = epochs_at + get_u32(bytes, at::EPOCHS) as usize * ENTRY_BYTES;
        let installed = bytes.get(FIXED_BYTES..epochs_at)?.chunks_exact(INSTALLED_BYTES);
        let installed = installed
            .map(|entry| Installed { base_offset: get_u64(entry, 0), incarnation: get_u64(entry, 8) });
        let change = match get_u32(bytes, at::KIND) {
            1 => Change::Cut,
            2 => Change::CutInside,
            3 => Change::Install(installed.collect()),
            _ => return None,
        };
        let mark = Mark {
            segment_base: get_u64(bytes, at::SEGMENT_BASE),
            incarnation: get_u64(bytes, at::INCARNATION),
            tip: Tip::read(bytes, at::TIP),
        };
        let (log_start, cleaned) = (get_u64(bytes, at::LOG_START), get_u64(bytes, at::CLEANED));
        let epochs = Epochs::read(bytes.get(epochs_at..epochs_end)?);
        Some(Self { change, checkpoint: Checkpoint { log_start, mark, cleaned }, epochs })
    }

    /// Takes all the steps; the change is over when it returns.
    pub fn finish(&self, disk: &dyn Disk, dir: &Path, checkpoint: &mut Option<CheckpointFile>) -> Result<()> {
        match &self.change {
            Change::Cut => self.remove_behind(disk, dir)?,
            Change::CutInside => {
                self.remove_behind(disk, dir)?;
                self.seal_last(disk, dir)?;
            }
            Change::Install(segments) => {
                install(disk, dir, segments)?;
                producers::remove_behind(disk, dir, None)?;
                if let Some(first) = segments.first() {
                    producers::begin(disk, dir, first.base_offset)?;
                }
            }
        }
        disk.sync_dir(dir).on("sync directory", dir)?;
        self.epochs.store(disk, dir)?;
        match checkpoint {
            Some(file) => file.write_both(self.checkpoint)?,
            None => {
                let file = checkpoint.insert(CheckpointFile::create(disk, dir, self.checkpoint)?);
                file.write_both(self.checkpoint)?;
            }
        }
        disk.remove_file(&dir.join(FILE_NAME)).on("remove", &dir.join(FILE_NAME))?;
        disk.sync_dir(dir).on("sync directory", dir)
    }

    fn remove_behind(&self, disk: &dyn Disk, dir: &Path) -> Result<()> {
        for entry in disk.list(dir).on("list", dir)? {
            let Some(base) = parse_name(&entry.name, LOG_SUFFIX).filter(|base| *base >= self.end()) else {
                continue;
            };
            remove_segment(disk, dir, base)?;
        }
        producers::remove_behind(disk, dir, Some(self.end()))?;
        Ok(())
    }

    /// Ends the segment of the mark there, as if it had been closed then.
    fn seal_last(&self, disk: &dyn Disk, dir: &Path) -> Result<()> {
        let Mark { segment_base, incarnation, tip } = self.checkpoint.mark;
        let path = log_path(dir, segment_base);
        let file = disk.open(&path, OpenMode::Write).on("open", &path)?;
        let block = footer::encode(incarnation, &tip);
        file.write_all_at(&mut [IoSlice::new(&block)], tip.position).on("write footer", &path)?;
        file.set_len(tip.position + FOOTER_BYTES as u64).on("cut", &path)?;
        file.fdatasync().on("fdatasync", &path)
    }
}

/// Removes every segment that is not of `segments`, and gives these their names.
fn install(disk: &dyn Disk, dir: &Path, segments: &[Installed]) -> Result<()> {
    for entry in disk.list(dir).on("list", dir)? {
        let Some(base) = parse_name(&entry.name, LOG_SUFFIX) else { continue };
        let found = incarnation_of(disk, dir, base)?;
        let has_its_name = |segment: &Installed| {
            segment.base_offset == base && found.is_some_and(|found| found == segment.incarnation)
        };
        if !segments.iter().any(has_its_name) {
            // Its index may be that of a new segment already; if not, that sees that it is another's.
            disk.remove_file(&log_path(dir, base)).on("remove", &log_path(dir, base))?;
        }
    }
    for segment in segments {
        let staged = staged_path(dir, segment.base_offset);
        if disk.exists(&staged).on("look for", &staged)? {
            disk.rename(&staged, &log_path(dir, segment.base_offset)).on("rename", &staged)?;
        }
    }
    Ok(())
}

/// The incarnation in the header of the segment, if there is one and its header is good.
fn incarnation_of(disk: &dyn Disk, dir: &Path, base: u64) -> Result<Option<u64>> {
    let path = log_path(dir, base);
    let file = match disk.open(&path, OpenMode::Read) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        result => result.on("open", &path)?,
    };
    let mut block = [0; HEADER_BYTES];
    file.read_up_to_at(&mut block, 0).on("read", &path)?;
    Ok(SegmentHeader::decode(&block).ok().flatten().map(|header| header.incarnation()))
}

fn remove_segment(disk: &dyn Disk, dir: &Path, base: u64) -> Result<()> {
    disk.remove_file(&log_path(dir, base)).on("remove", &log_path(dir, base))?;
    // The index may be gone already.
    let _ = disk.remove_file(&index_path(dir, base));
    Ok(())
}
