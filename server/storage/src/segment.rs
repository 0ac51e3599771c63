//! One segment file: `<base offset, 20 digits>.log` and its `.index`.
//!
//! ```text
//! 0        4096                                         end of data     end of file
//! ├ header ┼─ batch ─ batch ─ batch … ──────────────────┼─ zeros ───────┤   while it is written (preallocated)
//! ├ header ┼─ batch ─ batch ─ batch … ──────────────────┼─ footer 96 B ─┤   once it is sealed
//! ```

pub(crate) mod footer;
pub(crate) mod header;
pub(crate) mod tip;
pub(crate) mod writer;

use std::io::IoSlice;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64};

use parking_lot::Mutex;

use crate::crypt::{KeyBlock, Protection};
use crate::disk::{Disk, DiskFile, OpenMode};
use crate::error::{IoContext, Result};
use crate::index::{Index, IndexStrategy};
use crate::log::Spare;
use footer::FOOTER_BYTES;
use header::{HEADER_BYTES, Replaced, SegmentHeader};
use tip::Tip;

/// Suffix of a file that is not in use yet; removed at start.
pub(crate) const TEMPORARY: &str = ".tmp";
pub(crate) const LOG_SUFFIX: &str = ".log";
pub(crate) const STAGED_SUFFIX: &str = ".staged.log.tmp";
pub(crate) const INDEX_SUFFIX: &str = ".index";

/// An open segment. Sealed ones never change; of the last one only the log's writer changes what is past its end.
#[derive(Debug)]
pub(crate) struct Segment {
    pub base_offset: u64,
    /// Chain value of the batch before this segment.
    pub base_chain: u32,
    pub incarnation: u64,
    pub path: PathBuf,
    pub file: Arc<dyn DiskFile>,
    pub protection: Protection,
    /// The segments that a cleaning put this one in the place of.
    pub replaced: Option<Replaced>,
    /// No record of the closed segment expires before, Unix ms; `i64::MIN` while nobody has looked.
    pub next_expiry: AtomicI64,
    pub index: Mutex<Index>,
    /// Times since the start that an index entry was not what the log has there.
    pub misled: AtomicU64,
}

pub(crate) fn log_path(dir: &Path, base_offset: u64) -> PathBuf {
    dir.join(format!("{base_offset:020}{LOG_SUFFIX}"))
}

pub(crate) fn index_path(dir: &Path, base_offset: u64) -> PathBuf {
    dir.join(format!("{base_offset:020}{INDEX_SUFFIX}"))
}

/// A closed segment that waits to become the log's.
pub(crate) fn staged_path(dir: &Path, base_offset: u64) -> PathBuf {
    dir.join(format!("{base_offset:020}{STAGED_SUFFIX}"))
}

/// The base offset in a segment or index file name with this suffix.
pub(crate) fn parse_name(name: &str, suffix: &str) -> Option<u64> {
    let digits = name.strip_suffix(suffix)?;
    let all_digits = digits.len() == 20 && digits.bytes().all(|b| b.is_ascii_digit());
    if all_digits { digits.parse().ok() } else { None }
}

/// A segment file that is complete on disk under a temporary name.
#[derive(Debug)]
pub(crate) struct PreparedSegment {
    header: SegmentHeader,
    file: Arc<dyn DiskFile>,
    temporary: PathBuf,
    protection: Protection,
}

impl PreparedSegment {
    /// Creates the file with real blocks up to `allocate` bytes and makes it durable. Readers cannot see it yet.
    pub fn create(
        disk: &dyn Disk,
        dir: &Path,
        header: SegmentHeader,
        (protection, key): (Protection, Option<KeyBlock>),
        allocate: u64,
    ) -> Result<Self> {
        let temporary = log_path(dir, header.base_offset.0).with_extension(format!("log{TEMPORARY}"));
        Self::create_at(disk, temporary, header, (protection, key), allocate)
    }

    /// As [`PreparedSegment::create`], under a temporary name of the caller's.
    pub fn create_at(
        disk: &dyn Disk,
        temporary: PathBuf,
        header: SegmentHeader,
        (protection, key): (Protection, Option<KeyBlock>),
        allocate: u64,
    ) -> Result<Self> {
        if disk.exists(&temporary).on("look for", &temporary)? {
            disk.remove_file(&temporary).on("remove", &temporary)?;
        }
        let file = disk.open(&temporary, OpenMode::CreateNew).on("create", &temporary)?;
        let prepared = Self { header, file, temporary, protection };
        prepared.fill(allocate, key.as_ref()).inspect_err(|_| prepared.discard(disk))?;
        Ok(prepared)
    }

