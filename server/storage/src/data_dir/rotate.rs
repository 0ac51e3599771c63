//! Rotation of the operator's key over a whole data directory, step by step, while it serves.

use std::sync::Arc;

use super::{DataDir, Slot, TOPICS, keys};
use crate::crypt::{KeyId, Place, store_needed};
use crate::error::Result;
use crate::log::{Log, LogInner, Protected};

/// How far the rotation is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Rotation {
    /// Segments of all open logs.
    pub segments: Protected,
    /// Keys that the directory still needs; the current one first. None where nothing is encrypted.
    pub needed: Vec<KeyId>,
}

/// What [`DataDir::rotate_step`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RotationStep {
    /// One segment's data key is wrapped by the current key now.
    Rewrapped,
    /// Nothing was left to do in any open log.
    Done,
}

impl DataDir {
    /// Segments by their protection, over all open logs.
    pub fn protected(&self) -> Protected {
        let mut counts = Protected::default();
        self.open_logs().into_iter().for_each(|log| counts += Log(log).protected());
        counts
    }

    /// Wraps the data key of one segment by the current key, if one needs it.
    ///
    /// # Errors
    /// `Io`, `DiskFull`, `ReadOnly`: everything can be read as before; the older keys are still needed.
    pub fn rotate_step(&self) -> Result<RotationStep> {
        for log in self.open_logs() {
            let log = Log(log);
            if log.protected().older > 0 && log.rewrap_one()? {
                return Ok(RotationStep::Rewrapped);
            }
        }
        Ok(RotationStep::Done)
    }

    /// Looks which keys the files of the directory still name, writes that down, and returns it: from then on the next
    /// start needs no others.
    ///
    /// # Errors
    /// `Io`, `DiskFull`, `ReadOnly`.
    pub fn finish_rotation(&self) -> Result<Rotation> {
        let Some(keyring) = &self.context.keyring else { return Ok(Rotation::default()) };
        let disk = &*self.context.disk;
        let mut needed = vec![keyring.current()];
        let in_use = keys::in_use(disk, &self.path.join(TOPICS))?;
        needed.extend(in_use.into_iter().filter(|id| *id != keyring.current()));
        let place = Place { disk, dir: &self.path, id: self.id };
        store_needed(place, keyring, &needed, &*self.context.rng)?;
        Ok(Rotation { segments: self.protected(), needed })
    }

    fn open_logs(&self) -> Vec<Arc<LogInner>> {
        self.open.lock().values().filter_map(Slot::log).collect()
    }
}
