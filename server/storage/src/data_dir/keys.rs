//! Which keys the segments of a data directory need, by their headers.

use std::io;
use std::path::Path;

use crate::crypt::KeyId;
use crate::disk::{Disk, OpenMode};
use crate::error::{IoContext, Result, StorageError};
use crate::segment::header::{HEADER_BYTES, key_blocks};
use crate::segment::{LOG_SUFFIX, parse_name};

/// Ids of the keys that the data keys of all segments are wrapped by, each once. Changes nothing.
pub(super) fn in_use(disk: &dyn Disk, topics: &Path) -> Result<Vec<KeyId>> {
    let mut ids = Vec::new();
    if !disk.exists(topics).on("look for", topics)? {
        return Ok(ids);
    }
    for topic in directories(disk, topics)? {
        for partition in directories(disk, &topics.join(&topic))? {
            of_log(disk, &topics.join(&topic).join(partition), &mut ids)?;
        }
    }
    ids.sort_unstable();
    ids.dedup();
    Ok(ids)
}

fn directories(disk: &dyn Disk, dir: &Path) -> Result<Vec<String>> {
    let entries = disk.list(dir).on("list", dir)?;
    Ok(entries.into_iter().filter(|entry| entry.is_dir).map(|entry| entry.name).collect())
}

fn of_log(disk: &dyn Disk, dir: &Path, ids: &mut Vec<KeyId>) -> Result<()> {
    for entry in disk.list(dir).on("list", dir)? {
        if parse_name(&entry.name, LOG_SUFFIX).is_none() {
            continue;
        }
        let path = dir.join(&entry.name);
        let file = match disk.open(&path, OpenMode::Read) {
            Ok(file) => file,
            // Retention was faster.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(StorageError::io("open", &path, error)),
        };
        let mut block = [0; HEADER_BYTES];
        file.read_up_to_at(&mut block, 0).on("read", &path)?;
        ids.extend(key_blocks(&block).map(|key| key.key_id));
    }
    Ok(())
}
