//! A log that begins above 0: what a backup brings back keeps its offsets.

use std::sync::atomic::Ordering;

use flymq_types::Offset;

use super::{Log, LogInner};
use crate::error::{IoContext, Result, StorageError};
use crate::segment::tip::Tip;

impl Log {
    /// Has a log that nothing was ever appended to begin at `offset`; that is durable when it returns. A log that is
    /// empty and begins there already stays as it is.
    ///
    /// # Errors
    /// `OffsetOutOfRange` for a log that has or had records; `Io`, `DiskFull`, `ReadOnly`, `Closed`.
    pub fn start_at(&self, offset: Offset) -> Result<()> {
        let mut writer = self.0.writer.lock();
        self.0.check_writable()?;
        let (start, end) = (self.start_offset(), self.end_offset());
        if start == offset && end == offset {
            return Ok(());
        }
        if end != Offset::ZERO || self.0.checkpoint.lock().file.is_some() {
            return Err(StorageError::OffsetOutOfRange { start, end });
        }
        self.0.move_empty_to(offset.0);
        let made = self.0.make_durable();
        match made {
            Ok(()) => writer.tip = Tip::start(offset.0, 0, i64::MIN),
            Err(_) => self.0.move_empty_to(end.0),
        }
        made
    }
}

impl LogInner {
    fn move_empty_to(&self, offset: u64) {
        self.start.store(offset, Ordering::Release);
        self.durable.store(offset, Ordering::Release);
        self.end.store(offset, Ordering::Release);
    }

    fn make_durable(&self) -> Result<()> {
        self.create_directories()?;
        let dir = &self.place.dir;
        self.context.disk.sync_dir(dir).on("sync directory", dir)
    }
}
