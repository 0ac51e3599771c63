//! Opening the segment files one after the other, and joining them into a log.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use parking_lot::Mutex;

use super::Recovery;
use crate::disk::{DiskFile, OpenMode};
use crate::error::{IoContext, Result, StorageError};
use crate::index::Index;
use crate::layout;
use crate::log::view::SegmentView;
use crate::scan;
use crate::segment::footer::{self, FOOTER_BYTES};
use crate::segment::header::{HEADER_BYTES, SegmentHeader};
use crate::segment::tip::Tip;
use crate::segment::{Segment, index_path, log_path};

/// Whose file a segment file is.
enum Identity {
    Ours(SegmentHeader),
    /// The header is damaged; the batches may still be good.
    Unknown,
    /// A good header of another log.
    Foreign,
}

impl Recovery<'_> {
    pub(super) fn open_segments(&mut self, bases: &[u64]) -> Result<()> {
        let mut opened = Vec::with_capacity(bases.len());
        for base in bases {
            opened.extend(self.open_segment(*base)?);
        }
        for (i, segment) in opened.iter().enumerate() {
            let next = opened.get(i + 1).map(|next| next.base_offset);
            // Missing offsets before this segment: a lost segment, or one that ended early.
            self.quarantine(self.tip.next_offset..segment.base_offset);
            self.tip = self.extent(segment, next)?;
            self.segments.push(SegmentView { segment: segment.clone(), tip: self.tip });
        }
        Ok(())
    }

    fn open_segment(&mut self, base: u64) -> Result<Option<Arc<Segment>>> {
        let (disk, dir) = (&*self.context.disk, &self.place.dir);
        let path = log_path(dir, base);
        let file = disk.open(&path, OpenMode::Write).on("open", &path)?;
        let (incarnation, base_chain) = match self.identify(&*file, base)? {
            Identity::Ours(header) => (header.incarnation(), header.chain),
            Identity::Unknown => {
                self.note_damaged(base);
                (self.guess_incarnation(&*file, base)?, 0)
            }
            Identity::Foreign => {
                let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
                self.move_to_lost_found(&name.unwrap_or_default())?;
                return Ok(None);
            }
        };
        let strategy = self.config.index;
        let index = Index::new(self.context.disk.clone(), index_path(dir, base), incarnation, strategy);
        let (index, misled) = (Mutex::new(index), AtomicU64::new(0));
        Ok(Some(Arc::new(Segment { base_offset: base, base_chain, incarnation, path, file, index, misled })))
    }

    fn identify(&self, file: &dyn DiskFile, base: u64) -> Result<Identity> {
        let path = log_path(&self.place.dir, base);
        let mut block = [0; HEADER_BYTES];
        file.read_up_to_at(&mut block, 0).on("read", &path)?;
        match SegmentHeader::decode(&block) {
            Err(found) => Err(StorageError::UnknownFormat { path, found, known: layout::VERSION }),
            Ok(None) => Ok(Identity::Unknown),
            Ok(Some(header)) => {
                let ours = cfg!(mutant = "foreign_segment_accepted")
                    || header.topic_id == self.place.topic
                        && header.partition == self.place.partition
                        && header.base_offset.0 == base;
                Ok(if ours { Identity::Ours(header) } else { Identity::Foreign })
            }
        }
    }

    /// The incarnation of a segment whose header is damaged: the checkpoint knows it, or the first whole header of a
    /// batch names it.
    fn guess_incarnation(&self, file: &dyn DiskFile, base: u64) -> Result<u64> {
        if let Some(mark) = self.mark().filter(|mark| mark.segment_base == base) {
            return Ok(mark.incarnation);
        }
        let found = scan::any_incarnation(file, HEADER_BYTES as u64, base);
        Ok(found.on("read", &log_path(&self.place.dir, base))?.unwrap_or(0))
    }

    fn note_damaged(&mut self, base: u64) {
        self.report.damaged_files.push(format!("{base:020}.log"));
    }

    /// Where a segment ends: by its footer, else by reading it.
    fn extent(&mut self, segment: &Arc<Segment>, next_base: Option<u64>) -> Result<Tip> {
        if let Some(tip) = read_footer(segment)?
            && next_base.is_none_or(|next| tip.next_offset <= next)
        {
            return Ok(tip);
        }
        match next_base {
            Some(next) => {
                self.note_damaged(segment.base_offset);
                self.scan_sealed(segment, next)
            }
            None => {
                self.active = Some(segment.clone());
                self.scan_active(segment)
            }
        }
    }
}

fn read_footer(segment: &Segment) -> Result<Option<Tip>> {
    let size = segment.file.size().on("size of", &segment.path)?;
    let Some(at) = size.checked_sub(FOOTER_BYTES as u64).filter(|at| *at >= HEADER_BYTES as u64) else {
        return Ok(None);
    };
    let mut block = [0; FOOTER_BYTES];
    segment.file.read_exact_at(&mut block, at).on("read", &segment.path)?;
    Ok(footer::decode(&block, segment.incarnation, size))
}
