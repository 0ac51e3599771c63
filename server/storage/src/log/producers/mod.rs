//! Idempotent producers of a log: what each has appended last, so that a batch that is sent again is not stored twice.
//!
//! The state is a function of the log's batches alone: each that names a producer is noted when it is appended, by the
//! leader and by its followers, committed or not. A snapshot of it is written where a segment is closed, and before the
//! first batch that names a producer; a start and a cut take the newest one that is not behind the log's end, and read
//! the headers behind it. So a log without producers costs one comparison a batch, and has no such file.
//!
//! The rules are those of Kafka
//! ([KIP-98](https://cwiki.apache.org/confluence/display/KAFKA/KIP-98+-+Exactly+Once+Delivery+and+Transactional+Messaging)),
//! but for one: a producer that is not known begins with sequence 0, or is refused.
//!
//! Transactions are part of it: what is open, and what was aborted. A marker is noted like a batch of its producer.

mod keep;
mod replay;
mod sequence;
mod snapshot;
mod table;
mod transactions;

pub(crate) use keep::{begin, marker_of, remove_behind};
pub use sequence::NewSequence;
pub(crate) use sequence::is_unnumbered;
pub(crate) use snapshot::SUFFIX;
use snapshot::Snapshot;
pub(crate) use table::ProducerTable;
pub(crate) use table::Verdict;
pub use transactions::{AbortedTransaction, OpenTransaction};
pub(crate) use transactions::{Transactions, is_control};

/// The producers of a log, and where its snapshots of them are.
#[derive(Debug, Default)]
pub(crate) struct Producers {
    pub table: ProducerTable,
    /// Log ends of which there is a file, rising. None: no batch of the log names a producer.
    snapshots: Vec<u64>,
}

impl Producers {
    /// Those of a log that was just put together, of which there is a snapshot at `base`.
    pub fn installed(table: ProducerTable, base: u64) -> Self {
        Self { table, snapshots: vec![base] }
    }

    #[cfg(test)]
    pub fn ends(&self) -> &[u64] {
        &self.snapshots
    }

    /// Whether a snapshot exists from which the state can be made again.
    pub(super) fn is_kept(&self) -> bool {
        !self.snapshots.is_empty()
    }
}
