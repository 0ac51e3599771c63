//! The operating system's file system: the only place of this crate that uses `std::fs`.

#![allow(clippy::disallowed_methods, reason = "the real disk")]

use std::fs::{self, File, OpenOptions};
use std::io::{self, IoSlice, Read, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Arc;

use rustix::fs::{FallocateFlags, FlockOperation, StatVfsMountFlags};

use super::map::IndexMap;
use super::{
    DirEntry, Disk, DiskFile, DiskLock, DiskSpace, FileMap, LockOutcome, LockState, OpenMode, WholeSync,
};

/// Files and directories of the operating system, private to the user that runs the broker (0600, 0700).
#[derive(Debug, Clone, Copy, Default)]
pub struct RealDisk;

#[derive(Debug)]
struct RealFile(File);

/// `syncfs` of ext4, XFS and Btrfs (`statfs(2)`) is a true sync of one file system of this machine; that of others may be
/// of a layer (overlayfs) or of another machine.
const TRUSTED: [u64; 3] = [0xEF53, 0x5846_5342, 0x9123_683E];

/// Linux tells of failed write-backs through `syncfs` since 5.8 (`syncfs(2)`).
fn tells_failures(release: &str) -> bool {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map_while(|text| text.parse::<u32>().ok());
    matches!((numbers.next(), numbers.next()), (Some(major), Some(minor)) if (major, minor) >= (5, 8))
}

/// Any directory of the file system.
#[derive(Debug)]
struct RealWhole(File);

impl WholeSync for RealWhole {
    fn sync(&self) -> io::Result<()> {
        Ok(rustix::fs::syncfs(&self.0)?)
    }
}

/// Dropping the file closes it, and with it goes the lock.
#[derive(Debug)]
struct RealLock(#[allow(dead_code, reason = "held for its lock")] File);

impl DiskLock for RealLock {}

impl Disk for RealDisk {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn DiskFile>> {
        let mut options = OpenOptions::new();
        options.read(true).mode(0o600);
        match mode {
            OpenMode::Read => &mut options,
            OpenMode::Write => options.write(true),
            OpenMode::CreateNew => options.write(true).create_new(true),
        };
        Ok(Arc::new(RealFile(options.open(path)?)))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        fs::remove_dir(path)
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        match fs::DirBuilder::new().mode(0o700).create(path) {
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
            result => result,
        }
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<DirEntry>> {
        let mut entries = fs::read_dir(dir)?
            .map(|entry| {
                let entry = entry?;
                let name = entry.file_name().to_string_lossy().into_owned();
                Ok(DirEntry { name, is_dir: entry.file_type()?.is_dir() })
            })
            .collect::<io::Result<Vec<_>>>()?;
        entries.sort();
        Ok(entries)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        File::open(dir)?.sync_all()
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        path.try_exists()
    }

    fn whole(&self, dir: &Path) -> io::Result<Option<Arc<dyn WholeSync>>> {
        if !tells_failures(rustix::system::uname().release().to_str().unwrap_or_default()) {
            return Ok(None);
        }
        let dir = File::open(dir)?;
        let kind = rustix::fs::fstatfs(&dir)?.f_type;
        let known = TRUSTED.contains(&u64::try_from(kind).unwrap_or(0));
        Ok(known.then(|| Arc::new(RealWhole(dir)) as Arc<dyn WholeSync>))
    }

    fn space(&self, path: &Path) -> io::Result<DiskSpace> {
        let stat = rustix::fs::statvfs(path)?;
        Ok(DiskSpace {
            free: stat.f_bavail.saturating_mul(stat.f_frsize),
            total: stat.f_blocks.saturating_mul(stat.f_frsize),
            read_only: stat.f_flag.contains(StatVfsMountFlags::RDONLY),
        })
    }

    fn lock_exclusive(&self, path: &Path) -> io::Result<LockOutcome> {
        let mut file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)?;
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {
                file.set_len(0)?;
                write!(file, "{}", std::process::id())?;
                Ok(LockOutcome::Locked(Box::new(RealLock(file))))
            }
            Err(rustix::io::Errno::WOULDBLOCK) => Ok(LockOutcome::HeldBy(pid_in(&mut file))),
            Err(e) => Err(e.into()),
        }
    }

    fn lock_state(&self, path: &Path) -> io::Result<LockState> {
        let mut file = match File::open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(LockState::Free),
            result => result?,
        };
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockShared) {
            Ok(()) => Ok(LockState::Free),
            Err(rustix::io::Errno::WOULDBLOCK) => Ok(LockState::HeldBy(pid_in(&mut file))),
            Err(e) => Err(e.into()),
        }
    }
}

/// The process id that a lock file holds.
fn pid_in(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    file.read_to_string(&mut text).ok().and_then(|_| text.trim().parse().ok())
}

impl DiskFile for RealFile {
    fn pread(&self, buf: &mut [u8], at: u64) -> io::Result<usize> {
        self.0.read_at(buf, at)
    }

    fn pwritev(&self, bufs: &[IoSlice<'_>], at: u64) -> io::Result<usize> {
        match bufs {
            [buf] => self.0.write_at(buf, at),
            _ => Ok(rustix::io::pwritev(&self.0, bufs, at)?),
        }
    }

    fn fdatasync(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn allocate(&self, len: u64) -> io::Result<()> {
        loop {
            return match rustix::fs::fallocate(&self.0, FallocateFlags::empty(), 0, len) {
                Err(rustix::io::Errno::INTR) => continue,
                Err(rustix::io::Errno::OPNOTSUPP) => self.write_zeros_up_to(len),
                result => Ok(result?),
            };
        }
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn drop_cache(&self) -> io::Result<()> {
        Ok(rustix::fs::fadvise(&self.0, 0, None, rustix::fs::Advice::DontNeed)?)
    }

    fn map(&self, len: usize) -> io::Result<Option<Box<dyn FileMap>>> {
        // There a store into a mapped block may need a new block: on a full disk that is a SIGBUS.
        if copies_on_write(&self.0) {
            return Ok(None);
        }
        Ok(Some(Box::new(IndexMap::new(&self.0, len)?)))
    }
}

/// Whether the file system never writes in place, whatever blocks a file has.
fn copies_on_write(file: &File) -> bool {
    const MAGICS: [u64; 3] = [
        0x9123_683e, // btrfs
        0x2fc1_2fc1, // ZFS
        0xca45_1a4e, // bcachefs
    ];
    rustix::fs::fstatfs(file).is_ok_and(|stat| MAGICS.contains(&(stat.f_type as u64)))
}

impl RealFile {
    /// For file systems without fallocate (NFS before 4.2, some FUSE): real blocks by writing them.
    fn write_zeros_up_to(&self, len: u64) -> io::Result<()> {
        static ZEROS: [u8; 64 << 10] = [0; 64 << 10];
        let mut at = self.size()?;
        while at < len {
            let n = (len - at).min(ZEROS.len() as u64);
            self.0.write_all_at(&ZEROS[..n as usize], at)?;
            at += n;
        }
        Ok(())
    }
}
