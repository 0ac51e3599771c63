//! What recovery found and did.

use std::ops::Range;

use flymq_types::Offset;

/// What opening a log came upon. A log that was closed well gives only counts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RecoveryReport {
    /// Segment files found.
    pub segments: usize,
    /// Bytes read to find the end of the log.
    pub scanned_bytes: u64,
    /// Bytes of an unfinished append that were cut off the end: none of them was durable.
    pub torn_bytes: u64,
    /// Offsets whose bytes are damaged or missing, end exclusive. Nothing was removed.
    pub quarantined: Vec<Range<Offset>>,
    /// Damaged headers, footers and side files that were worked around, by file name.
    pub damaged_files: Vec<String>,
    /// Files that are no part of a log, moved to `lost+found/` under these names.
    pub moved: Vec<String>,
    /// Temporary files of unfinished steps that were removed.
    pub removed: Vec<String>,
}

impl RecoveryReport {
    /// Whether anything but a torn tail and left-over temporary files was found.
    pub fn has_damage(&self) -> bool {
        !self.quarantined.is_empty() || !self.damaged_files.is_empty() || !self.moved.is_empty()
    }
}
