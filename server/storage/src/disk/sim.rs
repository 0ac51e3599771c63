//! A file system in memory that loses what was not synced when it crashes, tears writes at 512-byte sectors,
//! and fails where a test asks for it.

mod state;

use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Condvar, Mutex, MutexGuard};

use super::{DirEntry, Disk, DiskFile, DiskLock, DiskSpace, LockOutcome, OpenMode, WholeSync};
use flymq_types::Rng;
use state::{InodeId, State};

/// Operations that [`SimDisk::fail`] can make fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FaultOp {
    Write,
    Fdatasync,
    WholeSync,
    SyncDir,
    Allocate,
}

/// An in-memory disk. Clones share one disk. Use [`SimDisk::crash`] for a power cut: handles opened before it
/// are dead, and the next open sees only what survived.
#[derive(Debug, Clone, Default)]
pub struct SimDisk(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    /// The power was cut.
    cut: Condvar,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    /// Waits as long as a sync takes, with the disk free for others, or until the power of that boot is cut.
    fn lock_for_a_sync(&self, boot: u64) -> MutexGuard<'_, State> {
        let mut state = self.lock();
        let time = state.sync_time;
        if !time.is_zero() {
            state.syncs_under_way += 1;
            self.cut.wait_while_for(&mut state, |state| state.boot == boot, time);
            state.syncs_under_way -= 1;
        }
        state
    }
}

impl SimDisk {
    pub fn new() -> Self {
        Self::default()
    }

    /// Cuts the power: un-synced writes and names each survive or not, whole or in 512-byte parts, as `rng` says.
    pub fn crash(&self, rng: &dyn Rng) {
        self.0.lock().crash(Some(rng));
        self.0.cut.notify_all();
    }

    /// Cuts the power in the worst way: nothing survives that was not synced.
    pub fn crash_losing_all(&self) {
        self.0.lock().crash(None);
        self.0.cut.notify_all();
    }

    /// The disk as the process that is about to start sees it: every call fails once the power was cut, or the process ended.
    /// What outlives that in a test can neither write nor be told that anything is saved.
    pub fn process(&self) -> Arc<dyn Disk> {
        Arc::new(self.now())
    }

    fn now(&self) -> SimProcess {
        SimProcess { disk: self.0.clone(), boot: self.0.lock().boot }
    }

    /// A disk with the same contents that goes its own way.
    #[must_use]
    pub fn fork(&self) -> Self {
        Self(Arc::new(Shared { state: Mutex::new(self.0.lock().clone()), cut: Condvar::new() }))
    }

    /// Kills the process, not the machine: handles are dead and locks gone, written bytes stay.
    pub fn restart(&self) {
        self.0.lock().restart();
        self.0.cut.notify_all();
    }

    /// From now on every operation that changes the disk fails after `operations` more have gone through, until a
    /// crash. With [`SimDisk::crash`] this stops a procedure between any two of its steps.
    pub fn stop_after(&self, operations: u64) {
        self.0.lock().stop_after = Some(operations);
    }

    /// Whether a stop set by [`SimDisk::stop_after`] has been reached.
    pub fn stopped(&self) -> bool {
        self.0.lock().stop_after == Some(0)
    }

    /// Makes the `nth` next operation of the kind fail once with the error number (1 = the very next). A failed
    /// fdatasync drops the pages, as Linux does: the bytes are still read back but no later sync saves them.
    pub fn fail(&self, op: FaultOp, nth: u64, errno: i32) {
        self.0.lock().faults.push((op, nth, errno));
    }

    /// Limits the bytes of all files together; allocation beyond it fails with `StorageFull`.
    pub fn set_capacity(&self, bytes: u64) {
        self.0.lock().capacity = bytes;
    }

    /// Each write takes at most this many bytes, so that every write is short.
    pub fn set_max_write(&self, bytes: usize) {
        self.0.lock().max_write = bytes;
    }

    /// From now on each sync of files takes so long, and saves nothing where the power is cut meanwhile.
    pub fn slow_syncs(&self, time: Duration) {
        self.0.lock().sync_time = time;
    }

    /// Makes the disk read-only, as a kernel does after a file system error; or writable again.
    pub fn set_read_only(&self, read_only: bool) {
        self.0.lock().read_only = read_only;
    }

    /// Changes a stored file behind the broker's back, durably: bit rot.
    pub fn tamper(&self, path: &Path, change: impl FnOnce(&mut Vec<u8>)) -> io::Result<()> {
        self.0.lock().tamper(path, change)
    }

    /// The bytes of a file as a reader sees them now.
    pub fn contents(&self, path: &Path) -> io::Result<Vec<u8>> {
        self.0.lock().contents(path)
    }

    /// Puts a file there, durably, with its directories.
    pub fn plant(&self, path: &Path, bytes: &[u8]) {
        self.0.lock().plant(path, bytes);
    }

    /// Every file path, sorted.
    pub fn files(&self) -> Vec<PathBuf> {
        self.0.lock().files()
    }

    /// How many syncs of the whole disk have succeeded.
    pub fn whole_syncs(&self) -> u64 {
        self.0.lock().whole_syncs
    }

    /// How often a file's page cache was let go.
    pub fn cache_drops(&self) -> u64 {
        self.0.lock().cache_drops
    }

