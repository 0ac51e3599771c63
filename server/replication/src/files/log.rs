//! A log of metadata: one entry for each durable step.
//!
//! After the header (its number: the version that the first entry follows) come entries back to back: u32 payload
//! length · u32 crc32c of version and payload · u64 version · payload. Each is written
//! twice, with one sync: the last entry may be torn, so that damage to a single copy could not be told from that. The
//! file is allocated ahead; where the length is zero the log ends. In an encrypted directory lengths and crcs are those
//! of the encrypted payloads.

use std::io::IoSlice;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use flymq_storage::{Disk, DiskFile, FileCipher, FileVault};

use super::error::{IoContext, Result, damaged};
use super::file::{Content, Prepared, new_header, prepare, read_all, read_header, u32_at, u64_at};

/// What a log is for: no other kind opens it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LogRole {
    pub(crate) magic: [u8; 8],
    /// Ties an encrypted file to its role.
    pub(crate) name: &'static str,
}

const ENTRY_HEADER_BYTES: usize = 16;
/// The file grows by this many bytes.
const ALLOCATION_STEP: u64 = 256 << 10;
/// Larger proposals are refused; stored lengths above it are damage.
pub(crate) const MAX_PAYLOAD_BYTES: usize = 64 << 20;

/// The log's writer. One at a time; after an error it must not be used again, unless that was want of space or of the
/// right to write: then the end has not moved, and the next entry goes to the same place.
#[derive(Debug)]
pub(crate) struct MetaLog {
    file: Arc<dyn DiskFile>,
    path: PathBuf,
    content: Content,
    end: u64,
    allocated: u64,
}

/// A stored entry.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Entry<'a> {
    pub(crate) version: u64,
    pub(crate) payload: &'a [u8],
}

/// A complete new log under a temporary name.
#[derive(Debug)]
pub(crate) struct PreparedLog {
    prepared: Prepared,
    path: PathBuf,
    content: Content,
    end: u64,
    allocated: u64,
}

impl PreparedLog {
    /// A log that follows the version `base` and holds the payloads, each an entry.
    pub(crate) fn new(
        disk: &dyn Disk,
        path: &Path,
        role: LogRole,
        base: u64,
        vault: Option<&FileVault>,
        payloads: &[Vec<u8>],
    ) -> Result<Self> {
        let (mut bytes, content) = new_header(role.magic, base, role.name, vault);
        for (version, payload) in (base + 1..).zip(payloads) {
            let payload = &*content.seal(version, payload);
            let entry = [&entry_header(version, payload)[..], payload].concat();
            bytes.extend_from_slice(&entry);
            bytes.extend_from_slice(&entry);
        }
        let end = bytes.len() as u64;
        let allocated = end.next_multiple_of(ALLOCATION_STEP);
        let prepared = prepare(disk, path, &bytes, allocated)?;
        Ok(Self { prepared, path: path.to_owned(), content, end, allocated })
    }

    pub(crate) fn publish(self, disk: &dyn Disk) -> Result<MetaLog> {
        let Self { prepared, path, content, end, allocated } = self;
        Ok(MetaLog { file: prepared.publish(disk)?, path, content, end, allocated })
    }
}

