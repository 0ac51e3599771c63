//! Many files on few descriptors: a file of a log gives its descriptor up when it has been idle and others need one,
//! and is opened again by its next use.
//!
//! Only clean files are closed. A descriptor with writes that were not synced stays, for the kernel reports a failed
//! write-back to descriptors that were open when it happened. A file that is removed or replaced while somebody still
//! reads it is held open to the end.

mod file;

use std::collections::{HashMap, VecDeque};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};

use parking_lot::Mutex;

use super::{DirEntry, Disk, DiskFile, DiskSpace, LockOutcome, OpenMode, WholeSync};
use file::PooledFile;

/// A disk whose log files share `limit` descriptors.
#[derive(Debug)]
pub(crate) struct PooledDisk {
    inner: Arc<dyn Disk>,
    pool: Arc<Pool>,
}

#[derive(Debug)]
struct Pool {
    limit: usize,
    state: Mutex<PoolState>,
}

#[derive(Debug, Default)]
struct PoolState {
    /// Descriptors that pooled files have.
    open: usize,
    /// Files that have one, the longest unused ones first, about.
    clock: VecDeque<Weak<PooledFile>>,
    /// A file may be open more than once.
    by_path: HashMap<PathBuf, Vec<Weak<PooledFile>>>,
}

/// Fewer make no progress.
const LEAST: usize = 8;
/// Of too many open files in the process, as the system counts them.
const EMFILE: i32 = 24;

impl PooledDisk {
    pub fn new(inner: Arc<dyn Disk>, limit: usize) -> Self {
        let pool = Pool { limit: limit.max(LEAST), state: Mutex::default() };
        Self { inner, pool: Arc::new(pool) }
    }

    /// Keeps the file at `path`, if it is in use, readable though its name goes.
    fn hold(&self, path: &Path) {
        for file in self.pool.at(path) {
            if let Err(error) = file.hold() {
                tracing::debug!(path = %path.display(), %error, "a file goes that could not be held open");
            }
        }
    }
}

/// Segments and checkpoints: each partition has some. Indexes look after themselves.
fn is_pooled(path: &Path) -> bool {
    let name = path.file_name().map(|name| name.to_string_lossy()).unwrap_or_default();
    let name = name.strip_suffix(".tmp").unwrap_or(&name);
    name.ends_with(".log") || name == "checkpoint"
}

impl Pool {
    /// Counts one descriptor more, for which an idle file gives one up if need be.
    ///
    /// # Errors
    /// `EMFILE` when every file has writes that are not synced.
    fn take_one(&self, file: &Weak<PooledFile>) -> io::Result<()> {
        // Dropped after the lock: the last owner of a file gives its descriptor back under it.
        let mut seen = Vec::new();
        let mut state = self.state.lock();
        if state.open >= self.limit && !state.evict_one(&mut seen) {
            return Err(io::Error::from_raw_os_error(EMFILE));
        }
        state.open += 1;
        state.clock.push_back(file.clone());
        if state.clock.len() > 2 * state.open + LEAST {
            state.clock.retain(|file| file.strong_count() > 0);
        }
        drop(state);
        Ok(())
    }

    fn at(&self, path: &Path) -> Vec<Arc<PooledFile>> {
        let state = self.state.lock();
        state.by_path.get(path).into_iter().flatten().filter_map(Weak::upgrade).collect()
    }

    fn give_back(&self) {
        self.state.lock().open -= 1;
    }

    /// The system itself has no more: one of ours goes.
    fn evict_one(&self) -> bool {
        let mut seen = Vec::new();
        self.state.lock().evict_one(&mut seen)
    }
}

impl PoolState {
    fn evict_one(&mut self, seen: &mut Vec<Arc<PooledFile>>) -> bool {
        // Twice round: the first pass takes the mark of use away.
        for _ in 0..2 * self.clock.len() {
            let Some(weak) = self.clock.pop_front() else { return false };
            let Some(file) = weak.upgrade() else { continue };
            match file.try_close() {
                file::Closing::Closed => {
                    self.open -= 1;
                    seen.push(file);
                    return true;
                }
                file::Closing::HadNone => {}
                file::Closing::Needed => self.clock.push_back(weak),
            }
            seen.push(file);
        }
        false
    }
}

impl Disk for PooledDisk {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn DiskFile>> {
        if !is_pooled(path) {
            return self.inner.open(path, mode);
        }
        let file = PooledFile::new(self.inner.clone(), self.pool.clone(), path, mode)?;
        let mut state = self.pool.state.lock();
        state.by_path.entry(path.to_owned()).or_default().push(Arc::downgrade(&file));
        drop(state);
        Ok(file)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.hold(to);
        let files = self.pool.at(from);
        if files.is_empty() {
            return self.inner.rename(from, to);
        }
        // None of them is opened while the name is neither the old nor the new one.
        let mut renaming: Vec<_> = files.iter().map(|file| file.renaming()).collect();
        self.inner.rename(from, to)?;
        renaming.iter_mut().for_each(|file| file.now_at(to));
        drop(renaming);
        let mut state = self.pool.state.lock();
        state.by_path.remove(from);
        state.by_path.insert(to.to_owned(), files.iter().map(Arc::downgrade).collect());
        drop(state);
        Ok(())
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.hold(path);
        self.inner.remove_file(path)?;
        self.pool.state.lock().by_path.remove(path);
        Ok(())
    }

    fn whole(&self, dir: &Path) -> io::Result<Option<Arc<dyn WholeSync>>> {
        self.inner.whole(dir)
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        self.inner.remove_dir(path)
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        self.inner.create_dir(path)
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

#[cfg(test)]
mod tests;
