//! What readers see of transactions.

use std::sync::atomic::Ordering;

use flymq_types::{BatchFlags, BatchHeader, Offset, RecordBatch};

use super::{AbortedTransaction, Log, OpenTransaction};

impl Log {
    /// Last stable offset where everything below `high` is committed: no record below it belongs to a transaction that is open,
    /// or whose marker is not committed. It rises only when the high watermark does.
    pub fn last_stable(&self, high: Offset) -> Offset {
        if !self.0.has_transactions.load(Ordering::Acquire) {
            return high;
        }
        let stable = self.0.transactions.lock().stable_below(high.0);
        Offset(stable).max(self.start_offset().min(high))
    }

    /// Takes out the batches of aborted transactions, whole.
    pub fn retain_committed(&self, batches: &mut Vec<RecordBatch>) {
        if batches.iter().any(|batch| batch.header().flags.contains(BatchFlags::TRANSACTIONAL)) {
            let transactions = self.0.transactions.lock();
            batches.retain(|batch| !transactions.is_aborted(batch.header()));
        }
    }

    /// Whether the batch is part of an aborted transaction.
    pub(super) fn is_aborted(&self, header: &BatchHeader) -> bool {
        header.flags.contains(BatchFlags::TRANSACTIONAL) && self.0.transactions.lock().is_aborted(header)
    }

    /// The transaction that the producer has open here.
    pub fn open_transaction(&self, producer: u64) -> Option<OpenTransaction> {
        self.0.transactions.lock().open_of(producer).copied()
    }

    /// All open transactions, oldest first.
    pub fn open_transactions(&self) -> Vec<OpenTransaction> {
        self.0.transactions.lock().all_open().copied().collect()
    }

    /// The aborted transactions that end at the log's start or behind it, in the order of their markers.
    pub fn aborted_transactions(&self) -> Vec<AbortedTransaction> {
        let start = self.start_offset();
        let transactions = self.0.transactions.lock();
        let mut aborted: Vec<_> =
            transactions.all_aborted().filter(|aborted| aborted.last >= start).collect();
        aborted.sort_unstable_by_key(|aborted| aborted.last);
        aborted
    }
}
