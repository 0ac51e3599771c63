//! Where files go that nobody knows: kept, out of the way, under a name that says where they were.

use std::path::Path;

use crate::disk::Disk;
use crate::error::{IoContext, Result};

pub(crate) const DIRECTORY: &str = "lost+found";

/// Moves `dir/name` into the directory `lost_found` as `<label>-<name>`, with a number where that is taken. The new
/// name is durable before the old one goes for good. Returns the new name.
pub(crate) fn take(
    disk: &dyn Disk,
    lost_found: &Path,
    dir: &Path,
    name: &str,
    label: &str,
) -> Result<String> {
    let from = dir.join(name);
    let mut moved = format!("{label}-{name}");
    let mut number = 1;
    while disk.exists(&lost_found.join(&moved)).on("look for", lost_found)? {
        moved = format!("{label}-{name}.{number}");
        number += 1;
    }
    if cfg!(mutant = "unknown_file_removed") {
        disk.remove_file(&from).on("remove", &from)?;
        return Ok(moved);
    }
    disk.rename(&from, &lost_found.join(&moved)).on("move to lost+found", &from)?;
    disk.sync_dir(lost_found).on("sync directory", lost_found)?;
    disk.sync_dir(dir).on("sync directory", dir)?;
    tracing::warn!(file = %from.display(), to = %moved, "moved an unknown file to lost+found");
    Ok(moved)
}
