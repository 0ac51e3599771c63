//! The files of a log's directory: what belongs there, what is left over, and what nobody knows.

use std::path::Path;

use super::Recovery;
use crate::checkpoint::CheckpointFile;
use crate::disk::{Disk, OpenMode};
use crate::epochs::Epochs;
use crate::error::{IoContext, Result, StorageError};
use crate::layout;
use crate::log::producers;
use crate::segment::header::{HEADER_BYTES, SegmentHeader};
use crate::segment::{INDEX_SUFFIX, LOG_SUFFIX, TEMPORARY, index_path, log_path, parse_name};
use crate::{checkpoint, epochs, lost_found, pending};

#[derive(Debug, Default)]
pub(super) struct Files {
    /// Base offsets of the segment files, rising.
    pub segments: Vec<u64>,
    pub checkpoint: bool,
    pub epochs: bool,
    /// Log ends of which there is a snapshot of the producers, rising.
    pub producers: Vec<u64>,
    /// A change of the files that is not finished.
    pub pending: bool,
    temporary: Vec<String>,
    /// Index files without a segment.
    orphaned: Vec<String>,
    unknown: Vec<String>,
}

impl Files {
    pub fn collect(disk: &dyn Disk, dir: &Path) -> Result<Self> {
        let mut files = Self::default();
        let mut indexes = Vec::new();
        for entry in disk.list(dir).on("list", dir)? {
            let name = entry.name;
            if entry.is_dir {
                files.unknown.push(name);
            } else if name.ends_with(TEMPORARY) {
                files.temporary.push(name);
            } else if let Some(base) = parse_name(&name, LOG_SUFFIX) {
                files.segments.push(base);
            } else if let Some(base) = parse_name(&name, INDEX_SUFFIX) {
                indexes.push((base, name));
            } else if let Some(end) = parse_name(&name, producers::SUFFIX) {
                files.producers.push(end);
            } else if name == checkpoint::FILE_NAME {
                files.checkpoint = true;
            } else if name == epochs::FILE_NAME {
                files.epochs = true;
            } else if name == pending::FILE_NAME {
                files.pending = true;
            } else {
                files.unknown.push(name);
            }
        }
        files.producers.sort_unstable();
        indexes.retain(|(base, _)| !files.segments.contains(base));
        files.orphaned = indexes.into_iter().map(|(_, name)| name).collect();
        Ok(files)
    }
}

impl Recovery<'_> {
    /// Before anything is removed or moved: what looks unknown may be known to the later FlyMQ that wrote the log.
    pub(super) fn check_formats(&self, files: &Files) -> Result<()> {
        if files.temporary.is_empty() && files.orphaned.is_empty() && files.unknown.is_empty() {
            return Ok(());
        }
        let (disk, dir) = (&*self.context.disk, &self.place.dir);
        CheckpointFile::load(disk, dir)?;
        Epochs::load(disk, dir)?;
        for base in &files.segments {
            let path = log_path(dir, *base);
            let mut block = [0; HEADER_BYTES];
            let file = disk.open(&path, OpenMode::Read).on("open", &path)?;
            file.read_up_to_at(&mut block, 0).on("read", &path)?;
            if let Err(found) = SegmentHeader::decode(&block) {
                return Err(StorageError::UnknownFormat { path, found, known: layout::VERSION });
            }
        }
        Ok(())
    }

    /// Removes what no reader has ever seen or what can be rebuilt; moves away what is unknown.
    pub(super) fn tidy(&mut self, files: &Files) -> Result<()> {
        let (disk, dir) = (&*self.context.vital, &self.place.dir);
        for name in files.temporary.iter().chain(&files.orphaned) {
            disk.remove_file(&dir.join(name)).on("remove", &dir.join(name))?;
            self.report.removed.push(name.clone());
        }
        for name in &files.unknown {
            self.move_to_lost_found(name)?;
        }
        Ok(())
    }

    pub(super) fn move_to_lost_found(&mut self, name: &str) -> Result<()> {
        let (disk, dir) = (&*self.context.vital, &self.place.dir);
        let label = format!("{}-{}", self.place.topic, self.place.partition);
        let moved = lost_found::take(disk, &self.context.lost_found, dir, name, &label)?;
        self.report.moved.push(moved);
        Ok(())
    }

    /// Removes a segment that a cleaning had replaced already when it was cut off.
    pub(super) fn finish_cleaning(&mut self, base: u64) -> Result<()> {
        let (disk, dir) = (&*self.context.vital, &self.place.dir);
        disk.remove_file(&log_path(dir, base)).on("remove", &log_path(dir, base))?;
        // The index may be gone already.
        let _ = disk.remove_file(&index_path(dir, base));
        self.report.removed.push(format!("{base:020}.log"));
        Ok(())
    }

    /// Removes segments that a retention run had given up already when it was cut off.
    pub(super) fn finish_retention(&mut self, mut bases: Vec<u64>) -> Result<Vec<u64>> {
        let (disk, dir) = (&*self.context.vital, &self.place.dir);
        let start = self.checkpoint.as_ref().map_or(0, |file| file.current().log_start);
        while bases.get(1).is_some_and(|second| *second <= start) {
            let base = bases.remove(0);
            disk.remove_file(&log_path(dir, base)).on("remove", &log_path(dir, base))?;
            // The index may be gone already.
            let _ = disk.remove_file(&index_path(dir, base));
        }
        Ok(bases)
    }
}