    /// Makes a retired file of the same log the next segment: only its header is new, with a data key of its own where
    /// the log is encrypted. Its old batches name another incarnation, and its old footer, too.
    pub fn recycle(
        disk: &dyn Disk,
        header: SegmentHeader,
        (protection, key): (Protection, Option<KeyBlock>),
        spare: Spare,
    ) -> Result<Self> {
        let prepared = Self { header, file: spare.file, temporary: spare.path, protection };
        prepared.fill(0, key.as_ref()).inspect_err(|_| prepared.discard(disk))?;
        Ok(prepared)
    }

    fn fill(&self, allocate: u64, key: Option<&KeyBlock>) -> Result<()> {
        if allocate > 0 {
            self.file.allocate(allocate).on("allocate", &self.temporary)?;
        }
        let block = self.header.encode_with(key);
        self.file.write_all_at(&mut [IoSlice::new(&block)], 0).on("write", &self.temporary)?;
        if cfg!(mutant = "rename_before_sync") {
            return Ok(());
        }
        self.file.fdatasync().on("fdatasync", &self.temporary)
    }

    /// Removes the file; a failure leaves it to the next start.
    pub fn discard(&self, disk: &dyn Disk) {
        if let Err(error) = disk.remove_file(&self.temporary) {
            tracing::warn!(path = %self.temporary.display(), %error, "could not remove a temporary segment");
        }
    }

    /// Gives the file its name, durably. Only then may a batch be written into it.
    pub fn publish(self, disk: &Arc<dyn Disk>, dir: &Path, strategy: IndexStrategy) -> Result<Segment> {
        let path = log_path(dir, self.header.base_offset.0);
        disk.rename(&self.temporary, &path).on("rename", &path)?;
        if !cfg!(mutant = "no_dir_fsync") {
            disk.sync_dir(dir).on("sync directory", dir)?;
        }
        Ok(self.named(disk, dir, strategy))
    }

    /// The segment, whose file has got its name.
    fn named(self, disk: &Arc<dyn Disk>, dir: &Path, strategy: IndexStrategy) -> Segment {
        let path = log_path(dir, self.header.base_offset.0);
        let incarnation = self.header.incarnation();
        let index_path = index_path(dir, self.header.base_offset.0);
        let index = Index::create(disk.clone(), index_path, incarnation, strategy);
        Segment {
            base_offset: self.header.base_offset.0,
            base_chain: self.header.chain,
            incarnation,
            path,
            file: self.file,
            protection: self.protection,
            replaced: self.header.replaced,
            next_expiry: AtomicI64::new(i64::MIN),
            index: Mutex::new(index),
            misled: AtomicU64::new(0),
        }
    }
}

impl Segment {
    /// Cuts the file behind `tip`, writes the footer and makes it all durable: every batch of the segment is on disk
    /// afterwards. After an error from here the log must be poisoned, unless it is a full or read-only disk.
    pub fn seal(&self, tip: &Tip) -> Result<()> {
        let block = footer::encode(self.incarnation, tip);
        self.file.write_all_at(&mut [IoSlice::new(&block)], tip.position).on("write footer", &self.path)?;
        self.file.set_len(tip.position + FOOTER_BYTES as u64).on("cut", &self.path)?;
        if cfg!(mutant = "seal_without_sync") {
            return Ok(());
        }
        self.file.fdatasync().on("fdatasync", &self.path)
    }
}

/// How far to allocate so that `need` bytes fit: doubling from 256 KiB, then steps of 16 MiB, never past the size
/// that a segment of `segment_bytes` can reach.
pub(crate) fn allocation(allocated: u64, need: u64, segment_bytes: u64) -> u64 {
    const FIRST: u64 = 256 << 10;
    const MAX_STEP: u64 = 16 << 20;
    let full = (HEADER_BYTES as u64 + segment_bytes + FOOTER_BYTES as u64).next_multiple_of(4096);
    let wanted = allocated + allocated.clamp(FIRST, MAX_STEP);
    wanted.min(full).max(need.next_multiple_of(4096))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn allocation_grows_and_stays_within_the_segment() {
        let segment = 64 << 20;
        assert_eq!(allocation(0, 4096, segment), 256 << 10);
        assert_eq!(allocation(256 << 10, 300 << 10, segment), 512 << 10);
        assert_eq!(allocation(32 << 20, 33 << 20, segment), 48 << 20);
        assert_eq!(allocation(0, 4096, 1024), 8192, "small segments take little");
        assert_eq!(allocation(0, 5 << 20, 1024), 5 << 20, "a batch larger than a segment still fits");
    }

    #[test]
    fn only_our_own_names_parse() {
        assert_eq!(parse_name("00000000000000000042.log", LOG_SUFFIX), Some(42));
        for bad in
            ["42.log", "00000000000000000042.logx", "+0000000000000000042.log", "99999999999999999999.log"]
        {
            assert_eq!(parse_name(bad, LOG_SUFFIX), None, "{bad}");
        }
    }
}
