//! Told by the sync thread what is on disk.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use flymq_storage::{DurableListener, StorageError};
use flymq_types::Offset;

use super::handle::Shared;
use super::mail::Mail;

/// Passes on what the sync thread says, and nothing else: its calls must return soon, and the partition's task may be
/// cutting the log off, which waits for them.
#[derive(Debug)]
pub(super) struct Durable(pub Arc<Shared>);

impl DurableListener for Durable {
    fn durable(&self, end: Offset) {
        // A round holds off truncations until it has told everybody: this is the generation that it began in, or the one
        // before, which then is counted as over.
        let generation = self.0.generation.load(Ordering::Acquire);
        self.0.post(Mail::Durable { end, generation });
    }

    fn failed(&self, error: &StorageError) {
        self.0.post(Mail::Failed(error.clone()));
    }
}
