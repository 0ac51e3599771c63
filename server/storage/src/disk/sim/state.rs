//! The inodes of a simulated disk: what is visible, what is durable, and what lies between.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, IoSlice};
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use flymq_types::Rng;

use super::super::DirEntry;
use super::FaultOp;

pub(super) type InodeId = u64;

const ROOT: InodeId = 0;
const SECTOR: usize = 512;
/// Linux error numbers.
const EROFS: i32 = 30;

#[derive(Debug, Clone)]
enum FileOp {
    Write { at: usize, data: Vec<u8> },
    SetLen(usize),
}

#[derive(Debug, Clone)]
enum DirOp {
    Link(String, InodeId),
    Unlink(String),
    Rename(String, String),
}

#[derive(Debug, Clone)]
enum Inode {
    File { live: Vec<u8>, synced: Vec<u8>, pending: Vec<FileOp> },
    Dir { live: BTreeMap<String, InodeId>, synced: BTreeMap<String, InodeId>, pending: Vec<DirOp> },
}

impl Inode {
    fn file() -> Self {
        Self::File { live: Vec::new(), synced: Vec::new(), pending: Vec::new() }
    }

    fn dir() -> Self {
        Self::Dir { live: BTreeMap::new(), synced: BTreeMap::new(), pending: Vec::new() }
    }
}

#[derive(Debug, Clone)]
pub(super) struct State {
    inodes: BTreeMap<InodeId, Inode>,
    next_inode: InodeId,
    pub(super) boot: u64,
    pub(super) locks: BTreeSet<PathBuf>,
    pub(super) stop_after: Option<u64>,
    pub(super) faults: Vec<(FaultOp, u64, i32)>,
    pub(super) capacity: u64,
    pub(super) max_write: usize,
    pub(super) read_only: bool,
    pub(super) sync_time: Duration,
    pub(super) syncs_under_way: u32,
    pub(super) fdatasyncs: u64,
    pub(super) cache_drops: u64,
    pub(super) whole_syncs: u64,
}

impl Default for State {
    fn default() -> Self {
        Self {
            inodes: BTreeMap::from([(ROOT, Inode::dir())]),
            next_inode: ROOT + 1,
            boot: 0,
            locks: BTreeSet::new(),
            stop_after: None,
            faults: Vec::new(),
            capacity: 1 << 40,
            max_write: usize::MAX,
            read_only: false,
            sync_time: Duration::ZERO,
            syncs_under_way: 0,
            fdatasyncs: 0,
            cache_drops: 0,
            whole_syncs: 0,
        }
    }
}

fn not_found() -> io::Error {
    io::ErrorKind::NotFound.into()
}

fn names(path: &Path) -> impl Iterator<Item = String> {
    path.components().filter_map(|component| match component {
        Component::Normal(name) => Some(name.to_string_lossy().into_owned()),
        Component::Prefix(_) | Component::RootDir | Component::CurDir | Component::ParentDir => None,
    })
}

fn overlay(file: &mut Vec<u8>, at: usize, data: &[u8]) {
    if file.len() < at + data.len() {
        file.resize(at + data.len(), 0);
    }
    file[at..at + data.len()].copy_from_slice(data);
}

fn replay(file: &mut Vec<u8>, ops: &[FileOp]) {
    for op in ops {
        match op {
            FileOp::Write { at, data } => overlay(file, *at, data),
            FileOp::SetLen(len) => file.resize(*len, 0),
        }
    }
}

impl State {
    /// Counts an operation that changes the disk, and fails where a test asked for it.
    fn step(&mut self, op: Option<FaultOp>) -> io::Result<()> {
        match &mut self.stop_after {
            Some(0) => return Err(io::Error::other("the simulated disk has stopped")),
            Some(left) => *left -= 1,
            None => {}
        }
        if self.read_only {
            return Err(io::Error::from_raw_os_error(EROFS));
        }
        let Some(op) = op else { return Ok(()) };
        for fault in self.faults.iter_mut().filter(|fault| fault.0 == op) {
            fault.1 -= 1;
        }
        match self.faults.iter().position(|fault| fault.1 == 0) {
            Some(hit) => Err(io::Error::from_raw_os_error(self.faults.remove(hit).2)),
            None => Ok(()),
        }
    }

