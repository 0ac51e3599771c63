//! What producers ask of the coordinator of their transactional id.

use std::sync::Arc;

use flymq_types::{Timestamp, TransactionalId};

use super::change::refused;
use super::state::{Producer, Step, Transaction};
use super::{Outcome, Phase, Place, TransactionHandle};
use crate::engine::Engine;
use crate::error::EngineError;

/// The longest that may be asked for, ms.
const MAX_TIMEOUT_MS: u32 = 3_600_000;

/// How long a transaction may be open before its coordinator aborts it, and which field of a request said so.
#[derive(Debug, Clone, Copy)]
pub struct TransactionTimeout {
    pub field: &'static str,
    /// None: what the producer said at its beginning, else the server's setting.
    pub ms: Option<u32>,
}

impl TransactionTimeout {
    fn checked(self) -> Result<Option<u32>, EngineError> {
        match self.ms {
            Some(ms) if ms == 0 || ms > MAX_TIMEOUT_MS => {
                let reason = format!("{ms} ms is not within 1 to {MAX_TIMEOUT_MS} ms");
                Err(EngineError::InvalidArgument { field: self.field, reason })
            }
            ms => Ok(ms),
        }
    }
}

/// A transaction that is not over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransactionInfo {
    pub transaction: TransactionHandle,
    pub phase: Phase,
    pub started: Timestamp,
    pub places: Vec<Place>,
}

impl Engine {
    /// Begins the life of a producer under this transactional id: what is open is aborted, and whoever used the id before is fenced.
    /// Its producer id and epoch.
    ///
    /// # Errors
    /// `InvalidArgument`, `NotTransactionCoordinator`, `TransactionUnreadable`, or why it could not be written.
    pub async fn init_transactional_producer(
        &self,
        id: &TransactionalId,
        timeout: TransactionTimeout,
    ) -> Result<(u64, u16), EngineError> {
        self.check_transactions()?;
        let timeout_ms = timeout.checked()?.unwrap_or(self.options.transaction_timeout_ms);
        self.check_new_transactional_id(id)?;
        let fresh = self.new_producer().await?;
        let init = move |state: Option<&Transaction>, now| {
            Ok(match state {
                Some(state) => state.init(fresh, timeout_ms, now),
                None => {
                    let state = Transaction::new(fresh, timeout_ms, now);
                    let producer = state.producer();
                    Step::Write(state, producer)
                }
            })
        };
        let Producer { id, epoch } = self.change_transaction(id, init).await?;
        Ok((id, epoch))
    }

    /// Begins a transaction of the producer that [`Engine::init_transactional_producer`] gave. Asking again before anything was
    /// written in it is answered with the same one.
    ///
    /// # Errors
    /// `TransactionNotFound`, `TransactionFenced`, `TransactionState`, and as for `init_transactional_producer`.
    pub async fn begin_transaction(
        &self,
        id: &TransactionalId,
        (producer_id, epoch): (u64, u16),
        timeout: TransactionTimeout,
    ) -> Result<TransactionHandle, EngineError> {
        self.check_transactions()?;
        let timeout_ms = timeout.checked()?;
        let by = Producer { id: producer_id, epoch };
        let handle = TransactionHandle { id: id.clone(), producer_id, epoch };
        let of = handle.clone();
        let begin = move |state: Option<&Transaction>, now| {
            let state = state.ok_or_else(|| EngineError::TransactionNotFound { id: of.id.clone() })?;
            let step = state.begin(by, timeout_ms.unwrap_or(state.timeout_ms), now);
            step.map_err(|refusal| refused(&of.id, epoch, refusal))
        };
        self.change_transaction(id, begin).await?;
        Ok(handle)
    }

    /// As [`Engine::init_transactional_producer`], and begins its first transaction.
    ///
    /// # Errors
    /// Those of both.
    pub async fn begin_transaction_anew(
        &self,
        id: &TransactionalId,
        timeout: TransactionTimeout,
    ) -> Result<TransactionHandle, EngineError> {
        let producer = self.init_transactional_producer(id, timeout).await?;
        self.begin_transaction(id, producer, timeout).await
    }

    /// Begins a transaction under an id that nobody has.
    ///
    /// # Errors
    /// As above; `NotTransactionCoordinator` names the id, and the node that is to begin it.
    pub async fn begin_nameless_transaction(
        &self,
        timeout: TransactionTimeout,
    ) -> Result<TransactionHandle, EngineError> {
        self.begin_transaction_anew(&self.random_transactional_id(), timeout).await
    }

