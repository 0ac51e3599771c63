//! Transactions as one partition knows them. Who may end one, and how it ends, is the coordinator's business.

use flymq_storage::Log;
use flymq_types::{Isolation, Offset, ProducerId};

use super::Partition;

impl Partition {
    /// Whether the producer has a transaction of this epoch open here: it can only be open if its coordinator knows of it.
    pub(crate) fn has_open(&self, producer: ProducerId, epoch: u16) -> bool {
        let log = self.local_log();
        let open = log.and_then(|log| log.open_transaction(ProducerId::to_wire(Some(producer))));
        open.is_some_and(|open| open.epoch == epoch)
    }

    /// Where committed readers end now: the first offset of the oldest transaction that is open or whose marker is not
    /// committed, else the high watermark.
    pub(crate) fn last_stable_offset(&self) -> Offset {
        self.readable_below(self.committed(), Isolation::ReadCommitted)
    }

    /// Where readers end while everything below `high` is committed. It rises only when the high watermark does, so that
    /// waiting for that is enough.
    pub(crate) fn readable_below(&self, high: Offset, isolation: Isolation) -> Offset {
        match isolation {
            Isolation::ReadCommitted => self.local_log().map_or(high, |log: &Log| log.last_stable(high)),
            Isolation::ReadUncommitted => high,
        }
    }
}
