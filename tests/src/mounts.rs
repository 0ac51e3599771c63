//! File systems of our own, in files on loop devices: to be cut off, filled, or made read-only.

use std::{
    ffi::OsStr,
    fmt,
    path::{Path, PathBuf},
    process::Command,
};

/// A mounted file system; unmounted when dropped.
#[derive(Debug)]
pub struct Mount {
    dir: PathBuf,
}

/// Why the machine cannot do it.
#[derive(Debug)]
pub struct Unable(String);

impl fmt::Display for Unable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Mount {
    /// Mounts a device, image or kind of file system at `dir`, which is made.
    pub fn new(what: &Path, dir: &Path, options: &[&str]) -> Result<Self, Unable> {
        std::fs::create_dir_all(dir).map_err(|error| Unable(format!("{}: {error}", dir.display())))?;
        let words = options.iter().map(OsStr::new).chain([what.as_os_str(), dir.as_os_str()]);
        run("mount", words)?;
        Ok(Self { dir: dir.to_owned() })
    }

    pub fn path(&self) -> &Path {
        &self.dir
    }

    /// The file that makes ext4 believe in an error of its disk.
    pub fn fs_error_switch(&self) -> Result<PathBuf, Unable> {
        let mounts = std::fs::read_to_string("/proc/mounts").map_err(|error| Unable(error.to_string()))?;
        let dir = self.dir.to_string_lossy();
        let device = mounts.lines().rev().find_map(|line| {
            let mut words = line.split_whitespace();
            let device = words.next()?;
            (words.next()? == dir).then(|| device.trim_start_matches("/dev/").to_owned())
        });
        let device = device.ok_or_else(|| Unable(format!("{dir} is not mounted")))?;
        let switch = Path::new("/sys/fs/ext4").join(device).join("trigger_fs_error");
        if switch.exists() { Ok(switch) } else { Err(Unable(format!("no {}", switch.display()))) }
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        // A process that was just killed may hold it for a moment.
        for _ in 0..50 {
            if run("umount", [self.dir.as_os_str()]).is_ok() {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(100));
        }
        eprintln!("{} is busy: unmounted when it no longer is", self.dir.display());
        // Nothing else can be done in a drop.
        let _ = run("umount", [OsStr::new("-l"), self.dir.as_os_str()]);
    }
}

/// Mounting takes root.
pub fn need_root() -> Result<(), Unable> {
    if rustix::process::geteuid().is_root() { Ok(()) } else { Err(Unable("it takes root".to_owned())) }
}

/// An empty image of `bytes` with a file system made by `mkfs.<kind>`.
pub fn image(path: &Path, bytes: u64, kind: &str, options: &[&str]) -> Result<(), Unable> {
    let file = std::fs::File::create(path).and_then(|file| file.set_len(bytes));
    file.map_err(|error| Unable(format!("{}: {error}", path.display())))?;
    let words = options.iter().map(OsStr::new).chain([OsStr::new("-q"), path.as_os_str()]);
    run(&format!("mkfs.{kind}"), words)
}

fn run<'a>(program: &str, words: impl IntoIterator<Item = &'a OsStr>) -> Result<(), Unable> {
    let output = Command::new(program).args(words).output();
    let output = output.map_err(|error| Unable(format!("no {program}: {error}")))?;
    if output.status.success() {
        Ok(())
    } else {
        Err(Unable(format!("{program}: {}", String::from_utf8_lossy(&output.stderr).trim())))
    }
}

/// ext4 in files on xfs: a reflink copy of such a file is a picture of the block device at one instant, as a power cut
/// would leave it.
#[derive(Debug)]
pub struct Powered {
    // In this order, so that what is mounted on what goes first.
    disks: Vec<Mount>,
    pool: Mount,
    work: tempfile::TempDir,
}

const POOL_BYTES: u64 = 12 << 30;
const DISK_BYTES: u64 = 2 << 30;

impl Powered {
    /// With one disk.
    ///
    /// # Errors
    /// Why this machine cannot do it.
    pub fn new() -> Result<Self, Unable> {
        Self::with_disks(1)
    }

    /// With so many disks, which lose their power together.
    ///
    /// # Errors
    /// Why this machine cannot do it.
    pub fn with_disks(count: usize) -> Result<Self, Unable> {
        need_root()?;
        let work = tempfile::tempdir().map_err(|error| Unable(error.to_string()))?;
        let image_of_pool = work.path().join("pool.img");
        image(&image_of_pool, POOL_BYTES, "xfs", &["-m", "reflink=1"])?;
        let pool = Mount::new(&image_of_pool, &work.path().join("pool"), &["-o", "loop"])?;
        let disk = |number| {
            let device = image_of_disk(&pool, number);
            image(&device, DISK_BYTES, "ext4", &[])?;
            Mount::new(&device, &work.path().join(format!("disk-{number}")), &["-o", "loop"])
        };
        let disks = (0..count).map(disk).collect::<Result<_, _>>()?;
        Ok(Self { disks, pool, work })
    }

    /// Where the broker lives.
    pub fn disk(&self) -> &Path {
        self.disk_of(0)
    }

    /// Where one of several brokers lives.
    pub fn disk_of(&self, number: usize) -> &Path {
        self.disks[number].path()
    }

    /// Takes a picture of the block device.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn picture(&self, number: u64) -> std::io::Result<PathBuf> {
        self.picture_of(0, number)
    }

    /// Takes a picture of each block device at the same time, one thread for each.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn pictures(&self, number: u64) -> std::io::Result<Vec<PathBuf>> {
        std::thread::scope(|scope| {
            let disks = 0..self.disks.len();
            let taking: Vec<_> =
                disks.map(|disk| scope.spawn(move || self.picture_of(disk, number))).collect();
            taking.into_iter().map(|one| one.join().expect("a picture is taken or refused")).collect()
        })
    }

    fn picture_of(&self, disk: usize, number: u64) -> std::io::Result<PathBuf> {
        let path = self.pool.path().join(format!("picture-{number}-{disk}.img"));
        let from = std::fs::File::open(image_of_disk(&self.pool, disk))?;
        let to = std::fs::File::create(&path)?;
        rustix::fs::ioctl_ficlone(&to, &from)?;
        Ok(path)
    }

    /// Mounts a picture, which replays the journal, as a machine does that gets its power back. Its name is good for one
    /// mount at a time.
    pub fn open(&self, picture: &Path) -> Mount {
        let name = picture.file_stem().expect("a picture has a name");
        let dir = self.work.path().join(name);
        Mount::new(picture, &dir, &["-o", "loop"]).unwrap_or_else(|error| panic!("a picture mounts: {error}"))
    }
}

fn image_of_disk(pool: &Mount, number: usize) -> PathBuf {
    pool.path().join(format!("disk-{number}.img"))
}
