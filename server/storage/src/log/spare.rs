//! A retired segment file that becomes the log's next segment: its blocks are there and its pages in memory, so that
//! appends into it run at more than twice the speed. Only within one log. What it holds of its earlier life passes for
//! nothing: each batch names the incarnation of its segment, and where that was encrypted it stays so under a data key
//! that is gone with the header.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::LogInner;
use super::view::SegmentView;
use crate::disk::DiskFile;
use crate::error::{IoContext, Result};
use crate::segment::{TEMPORARY, log_path};

/// A file is kept if the log has begun a segment no longer ago than this, and given back when none follows in time.
const KEPT: Duration = Duration::from_secs(60);

/// A file of the log's directory under a temporary name: a start removes it.
#[derive(Debug)]
pub(crate) struct Spare {
    pub file: Arc<dyn DiskFile>,
    pub path: PathBuf,
    /// All of it has real blocks.
    pub bytes: u64,
    since: Duration,
}

/// What a log keeps for its next segment.
#[derive(Debug, Default)]
pub(super) struct Recycling {
    spare: Option<Spare>,
    /// When a full segment was last followed by a new one (monotonic).
    rolled: Option<Duration>,
}

impl LogInner {
    /// Notes that the log has filled a segment: it will fill another one soon.
    pub(super) fn note_roll(&self) {
        self.recycling.lock().rolled = Some(self.context.clock.monotonic());
        self.rolled.store(true, Ordering::Release);
    }

    pub(super) fn take_spare(&self) -> Option<Spare> {
        self.recycling.lock().spare.take()
    }

    /// Takes the name from a segment that nobody can find or reads any more. `None`: it has to be removed. Call with
    /// the `front` lock, and sync the directory before the file is kept with [`LogInner::keep`].
    pub(super) fn recycle(&self, view: &SegmentView) -> Result<Option<Spare>> {
        let segment = &view.segment;
        // Out of the readers' sight, so that the count cannot rise: one is the caller's.
        let is_read = Arc::strong_count(segment) > 1;
        // No plain bytes may stay behind in an encrypted segment.
        let unlike = self.context.keyring.is_some() != segment.protection.cipher().is_some();
        if is_read || unlike {
            return Ok(None);
        }
        let since = self.context.clock.monotonic();
        {
            let recycling = self.recycling.lock();
            let filling = recycling.rolled.is_some_and(|rolled| since < rolled + KEPT);
            if recycling.spare.is_some() || !filling {
                return Ok(None);
            }
        }
        let from = log_path(&self.place.dir, segment.base_offset);
        let path = from.with_extension(format!("spare{TEMPORARY}"));
        let bytes = segment.file.size().on("size of", &from)?;
        self.context.disk.rename(&from, &path).on("rename", &path)?;
        Ok(Some(Spare { file: segment.file.clone(), path, bytes, since }))
    }

    /// Keeps a file whose old name is gone for good.
    pub(super) fn keep(&self, spare: Spare) {
        self.recycling.lock().spare = Some(spare);
    }

    /// Gives the blocks of a file back that the log has not needed for a while.
    pub(super) fn drop_old_spare(&self) {
        let now = self.context.clock.monotonic();
        let old = self.recycling.lock().spare.take_if(|spare| now >= spare.since + KEPT);
        if let Some(spare) = old
            && let Err(error) = self.context.vital.remove_file(&spare.path)
        {
            tracing::warn!(path = %spare.path.display(), %error, "could not remove a spare segment");
        }
    }
}
