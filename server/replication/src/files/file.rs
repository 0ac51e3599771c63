//! What log and snapshot have in common: a header, and how a new file takes the place of an old one.

use std::borrow::Cow;
use std::io::IoSlice;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use flymq_storage::{Disk, DiskFile, FileCipher, FileVault, OpenMode};

use super::error::{IoContext, LocalMetaError, Result, damaged};

pub(crate) const HEADER_BYTES: usize = 32;
const FORMAT_VERSION: u32 = 1;
/// The content is encrypted; the wrapped data key follows the header.
const ENCRYPTED: u32 = 1;

/// How a file's content is kept.
#[derive(Debug)]
pub(crate) struct Content {
    /// Of the first byte of it.
    pub(crate) at: usize,
    cipher: Option<FileCipher>,
    /// Encrypted under the current key where there is one.
    pub(crate) is_current: bool,
}

impl Content {
    /// A piece as it is stored.
    pub(crate) fn seal<'a>(&self, piece: u64, plain: &'a [u8]) -> Cow<'a, [u8]> {
        self.cipher.as_ref().map_or(Cow::Borrowed(plain), |cipher| Cow::Owned(cipher.seal(piece, plain)))
    }

    /// A stored piece in the clear; `None` if it was changed.
    pub(crate) fn open<'a>(&self, piece: u64, stored: &'a [u8]) -> Option<Cow<'a, [u8]>> {
        match &self.cipher {
            None => Some(Cow::Borrowed(stored)),
            Some(cipher) => cipher.open(piece, stored).map(Cow::Owned),
        }
    }

    /// Opens a file's content by its header, which is good.
    fn of(path: &Path, name: &str, bytes: &[u8], vault: Option<&FileVault>) -> Result<Self> {
        if u32_at(bytes, 24) != ENCRYPTED {
            return Ok(Self { at: HEADER_BYTES, cipher: None, is_current: vault.is_none() });
        }
        let at = HEADER_BYTES + FileVault::HEAD_BYTES;
        let head = bytes.get(HEADER_BYTES..at).ok_or_else(|| damaged(path, "it is cut short"))?;
        let vault = vault.ok_or_else(|| FileVault::key_missing(path, head))?;
        let (cipher, is_current) = vault.open_file(path, name, head)?;
        Ok(Self { at, cipher: Some(cipher), is_current })
    }
}

/// Everything before the content of a new file. `name` ties an encrypted file to its role.
pub(crate) fn new_header(
    magic: [u8; 8],
    number: u64,
    name: &str,
    vault: Option<&FileVault>,
) -> (Vec<u8>, Content) {
    let mut bytes = header(magic, number, vault.is_some()).to_vec();
    let cipher = vault.map(|vault| {
        let (cipher, head) = vault.new_file(name);
        bytes.extend_from_slice(&head);
        cipher
    });
    let content = Content { at: bytes.len(), cipher, is_current: true };
    (bytes, content)
}

/// The first 32 bytes of a file, little-endian: magic (8) · u32 format version · u32 crc of `number` · u64 number ·
/// u32 encryption (0 none, 1 with a data key behind the header) · u32 crc of the 28 bytes before.
pub(crate) fn header(magic: [u8; 8], number: u64, encrypted: bool) -> [u8; HEADER_BYTES] {
    let mut bytes = [0; HEADER_BYTES];
    bytes[..8].copy_from_slice(&magic);
    bytes[8..12].copy_from_slice(&FORMAT_VERSION.to_le_bytes());
    bytes[12..16].copy_from_slice(&crc32c::crc32c(&number.to_le_bytes()).to_le_bytes());
    bytes[16..24].copy_from_slice(&number.to_le_bytes());
    bytes[24..28].copy_from_slice(&(if encrypted { ENCRYPTED } else { 0 }).to_le_bytes());
    let crc = crc32c::crc32c(&bytes[..28]);
    bytes[28..].copy_from_slice(&crc.to_le_bytes());
    bytes
}

/// The number in a file's header, and what is behind it.
pub(crate) fn read_header(
    path: &Path,
    magic: [u8; 8],
    name: &str,
    bytes: &[u8],
    vault: Option<&FileVault>,
) -> Result<(u64, Content)> {
    let Some(header) = bytes.get(..HEADER_BYTES) else { return Err(damaged(path, "it is cut short")) };
    let crc = u32_at(header, 28);
    if header[..8] != magic || crc != crc32c::crc32c(&header[..28]) {
        return Err(damaged(path, "its header does not match its checksum"));
    }
    match u32_at(header, 8) {
        FORMAT_VERSION => Ok((u64_at(header, 16), Content::of(path, name, bytes, vault)?)),
        found => Err(LocalMetaError::UnknownFormat { path: path.to_owned(), found, known: FORMAT_VERSION }),
    }
}

pub(crate) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes[at..at + 4].try_into().map_or(0, u32::from_le_bytes)
}

pub(crate) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    bytes[at..at + 8].try_into().map_or(0, u64::from_le_bytes)
}

/// An open file with all its bytes.
pub(crate) type FileBytes = (Arc<dyn DiskFile>, Vec<u8>);

/// All bytes of a file, or `None` where there is none.
pub(crate) fn read_all(disk: &dyn Disk, path: &Path) -> Result<Option<FileBytes>> {
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
pub(crate) struct Prepared {
    pub(crate) file: Arc<dyn DiskFile>,
    temporary: PathBuf,
    path: PathBuf,
}

/// Writes `bytes` into a new file of at least `allocate` bytes, durably, under a temporary name beside `path`.
pub(crate) fn prepare(disk: &dyn Disk, path: &Path, bytes: &[u8], allocate: u64) -> Result<Prepared> {
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
    pub(crate) fn publish(self, disk: &dyn Disk) -> Result<Arc<dyn DiskFile>> {
        disk.rename(&self.temporary, &self.path).on("rename", &self.temporary)?;
        let dir = self.path.parent().unwrap_or(Path::new("."));
        disk.sync_dir(dir).on("sync directory", dir)?;
        Ok(self.file)
    }
}
