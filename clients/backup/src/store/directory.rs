//! Files in one directory.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Write as _},
    path::{Path, PathBuf},
};

use bytes::Bytes;
use futures::{FutureExt as _, future::BoxFuture};
use ring::rand::{SecureRandom as _, SystemRandom};

use super::Store;
use crate::{BackupError, names::hex};

/// Files that a kill left half-written begin so; they are never read.
const TEMPORARY: &str = ".flymq-tmp-";

/// A directory; the first file makes it.
#[derive(Debug, Clone)]
pub struct DirectoryStore {
    root: PathBuf,
}

impl DirectoryStore {
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    fn files(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.root)? {
            // A name that is no text is none of ours.
            names.extend(entry?.file_name().into_string().ok().filter(|name| !name.starts_with(TEMPORARY)));
        }
        names.sort_unstable();
        Ok(names)
    }

    fn read(&self, name: &str, limit: usize) -> Result<Bytes, BackupError> {
        let path = self.root.join(name);
        let file = match open_plain(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(BackupError::Missing { file: path.display().to_string() });
            }
            // ELOOP is what opening a link gives.
            Err(error) if path.is_symlink() => return Err(BackupError::damaged(path.display(), error)),
            Err(error) => return Err(failed("read", &path, &error)),
        };
        let about = file.metadata().map_err(|error| failed("read", &path, &error))?;
        if !about.is_file() {
            return Err(BackupError::damaged(path.display(), "it is not a plain file"));
        }
        let mut bytes = Vec::with_capacity(usize::try_from(about.len()).unwrap_or(limit).min(limit));
        let read = file.take(limit as u64 + 1).read_to_end(&mut bytes);
        read.map_err(|error| failed("read", &path, &error))?;
        if bytes.len() > limit {
            return Err(BackupError::damaged(path.display(), format!("it has more than {limit} bytes")));
        }
        Ok(bytes.into())
    }

    fn write(&self, name: &str, bytes: &[u8]) -> Result<(), BackupError> {
        if !self.root.is_dir() {
            make_private(&self.root).map_err(|error| failed("create directory", &self.root, &error))?;
        }
        let mut random = [0; 8];
        let none =
            |_| failed("name a file in", &self.root, &io::Error::other("the system gives no randomness"));
        SystemRandom::new().fill(&mut random).map_err(none)?;
        let (temporary, path) =
            (self.root.join(format!("{TEMPORARY}{}", hex(&random))), self.root.join(name));
        let written = write_synced(&temporary, bytes).and_then(|()| fs::rename(&temporary, &path));
        if let Err(error) = written {
            // The error that matters is the first one.
            let _ = fs::remove_file(&temporary);
            return Err(failed("write", &path, &error));
        }
        sync_directory(&self.root).map_err(|error| failed("sync directory", &self.root, &error))
    }
}

impl Store for DirectoryStore {
    fn place(&self) -> String {
        self.root.display().to_string()
    }

    fn list(&self) -> BoxFuture<'_, Result<Vec<String>, BackupError>> {
        let store = self.clone();
        blocking(move || match store.files() {
            Ok(names) => Ok(names),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(failed("list", &store.root, &error)),
        })
    }

    fn get<'a>(&'a self, name: &'a str, limit: usize) -> BoxFuture<'a, Result<Bytes, BackupError>> {
        let (store, name) = (self.clone(), name.to_owned());
        blocking(move || store.read(&name, limit))
    }

    fn put<'a>(&'a self, name: &'a str, bytes: Bytes) -> BoxFuture<'a, Result<(), BackupError>> {
        let (store, name) = (self.clone(), name.to_owned());
        blocking(move || store.write(&name, &bytes))
    }
}

/// Disk work on a thread that may wait.
fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, BackupError> + Send + 'static,
) -> BoxFuture<'static, Result<T, BackupError>> {
    async move {
        let ended = |error: tokio::task::JoinError| BackupError::Storage {
            what: "work on the backup's directory".to_owned(),
            reason: error.to_string(),
        };
        tokio::task::spawn_blocking(work).await.map_err(ended)?
    }
    .boxed()
}

#[cfg(unix)]
fn open_plain(path: &Path) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt as _;
    // Neither a link is followed nor a pipe waited for.
    let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
    OpenOptions::new().read(true).custom_flags(flags.bits().cast_signed()).open(path)
}

#[cfg(not(unix))]
fn open_plain(path: &Path) -> io::Result<File> {
    if path.is_symlink() {
        return Err(io::Error::other("it is a link"));
    }
    File::open(path)
}

/// Records are for nobody else's eyes.
#[cfg(unix)]
fn make_private(root: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    fs::DirBuilder::new().recursive(true).mode(0o700).create(root)
}

#[cfg(not(unix))]
fn make_private(root: &Path) -> io::Result<()> {
    fs::create_dir_all(root)
}

fn write_synced(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        options.mode(0o600);
    }
    let mut file = options.open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

#[cfg(unix)]
fn sync_directory(root: &Path) -> io::Result<()> {
    File::open(root)?.sync_all()
}

#[cfg(not(unix))]
fn sync_directory(_root: &Path) -> io::Result<()> {
    Ok(())
}

fn failed(what: &str, path: &Path, error: &io::Error) -> BackupError {
    BackupError::Storage { what: format!("{what} {}", path.display()), reason: error.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn keeps_files_and_follows_no_link() {
        let temp = tempfile::tempdir().unwrap();
        let store = DirectoryStore::new(temp.path().join("a/b"));
        assert!(store.list().await.unwrap().is_empty());
        store.put("x", Bytes::from_static(b"1")).await.unwrap();
        store.put("x", Bytes::from_static(b"22")).await.unwrap();
        assert_eq!(&store.get("x", 2).await.unwrap()[..], b"22");
        assert!(matches!(store.get("x", 1).await, Err(BackupError::Damaged { .. })), "too large");
        assert!(matches!(store.get("y", 1).await, Err(BackupError::Missing { .. })));
        fs::write(temp.path().join("secret"), "s").unwrap();
        #[cfg(unix)]
        std::os::unix::fs::symlink(temp.path().join("secret"), temp.path().join("a/b/link")).unwrap();
        #[cfg(unix)]
        assert!(matches!(store.get("link", 9).await, Err(BackupError::Damaged { .. })));
        fs::create_dir(temp.path().join("a/b/dir")).unwrap();
        assert!(matches!(store.get("dir", 9).await, Err(BackupError::Damaged { .. })));
        fs::write(temp.path().join("a/b").join(format!("{TEMPORARY}0")), "half").unwrap();
        assert_eq!(store.list().await.unwrap(), ["dir", "link", "x"]);
    }

    #[tokio::test]
    async fn what_cannot_be_written_says_where() {
        let temp = tempfile::tempdir().unwrap();
        fs::write(temp.path().join("file"), "").unwrap();
        let store = DirectoryStore::new(temp.path().join("file/b"));
        let error = store.put("x", Bytes::new()).await.unwrap_err();
        assert!(error.to_string().contains("file/b"), "{error}");
    }
}
