//! One file of the pool.

use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};

use parking_lot::{Mutex, MutexGuard};

use super::{EMFILE, Pool};
use crate::disk::{Disk, DiskFile, FileMap, OpenMode};

#[derive(Debug)]
pub(super) struct PooledFile {
    disk: Arc<dyn Disk>,
    pool: Arc<Pool>,
    me: Weak<PooledFile>,
    /// How it is opened again.
    mode: OpenMode,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    path: PathBuf,
    file: Option<Arc<dyn DiskFile>>,
    /// Writes so far, and how many of them a sync has covered.
    writes: u64,
    synced: u64,
    used: bool,
    /// Its name is gone or another file's: it can never be opened again.
    held: bool,
}

/// A file that gets another name.
pub(super) struct Renaming<'a>(MutexGuard<'a, State>);

impl Renaming<'_> {
    pub fn now_at(&mut self, path: &Path) {
        path.clone_into(&mut self.0.path);
    }
}

/// What came of asking a file for its descriptor.
pub(super) enum Closing {
    Closed,
    HadNone,
    /// In use, just used, not synced, or without a name.
    Needed,
}

impl PooledFile {
    pub fn new(disk: Arc<dyn Disk>, pool: Arc<Pool>, path: &Path, mode: OpenMode) -> io::Result<Arc<Self>> {
        let again = match mode {
            OpenMode::Read => OpenMode::Read,
            OpenMode::Write | OpenMode::CreateNew => OpenMode::Write,
        };
        let writes = u64::from(mode == OpenMode::CreateNew);
        let path = path.to_owned();
        let state = State { path, file: None, writes, synced: 0, used: true, held: false };
        let file =
            Arc::new_cyclic(|me| Self { disk, pool, me: me.clone(), mode: again, state: Mutex::new(state) });
        file.open(&mut file.state.lock(), mode)?;
        Ok(file)
    }

    fn open(&self, state: &mut State, mode: OpenMode) -> io::Result<Arc<dyn DiskFile>> {
        self.pool.take_one(&self.me)?;
        let mut opened = self.disk.open(&state.path, mode);
        if matches!(&opened, Err(error) if error.raw_os_error() == Some(EMFILE)) && self.pool.evict_one() {
            opened = self.disk.open(&state.path, mode);
        }
        let file = opened.inspect_err(|_| self.pool.give_back())?;
        state.file = Some(file.clone());
        Ok(file)
    }

    /// The open file; what it is wanted for counts as a write or not.
    fn get(&self, writes: u64) -> io::Result<Arc<dyn DiskFile>> {
        let mut state = self.state.lock();
        state.used = true;
        let file = match &state.file {
            Some(file) => file.clone(),
            None => self.open(&mut state, self.mode)?,
        };
        state.writes += writes;
        Ok(file)
    }

    pub fn hold(&self) -> io::Result<()> {
        let mut state = self.state.lock();
        if state.file.is_none() {
            self.open(&mut state, self.mode)?;
        }
        state.held = true;
        Ok(())
    }

    /// Nobody opens the file until this is dropped.
    pub fn renaming(&self) -> Renaming<'_> {
        Renaming(self.state.lock())
    }

    pub fn try_close(&self) -> Closing {
        let Some(mut state) = self.state.try_lock() else { return Closing::Needed };
        let used = std::mem::replace(&mut state.used, false);
        match &state.file {
            None => Closing::HadNone,
            Some(_) if used || state.held || state.writes != state.synced => Closing::Needed,
            Some(_) => {
                state.file = None;
                Closing::Closed
            }
        }
    }
}

impl Drop for PooledFile {
    fn drop(&mut self) {
        if self.state.get_mut().file.take().is_some() {
            self.pool.give_back();
        }
        let mut pool = self.pool.state.lock();
        let path = &self.state.get_mut().path;
        if let Some(files) = pool.by_path.get_mut(path) {
            files.retain(|file| file.strong_count() > 0);
            if files.is_empty() {
                pool.by_path.remove(path);
            }
        }
    }
}

impl DiskFile for PooledFile {
    fn pread(&self, buf: &mut [u8], at: u64) -> io::Result<usize> {
        self.get(0)?.pread(buf, at)
    }

    fn pwritev(&self, bufs: &[IoSlice<'_>], at: u64) -> io::Result<usize> {
        self.get(1)?.pwritev(bufs, at)
    }

    fn fdatasync(&self) -> io::Result<()> {
        let file = self.get(0)?;
        let writes = self.state.lock().writes;
        file.fdatasync()?;
        let mut state = self.state.lock();
        state.synced = state.synced.max(writes);
        Ok(())
    }

    fn writes(&self) -> u64 {
        self.state.lock().writes
    }

    fn note_synced(&self, writes: u64) {
        let mut state = self.state.lock();
        state.synced = state.synced.max(writes);
    }

    fn allocate(&self, len: u64) -> io::Result<()> {
        self.get(1)?.allocate(len)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.get(1)?.set_len(len)
    }

    fn size(&self) -> io::Result<u64> {
        self.get(0)?.size()
    }

    fn drop_cache(&self) -> io::Result<()> {
        self.get(0)?.drop_cache()
    }

    fn map(&self, len: usize) -> io::Result<Option<Box<dyn FileMap>>> {
        self.get(0)?.map(len)
    }
}
