//! The only way to a disk: everything else in this crate goes through [`Disk`] and [`DiskFile`], so that
//! the same code runs on a real file system ([`RealDisk`]) and on one that crashes on demand ([`SimDisk`]).

mod map;
mod pool;
mod real;
mod sim;

use std::fmt::Debug;
use std::io::{self, IoSlice};
use std::path::Path;
use std::sync::Arc;

pub(crate) use pool::PooledDisk;
pub use real::RealDisk;
pub use sim::{FaultOp, SimDisk};

/// How [`Disk::open`] opens a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OpenMode {
    /// Existing file, for reading.
    Read,
    /// Existing file, for reading and writing.
    Write,
    /// New file, mode 0600; an existing one is an error (`AlreadyExists`).
    CreateNew,
}

/// One entry of a directory.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct DirEntry {
    /// Name inside the directory. Names that are not UTF-8 come in their lossy form.
    pub name: String,
    pub is_dir: bool,
}

/// A file system at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DiskSpace {
    /// Bytes that this process may still allocate.
    pub free: u64,
    /// Bytes of the whole file system.
    pub total: u64,
    pub read_only: bool,
}

/// A lock on a file, held until it is dropped.
pub trait DiskLock: Send + Sync + Debug {}

/// What came of [`Disk::lock_exclusive`].
#[derive(Debug)]
pub enum LockOutcome {
    Locked(Box<dyn DiskLock>),
    /// Another process has it; its process id where the lock file says so.
    HeldBy(Option<u32>),
}

/// Whether somebody works on what a lock file guards.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LockState {
    Free,
    /// A process has it; its id where the lock file says so.
    HeldBy(Option<u32>),
}

/// A file system. Paths are those of the one data directory; no method follows user text.
///
/// Durability contract, the same as POSIX on a journaling file system: written bytes survive a power cut after
/// [`DiskFile::fdatasync`]; a created, renamed or removed name survives after [`Disk::sync_dir`] of its parent.
pub trait Disk: Send + Sync + Debug {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn DiskFile>>;

    /// Atomically replaces `to`.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    fn remove_file(&self, path: &Path) -> io::Result<()>;

    /// Removes an empty directory.
    fn remove_dir(&self, path: &Path) -> io::Result<()>;

    /// Creates one directory level with mode 0700; an existing directory is not an error.
    fn create_dir(&self, path: &Path) -> io::Result<()>;

    /// The entries of a directory, sorted by name, without `.` and `..`.
    fn list(&self, dir: &Path) -> io::Result<Vec<DirEntry>>;

    fn sync_dir(&self, dir: &Path) -> io::Result<()>;

    fn exists(&self, path: &Path) -> io::Result<bool>;

    /// The file system of `path`.
    fn space(&self, path: &Path) -> io::Result<DiskSpace>;

    /// Takes an exclusive lock on the file, which is created where needed and then holds this process's id.
    fn lock_exclusive(&self, path: &Path) -> io::Result<LockOutcome>;

    /// A way to sync everything that lies on the file system of `dir` at once; none where it could not be trusted. Ask
    /// for it before anything is written: it tells of failures since then.
    fn whole(&self, _dir: &Path) -> io::Result<Option<Arc<dyn WholeSync>>> {
        Ok(None)
    }

    /// Looks at the lock without taking it, and without writing anything. Free where there is no such file.
    fn lock_state(&self, _path: &Path) -> io::Result<LockState> {
        Ok(LockState::Free)
    }
}

/// See [`Disk::whole`].
pub trait WholeSync: Send + Sync + Debug {
    /// Returns when everything that was written to any file before the call is on the disk. After an error this can never
    /// be trusted again: it has been told, once, and nobody knows of which file; each file's own
    /// [`DiskFile::fdatasync`] still tells of that one.
    fn sync(&self) -> io::Result<()>;
}

/// An open file; all methods may be called from several threads.
pub trait DiskFile: Send + Sync + Debug {
    /// Reads at most `buf.len()` bytes at `at`; 0 at the end of the file.
    fn pread(&self, buf: &mut [u8], at: u64) -> io::Result<usize>;

    /// Writes a prefix of the buffers at `at` and returns its length; short writes are legal.
    fn pwritev(&self, bufs: &[IoSlice<'_>], at: u64) -> io::Result<usize>;

    /// Returns when the bytes written so far (and the length) are on the disk. After an error nothing is known
    /// about the bytes written since the last success, and calling again proves nothing: never retry.
    fn fdatasync(&self) -> io::Result<()>;

    /// Counts the writes so far.
    fn writes(&self) -> u64 {
        0
    }

    /// A [`WholeSync`] that began when the file had so many writes was successful.
    fn note_synced(&self, _writes: u64) {}

    /// Takes real blocks for `[0, len)` and makes the file at least that long; new bytes read as zero.
    fn allocate(&self, len: u64) -> io::Result<()>;

    /// Cuts or extends (with zeros, without blocks) the file.
    fn set_len(&self, len: u64) -> io::Result<()>;

    fn size(&self) -> io::Result<u64>;

    /// Forgets what memory holds of the file's synced bytes, so that the next read asks the disk: after a failed
    /// fdatasync in an earlier process, memory may show bytes that never got there.
    fn drop_cache(&self) -> io::Result<()>;

    /// Maps `[0, len)` of an allocated file into memory, where the disk can: `None` means use pread and pwrite.
    fn map(&self, _len: usize) -> io::Result<Option<Box<dyn FileMap>>> {
        Ok(None)
    }
}

/// A shared, writable memory map of a file that has real blocks for every mapped byte.
pub trait FileMap: Send + Sync + Debug {
    fn bytes(&self) -> &[u8];
    fn bytes_mut(&mut self) -> &mut [u8];
}

impl dyn DiskFile + '_ {
    /// Reads exactly `buf.len()` bytes; `UnexpectedEof` where the file ends before.
    pub fn read_exact_at(&self, buf: &mut [u8], at: u64) -> io::Result<()> {
        let read = self.read_up_to_at(buf, at)?;
        if read < buf.len() { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(()) }
    }

    /// Reads until `buf` is full or the file ends; returns the number of bytes read.
    pub fn read_up_to_at(&self, buf: &mut [u8], at: u64) -> io::Result<usize> {
        let mut done = 0;
        while done < buf.len() {
            match self.pread(&mut buf[done..], at + done as u64) {
                Ok(0) => break,
                Ok(n) => done += n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok(done)
    }

    /// Writes all buffers, going on after short writes and interruptions. After an error a prefix may be written.
    pub fn write_all_at(&self, mut bufs: &mut [IoSlice<'_>], mut at: u64) -> io::Result<()> {
        IoSlice::advance_slices(&mut bufs, 0);
        while !bufs.is_empty() {
            let chunk = bufs.len().min(MAX_IO_SLICES);
            match self.pwritev(&bufs[..chunk], at) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(n) => {
                    at += n as u64;
                    IoSlice::advance_slices(&mut bufs, n);
                    if cfg!(mutant = "short_write_believed") {
                        return Ok(());
                    }
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }
}

/// Linux takes at most 1,024 buffers in one vectored write (`IOV_MAX`).
const MAX_IO_SLICES: usize = 1_024;