    fn walk(&self, path: &Path) -> io::Result<InodeId> {
        names(path).try_fold(ROOT, |at, name| self.entries(at)?.get(&name).copied().ok_or_else(not_found))
    }

    fn entries(&self, dir: InodeId) -> io::Result<&BTreeMap<String, InodeId>> {
        match self.inodes.get(&dir) {
            Some(Inode::Dir { live, .. }) => Ok(live),
            Some(Inode::File { .. }) => Err(io::ErrorKind::NotADirectory.into()),
            None => Err(not_found()),
        }
    }

    fn parent(&self, path: &Path) -> io::Result<(InodeId, String)> {
        let name = names(path).last().ok_or_else(not_found)?;
        let parent = self.walk(path.parent().unwrap_or(Path::new("")))?;
        self.entries(parent)?;
        Ok((parent, name))
    }

    fn apply_dir(&mut self, dir: InodeId, op: DirOp) {
        if let Some(Inode::Dir { live, pending, .. }) = self.inodes.get_mut(&dir) {
            apply(live, &op);
            pending.push(op);
        }
    }

    fn add(&mut self, inode: Inode) -> InodeId {
        let id = self.next_inode;
        self.next_inode += 1;
        self.inodes.insert(id, inode);
        id
    }

    pub(super) fn exists(&self, path: &Path) -> bool {
        self.walk(path).is_ok()
    }

    pub(super) fn find_file(&self, path: &Path) -> io::Result<InodeId> {
        let id = self.walk(path)?;
        match self.inodes.get(&id) {
            Some(Inode::File { .. }) => Ok(id),
            Some(Inode::Dir { .. }) => Err(io::ErrorKind::IsADirectory.into()),
            None => Err(not_found()),
        }
    }

    pub(super) fn create_file(&mut self, path: &Path) -> io::Result<InodeId> {
        let (parent, name) = self.parent(path)?;
        if self.entries(parent)?.contains_key(&name) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        self.step(None)?;
        let id = self.add(Inode::file());
        self.apply_dir(parent, DirOp::Link(name, id));
        Ok(id)
    }

    pub(super) fn create_dir(&mut self, path: &Path) -> io::Result<()> {
        if names(path).next().is_none() || self.exists(path) {
            return Ok(());
        }
        let (parent, name) = self.parent(path)?;
        self.step(None)?;
        let id = self.add(Inode::dir());
        self.apply_dir(parent, DirOp::Link(name, id));
        Ok(())
    }

    pub(super) fn rename(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        let (from_dir, from_name) = self.parent(from)?;
        let (to_dir, to_name) = self.parent(to)?;
        let id = *self.entries(from_dir)?.get(&from_name).ok_or_else(not_found)?;
        self.step(None)?;
        if from_dir == to_dir {
            self.apply_dir(from_dir, DirOp::Rename(from_name, to_name));
        } else {
            self.apply_dir(to_dir, DirOp::Link(to_name, id));
            self.apply_dir(from_dir, DirOp::Unlink(from_name));
        }
        Ok(())
    }

    pub(super) fn remove(&mut self, path: &Path, dir: bool) -> io::Result<()> {
        let id = self.walk(path)?;
        let (parent, name) = self.parent(path)?;
        match (self.inodes.get(&id), dir) {
            (Some(Inode::Dir { live, .. }), true) if !live.is_empty() => {
                return Err(io::ErrorKind::DirectoryNotEmpty.into());
            }
            (Some(Inode::Dir { .. }), true) | (Some(Inode::File { .. }), false) => {}
            (Some(Inode::Dir { .. }), false) => return Err(io::ErrorKind::IsADirectory.into()),
            (Some(Inode::File { .. }), true) => return Err(io::ErrorKind::NotADirectory.into()),
            (None, _) => return Err(not_found()),
        }
        self.step(None)?;
        self.apply_dir(parent, DirOp::Unlink(name));
        Ok(())
    }

    pub(super) fn list(&self, dir: &Path) -> io::Result<Vec<DirEntry>> {
        let entries = self.entries(self.walk(dir)?)?;
        let is_dir = |id| matches!(self.inodes.get(id), Some(Inode::Dir { .. }));
        Ok(entries.iter().map(|(name, id)| DirEntry { name: name.clone(), is_dir: is_dir(id) }).collect())
    }

