//! Free space of the data disk: who may still write when it runs out, and when everybody may again.
//!
//! Below a watermark (`min_free_bytes`) records are refused, while the disk still has room for what must go on:
//! committed offsets, metadata, checkpoints, deletions. Should the disk fill up all the same (other programs write to
//! it, too), a reserve file with real blocks is given up for them. The watch looks at the disk a few times a second,
//! never an append, and opens the log again by itself once there is space and the reserve is back.

mod vital;
mod watch;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use crate::disk::{Disk, OpenMode};
use crate::error::{Result, StorageError};

pub(crate) use vital::VitalDisk;
pub(crate) use watch::start as start_watch;

/// The reserve, beside `meta.json`: zeros, never read.
pub(crate) const RESERVE_FILE: &str = "reserve";

/// Automatic watermark: this share of the disk, at most [`MAX_AUTO_MIN_FREE`].
const AUTO_MIN_FREE_SHARE: u64 = 20;
const MAX_AUTO_MIN_FREE: u64 = 512 << 20;
/// Automatic reserve: this share of the disk, at most [`MAX_AUTO_RESERVE`].
const AUTO_RESERVE_SHARE: u64 = 32;
const MAX_AUTO_RESERVE: u64 = 32 << 20;

/// Who looks at the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SpaceWatch {
    /// A thread, this often.
    Every(Duration),
    /// The owner calls [`crate::DataDir::check_space`].
    Manual,
    /// Nobody: no watermark, no reserve.
    Off,
}

/// How much of the disk is kept free, and by whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SpaceOptions {
    /// Records are refused below so many free bytes; `None` = 5 % of the disk, at most 512 MiB.
    pub min_free: Option<u64>,
    /// Bytes of the reserve file; `None` = 1/32 of the disk, at most 32 MiB.
    pub reserve: Option<u64>,
    pub watch: SpaceWatch,
}

impl SpaceOptions {
    /// Nobody watches.
    pub const OFF: Self = Self { min_free: Some(0), reserve: Some(0), watch: SpaceWatch::Off };
}

impl Default for SpaceOptions {
    /// Automatic sizes, watched twice a second.
    fn default() -> Self {
        Self { min_free: None, reserve: None, watch: SpaceWatch::Every(Duration::from_millis(500)) }
    }
}

/// What the data disk takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[repr(u8)]
pub enum SpaceState {
    /// Everything.
    #[default]
    Enough = 0,
    /// Less is free than the watermark: no records, all else.
    Low = 1,
    /// A write found no space (or quota): no records; the rest lives on the reserve.
    Full = 2,
    /// The file system is read-only: nothing.
    ReadOnly = 3,
}

/// The data disk at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SpaceReport {
    pub state: SpaceState,
    /// Bytes that this process may still allocate, as last seen.
    pub free: u64,
    /// Bytes of the file system.
    pub total: u64,
    /// The watermark.
    pub min_free: u64,
    /// Bytes in the reserve file: 0 while it is given up.
    pub reserve: u64,
    /// Writes that found the disk full, since the start.
    pub full_errors: u64,
    /// Writes that found the disk read-only, since the start.
    pub read_only_errors: u64,
    /// Logs that a failed write or fdatasync has closed for appends, since the start.
    pub failed_logs: u64,
}

/// Shared by all logs of a data directory.
#[derive(Debug)]
pub(crate) struct Space {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    options: SpaceOptions,
    state: AtomicU8,
    free: AtomicU64,
    total: AtomicU64,
    /// Bytes of the reserve file that is there; the lock orders releasing and rebuilding.
    reserve: Mutex<u64>,
    full_errors: AtomicU64,
    read_only_errors: AtomicU64,
    failed_logs: AtomicU64,
    /// Stops the watch.
    stopping: Mutex<bool>,
    wake: Condvar,
}

impl Space {
    pub fn new(disk: Arc<dyn Disk>, dir: PathBuf, options: SpaceOptions) -> Self {
        Self {
            disk,
            dir,
            options,
            state: AtomicU8::new(SpaceState::Enough as u8),
            free: AtomicU64::new(u64::MAX),
            total: AtomicU64::new(0),
            reserve: Mutex::new(0),
            full_errors: AtomicU64::new(0),
            read_only_errors: AtomicU64::new(0),
            failed_logs: AtomicU64::new(0),
            stopping: Mutex::new(false),
            wake: Condvar::new(),
        }
    }

    pub fn state(&self) -> SpaceState {
        match self.state.load(Ordering::Acquire) {
            1 => SpaceState::Low,
            2 => SpaceState::Full,
            3 => SpaceState::ReadOnly,
            _ => SpaceState::Enough,
        }
    }

