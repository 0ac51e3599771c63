//! Memory for ciphertext between encryption and write: kept, so that a busy broker takes none.

use parking_lot::Mutex;

use super::SealedRun;

/// So many appends at once find memory that was used before.
const MAX_KEPT: usize = 16;
/// What is larger goes back to the allocator.
const MAX_KEPT_BYTES: usize = 2 << 20;

#[derive(Debug, Default)]
pub(crate) struct SealPool(Mutex<Vec<SealedRun>>);

impl SealPool {
    /// An empty run, with memory where there is some.
    pub fn take(&self) -> SealedRun {
        self.0.lock().pop().unwrap_or_default()
    }

    pub fn give_back(&self, mut run: SealedRun) {
        let mut kept = self.0.lock();
        if run.bytes.capacity() <= MAX_KEPT_BYTES && kept.len() < MAX_KEPT {
            run.clear();
            kept.push(run);
        }
    }
}
