//! Idempotent producers and transactions (docs/transactions.md).

use std::collections::BTreeMap;

use flymq_engine::{
    EngineError, Outcome, Phase, Place, TransactionHandle, TransactionInfo, TransactionTimeout,
};
use flymq_proto::pb;
use flymq_types::TransactionalId;

use super::{EngineBroker, members};
use crate::{BrokerError, CallContext, ErrorCode, Response, convert, layers::Forwarder};

impl EngineBroker {
    pub(super) async fn init_producer(
        &self,
        ctx: &CallContext,
        request: &pb::InitProducerRequest,
    ) -> Result<pb::InitProducerResponse, BrokerError> {
        if request.transactional_id.is_empty() {
            if request.transaction_timeout_ms != 0 {
                let why = "a producer without transactional_id has no transactions";
                return Err(convert::invalid("transaction_timeout_ms", why));
            }
            let producer_id = self.engine.new_producer().await?;
            return Ok(pb::InitProducerResponse { producer_id, producer_epoch: 0 });
        }
        let id = own_or_given(ctx, &request.transactional_id)?;
        let timeout = timeout("transaction_timeout_ms", request.transaction_timeout_ms);
        let (producer_id, epoch) = self.engine.init_transactional_producer(&id, timeout).await?;
        Ok(pb::InitProducerResponse { producer_id, producer_epoch: epoch.into() })
    }

    /// Without a producer id the transaction gets a new one, which fences whoever uses the transactional id; without that, a random
    /// one, too.
    pub(super) async fn begin_transaction(
        &self,
        ctx: &CallContext,
        request: pb::BeginTransactionRequest,
    ) -> Result<pb::BeginTransactionResponse, BrokerError> {
        let epoch = convert::epoch("producer_epoch", request.producer_epoch)?;
        let timeout = timeout("timeout_ms", request.timeout_ms);
        if request.transactional_id.is_empty() {
            if request.producer_id != 0 {
                let why =
                    "a producer that InitProducer gave begins under the transactional_id that it gave it for";
                return Err(convert::invalid("transactional_id", why));
            }
            return self.begin_nameless(ctx, request, timeout).await;
        }
        let id = own_or_given(ctx, &request.transactional_id)?;
        let begun = match request.producer_id {
            0 => self.engine.begin_transaction_anew(&id, timeout).await?,
            producer_id => self.engine.begin_transaction(&id, (producer_id, epoch), timeout).await?,
        };
        Ok(begun_as(&begun))
    }

    /// Under an id that nobody has; where another node coordinates it, by that one.
    async fn begin_nameless(
        &self,
        ctx: &CallContext,
        request: pb::BeginTransactionRequest,
        timeout: TransactionTimeout,
    ) -> Result<pb::BeginTransactionResponse, BrokerError> {
        let (id, leader) = match self.engine.begin_nameless_transaction(timeout).await {
            Ok(begun) => return Ok(begun_as(&begun)),
            Err(EngineError::NotTransactionCoordinator { id, node: Some(node) }) => (id, node),
            Err(error) => return Err(error.into()),
        };
        let Some(forwarder) = self.forwarder.as_deref().filter(|_| Forwarder::takes(ctx, false)) else {
            // The next try has another id.
            return Err(EngineError::NotTransactionCoordinator { id, node: None }.into());
        };
        let request = pb::BeginTransactionRequest { transactional_id: id.to_string(), ..request };
        match forwarder.send(&leader, ctx, request.into()).await?.response {
            Response::BeginTransaction(begun) => Ok(begun),
            _ => Err(BrokerError::new(ErrorCode::Internal, "another node answered another request")),
        }
    }

    pub(super) async fn commit_transaction(
        &self,
        request: &pb::CommitTransactionRequest,
    ) -> Result<pb::CommitTransactionResponse, BrokerError> {
        let transaction = ending(&request.transaction_id, request.producer_epoch)?;
        let next = self.engine.end_transaction(&transaction, Outcome::Commit).await?;
        Ok(pb::CommitTransactionResponse { producer_epoch: next.into() })
    }

    pub(super) async fn abort_transaction(
        &self,
        request: &pb::AbortTransactionRequest,
    ) -> Result<pb::AbortTransactionResponse, BrokerError> {
        let transaction = ending(&request.transaction_id, request.producer_epoch)?;
        let next = self.engine.end_transaction(&transaction, Outcome::Abort).await?;
        Ok(pb::AbortTransactionResponse { producer_epoch: next.into() })
    }

