//! Order among appends while a partition's first one runs.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::{Mutex, OwnedMutexGuard};

/// Lets appends of an empty partition through one by one, in the order in which their futures were first polled.
///
/// The first append works on another thread for a while. One that came later must not overtake it, nor one that
/// waits: as long as any waits, all newcomers line up behind.
#[derive(Debug, Default)]
pub(crate) struct Turns {
    waiting: Arc<AtomicUsize>,
    lock: Arc<Mutex<()>>,
}

/// The right to append; the next one gets it when this is dropped.
#[derive(Debug)]
pub(crate) struct Turn {
    _lock: OwnedMutexGuard<()>,
    _counted: Counted,
}

#[derive(Debug)]
struct Counted(Arc<AtomicUsize>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Release);
    }
}

impl Turns {
    /// Whether nobody waits or holds a turn.
    pub(crate) fn is_free(&self) -> bool {
        self.waiting.load(Ordering::Acquire) == 0
    }

    /// Lines up. The lock is fair.
    pub(crate) async fn wait(&self) -> Turn {
        self.waiting.fetch_add(1, Ordering::AcqRel);
        let counted = Counted(self.waiting.clone());
        Turn { _lock: self.lock.clone().lock_owned().await, _counted: counted }
    }
}
