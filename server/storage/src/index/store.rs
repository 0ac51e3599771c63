//! The bytes of an index: mapped from its file, whose descriptor is closed again at once, so that a segment costs one
//! descriptor and not two.

use std::io::{self, IoSlice};
use std::path::PathBuf;
use std::sync::Arc;

use super::{ENTRIES_AT, ENTRY_BYTES};
use crate::disk::{Disk, DiskFile, FileMap, OpenMode};

/// Length of a new index.
pub(super) const FIRST_BYTES: usize = 4096;

/// Where the index lives.
#[derive(Debug, Clone)]
pub(super) struct IndexFile {
    pub disk: Arc<dyn Disk>,
    pub path: PathBuf,
}

#[derive(Debug)]
pub(super) enum Store {
    /// Memory shared with the file, whose blocks are all real.
    Mapped(Box<dyn FileMap>),
    /// The twin for disks without maps: memory, written through.
    Written(Vec<u8>, Arc<dyn DiskFile>),
    /// The file cannot be used; the index lives as long as the process.
    Memory(Vec<u8>),
}

impl IndexFile {
    /// Opens the file, or makes it.
    pub fn open(&self) -> io::Result<Store> {
        let file = match self.disk.open(&self.path, OpenMode::Write) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.disk.open(&self.path, OpenMode::CreateNew)?
            }
            result => result?,
        };
        let len = usize::try_from(file.size()?).map_err(io::Error::other)?.max(FIRST_BYTES);
        file.allocate(len as u64)?;
        map_or_read(file, len)
    }

    /// Brings to the disk what the file's map holds.
    pub fn sync(&self) -> io::Result<()> {
        self.disk.open(&self.path, OpenMode::Write)?.fdatasync()
    }

    fn open_grown(&self, len: usize) -> io::Result<Store> {
        let file = self.disk.open(&self.path, OpenMode::Write)?;
        file.allocate(len as u64)?;
        map_or_read(file, len)
    }
}

fn map_or_read(file: Arc<dyn DiskFile>, len: usize) -> io::Result<Store> {
    if let Some(map) = file.map(len)? {
        return Ok(Store::Mapped(map));
    }
    let mut bytes = vec![0; len];
    file.read_exact_at(&mut bytes, 0)?;
    Ok(Store::Written(bytes, file))
}

impl Store {
    pub fn bytes(&self) -> &[u8] {
        match self {
            Self::Mapped(map) => map.bytes(),
            Self::Written(bytes, _) | Self::Memory(bytes) => bytes,
        }
    }

    pub fn write(&mut self, at: usize, value: &[u8]) {
        match self {
            Self::Mapped(map) => map.bytes_mut()[at..at + value.len()].copy_from_slice(value),
            Self::Memory(bytes) => bytes[at..at + value.len()].copy_from_slice(value),
            Self::Written(bytes, file) => {
                bytes[at..at + value.len()].copy_from_slice(value);
                if file.write_all_at(&mut [IoSlice::new(value)], at as u64).is_err() {
                    *self = Self::Memory(std::mem::take(bytes));
                }
            }
        }
    }

    /// Entries that fit.
    pub fn capacity(&self) -> usize {
        (self.bytes().len() - ENTRIES_AT) / ENTRY_BYTES
    }

    /// Doubles the capacity; without disk space in memory alone.
    pub fn grow(&mut self, file: &IndexFile) {
        let len = self.bytes().len() * 2;
        let grown = match self {
            Self::Mapped(_) => file.open_grown(len),
            Self::Written(bytes, open) => open.allocate(len as u64).map(|()| {
                bytes.resize(len, 0);
                Self::Written(std::mem::take(bytes), open.clone())
            }),
            Self::Memory(_) => {
                self.leave_file(len);
                return;
            }
        };
        match grown {
            Ok(grown) => *self = grown,
            Err(error) => {
                tracing::warn!(path = %file.path.display(), %error, "index file cannot grow; indexing in memory");
                self.leave_file(len);
            }
        }
    }

    /// Goes on in memory, with at least `len` bytes.
    pub fn leave_file(&mut self, len: usize) {
        let mut bytes = self.bytes().to_vec();
        bytes.resize(len.max(bytes.len()), 0);
        *self = Self::Memory(bytes);
    }
}
