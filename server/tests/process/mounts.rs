//! File systems of a test's own: small, full, read-only. They need root; without it a test says so and ends.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

/// A mounted file system; gone when dropped.
pub struct Mount {
    dir: tempfile::TempDir,
    /// The loop device, for an image.
    pub device: Option<String>,
    _image: Option<tempfile::NamedTempFile>,
}

fn run(command: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(command).args(arguments).output().ok()?;
    if !output.status.success() {
        eprintln!("{command} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr).trim());
        return None;
    }
    Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn text(path: &Path) -> &str {
    path.to_str().expect("temporary paths are text")
}

impl Mount {
    /// Memory of this size, e.g. `64m`.
    pub fn tmpfs(size: &str) -> Option<Self> {
        let dir = tempfile::tempdir().expect("a directory");
        run("mount", &["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs", text(dir.path())])?;
        Some(Self { dir, device: None, _image: None })
    }

    /// A real ext4 in a file, which turns read-only on an error, as systems are set up.
    pub fn ext4(bytes: u64) -> Option<Self> {
        let image = tempfile::NamedTempFile::new().expect("a file");
        image.as_file().set_len(bytes).expect("a sparse file");
        run("mkfs.ext4", &["-q", "-F", text(image.path())])?;
        let device = run("losetup", &["-f", "--show", text(image.path())])?;
        let dir = tempfile::tempdir().expect("a directory");
        let mount = Self { dir, device: Some(device.clone()), _image: Some(image) };
        run("mount", &["-t", "ext4", "-o", "errors=remount-ro", &device, text(mount.dir.path())])?;
        Some(mount)
    }

    /// The data directory in it.
    pub fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    pub fn remount(&self, options: &str) {
        let done = run("mount", &["-o", &format!("remount,{options}"), text(self.dir.path())]);
        assert!(done.is_some(), "remount,{options}");
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        // Lazily: a process that is being killed may still hold files.
        run("umount", &["-l", text(self.dir.path())]);
        if let Some(device) = &self.device {
            run("losetup", &["-d", device]);
        }
    }
}
