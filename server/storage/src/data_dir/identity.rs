//! `meta.json`: which data directory this is. Written once, never rewritten.

use std::fmt;
use std::io::{self, IoSlice};
use std::path::Path;

use flymq_types::{Rng, Timestamp};
use serde::{Deserialize, Serialize};

use crate::disk::{Disk, OpenMode};
use crate::error::{IoContext, Result, StorageError};

const FILE_NAME: &str = "meta.json";
const TEMPORARY_NAME: &str = "meta.json.tmp";
/// The layout of the directory as a whole; each file has its own version besides.
const FORMAT_VERSION: u32 = 1;
/// Far more than the file ever has.
const MAX_BYTES: u64 = 64 << 10;

/// The random id of a data directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct DirectoryId(uuid::Uuid);

impl DirectoryId {
    #[cfg(test)]
    pub(crate) fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(uuid::Uuid::from_bytes(bytes))
    }

    pub fn as_bytes(&self) -> &[u8; 16] {
        self.0.as_bytes()
    }
}

impl fmt::Display for DirectoryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Meta {
    format_version: u32,
    directory_id: String,
    created_ms: i64,
    /// The node that the directory belongs to, where it had a name of its own when the directory was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    node_id: Option<String>,
    /// Of the three numbers: an id with one digit changed is still an id. Not of the name, which people may change.
    crc32c: u32,
}

impl Meta {
    fn crc(&self) -> u32 {
        let text = format!("{}/{}/{}", self.format_version, self.directory_id, self.created_ms);
        crc32c::crc32c(text.as_bytes())
    }
}

/// Of a file of any version, only this is read first.
#[derive(Debug, Deserialize)]
struct AnyVersion {
    format_version: u32,
}

/// The identity of a directory that has one. Changes nothing.
///
/// # Errors
/// `UnknownFormat`, `DamagedIdentity`; `OtherNode` when both sides have a name and they differ.
pub(super) fn load(disk: &dyn Disk, dir: &Path, node: Option<&str>) -> Result<Option<DirectoryId>> {
    let path = dir.join(FILE_NAME);
    let file = match disk.open(&path, OpenMode::Read) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return missing(disk, dir).map(|()| None),
        result => result.on("open", &path)?,
    };
    let size = file.size().on("size of", &path)?.min(MAX_BYTES);
    let mut bytes = vec![0; size as usize];
    if let Err(error) = file.read_exact_at(&mut bytes, 0) {
        return Err(StorageError::DamagedIdentity { path, reason: error.to_string() });
    }
    let (id, owner) = parse(&path, &bytes)?;
    match (owner, node) {
        (Some(owner), Some(node)) if owner != node => {
            Err(StorageError::OtherNode { path: dir.to_owned(), owner, node: node.to_owned() })
        }
        _either_has_no_name => Ok(Some(id)),
    }
}

/// A directory with data in it has had an identity. An empty `topics` is made just before the identity.
fn missing(disk: &dyn Disk, dir: &Path) -> Result<()> {
    for name in [super::TOPICS, super::METADATA] {
        let path = dir.join(name);
        let there = match disk.list(&path) {
            Ok(entries) => name != super::TOPICS || !entries.is_empty(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => false,
            // Something else of that name.
            Err(_) => true,
        };
        if there {
            let reason = format!("the file is missing beside an existing {name}");
            return Err(StorageError::DamagedIdentity { path: dir.join(FILE_NAME), reason });
        }
    }
    Ok(())
}

/// The id of a data directory that somebody looks at; `None` where it cannot be read.
pub(crate) fn read_id(disk: &dyn Disk, dir: &Path) -> Option<DirectoryId> {
    let path = dir.join(FILE_NAME);
    let file = disk.open(&path, OpenMode::Read).ok()?;
    let mut bytes = vec![0; usize::try_from(file.size().ok()?.min(MAX_BYTES)).ok()?];
    file.read_exact_at(&mut bytes, 0).ok()?;
    parse(&path, &bytes).ok().map(|(id, _)| id)
}

fn parse(path: &Path, bytes: &[u8]) -> Result<(DirectoryId, Option<String>)> {
    let damaged = |reason: String| StorageError::DamagedIdentity { path: path.to_owned(), reason };
    let version: AnyVersion = serde_json::from_slice(bytes).map_err(|e| damaged(e.to_string()))?;
    if version.format_version != FORMAT_VERSION {
        return Err(StorageError::UnknownFormat {
            path: path.to_owned(),
            found: version.format_version,
            known: FORMAT_VERSION,
        });
    }
    let meta: Meta = serde_json::from_slice(bytes).map_err(|e| damaged(e.to_string()))?;
    if meta.crc32c != meta.crc() {
        return Err(damaged("its content does not match its checksum".to_owned()));
    }
    let id = meta.directory_id.parse().map_err(|_| damaged("directory_id is no uuid".to_owned()))?;
    Ok((DirectoryId(id), meta.node_id))
}

/// Gives a new directory its identity, durably.
pub(super) fn create(
    disk: &dyn Disk,
    dir: &Path,
    rng: &dyn Rng,
    now: Timestamp,
    node: Option<&str>,
) -> Result<DirectoryId> {
    let mut random = [0; 16];
    rng.fill(&mut random);
    let id = uuid::Builder::from_random_bytes(random).into_uuid();
    let mut meta = Meta {
        format_version: FORMAT_VERSION,
        directory_id: id.to_string(),
        created_ms: now.0,
        node_id: node.map(str::to_owned),
        crc32c: 0,
    };
    meta.crc32c = meta.crc();
    let (path, temporary) = (dir.join(FILE_NAME), dir.join(TEMPORARY_NAME));
    let text = serde_json::to_vec_pretty(&meta)
        .map_err(|error| StorageError::io("encode", &path, io::Error::other(error)))?;
    if disk.exists(&temporary).on("look for", &temporary)? {
        disk.remove_file(&temporary).on("remove", &temporary)?;
    }
    let file = disk.open(&temporary, OpenMode::CreateNew).on("create", &temporary)?;
    file.write_all_at(&mut [IoSlice::new(&text)], 0).on("write", &temporary)?;
    file.fdatasync().on("fdatasync", &temporary)?;
    disk.rename(&temporary, &path).on("rename", &path)?;
    disk.sync_dir(dir).on("sync directory", dir)?;
    Ok(DirectoryId(id))
}