    /// How many fdatasync calls have succeeded.
    pub fn fdatasyncs(&self) -> u64 {
        self.0.lock().fdatasyncs
    }
}

fn power_was_cut() -> io::Error {
    io::Error::other("handle from before the crash")
}

#[derive(Debug)]
struct SimFile {
    disk: Arc<Shared>,
    inode: InodeId,
    boot: u64,
    writable: bool,
}

#[derive(Debug)]
struct SimLock {
    disk: Arc<Shared>,
    path: PathBuf,
    boot: u64,
}

impl DiskLock for SimLock {}

impl Drop for SimLock {
    fn drop(&mut self) {
        let mut state = self.disk.lock();
        if state.boot == self.boot {
            state.locks.remove(&self.path);
        }
    }
}

/// What a process sees of the disk: nothing any more, once the power was cut or the process ended.
#[derive(Debug, Clone)]
struct SimProcess {
    disk: Arc<Shared>,
    boot: u64,
}

impl SimProcess {
    fn live(&self) -> io::Result<MutexGuard<'_, State>> {
        let state = self.disk.lock();
        if state.boot == self.boot { Ok(state) } else { Err(power_was_cut()) }
    }
}

impl WholeSync for SimProcess {
    fn sync(&self) -> io::Result<()> {
        let mut state = self.disk.lock_for_a_sync(self.boot);
        if state.boot == self.boot { state.whole_sync() } else { Err(power_was_cut()) }
    }
}

impl Disk for SimProcess {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn DiskFile>> {
        let mut state = self.live()?;
        let inode = match mode {
            OpenMode::Read | OpenMode::Write => state.find_file(path)?,
            OpenMode::CreateNew => state.create_file(path)?,
        };
        let writable = mode != OpenMode::Read;
        Ok(Arc::new(SimFile { disk: self.disk.clone(), inode, boot: state.boot, writable }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.live()?.rename(from, to)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.live()?.remove(path, false)
    }

    fn whole(&self, _dir: &Path) -> io::Result<Option<Arc<dyn WholeSync>>> {
        drop(self.live()?);
        Ok(Some(Arc::new(self.clone())))
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        self.live()?.remove(path, true)
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        self.live()?.create_dir(path)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<DirEntry>> {
        self.live()?.list(dir)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.live()?.sync_dir(dir)
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        Ok(self.live()?.exists(path))
    }

    fn space(&self, _path: &Path) -> io::Result<DiskSpace> {
        let state = self.live()?;
        let free = state.capacity.saturating_sub(state.used());
        Ok(DiskSpace { free, total: state.capacity, read_only: state.read_only })
    }

    fn lock_exclusive(&self, path: &Path) -> io::Result<LockOutcome> {
        let mut state = self.live()?;
        if !state.locks.insert(path.to_owned()) {
            return Ok(LockOutcome::HeldBy(Some(1)));
        }
        let lock = SimLock { disk: self.disk.clone(), path: path.to_owned(), boot: state.boot };
        Ok(LockOutcome::Locked(Box::new(lock)))
    }
}

/// As whichever process comes next.
impl Disk for SimDisk {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn DiskFile>> {
        self.now().open(path, mode)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.now().rename(from, to)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.now().remove_file(path)
    }

    fn whole(&self, dir: &Path) -> io::Result<Option<Arc<dyn WholeSync>>> {
        self.now().whole(dir)
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        self.now().remove_dir(path)
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        self.now().create_dir(path)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<DirEntry>> {
        self.now().list(dir)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.now().sync_dir(dir)
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        self.now().exists(path)
    }

    fn space(&self, path: &Path) -> io::Result<DiskSpace> {
        self.now().space(path)
    }

    fn lock_exclusive(&self, path: &Path) -> io::Result<LockOutcome> {
        self.now().lock_exclusive(path)
    }
}

impl DiskFile for SimFile {
    fn pread(&self, buf: &mut [u8], at: u64) -> io::Result<usize> {
        self.live()?.pread(self.inode, buf, at)
    }

    fn pwritev(&self, bufs: &[IoSlice<'_>], at: u64) -> io::Result<usize> {
        self.writable()?.pwritev(self.inode, bufs, at)
    }

    fn fdatasync(&self) -> io::Result<()> {
        drop(self.disk.lock_for_a_sync(self.boot));
        self.live()?.fdatasync(self.inode)
    }

    fn allocate(&self, len: u64) -> io::Result<()> {
        self.writable()?.allocate(self.inode, len)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.writable()?.set_len(self.inode, len)
    }

    fn size(&self) -> io::Result<u64> {
        self.live()?.size(self.inode)
    }

    fn drop_cache(&self) -> io::Result<()> {
        self.live()?.drop_cache(self.inode);
        Ok(())
    }
}

impl SimFile {
    fn live(&self) -> io::Result<MutexGuard<'_, State>> {
        let state = self.disk.lock();
        if state.boot == self.boot { Ok(state) } else { Err(power_was_cut()) }
    }

    fn writable(&self) -> io::Result<MutexGuard<'_, State>> {
        if self.writable { self.live() } else { Err(io::ErrorKind::PermissionDenied.into()) }
    }
}

#[cfg(test)]
mod tests;
