//! Which node coordinates a transactional id.

use std::sync::Arc;

use flymq_types::{LeaderEpoch, TopicName, TransactionalId};

use super::book::{Book, index_of};
use super::record::encode_key;
use super::{TRANSACTIONS_TOPIC, TransactionsLog};
use crate::durable_map::read_alone;
use crate::engine::Engine;
use crate::error::EngineError;
use crate::partition::Partition;

impl Engine {
    /// The logs of `__transactions` as they are open now; none before the topic exists.
    pub(super) fn adopt_transactions_logs(&self) -> Arc<Vec<Arc<TransactionsLog>>> {
        self.transactions.kept.adopt(self, &transactions_topic(), |_| {})
    }

    /// Has this node coordinate transactions where it leads, also in partitions that have just been opened.
    pub(crate) fn follow_transactions_topic(&self) {
        drop(self.adopt_transactions_logs());
    }

    /// Replays `__transactions`, at start. What cannot be read is refused until it can; the others go on.
    pub(crate) async fn load_transactions(&self) -> Result<(), EngineError> {
        if self.topics.find(&transactions_topic()).is_none() {
            return Ok(());
        }
        let logs = self.adopt_transactions_logs();
        if self.is_member() {
            // Each is loaded once this node leads it.
            return Ok(());
        }
        let (book, unread) = read_alone::<Book>(logs).await?;
        for (log, error) in unread {
            let partition = log.partition().number();
            tracing::error!(%partition, %error, "the states of transactions cannot be read: they are refused");
            log.set_unread();
        }
        *self.transactions.kept.map.write() = book;
        Ok(())
    }

    /// The log that keeps the id; the first one that is wanted creates the topic.
    ///
    /// # Errors
    /// `NotTransactionCoordinator`, or why the topic could not be created.
    pub(super) async fn transactions_log(
        &self,
        id: &TransactionalId,
    ) -> Result<Arc<TransactionsLog>, EngineError> {
        let mut logs = self.adopt_transactions_logs();
        if logs.is_empty() {
            self.transactions.kept.create(self, transactions_topic()).await?;
            logs = self.adopt_transactions_logs();
        }
        let log = logs.get(index_of(&encode_key(id), logs.len()));
        log.cloned().ok_or_else(|| EngineError::NotTransactionCoordinator { id: id.clone(), node: None })
    }

    /// The term in which this node coordinates the ids of the log; on a broker without cluster there is but one.
    ///
    /// # Errors
    /// `NotTransactionCoordinator`.
    pub(super) fn coordinator_term(
        &self,
        log: &TransactionsLog,
        id: &TransactionalId,
    ) -> Result<LeaderEpoch, EngineError> {
        let partition = log.partition();
        if !log.is_read() || partition.log().is_err() {
            return Err(not_coordinator(partition, id));
        }
        if !partition.is_replicated() {
            return Ok(LeaderEpoch(0));
        }
        // With a session that is over, another node may have changed states since.
        partition.check_sure().map_err(|_| not_coordinator(partition, id))?;
        log.term().ok_or_else(|| not_coordinator(partition, id))
    }
}

pub(super) fn not_coordinator(partition: &Partition, id: &TransactionalId) -> EngineError {
    let node = partition.leadership().and_then(|known| known.other.clone());
    EngineError::NotTransactionCoordinator { id: id.clone(), node }
}

fn transactions_topic() -> TopicName {
    TopicName::internal(TRANSACTIONS_TOPIC).expect("is a valid internal name")
}
