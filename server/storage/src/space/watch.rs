//! The thread that looks at the data disk.

use std::sync::Arc;
use std::thread::JoinHandle;

use super::{Space, SpaceWatch};

/// Starts the thread where one is wanted. It looks once at once, so that a start on a full disk is known as such.
pub(crate) fn start(space: &Arc<Space>) -> std::io::Result<Option<JoinHandle<()>>> {
    let SpaceWatch::Every(interval) = space.options.watch else { return Ok(None) };
    let space = space.clone();
    let body = move || {
        let mut stopping = space.stopping.lock();
        while !*stopping {
            parking_lot::MutexGuard::unlocked(&mut stopping, || space.check());
            if !*stopping {
                space.wake.wait_for(&mut stopping, interval);
            }
        }
    };
    std::thread::Builder::new().name("flymq-space".to_owned()).spawn(body).map(Some)
}

impl Space {
    /// Ends the thread.
    pub fn stop(&self) {
        *self.stopping.lock() = true;
        self.wake.notify_all();
    }
}
