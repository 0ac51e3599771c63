//! Transactions: the coordinator of transactional ids, whose states stand in the internal topic `__transactions`
//! (docs/adr/0007-transactions.md, docs/transactions.md).
//!
//! ```text
//! calls ──► turn of the id ──► state (pure) ──► log of __transactions ──► markers ──► log again ──► answer
//! sweep ──┘
//! ```
//!
//! On a cluster an id is coordinated by the leader of its partition of `__transactions`: it reads the states when its term begins,
//! and goes on with what is prepared.

mod book;
mod calls;
mod change;
mod coordinate;
mod handle;
mod metrics;
mod place;
mod record;
mod state;
mod sweep;
#[cfg(test)]
mod tests;
mod turns;

use std::sync::{Arc, OnceLock};

use flymq_types::TransactionalId;

use crate::durable_map::{DurableLogs, MapLog};
use book::Book;
pub use calls::{TransactionInfo, TransactionTimeout};
pub use flymq_types::Outcome;
pub use handle::{InvalidTransaction, TransactionHandle};
pub use place::{PlaceCall, TransactionPeers, What};
pub use state::{Phase, Place};
pub(crate) use turns::KeyedTurns;

/// The internal topic that holds the states of transactional ids.
pub const TRANSACTIONS_TOPIC: &str = "__transactions";

/// All transactional ids that this node coordinates.
#[derive(Debug, Default)]
pub(crate) struct Transactions {
    kept: DurableLogs<Book>,
    /// The changes of an id come one after the other.
    turns: KeyedTurns<TransactionalId>,
    metrics: metrics::TransactionMetrics,
    /// On a cluster: how the other nodes are reached.
    peers: OnceLock<Arc<dyn TransactionPeers>>,
}

/// One partition of `__transactions`.
type TransactionsLog = MapLog<Book>;