    pub(super) async fn commit_offsets_in_transaction(
        &self,
        request: pb::CommitOffsetsInTransactionRequest,
    ) -> Result<pb::CommitOffsetsInTransactionResponse, BrokerError> {
        let transaction = convert::transaction(&request.transaction_id)?;
        let group = convert::group(&request.group)?;
        let offsets = self.offsets_to_commit(request.offsets)?;
        let member = members::commits_as(request.member_id, request.generation)?;
        let written =
            self.engine.commit_offsets_in_transaction(&transaction, &group, member.as_ref(), offsets);
        written.await?;
        Ok(pb::CommitOffsetsInTransactionResponse {})
    }

    /// In a cluster each node knows the transactions that it coordinates: all that answer are asked.
    pub(super) async fn list_transactions(
        &self,
        ctx: &CallContext,
        request: pb::ListTransactionsRequest,
    ) -> Result<pb::ListTransactionsResponse, BrokerError> {
        let mut all: Vec<_> = self.engine.open_transactions().iter().map(shown).collect();
        let (answers, missing_nodes) = self.ask_all_others(ctx, &request.into()).await;
        for answer in answers {
            if let Response::ListTransactions(there) = answer {
                all.extend(there.transactions);
            }
        }
        all.sort_by(|a, b| a.transaction_id.cmp(&b.transaction_id));
        all.dedup_by(|a, b| a.transaction_id == b.transaction_id);
        Ok(pb::ListTransactionsResponse { transactions: all, missing_nodes })
    }
}

/// An id that a client may give, or one that a node has made up.
fn own_or_given(ctx: &CallContext, id: &str) -> Result<TransactionalId, BrokerError> {
    match TransactionalId::internal(id) {
        Ok(id) if ctx.forwarded => Ok(id),
        _ => convert::transactional_id(id),
    }
}

/// 0: as if nothing was said.
fn timeout(field: &'static str, ms: u32) -> TransactionTimeout {
    TransactionTimeout { field, ms: (ms > 0).then_some(ms) }
}

/// The transaction that a request ends; it names the epoch twice where it names it at all.
fn ending(id: &str, epoch: u32) -> Result<TransactionHandle, BrokerError> {
    let transaction = convert::transaction(id)?;
    if epoch != 0 && epoch != u32::from(transaction.epoch) {
        let why = format!("is not the one of the transaction, which has {}", transaction.epoch);
        return Err(convert::invalid("producer_epoch", why));
    }
    Ok(transaction)
}

fn begun_as(transaction: &TransactionHandle) -> pb::BeginTransactionResponse {
    pb::BeginTransactionResponse {
        transaction_id: transaction.to_string(),
        producer_epoch: transaction.epoch.into(),
        producer_id: transaction.producer_id,
    }
}

fn shown(info: &TransactionInfo) -> pb::Transaction {
    let mut partitions: BTreeMap<String, Vec<i32>> = BTreeMap::new();
    for place in &info.places {
        if let Place::Partition { name, partition, .. } = place {
            let number = convert::count(partition.get() as usize);
            partitions.entry(name.to_string()).or_default().push(number);
        }
    }
    let partitions = partitions.into_iter();
    pb::Transaction {
        transaction_id: info.transaction.to_string(),
        producer_id: info.transaction.producer_id,
        producer_epoch: info.transaction.epoch.into(),
        state: state(info.phase).into(),
        started_ms: info.started.as_millis(),
        partitions: partitions.map(|(topic, partitions)| pb::TopicPartitions { topic, partitions }).collect(),
    }
}

fn state(phase: Phase) -> pb::TransactionState {
    match phase {
        Phase::Empty => pb::TransactionState::Empty,
        Phase::Ongoing => pb::TransactionState::Ongoing,
        Phase::Prepare(Outcome::Commit) => pb::TransactionState::PrepareCommit,
        Phase::Prepare(Outcome::Abort) => pb::TransactionState::PrepareAbort,
        Phase::Complete(Outcome::Commit) => pb::TransactionState::CompleteCommit,
        Phase::Complete(Outcome::Abort) => pb::TransactionState::CompleteAbort,
    }
}
