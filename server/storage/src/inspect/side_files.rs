//! Checkpoint and epochs, looked at without mending them.

use super::report::{FindingKind, VerifyReport};
use super::{Inspector, LogDir};
use crate::checkpoint::{self, Checkpoint, CheckpointFile};
use crate::epochs::{self, Epochs};
use crate::error::{Result, StorageError};

impl Inspector {
    /// The newest good slot of the checkpoint.
    pub(super) fn checkpoint(&self, log: &LogDir, report: &mut VerifyReport) -> Result<Option<Checkpoint>> {
        let path = log.path.join(checkpoint::FILE_NAME);
        match CheckpointFile::peek(&*self.disk, &log.path) {
            Ok(Some(found)) => {
                if found.bad_slots > 0 {
                    let what = "one of the two slots is damaged; the other holds".to_owned();
                    report.add(FindingKind::Notice, path, None, what);
                }
                Ok(Some(found.checkpoint))
            }
            Ok(None) => {
                let there = self.disk.exists(&path).unwrap_or(false);
                let what =
                    "both slots are damaged: log start and durable mark are lost, the next start scans"
                        .to_owned();
                if there {
                    report.add(FindingKind::Damage, path, None, what);
                }
                Ok(None)
            }
            Err(StorageError::UnknownFormat { found, .. }) => {
                let what = format!("has format version {found}, which this build does not know");
                report.add(FindingKind::Unchecked, path, None, what);
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    pub(super) fn check_epochs(&self, log: &LogDir, report: &mut VerifyReport) -> Result<()> {
        let path = log.path.join(epochs::FILE_NAME);
        match Epochs::load(&*self.disk, &log.path) {
            Ok(Some(_)) => {}
            Ok(None) if self.disk.exists(&path).unwrap_or(false) => {
                let what = "damaged; the next start makes it again from the batches".to_owned();
                report.add(FindingKind::Damage, path, None, what);
            }
            Ok(None) => {}
            Err(StorageError::UnknownFormat { found, .. }) => {
                let what = format!("has format version {found}, which this build does not know");
                report.add(FindingKind::Unchecked, path, None, what);
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }
}