    pub(super) fn sync_dir(&mut self, dir: &Path) -> io::Result<()> {
        let id = self.walk(dir)?;
        self.step(Some(FaultOp::SyncDir))?;
        if let Some(Inode::Dir { live, synced, pending }) = self.inodes.get_mut(&id) {
            synced.clone_from(live);
            pending.clear();
        }
        Ok(())
    }

    fn file(&mut self, id: InodeId) -> (&mut Vec<u8>, &mut Vec<u8>, &mut Vec<FileOp>) {
        match self.inodes.get_mut(&id) {
            Some(Inode::File { live, synced, pending }) => (live, synced, pending),
            Some(Inode::Dir { .. }) | None => unreachable!("an open file's inode is a file and stays"),
        }
    }

    pub(super) fn pread(&mut self, id: InodeId, buf: &mut [u8], at: u64) -> io::Result<usize> {
        let live = self.file(id).0;
        let rest = live.get(at as usize..).unwrap_or(&[]);
        let n = rest.len().min(buf.len());
        buf[..n].copy_from_slice(&rest[..n]);
        Ok(n)
    }

    pub(super) fn pwritev(&mut self, id: InodeId, bufs: &[IoSlice<'_>], at: u64) -> io::Result<usize> {
        self.step(Some(FaultOp::Write))?;
        let mut data: Vec<u8> = bufs.iter().flat_map(|buf| buf.iter().copied()).collect();
        data.truncate(self.max_write);
        let (room, len) = (self.capacity.saturating_sub(self.used()), self.file(id).0.len());
        let grow = (at as usize + data.len()).saturating_sub(len);
        if grow as u64 > room {
            data.truncate(data.len().saturating_sub(grow - room as usize));
            if data.is_empty() {
                return Err(io::ErrorKind::StorageFull.into());
            }
        }
        let (live, _, pending) = self.file(id);
        overlay(live, at as usize, &data);
        let n = data.len();
        pending.push(FileOp::Write { at: at as usize, data });
        Ok(n)
    }

    pub(super) fn fdatasync(&mut self, id: InodeId) -> io::Result<()> {
        let outcome = self.step(Some(FaultOp::Fdatasync));
        let (_, synced, pending) = self.file(id);
        let dropped = std::mem::take(pending);
        if outcome.is_ok() {
            replay(synced, &dropped);
            self.fdatasyncs += 1;
        }
        outcome
    }

    /// As `syncfs`: it tells of a failure without saying whose. The pages of whatever `fdatasync` would not have saved
    /// stay lost.
    pub(super) fn whole_sync(&mut self) -> io::Result<()> {
        self.step(Some(FaultOp::WholeSync))?;
        for inode in self.inodes.values_mut() {
            if let Inode::File { synced, pending, .. } = inode {
                replay(synced, &std::mem::take(pending));
            }
        }
        self.whole_syncs += 1;
        Ok(())
    }

    pub(super) fn allocate(&mut self, id: InodeId, len: u64) -> io::Result<()> {
        self.step(Some(FaultOp::Allocate))?;
        let grow = len.saturating_sub(self.file(id).0.len() as u64);
        if grow > self.capacity.saturating_sub(self.used()) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        if grow > 0 {
            self.resize(id, len as usize);
        }
        Ok(())
    }

    pub(super) fn set_len(&mut self, id: InodeId, len: u64) -> io::Result<()> {
        self.step(None)?;
        self.resize(id, len as usize);
        Ok(())
    }

    fn resize(&mut self, id: InodeId, len: usize) {
        let (live, _, pending) = self.file(id);
        live.resize(len, 0);
        pending.push(FileOp::SetLen(len));
    }

    pub(super) fn size(&mut self, id: InodeId) -> io::Result<u64> {
        Ok(self.file(id).0.len() as u64)
    }

    pub(super) fn drop_cache(&mut self, id: InodeId) {
        self.cache_drops += 1;
        let (live, synced, pending) = self.file(id);
        live.clone_from(synced);
        replay(live, pending);
    }

    /// Bytes of all files that have a name.
    pub(super) fn used(&self) -> u64 {
        let named = self.inodes.values().flat_map(|inode| match inode {
            Inode::Dir { live, .. } => live.values().copied().collect::<Vec<_>>(),
            Inode::File { .. } => Vec::new(),
        });
        named
            .map(|id| match self.inodes.get(&id) {
                Some(Inode::File { live, .. }) => live.len() as u64,
                Some(Inode::Dir { .. }) | None => 0,
            })
            .sum()
    }

    pub(super) fn crash(&mut self, rng: Option<&dyn Rng>) {
        for inode in self.inodes.values_mut() {
            match inode {
                Inode::Dir { live, synced, pending } => {
                    let kept = rng.map_or(0, |rng| rng.next_u64() as usize % (pending.len() + 1));
                    pending.drain(..).take(kept).for_each(|op| apply(synced, &op));
                    live.clone_from(synced);
                }
                Inode::File { live, synced, pending } => {
                    for op in pending.drain(..) {
                        if let Some(rng) = rng {
                            survive(synced, op, rng);
                        }
                    }
                    live.clone_from(synced);
                }
            }
        }
        self.restart();
    }

    pub(super) fn restart(&mut self) {
        self.boot += 1;
        self.locks.clear();
        self.faults.clear();
        self.stop_after = None;
    }

    pub(super) fn tamper(&mut self, path: &Path, change: impl FnOnce(&mut Vec<u8>)) -> io::Result<()> {
        let id = self.find_file(path)?;
        let (live, synced, pending) = self.file(id);
        change(live);
        synced.clone_from(live);
        pending.clear();
        Ok(())
    }

    pub(super) fn contents(&mut self, path: &Path) -> io::Result<Vec<u8>> {
        let id = self.find_file(path)?;
        Ok(self.file(id).0.clone())
    }

    pub(super) fn plant(&mut self, path: &Path, bytes: &[u8]) {
        let mut dir = ROOT;
        let mut levels: Vec<String> = names(path).collect();
        let Some(name) = levels.pop() else { return };
        for level in levels {
            let next = self.entries(dir).ok().and_then(|entries| entries.get(&level).copied());
            dir = next.unwrap_or_else(|| self.link_durably(dir, level, Inode::dir()));
        }
        self.link_durably(
            dir,
            name,
            Inode::File { live: bytes.to_vec(), synced: bytes.to_vec(), pending: Vec::new() },
        );
    }

    fn link_durably(&mut self, dir: InodeId, name: String, inode: Inode) -> InodeId {
        let id = self.add(inode);
        if let Some(Inode::Dir { live, synced, .. }) = self.inodes.get_mut(&dir) {
            live.insert(name.clone(), id);
            synced.insert(name, id);
        }
        id
    }

    pub(super) fn files(&self) -> Vec<PathBuf> {
        let mut found = Vec::new();
        let mut open = vec![(PathBuf::from("/"), ROOT)];
        while let Some((path, id)) = open.pop() {
            match self.inodes.get(&id) {
                Some(Inode::Dir { live, .. }) => {
                    open.extend(live.iter().map(|(name, id)| (path.join(name), *id)));
                }
                Some(Inode::File { .. }) => found.push(path),
                None => {}
            }
        }
        found.sort();
        found
    }
}

fn apply(entries: &mut BTreeMap<String, InodeId>, op: &DirOp) {
    match op {
        DirOp::Link(name, id) => {
            entries.insert(name.clone(), *id);
        }
        DirOp::Unlink(name) => {
            entries.remove(name);
        }
        DirOp::Rename(from, to) => {
            if let Some(id) = entries.remove(from) {
                entries.insert(to.clone(), id);
            }
        }
    }
}

/// What a power cut leaves of one un-synced operation: nothing, all, or some of its sectors.
fn survive(synced: &mut Vec<u8>, op: FileOp, rng: &dyn Rng) {
    let fate = rng.next_u64() % 3;
    match op {
        _ if fate == 0 => {}
        FileOp::SetLen(len) => synced.resize(len, 0),
        FileOp::Write { at, data } if fate == 1 => overlay(synced, at, &data),
        FileOp::Write { at, data } => {
            let mut done = 0;
            while done < data.len() {
                let end = (done + SECTOR - (at + done) % SECTOR).min(data.len());
                if rng.next_u64().is_multiple_of(2) {
                    overlay(synced, at + done, &data[done..end]);
                }
                done = end;
            }
        }
    }
}