    pub fn report(&self) -> SpaceReport {
        let total = self.total.load(Ordering::Relaxed);
        SpaceReport {
            state: self.state(),
            free: self.free.load(Ordering::Relaxed),
            total,
            min_free: self.min_free(total),
            reserve: *self.reserve.lock(),
            full_errors: self.full_errors.load(Ordering::Relaxed),
            read_only_errors: self.read_only_errors.load(Ordering::Relaxed),
            failed_logs: self.failed_logs.load(Ordering::Relaxed),
        }
    }

    /// Whether records may be written: one load, for every append.
    ///
    /// # Errors
    /// `SpaceLow`, `DiskFull`, `ReadOnly`.
    pub fn admit(&self) -> Result<()> {
        match self.state() {
            SpaceState::Enough => Ok(()),
            SpaceState::Low => Err(self.low()),
            SpaceState::Full => Err(StorageError::DiskFull { path: self.dir.clone() }),
            SpaceState::ReadOnly => Err(StorageError::ReadOnly { path: self.dir.clone() }),
        }
    }

    /// Takes `bytes` more blocks for records, or refuses. It asks the disk: for allocations only.
    ///
    /// # Errors
    /// `SpaceLow`.
    pub fn admit_allocation(&self, bytes: u64) -> Result<()> {
        if self.has_room(bytes) {
            return Ok(());
        }
        // Smaller batches may still find room, unless the mark is near.
        if self.has_room(self.slack()) { Err(self.low()) } else { self.enter(SpaceState::Low).admit() }
    }

    /// Whether `bytes` more may be taken without going below the mark.
    pub fn has_room(&self, bytes: u64) -> bool {
        if self.options.watch == SpaceWatch::Off {
            return true;
        }
        let Ok(space) = self.disk.space(&self.dir) else { return true };
        self.free.store(space.free, Ordering::Relaxed);
        let min_free = self.min_free(space.total);
        min_free == 0 || space.free >= min_free.saturating_add(bytes)
    }

    /// Room above the mark that opens the log again, so that it does not flap.
    fn slack(&self) -> u64 {
        self.min_free(self.total.load(Ordering::Relaxed)) / 8
    }

    fn low(&self) -> StorageError {
        let report = self.report();
        StorageError::SpaceLow { path: self.dir.clone(), free: report.free, min_free: report.min_free }
    }

    /// Learns from an error of any write in the data directory.
    pub fn learn(&self, error: &StorageError) {
        if matches!(error, StorageError::DiskFull { .. }) {
            self.met_full();
        } else if matches!(error, StorageError::ReadOnly { .. }) {
            self.met_read_only();
        }
    }

    /// Counts a log that takes no more appends.
    pub fn count_failed_log(&self) {
        self.failed_logs.fetch_add(1, Ordering::Relaxed);
    }

