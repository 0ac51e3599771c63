//! The files of one partition, as a listing shows them.

use super::{Inspector, LogDir};
use crate::error::{IoContext, Result};
use crate::log::producers;
use crate::segment::{INDEX_SUFFIX, LOG_SUFFIX, TEMPORARY, parse_name};
use crate::{checkpoint, epochs, pending};

#[derive(Debug, Default)]
pub(super) struct LogFiles {
    /// Base offsets of the segments, rising.
    pub segments: Vec<u64>,
    /// Base offsets of index files without a segment.
    pub orphaned: Vec<u64>,
    /// Left over from unfinished steps, or of nobody.
    pub others: Vec<String>,
}

impl Inspector {
    pub(super) fn files(&self, log: &LogDir) -> Result<LogFiles> {
        let mut files = LogFiles::default();
        let mut indexes = Vec::new();
        for entry in self.disk.list(&log.path).on("list", &log.path)? {
            let name = entry.name;
            if let Some(base) = parse_name(&name, LOG_SUFFIX) {
                files.segments.push(base);
            } else if let Some(base) = parse_name(&name, INDEX_SUFFIX) {
                indexes.push(base);
            } else if parse_name(&name, producers::SUFFIX).is_some() {
                // A damaged one costs a longer start, nothing else.
            } else if ![checkpoint::FILE_NAME, epochs::FILE_NAME, pending::FILE_NAME].contains(&&*name) {
                let running = self.running.is_some() && name.contains(TEMPORARY);
                files.others.extend((!running).then_some(name));
            }
        }
        files.segments.sort_unstable();
        files.orphaned = indexes.into_iter().filter(|base| !files.segments.contains(base)).collect();
        Ok(files)
    }
}
