//! The one way in which the state of an id changes: in turn, on the disk first, markers only behind a Prepare that is there.

use std::sync::Arc;

use flymq_types::{LeaderEpoch, Timestamp, TransactionalId};
use futures::future::try_join_all;

use super::book::Change;
use super::coordinate::not_coordinator;
use super::place::{PlaceCall, What};
use super::state::{Phase, Refusal, Step, Transaction};
use super::{Outcome, TransactionsLog};
use crate::engine::Engine;
use crate::error::EngineError;
use crate::task::to_the_end;

impl Engine {
    /// Lets the event happen to the id's state, of which there may be none yet. It goes on to its end also if the caller goes
    /// away.
    ///
    /// # Errors
    /// The event's own; `NotTransactionCoordinator`, `TransactionUnreadable`, or why a state or a marker could not be written: then the
    /// event comes again, or the sweep brings to its end what is prepared.
    pub(super) async fn change_transaction<T: Send + 'static>(
        &self,
        id: &TransactionalId,
        event: impl Fn(Option<&Transaction>, Timestamp) -> Result<Step<T>, EngineError> + Send + 'static,
    ) -> Result<T, EngineError> {
        self.check_running()?;
        let log = self.transactions_log(id).await?;
        self.coordinator_term(&log, id)?;
        let (engine, id) = (self.shared()?, id.clone());
        to_the_end(async move {
            let _turn = engine.transactions.turns.take(&id).await;
            loop {
                let term = engine.coordinator_term(&log, &id)?;
                let at = At { log: &log, id: &id, term };
                let state = engine.state_of(&id)?;
                match engine.counted(event(state.as_deref(), engine.steady.now()))? {
                    Step::Answer(answer) => return Ok(answer),
                    Step::Write(next, answer) => {
                        engine.keep_transaction(at, Some(next)).await?;
                        return Ok(answer);
                    }
                    Step::End(prepared) => engine.end_prepared(at, prepared, true).await?,
                    Step::Finish => {
                        let Some(state) = state else { return Err(not_coordinator(log.partition(), &id)) };
                        engine.end_prepared(at, (*state).clone(), false).await?;
                    }
                }
            }
        })
        .await
    }

    fn counted<T>(&self, came: Result<T, EngineError>) -> Result<T, EngineError> {
        if let Err(EngineError::TransactionFenced { .. }) = &came {
            self.transactions.metrics.fenced.increment(1);
        }
        came
    }

    fn state_of(&self, id: &TransactionalId) -> Result<Option<Arc<Transaction>>, EngineError> {
        let book = self.transactions.kept.settled();
        if book.is_foreign(id) {
            return Err(EngineError::TransactionUnreadable { id: id.clone() });
        }
        Ok(book.get(id).cloned())
    }

    /// Writes the Prepare where it is `new`, tells everybody, and writes the completion.
    async fn end_prepared(&self, at: At<'_>, prepared: Transaction, new: bool) -> Result<(), EngineError> {
        let Phase::Prepare(outcome) = prepared.phase else { return Ok(()) };
        if new && !cfg!(mutant = "markers_before_prepare") {
            self.keep_transaction(at, Some(prepared.clone())).await?;
        }
        if !cfg!(mutant = "commit_before_its_markers") {
            self.write_markers(at, &prepared, outcome).await?;
        }
        if let Some(completed) = prepared.completed(self.steady.now()) {
            self.keep_transaction(at, Some(completed)).await?;
            self.transactions.metrics.ended(outcome);
        }
        Ok(())
    }

    async fn write_markers(
        &self,
        at: At<'_>,
        prepared: &Transaction,
        outcome: Outcome,
    ) -> Result<(), EngineError> {
        let markers = prepared.places.iter().map(|place| {
            self.send_to_place(PlaceCall {
                id: at.id.clone(),
                producer_id: prepared.producer_id,
                epoch: prepared.epoch,
                place: place.clone(),
                what: What::End { outcome, coordinator_epoch: at.term.0 },
            })
        });
        try_join_all(markers).await.map(drop)
    }

    /// Writes the state, or that there is none any more, in the coordinator's term.
    pub(super) async fn keep_transaction(
        &self,
        At { log, id, term }: At<'_>,
        state: Option<Transaction>,
    ) -> Result<(), EngineError> {
        let kept = &self.transactions.kept;
        let only = log.partition().is_replicated().then_some(term);
        let change = Change::State(id.clone(), state.map(Arc::new));
        let appending = log.begin(&kept.map, vec![change], only, self.clock.wall())?;
        let appending = appending.ok_or_else(|| not_coordinator(log.partition(), id))?;
        log.appended(appending).await.map_err(|error| match error {
            EngineError::NotLeader { .. } => not_coordinator(log.partition(), id),
            other => other,
        })?;
        log.settle(&kept.map);
        kept.clean_if_due(self, log).await;
        Ok(())
    }
}

/// Where an id's state stands, in the term that runs.
#[derive(Debug, Clone, Copy)]
pub(super) struct At<'a> {
    pub(super) log: &'a Arc<TransactionsLog>,
    pub(super) id: &'a TransactionalId,
    pub(super) term: LeaderEpoch,
}

/// A refusal, with the id that it is about.
pub(super) fn refused(id: &TransactionalId, epoch: u16, refusal: Refusal) -> EngineError {
    let id = id.clone();
    let state = |why: &'static str| EngineError::TransactionState { id: id.clone(), epoch, why: why.into() };
    match refusal {
        Refusal::Fenced { current } => EngineError::TransactionFenced { id, epoch, current },
        Refusal::Ended(Outcome::Commit) => state("it was committed"),
        Refusal::Ended(Outcome::Abort) => state("it was aborted"),
        Refusal::NotBegun => state("it was not begun"),
        Refusal::Open => state("it is open, and has written already"),
        Refusal::Unknown { .. } => state("its epoch was never given"),
        Refusal::Exhausted => {
            state("the epochs of its producer id are used up: call InitProducer, which gives another one")
        }
    }
}