    fn learn_io(&self, error: &io::Error) {
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => self.met_full(),
            io::ErrorKind::ReadOnlyFilesystem => self.met_read_only(),
            _other => {}
        }
    }

    fn met_full(&self) {
        if self.options.watch == SpaceWatch::Off || self.state() == SpaceState::Full {
            return;
        }
        self.full_errors.fetch_add(1, Ordering::Relaxed);
        self.enter(SpaceState::Full);
        self.release_reserve();
    }

    fn met_read_only(&self) {
        if self.options.watch == SpaceWatch::Off || self.state() == SpaceState::ReadOnly {
            return;
        }
        self.read_only_errors.fetch_add(1, Ordering::Relaxed);
        self.enter(SpaceState::ReadOnly);
    }

    /// Looks at the disk, and moves to the state that it is in.
    pub fn check(&self) {
        if self.options.watch == SpaceWatch::Off {
            return;
        }
        let space = match self.disk.space(&self.dir) {
            Ok(space) => space,
            Err(error) => {
                tracing::debug!(%error, "cannot ask for the free space of the data disk");
                return;
            }
        };
        self.free.store(space.free, Ordering::Relaxed);
        self.total.store(space.total, Ordering::Relaxed);
        let state = self.state();
        let missing = self.reserve_wanted(space.total).saturating_sub(*self.reserve.lock());
        let min_free = self.min_free(space.total);
        let slack = if state == SpaceState::Enough { 0 } else { self.slack() };
        let next = if space.read_only {
            SpaceState::ReadOnly
        } else if space.free < min_free.saturating_add(missing).saturating_add(slack) {
            self.without_space(state, space.free < min_free)
        } else if self.proven(state, space.total) {
            SpaceState::Enough
        } else {
            state
        };
        self.enter(next);
    }

    /// There is no room for the reserve, or not even for records.
    fn without_space(&self, state: SpaceState, below_mark: bool) -> SpaceState {
        match state {
            SpaceState::Full => SpaceState::Full,
            SpaceState::ReadOnly if !self.can_write() => SpaceState::ReadOnly,
            // A reserve that was never made is no reason to refuse records.
            SpaceState::Enough if !below_mark => SpaceState::Enough,
            SpaceState::Enough | SpaceState::Low | SpaceState::ReadOnly => SpaceState::Low,
        }
    }

    /// Whether the disk takes writes again: after an error by trying, for a quota shows no other way.
    fn proven(&self, state: SpaceState, total: u64) -> bool {
        let wanted = self.reserve_wanted(total);
        let there = *self.reserve.lock();
        match state {
            SpaceState::Enough | SpaceState::Low if there == wanted => true,
            SpaceState::Enough => {
                // Records are taken without a reserve, too.
                self.build_reserve(wanted);
                true
            }
            SpaceState::Low | SpaceState::Full => self.build_reserve(wanted),
            SpaceState::ReadOnly => self.can_write() && (there == wanted || self.build_reserve(wanted)),
        }
    }

    fn can_write(&self) -> bool {
        let path = self.dir.join("reserve.tmp");
        let made = self.disk.open(&path, OpenMode::CreateNew);
        let exists = matches!(&made, Err(error) if error.kind() == io::ErrorKind::AlreadyExists);
        (made.is_ok() || exists) && self.disk.remove_file(&path).is_ok()
    }

    fn enter(&self, next: SpaceState) -> &Self {
        let before = self.state.swap(next as u8, Ordering::AcqRel);
        if before != next as u8 {
            self.announce(next);
        }
        self
    }

    /// One line for each change, however many requests it refuses.
    fn announce(&self, next: SpaceState) {
        let report = self.report();
        let (dir, free, min_free) = (self.dir.display(), report.free, report.min_free);
        match next {
            SpaceState::Enough => {
                tracing::info!(%dir, free, min_free, "the data disk has space: records are accepted again");
            }
            SpaceState::Low => tracing::warn!(
                %dir, free, min_free,
                "the data disk is nearly full: records are refused, reads, commits and deletions go on"
            ),
            SpaceState::Full => tracing::error!(
                %dir, free, min_free,
                "the data disk is full: records are refused, commits and deletions live on the reserve"
            ),
            SpaceState::ReadOnly => tracing::error!(%dir, "the data disk is read-only: reads go on"),
        }
    }

    fn min_free(&self, total: u64) -> u64 {
        self.options.min_free.unwrap_or_else(|| (total / AUTO_MIN_FREE_SHARE).min(MAX_AUTO_MIN_FREE))
    }

    fn reserve_wanted(&self, total: u64) -> u64 {
        self.options.reserve.unwrap_or_else(|| (total / AUTO_RESERVE_SHARE).min(MAX_AUTO_RESERVE))
    }

    fn reserve_path(&self) -> PathBuf {
        self.dir.join(RESERVE_FILE)
    }

    /// Takes over the reserve of the process before.
    pub fn adopt_reserve(&self) {
        let Ok(file) = self.disk.open(&self.reserve_path(), OpenMode::Read) else { return };
        *self.reserve.lock() = file.size().unwrap_or(0);
    }

    /// Makes the reserve anew; says whether it is there.
    fn build_reserve(&self, bytes: u64) -> bool {
        let mut reserve = self.reserve.lock();
        let path = self.reserve_path();
        match build(&*self.disk, &path, bytes) {
            Ok(()) => {
                *reserve = bytes;
                true
            }
            Err(error) => {
                tracing::debug!(%error, bytes, "cannot make the reserve file");
                *reserve = 0;
                if let Err(error) = remove_if_there(&*self.disk, &path) {
                    tracing::debug!(%error, "cannot remove the reserve file");
                }
                false
            }
        }
    }

    /// Gives the reserve's blocks back to the disk.
    fn release_reserve(&self) {
        let mut reserve = self.reserve.lock();
        if *reserve > 0 {
            if let Err(error) = self.disk.remove_file(&self.reserve_path()) {
                tracing::warn!(%error, "cannot give up the reserve file");
            }
            *reserve = 0;
        }
    }
}

fn remove_if_there(disk: &dyn Disk, path: &Path) -> io::Result<()> {
    match disk.remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}

fn build(disk: &dyn Disk, path: &Path, bytes: u64) -> io::Result<()> {
    remove_if_there(disk, path)?;
    if bytes == 0 {
        return Ok(());
    }
    disk.open(path, OpenMode::CreateNew)?.allocate(bytes)
}

#[cfg(test)]
mod tests;
