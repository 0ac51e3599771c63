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

/// ext4 in a file on xfs: a reflink copy of that file is a picture of the block device at one instant, as a power cut
/// would leave it.
#[derive(Debug)]
pub struct Powered {
    // In this order, so that what is mounted on what goes first.
    disk: Mount,
    pool: Mount,
    work: tempfile::TempDir,
}

const POOL_BYTES: u64 = 12 << 30;
const DISK_BYTES: u64 = 2 << 30;

impl Powered {
    pub fn new() -> Result<Self, Unable> {
        need_root()?;
        let work = tempfile::tempdir().map_err(|error| Unable(error.to_string()))?;
        let image_of_pool = work.path().join("pool.img");
        image(&image_of_pool, POOL_BYTES, "xfs", &["-m", "reflink=1"])?;
        let pool = Mount::new(&image_of_pool, &work.path().join("pool"), &["-o", "loop"])?;
        let image_of_disk = pool.path().join("disk.img");
        image(&image_of_disk, DISK_BYTES, "ext4", &[])?;
        let disk = Mount::new(&image_of_disk, &work.path().join("disk"), &["-o", "loop"])?;
        Ok(Self { disk, pool, work })
    }

    /// Where the broker lives.
    pub fn disk(&self) -> &Path {
        self.disk.path()
    }

    /// Takes a picture of the block device.
    pub fn picture(&self, number: u64) -> std::io::Result<PathBuf> {
        let path = self.pool.path().join(format!("picture-{number}.img"));
        let (from, to) =
            (std::fs::File::open(self.pool.path().join("disk.img"))?, std::fs::File::create(&path)?);
        rustix::fs::ioctl_ficlone(&to, &from)?;
        Ok(path)
    }

    /// Mounts a picture, which replays the journal, as a machine does that gets its power back.
    pub fn open(&self, picture: &Path) -> Mount {
        let dir = self.work.path().join("picture");
        Mount::new(picture, &dir, &["-o", "loop"]).unwrap_or_else(|error| panic!("a picture mounts: {error}"))
    }
}
