//! Index files against the log.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Serialize;

use super::report::{FindingKind, VerifyReport};
use super::segment::OpenedSegment;
use super::walk::{Step, Walk};
use super::{Inspector, LOCK_FILE};
use crate::disk::{Disk, LockOutcome, OpenMode};
use crate::error::{IoContext, Result, StorageError};
use crate::index::{ENTRIES_AT, ENTRY_BYTES, Index, IndexEntry, IndexStrategy, header_incarnation};
use crate::segment::tip::Tip;
use crate::segment::{index_path, log_path};

/// A stretch without entries is a gap when it is this many times longer than the mean.
const GAP_FACTOR: u64 = 8;

/// The index of one segment, compared with the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct IndexReport {
    pub file: PathBuf,
    /// False: missing, or of another segment; the next lookup makes it.
    pub usable: bool,
    pub entries: u64,
    /// Bytes of log for each entry.
    pub density_bytes: u64,
    /// Entries that are damaged; what follows them is not used.
    pub damaged: u64,
    /// Entries that name what the log does not have there.
    pub wrong: u64,
    /// Bytes of log behind the last good entry.
    pub stale_bytes: u64,
    /// Stretches of several batches without an entry, much longer than the others.
    pub gaps: u64,
    pub largest_gap_bytes: u64,
}

impl Inspector {
    /// The indexes of the segments at or under the path.
    ///
    /// # Errors
    /// `Io`, `UnknownFormat`.
    pub fn indexes(&self) -> Result<Vec<IndexReport>> {
        let mut all = Vec::new();
        for log in self.logs()? {
            for base in self.files(&log)?.segments {
                all.push(self.index_report(&self.open_segment(&log_path(&log.path, base))?)?.0);
            }
        }
        Ok(all)
    }

    pub(super) fn verify_index(
        &self,
        segment: &OpenedSegment,
        tip: &Tip,
        report: &mut VerifyReport,
    ) -> Result<()> {
        let (index, limit) = self.index_report(segment)?;
        // Beside a broker that writes the segment, its index is ahead of what was walked.
        let judged = self.running.is_none() || limit == tip.position;
        if index.damaged + index.wrong > 0 && judged {
            let what = format!(
                "{} entries are damaged and {} are wrong: lookups go past them, and make them again",
                index.damaged, index.wrong
            );
            report.add(FindingKind::Notice, index.file, None, what);
        }
        Ok(())
    }

    /// The report, and how far into the segment it goes.
    fn index_report(&self, segment: &OpenedSegment) -> Result<(IndexReport, u64)> {
        let dir = segment.path.parent().unwrap_or(Path::new("."));
        let file = index_path(dir, segment.base_offset);
        let batches = begins(segment)?;
        let bytes = self.read_index(&file)?;
        let usable =
            bytes.as_ref().is_some_and(|bytes| header_incarnation(bytes) == Some(segment.incarnation));
        let bytes = bytes.filter(|_| usable).unwrap_or_default();
        let mut report = IndexReport {
            file,
            usable,
            entries: 0,
            density_bytes: 0,
            damaged: 0,
            wrong: 0,
            stale_bytes: 0,
            gaps: 0,
            largest_gap_bytes: 0,
        };
        let mut positions = vec![OpenedSegment::FIRST_BATCH];
        for slot in bytes.get(ENTRIES_AT..).unwrap_or_default().chunks_exact(ENTRY_BYTES) {
            match IndexEntry::decode(slot, segment.incarnation) {
                Some(entry)
                    if batches
                        .list
                        .binary_search_by_key(&entry.position, |e| e.position)
                        .is_ok_and(|i| batches.list[i] == entry) =>
                {
                    report.entries += 1;
                    positions.push(entry.position.into());
                }
                Some(_) => report.wrong += 1,
                None if slot.iter().all(|byte| *byte == 0) => break,
                None => report.damaged += 1,
            }
        }
        report.measure(&positions, &batches);
        Ok((report, batches.end))
    }

    fn read_index(&self, path: &Path) -> Result<Option<Vec<u8>>> {
        let file = match self.disk.open(path, OpenMode::Read) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            result => result.on("open", path)?,
        };
        let mut bytes = vec![0; usize::try_from(file.size().on("size of", path)?).unwrap_or(0)];
        let read = file.read_up_to_at(&mut bytes, 0).on("read", path)?;
        bytes.truncate(read);
        Ok((bytes.len() >= ENTRIES_AT).then_some(bytes))
    }
}

impl IndexReport {
    fn measure(&mut self, positions: &[u64], batches: &Begins) {
        let log_bytes = batches.end.saturating_sub(OpenedSegment::FIRST_BATCH);
        self.density_bytes = log_bytes.checked_div(self.entries).unwrap_or(0);
        self.stale_bytes = batches.end.saturating_sub(*positions.last().unwrap_or(&0));
        let gap = (self.density_bytes * GAP_FACTOR).max(64 << 10);
        let ends = positions.iter().skip(1).copied().chain([batches.end]);
        for (from, to) in positions.iter().zip(ends) {
            let inside = batches.between(*from, to);
            let bytes = to.saturating_sub(*from);
            if inside > 1 {
                self.largest_gap_bytes = self.largest_gap_bytes.max(bytes);
                self.gaps += u64::from(bytes > gap);
            }
        }
    }
}

/// Every batch of a segment as an index entry would name it.
struct Begins {
    list: Vec<IndexEntry>,
    end: u64,
}

impl Begins {
    fn between(&self, from: u64, to: u64) -> usize {
        let at = |position: u64| self.list.partition_point(|entry| u64::from(entry.position) < position);
        at(to) - at(from)
    }
}

fn begins(segment: &OpenedSegment) -> Result<Begins> {
    let limit = segment.footer.map_or(segment.file_bytes, |footer| footer.position);
    let mut walk = Walk::new(segment, limit);
    let (mut list, mut before) = (Vec::new(), i64::MIN);
    while let Some(step) = walk.next()? {
        if let Step::Batch { position, header, .. } = step {
            let relative = header.server.base_offset - segment.base_offset;
            list.extend(IndexEntry::new(relative, position, before));
            before = before.max(header.max_timestamp);
        }
    }
    Ok(Begins { list, end: walk.tip.position })
}

/// Makes the index files of all segments at or under `path` anew; returns how many.
///
/// # Errors
/// `DirectoryLocked` while a broker works on the directory: it makes its indexes itself, as lookups need them. `Io`,
/// `UnknownFormat`.
pub fn rebuild_indexes(disk: &Arc<dyn Disk>, path: &Path, strategy: IndexStrategy) -> Result<usize> {
    let inspector = Inspector::open(disk.clone(), path, None)?;
    let Some(root) = inspector.root() else { return Ok(0) };
    let lock = root.join(LOCK_FILE);
    let _lock = match disk.lock_exclusive(&lock).on("lock", &lock)? {
        LockOutcome::Locked(lock) => lock,
        LockOutcome::HeldBy(pid) => {
            return Err(StorageError::DirectoryLocked { path: root.to_owned(), pid });
        }
    };
    let mut made = 0;
    for log in inspector.logs()? {
        for base in inspector.files(&log)?.segments {
            let segment = inspector.open_segment(&log_path(&log.path, base))?;
            let path = index_path(&log.path, base);
            let mut index = Index::create(disk.clone(), path, segment.incarnation, strategy);
            for entry in begins(&segment)?.list {
                index.offer(entry.relative_offset.into(), entry.position.into(), entry.max_timestamp_before);
            }
            made += 1;
        }
    }
    Ok(made)
}
