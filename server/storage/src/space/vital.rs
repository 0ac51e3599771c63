//! The disk as those see it whose writes must go on when it is full: committed offsets, metadata, checkpoints,
//! deletions. What finds no space is tried once more with the blocks of the reserve.

use std::io::{self, IoSlice};
use std::path::Path;
use std::sync::Arc;

use super::{Space, SpaceWatch};
use crate::disk::{DirEntry, Disk, DiskFile, DiskSpace, FileMap, LockOutcome, OpenMode, WholeSync};

#[derive(Debug)]
pub(crate) struct VitalDisk {
    inner: Arc<dyn Disk>,
    space: Arc<Space>,
}

#[derive(Debug)]
struct VitalFile {
    inner: Arc<dyn DiskFile>,
    space: Arc<Space>,
}

impl VitalDisk {
    pub fn new(inner: Arc<dyn Disk>, space: Arc<Space>) -> Self {
        Self { inner, space }
    }
}

impl Space {
    /// Only for operations that have changed nothing when they find no space.
    fn with_reserve<T>(&self, mut operation: impl FnMut() -> io::Result<T>) -> io::Result<T> {
        let first = operation();
        let Err(error) = &first else { return first };
        self.learn_io(error);
        let full = matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded);
        if full && self.options.watch != SpaceWatch::Off {
            // Another thread may be about to release it: the lock waits for that.
            self.release_reserve();
            return operation();
        }
        first
    }
}

impl Disk for VitalDisk {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn DiskFile>> {
        let inner = self.space.with_reserve(|| self.inner.open(path, mode))?;
        Ok(Arc::new(VitalFile { inner, space: self.space.clone() }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.space.with_reserve(|| self.inner.rename(from, to))
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.space.with_reserve(|| self.inner.remove_file(path))
    }

    fn whole(&self, dir: &Path) -> io::Result<Option<Arc<dyn WholeSync>>> {
        self.inner.whole(dir)
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        self.space.with_reserve(|| self.inner.remove_dir(path))
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        self.space.with_reserve(|| self.inner.create_dir(path))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<DirEntry>> {
        self.inner.list(dir)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.inner.sync_dir(dir)
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        self.inner.exists(path)
    }

    fn space(&self, path: &Path) -> io::Result<DiskSpace> {
        self.inner.space(path)
    }

    fn lock_exclusive(&self, path: &Path) -> io::Result<LockOutcome> {
        self.inner.lock_exclusive(path)
    }
}

impl DiskFile for VitalFile {
    fn pread(&self, buf: &mut [u8], at: u64) -> io::Result<usize> {
        self.inner.pread(buf, at)
    }

    fn pwritev(&self, bufs: &[IoSlice<'_>], at: u64) -> io::Result<usize> {
        self.space.with_reserve(|| self.inner.pwritev(bufs, at))
    }

    fn fdatasync(&self) -> io::Result<()> {
        self.inner.fdatasync()
    }

    fn allocate(&self, len: u64) -> io::Result<()> {
        self.space.with_reserve(|| self.inner.allocate(len))
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.space.with_reserve(|| self.inner.set_len(len))
    }

    fn size(&self) -> io::Result<u64> {
        self.inner.size()
    }

    fn drop_cache(&self) -> io::Result<()> {
        self.inner.drop_cache()
    }

    fn map(&self, len: usize) -> io::Result<Option<Box<dyn FileMap>>> {
        self.inner.map(len)
    }
}
