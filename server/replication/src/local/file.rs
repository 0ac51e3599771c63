//! What log and snapshot have in common: a header, and how a new file takes the place of an old one.

use std::io::IoSlice;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use flymq_storage::{Disk, DiskFile, OpenMode};

use super::error::{IoContext, LocalMetaError, Result, damaged};

pub(super) const HEADER_BYTES: usize = 32;
const FORMAT_VERSION: u32 = 1;

/// The first 32 bytes of a file, little-endian: magic (8) · u32 format version · u32 crc of `number` · u64 number ·
/// u32 zero · u32 crc of the 28 bytes before.
pub(super) fn header(magic: [u8; 8], number: u64) -> [u8; HEADER_BYTES] {
    let mut bytes = [0; HEADER_BYTES];
    bytes[..8].copy_from_slice(&magic);
    bytes[8..12].copy_from_slice(&FORMAT_VERSION.to_le_bytes());
    bytes[12..16].copy_from_slice(&crc32c::crc32c(&number.to_le_bytes()).to_le_bytes());
    bytes[16..24].copy_from_slice(&number.to_le_bytes());
    let crc = crc32c::crc32c(&bytes[..28]);
    bytes[28..].copy_from_slice(&crc.to_le_bytes());
    bytes
}

/// The number in a file's header.
pub(super) fn read_header(path: &Path, magic: [u8; 8], bytes: &[u8]) -> Result<u64> {
    let Some(header) = bytes.get(..HEADER_BYTES) else { return Err(damaged(path, "it is cut short")) };
    let crc = u32_at(header, 28);
    if header[..8] != magic || crc != crc32c::crc32c(&header[..28]) {
        return Err(damaged(path, "its header does not match its checksum"));
    }
    match u32_at(header, 8) {
        FORMAT_VERSION => Ok(u64_at(header, 16)),
        found => Err(LocalMetaError::UnknownFormat { path: path.to_owned(), found, known: FORMAT_VERSION }),
    }
}

pub(super) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes[at..at + 4].try_into().map_or(0, u32::from_le_bytes)
}

pub(super) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    bytes[at..at + 8].try_into().map_or(0, u64::from_le_bytes)
}

/// An open file with all its bytes.
pub(super) type FileBytes = (Arc<dyn DiskFile>, Vec<u8>);

/// All bytes of a file, or `None` where there is none.
pub(super) fn read_all(disk: &dyn Disk, path: &Path) -> Result<Option<FileBytes>> {
    if !disk.exists(path).on("look for", path)? {
        return Ok(None);
    }
    let file = disk.open(path, OpenMode::Write).on("open", path)?;
    let size = file.size().on("size of", path)?;
    let size = usize::try_from(size).map_err(|_| damaged(path, "it is larger than memory"))?;
    let mut bytes = vec![0; size];
    file.read_exact_at(&mut bytes, 0).on("read", path)?;
    Ok(Some((file, bytes)))
}

/// A complete, durable file under a temporary name.
#[derive(Debug)]
pub(super) struct Prepared {
    pub(super) file: Arc<dyn DiskFile>,
    temporary: PathBuf,
    path: PathBuf,
}

/// Writes `bytes` into a new file of at least `allocate` bytes, durably, under a temporary name beside `path`.
pub(super) fn prepare(disk: &dyn Disk, path: &Path, bytes: &[u8], allocate: u64) -> Result<Prepared> {
    let temporary = path.with_extension("tmp");
    if disk.exists(&temporary).on("look for", &temporary)? {
        disk.remove_file(&temporary).on("remove", &temporary)?;
    }
    let file = disk.open(&temporary, OpenMode::CreateNew).on("create", &temporary)?;
    file.allocate(allocate.max(bytes.len() as u64)).on("allocate", &temporary)?;
    file.write_all_at(&mut [IoSlice::new(bytes)], 0).on("write", &temporary)?;
    file.fdatasync().on("fdatasync", &temporary)?;
    Ok(Prepared { file, temporary, path: path.to_owned() })
}

impl Prepared {
    /// Puts the file in the place of the old one, durably. After an error it is unknown which one is there.
    pub(super) fn publish(self, disk: &dyn Disk) -> Result<Arc<dyn DiskFile>> {
        disk.rename(&self.temporary, &self.path).on("rename", &self.temporary)?;
        let dir = self.path.parent().unwrap_or(Path::new("."));
        disk.sync_dir(dir).on("sync directory", dir)?;
        Ok(self.file)
    }
}
