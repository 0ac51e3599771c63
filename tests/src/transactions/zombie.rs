//! A producer that was replaced and does not know: it goes on with the transaction that is not its own any more.
//! Nothing of it may be taken (`docs/reliability.md`, B26).

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use flymq_client::{Client, ClientError, pb};
use tokio::time::sleep;

use super::load::{Counts, ask, offsets};

/// What it commits for its group: nobody else ever gets there.
const FAR_OFFSET: u64 = 1 << 40;

/// One that writes, adds an offset, begins and ends once more, after a while.
pub(super) struct Zombie {
    pub client: Client,
    pub counts: Arc<Counts>,
    /// In the epoch that is over.
    pub record: pb::ProduceInTransactionRequest,
    /// The client, whose group it adds an offset of.
    pub id: u32,
    pub begin: pb::BeginTransactionRequest,
    /// How it would have its transaction end.
    pub commit: bool,
}

impl Zombie {
    pub(super) async fn act(self, wait: Duration) {
        sleep(wait).await;
        let counts = &self.counts;
        let record = ask::<_, pb::ProduceInTransactionResponse>;
        let record = record(&self.client, "ProduceInTransaction", &self.record).await;
        self.judge(&counts.zombie_records, record);
        let transaction_id = self.record.transaction_id.clone();
        let offsets = offsets(&transaction_id, self.id, FAR_OFFSET);
        let added = ask::<_, pb::CommitOffsetsInTransactionResponse>;
        let added = added(&self.client, "CommitOffsetsInTransaction", &offsets).await;
        self.judge(&counts.zombie_offsets, added);
        let begun = ask::<_, pb::BeginTransactionResponse>;
        let begun = begun(&self.client, "BeginTransaction", &self.begin).await;
        self.judge(&counts.zombie_begins, begun);
        if self.commit {
            let request = pb::CommitTransactionRequest { transaction_id, producer_epoch: 0 };
            let ended = ask::<_, pb::CommitTransactionResponse>;
            let ended = ended(&self.client, "CommitTransaction", &request).await;
            self.judge(&counts.zombie_ends, ended);
        } else {
            let request = pb::AbortTransactionRequest { transaction_id, producer_epoch: 0 };
            let ended = ask::<_, pb::AbortTransactionResponse>;
            let ended = ended(&self.client, "AbortTransaction", &request).await;
            self.judge(&counts.zombie_ends, ended);
        }
    }

    /// Counts a call, and whether it was taken.
    fn judge<A: std::fmt::Debug>(&self, calls: &AtomicU64, answer: Result<A, ClientError>) {
        calls.fetch_add(1, Relaxed);
        if let Ok(answer) = answer {
            eprintln!("of {}, which was replaced: {answer:?}", self.record.transaction_id);
            self.counts.zombie_taken.fetch_add(1, Relaxed);
        }
    }
}
