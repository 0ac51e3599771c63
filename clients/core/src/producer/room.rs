//! The line of callers in front of a full buffer.

use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::{Mutex, MutexGuard, Notify, futures::Notified};

/// Callers get room in the order in which they came, so that a large message is not starved by small ones.
#[derive(Debug, Default)]
pub(super) struct Line {
    waiting: AtomicUsize,
    /// Fair: its holder is the first in the line.
    first: Mutex<()>,
    room: Notify,
}

/// The first place in the line, left when it is dropped.
pub(super) struct Turn<'a> {
    line: &'a Line,
    _first: MutexGuard<'a, ()>,
    _counted: Counted<'a>,
}

struct Counted<'a>(&'a Line);

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Release);
    }
}

impl Line {
    /// Whether somebody waits: a newcomer lines up behind.
    pub(super) fn is_taken(&self) -> bool {
        self.waiting.load(Ordering::Acquire) > 0
    }

    /// Lines up.
    pub(super) async fn wait(&self) -> Turn<'_> {
        self.waiting.fetch_add(1, Ordering::AcqRel);
        let counted = Counted(self);
        Turn { line: self, _first: self.first.lock().await, _counted: counted }
    }

    /// There is more room: the first in the line looks again.
    pub(super) fn room_made(&self) {
        self.room.notify_one();
    }
}

impl Turn<'_> {
    /// Ends with the next room that is made after this call. Ask for it before looking.
    pub(super) fn room(&self) -> Notified<'_> {
        self.line.room.notified()
    }
}