impl MetaLog {
    /// Opens the log, hands every entry to `apply` in order, and cuts a torn tail. `None` where there is no log.
    ///
    /// What is handed out is on the disk: a process that died before its fdatasync leaves entries that are not, so
    /// the whole file is synced first.
    pub(crate) fn open(
        disk: &dyn Disk,
        path: &Path,
        role: LogRole,
        vault: Option<&FileVault>,
        mut apply: impl FnMut(Entry<'_>) -> Result<()>,
    ) -> Result<Option<Self>> {
        let Some((file, bytes)) = read_all(disk, path)? else { return Ok(None) };
        let (base, content) = read_header(path, role.magic, role.name, &bytes, vault)?;
        let (entries, at) = entries(path, &bytes, content.at, base)?;
        if bytes[at..].iter().any(|byte| *byte != 0) {
            tracing::warn!(bytes = bytes.len() - at, "cutting the torn end of the metadata log");
            file.set_len(at as u64).on("cut", path)?;
        }
        let allocated = (bytes.len() as u64).max(ALLOCATION_STEP);
        file.allocate(allocated).on("allocate", path)?;
        file.fdatasync().on("fdatasync", path)?;
        for Entry { version, payload } in entries {
            let payload = content.open(version, payload);
            let payload = payload.ok_or_else(|| damaged(path, format!("entry {version} was changed")))?;
            apply(Entry { version, payload: &payload })?;
        }
        Ok(Some(Self { file, path: path.to_owned(), content, end: at as u64, allocated }))
    }

    /// Appends an entry and returns when it is on the disk.
    pub(crate) fn append(&mut self, version: u64, payload: &[u8]) -> Result<()> {
        let payload = &*self.content.seal(version, payload);
        let head = entry_header(version, payload);
        let next = self.end + 2 * (ENTRY_HEADER_BYTES + payload.len()) as u64;
        if next > self.allocated {
            let allocated = next.next_multiple_of(ALLOCATION_STEP);
            self.file.allocate(allocated).on("allocate", &self.path)?;
            self.allocated = allocated;
        }
        let (head, payload) = (IoSlice::new(&head), IoSlice::new(payload));
        let mut slices = [head, payload, head, payload];
        self.file.write_all_at(&mut slices, self.end).on("write", &self.path)?;
        if !cfg!(mutant = "meta_no_fdatasync") {
            self.file.fdatasync().on("fdatasync", &self.path)?;
        }
        self.end = next;
        Ok(())
    }

    /// Bytes of entries.
    pub(crate) fn bytes(&self) -> u64 {
        self.end - self.content.at as u64
    }

    /// Whether it is encrypted as it should be.
    pub(crate) fn is_current(&self) -> bool {
        self.content.is_current
    }
}

fn entry_header(version: u64, payload: &[u8]) -> [u8; ENTRY_HEADER_BYTES] {
    let mut head = [0; ENTRY_HEADER_BYTES];
    // The store refuses payloads above MAX_PAYLOAD_BYTES.
    head[..4].copy_from_slice(&u32::try_from(payload.len()).unwrap_or(u32::MAX).to_le_bytes());
    head[4..8].copy_from_slice(&entry_crc(version, payload).to_le_bytes());
    head[8..].copy_from_slice(&version.to_le_bytes());
    head
}

fn entry_crc(version: u64, payload: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&version.to_le_bytes()), payload)
}

/// The verified entry at a place, and where the next one would be.
fn entry_at(bytes: &[u8], at: usize) -> Option<(Entry<'_>, usize)> {
    let head = bytes.get(at..at + ENTRY_HEADER_BYTES)?;
    let (len, crc, version) = (u32_at(head, 0) as usize, u32_at(head, 4), u64_at(head, 8));
    if len == 0 || len > MAX_PAYLOAD_BYTES + FileCipher::OVERHEAD {
        return None;
    }
    let from = at + ENTRY_HEADER_BYTES;
    let payload = bytes.get(from..from + len)?;
    (entry_crc(version, payload) == crc).then_some((Entry { version, payload }, from + len))
}

/// Every entry once, in order, and where the last one ends.
fn entries<'a>(path: &Path, bytes: &'a [u8], from: usize, base: u64) -> Result<(Vec<Entry<'a>>, usize)> {
    let (mut at, mut last, mut entries) = (from, base, Vec::new());
    loop {
        match entry_at(bytes, at) {
            // The second copy.
            Some((entry, next)) if entry.version == last && !entries.is_empty() => at = next,
            Some((entry, next)) if entry.version == last + 1 => {
                (at, last) = (next, entry.version);
                entries.push(entry);
            }
            Some((entry, _)) => {
                return Err(damaged(path, format!("entry {} follows entry {last}", entry.version)));
            }
            None if bytes[at..].iter().all(|byte| *byte == 0) => return Ok((entries, at)),
            // A damaged copy; the other one, or the next entry, is behind it. Every entry was durable before the next
            // was written: with nothing behind it, it is torn.
            None => match later_entry(bytes, at + 1, last) {
                Some((there, version)) if version <= last + 1 => {
                    tracing::error!(
                        at,
                        version,
                        "one copy of a metadata entry is damaged: went on with the next"
                    );
                    at = there;
                }
                Some((_, version)) => {
                    let reason = format!("entry {} is unreadable, but entry {version} is there", last + 1);
                    return Err(damaged(path, reason));
                }
                None => return Ok((entries, at)),
            },
        }
    }
}

/// Place and version of the first verified entry anywhere behind `from` that is `last` or newer.
fn later_entry(bytes: &[u8], from: usize, last: u64) -> Option<(usize, u64)> {
    /// No log holds more entries than this before it is cut by a snapshot.
    const MAX_ENTRIES: u64 = 1 << 32;
    (from..bytes.len().saturating_sub(ENTRY_HEADER_BYTES)).find_map(|at| {
        let version = u64_at(bytes, at + 8);
        let plausible = version >= last && version - last < MAX_ENTRIES;
        if plausible { entry_at(bytes, at).map(|(entry, _)| (at, entry.version)) } else { None }
    })
}
