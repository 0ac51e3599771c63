//! What looking found.

use std::fmt;
use std::path::PathBuf;

use serde::Serialize;

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum FindingKind {
    /// Records are damaged or missing, or a file that cannot be made again is.
    Damage,
    /// Something that the next start mends by itself: a torn tail, an index, an unknown file.
    Notice,
    /// Something that could not be looked into, for want of a key.
    Unchecked,
}

/// One thing that is not as it was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    pub kind: FindingKind,
    pub file: PathBuf,
    /// Offsets that it costs, end exclusive.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub offsets: Option<(u64, u64)>,
    pub what: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            FindingKind::Damage => "damage",
            FindingKind::Notice => "notice",
            FindingKind::Unchecked => "unchecked",
        };
        write!(f, "{kind}: {}: ", self.file.display())?;
        match self.offsets {
            Some((start, end)) if end > start => write!(f, "offsets {start} to {}: {}", end - 1, self.what),
            Some(_) | None => f.write_str(&self.what),
        }
    }
}

/// One segment file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SegmentReport {
    pub file: PathBuf,
    /// 32 hexadecimal digits.
    pub topic_id: String,
    pub partition: u32,
    pub base_offset: u64,
    /// Offset after the last batch.
    pub next_offset: u64,
    pub created_ms: i64,
    pub max_timestamp_ms: Option<i64>,
    /// It has a good footer: it never changes again.
    pub sealed: bool,
    pub encrypted: bool,
    pub batches: u64,
    /// Offsets of the batches.
    pub records: u64,
    /// Bytes up to the end of the last batch, the header block included.
    pub bytes: u64,
    /// Bytes of the file.
    pub file_bytes: u64,
}

/// What [`super::Inspector::verify`] found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct VerifyReport {
    /// A broker works on the directory: what is above durable marks was left out.
    pub running: bool,
    pub partitions: usize,
    pub segments: usize,
    pub batches: u64,
    pub records: u64,
    /// Bytes read and found good or bad.
    pub bytes: u64,
    pub findings: Vec<Finding>,
}

impl VerifyReport {
    /// Whether anything is damaged.
    pub fn is_damaged(&self) -> bool {
        self.findings.iter().any(|finding| finding.kind == FindingKind::Damage)
    }

    pub(super) fn add(
        &mut self,
        kind: FindingKind,
        file: PathBuf,
        offsets: Option<(u64, u64)>,
        what: String,
    ) {
        self.findings.push(Finding { kind, file, offsets, what });
    }
}
