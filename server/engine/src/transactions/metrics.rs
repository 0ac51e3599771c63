//! What is counted of transactions, on the node that coordinates them.

use metrics::{Counter, Gauge, counter, gauge};

use super::Outcome;

/// Handles of the metrics.
pub(super) struct TransactionMetrics {
    /// Transactions that are not over.
    pub open: Gauge,
    /// Seconds since the oldest of them began; 0 without any.
    pub oldest: Gauge,
    pub committed: Counter,
    pub aborted: Counter,
    /// Requests of producers that were replaced, or whose transaction was aborted without them.
    pub fenced: Counter,
}

impl Default for TransactionMetrics {
    fn default() -> Self {
        Self {
            open: gauge!("flymq_transactions_open"),
            oldest: gauge!("flymq_transactions_oldest_open_seconds"),
            committed: counter!("flymq_transactions_committed_total"),
            aborted: counter!("flymq_transactions_aborted_total"),
            fenced: counter!("flymq_transactions_fenced_total"),
        }
    }
}

impl TransactionMetrics {
    /// A transaction is over.
    pub(super) fn ended(&self, outcome: Outcome) {
        match outcome {
            Outcome::Commit => self.committed.increment(1),
            Outcome::Abort => self.aborted.increment(1),
        }
    }
}

impl std::fmt::Debug for TransactionMetrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TransactionMetrics").finish_non_exhaustive()
    }
}
