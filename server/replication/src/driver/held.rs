//! Batches that wait while the leadership is being handed over: until the next leader is known, or this one goes on.

use flymq_engine::ReplicaFailure;

use super::mail::Produce;

/// More than so many bytes do not wait: their producers ask again.
const BYTES: usize = 32 << 20;

/// In their order; nothing of them is appended.
#[derive(Debug, Default)]
pub(super) struct Held {
    waiting: Vec<Produce>,
    bytes: usize,
}

impl Held {
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// One more has to wait; refused where it would be too much.
    pub(super) fn push(&mut self, produce: Produce) {
        self.bytes += produce.batch.size();
        if self.bytes > BYTES {
            self.bytes -= produce.batch.size();
            return drop(produce.reply.send(Err(ReplicaFailure::NotLeader)));
        }
        self.waiting.push(produce);
    }

    /// The wait is over. Whoever has gone away meanwhile has been told that the time is up, and may have sent the batch again.
    pub(super) fn take(&mut self) -> Vec<Produce> {
        self.bytes = 0;
        let mut waited = std::mem::take(&mut self.waiting);
        waited.retain(|produce| !produce.reply.is_closed());
        waited
    }

    pub(super) fn refuse(&mut self, with: &ReplicaFailure) {
        for Produce { reply, .. } in self.take() {
            drop(reply.send(Err(with.clone())));
        }
    }
}
