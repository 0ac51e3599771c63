//! Opening the segment files one after the other, and joining them into a log.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64};

use parking_lot::Mutex;

use super::Recovery;
use crate::checkpoint::Mark;
use crate::crypt::{Protection, SegmentCipher, UnwrapError};
use crate::disk::{DiskFile, OpenMode};
use crate::error::{IoContext, Result, StorageError};
use crate::index::Index;
use crate::layout::{self, get_u64};
use crate::log::view::SegmentView;
use crate::scan;
use crate::segment::footer::{self, FOOTER_BYTES};
use crate::segment::header::{HEADER_BYTES, SegmentHeader, key_copies};
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
        let mut opened: Vec<Arc<Segment>> = Vec::with_capacity(bases.len());
        for base in bases {
            let replaced = opened.last().and_then(|segment| segment.replaced);
            if replaced.is_some_and(|replaced| *base < replaced.end.0)
                && !cfg!(mutant = "compact_forgets_the_rest")
            {
                self.finish_cleaning(*base)?;
                continue;
            }
            opened.extend(self.open_segment(*base)?);
        }
        for (i, segment) in opened.iter().enumerate() {
            let next = opened.get(i + 1).map(|next| next.base_offset);
            // Missing offsets before this segment: a lost segment, or one that ended early.
            self.quarantine(self.tip.next_offset..segment.base_offset);
            self.tip = self.extent(segment, next)?;
            self.segments.push(SegmentView { segment: segment.clone(), tip: self.tip });
            if let Some(replaced) = segment.replaced {
                self.tip.chain = replaced.chain;
            }
        }
        Ok(())
    }

    fn open_segment(&mut self, base: u64) -> Result<Option<Arc<Segment>>> {
        let (disk, dir) = (&*self.context.disk, &self.place.dir);
        let path = log_path(dir, base);
        let file = disk.open(&path, OpenMode::Write).on("open", &path)?;
        let mut block = [0; HEADER_BYTES];
        file.read_up_to_at(&mut block, 0).on("read", &path)?;
        let (uuid, incarnation, base_chain, encrypted, replaced) = match self.identify(&block, base)? {
            Identity::Ours(header) => {
                (Some(header.uuid), header.incarnation(), header.chain, header.encrypted, header.replaced)
            }
            Identity::Unknown => {
                self.note_damaged(base);
                let key = key_copies(&block).into_iter().flatten().next();
                let guessed = self.guess_incarnation(&*file, base)?;
                let incarnation = key.map_or(guessed, |key| get_u64(&key.uuid, 0));
                (None, incarnation, 0, key.is_some(), None)
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
        let protection = self.protection(&block, base, encrypted, uuid, &path)?;
        let base_offset = base;
        Ok(Some(Arc::new(Segment {
            base_offset,
            base_chain,
            incarnation,
            path,
            file,
            protection,
            replaced,
            next_expiry: AtomicI64::new(i64::MIN),
            index,
            misled,
        })))
    }

    /// How the segment's batches are stored. A data key that cannot be read costs the segment, and is noted; one that
    /// needs a key that was not given is the operator's to mend: nothing must be opened without it.
    fn protection(
        &mut self,
        block: &[u8; HEADER_BYTES],
        base: u64,
        encrypted: bool,
        uuid: Option<[u8; 16]>,
        path: &Path,
    ) -> Result<Protection> {
        if !encrypted {
            return Ok(Protection::Plain);
        }
        let place = self.place.segment(self.context.directory, base);
        let copies = key_copies(block);
        let mut unknown = None;
        for key in copies.into_iter().flatten().filter(|key| uuid.is_none_or(|uuid| uuid == key.uuid)) {
            let Some(keyring) = &self.context.keyring else {
                return Err(StorageError::KeyMissing {
                    path: path.to_owned(),
                    needed: key.key_id.to_string(),
                });
            };
            match SegmentCipher::open(keyring, &place, &key) {
                Ok(cipher) => {
                    let current = keyring.current();
                    if copies.iter().all(|copy| copy.is_some_and(|copy| copy.key_id == current)) {
                        cipher.wrapped_by_current();
                    }
                    return Ok(Protection::Encrypted(Box::new(cipher)));
                }
                Err(UnwrapError::UnknownKey(needed)) => unknown = Some(keyring.wrong_key(path, needed)),
                Err(UnwrapError::Damaged) => {}
            }
        }
        if let Some(wrong_key) = unknown {
            return Err(wrong_key);
        }
        self.note_damaged(base);
        tracing::error!(path = %path.display(), "the segment's data key is lost: its batches cannot be read");
        Ok(Protection::KeyLost)
    }

    fn identify(&self, block: &[u8; HEADER_BYTES], base: u64) -> Result<Identity> {
        match SegmentHeader::decode(block) {
            Err(found) => {
                let path = log_path(&self.place.dir, base);
                Err(StorageError::UnknownFormat { path, found, known: layout::VERSION })
            }
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
    /// batch names it. A mark that was written before the segment was (incarnation 0) knows nothing of it.
    fn guess_incarnation(&self, file: &dyn DiskFile, base: u64) -> Result<u64> {
        let names = |mark: &Mark| mark.segment_base == base && mark.incarnation != 0;
        if let Some(mark) = self.mark().filter(names) {
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
            None if matches!(segment.protection, Protection::KeyLost) => self.scan_lost(segment),
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