    /// An id for a transaction whose caller has none: nobody else has it, and it is forgotten soon after its end.
    fn random_transactional_id(&self) -> TransactionalId {
        let name = format!("__{:016x}{:016x}", self.rng.next_u64(), self.rng.next_u64());
        TransactionalId::internal(&name).expect("hexadecimal digits behind the prefix are a name")
    }

    /// Ends the transaction, and answers with the epoch of the producer's next one when the outcome can be read everywhere. Asking
    /// again is answered with the same.
    ///
    /// # Errors
    /// `TransactionNotFound`, `TransactionFenced`, `TransactionState`: where it ended otherwise or was not begun.
    /// `NotTransactionCoordinator`, `Timeout` and other failures on the way: it may have been decided; asking again finds out.
    pub async fn end_transaction(
        &self,
        transaction: &TransactionHandle,
        outcome: Outcome,
    ) -> Result<u16, EngineError> {
        self.check_transactions()?;
        let of = transaction.clone();
        let end = move |state: Option<&Transaction>, now| {
            let state = state.ok_or_else(|| EngineError::TransactionNotFound { id: of.id.clone() })?;
            let step = state.end(of.producer(), outcome, now);
            step.map_err(|refusal| refused(&of.id, of.epoch, refusal))
        };
        self.change_transaction(&transaction.id, end).await
    }

    /// The transaction is about to write there. Here its coordinator is asked; see [`Engine::send_to_place`] for who asks.
    pub(super) async fn add_place(
        &self,
        transaction: &TransactionHandle,
        place: Place,
    ) -> Result<(), EngineError> {
        self.check_transactions()?;
        if let Place::Partition { topic, name, .. } = &place
            && self.metadata().topics.get(name).is_none_or(|known| known.id != *topic)
        {
            // A coordinator that does not know the topic would take it for deleted at the end.
            return Err(EngineError::TopicNotFound { topic: name.clone() });
        }
        let of = transaction.clone();
        let add = move |state: Option<&Transaction>, now| {
            let state = state.ok_or_else(|| EngineError::TransactionNotFound { id: of.id.clone() })?;
            let step = state.add(of.producer(), &place, now);
            step.map_err(|refusal| refused(&of.id, of.epoch, refusal))
        };
        self.change_transaction(&transaction.id, add).await
    }

    /// The transactions that are not over and that this node coordinates, by transactional id.
    pub fn open_transactions(&self) -> Vec<TransactionInfo> {
        drop(self.adopt_transactions_logs());
        let book = self.transactions.kept.settled();
        let info = |(id, state): (&TransactionalId, &Arc<Transaction>)| {
            let epoch = match state.phase {
                Phase::Ongoing => state.epoch,
                Phase::Prepare(_) => state.ended?.epoch,
                Phase::Empty | Phase::Complete(_) => return None,
            };
            let transaction = TransactionHandle { id: id.clone(), producer_id: state.producer_id, epoch };
            let places = state.places.iter().cloned().collect();
            Some(TransactionInfo { transaction, phase: state.phase, started: state.started, places })
        };
        let mut open: Vec<_> = book.all().filter_map(info).collect();
        drop(book);
        open.sort_by(|a, b| a.transaction.id.cmp(&b.transaction.id));
        open
    }

    /// Each id is kept in memory, for days.
    fn check_new_transactional_id(&self, id: &TransactionalId) -> Result<(), EngineError> {
        let limit = self.options.limits.transactional_ids;
        let book = self.transactions.kept.map.read();
        if book.len() >= limit && book.get(id).is_none() {
            return Err(EngineError::LimitReached { what: "transactional ids", limit });
        }
        Ok(())
    }

    /// Whether every node of the cluster understands transactions.
    fn check_transactions(&self) -> Result<(), EngineError> {
        self.check_running()?;
        if !self.options.transactions {
            return Err(EngineError::TransactionsOff);
        }
        if self.is_member() && self.metadata().cluster.features < TRANSACTIONS_FEATURE {
            return Err(EngineError::FeatureOff { feature: "transactions", needed: TRANSACTIONS_FEATURE });
        }
        Ok(())
    }
}

/// The feature version of the cluster from which on its nodes have transactions.
const TRANSACTIONS_FEATURE: u32 = 2;
