//! What happens to transactions without their producers: timeouts, ends that a crash has interrupted, ids that nobody uses.

use std::sync::{Arc, Weak};
use std::time::Duration;

use flymq_types::{Timestamp, TransactionalId};
use futures::{StreamExt as _, stream};

use super::Phase;
use super::change::At;
use super::state::{Step, Transaction};
use crate::engine::Engine;
use crate::error::EngineError;
use crate::task::beside;

/// Between two looks.
const EVERY: Duration = Duration::from_millis(200);
/// An id of which nothing is open is forgotten after so long without a change, ms: 7 days, as producers are in partitions.
const FORGET_MS: i64 = 7 * 24 * 3_600 * 1_000;
/// As above, an id that the broker made up: long enough for every retry of its end.
const FORGET_RANDOM_MS: i64 = 300 * 1_000;
/// Transactions that are looked after at the same time.
const AT_ONCE: usize = 64;

impl Engine {
    /// Begins to look after transactions, for as long as there is the engine.
    pub(crate) fn watch_transactions(self: &Arc<Self>) {
        beside(sweep(Arc::downgrade(self)));
    }

    /// Aborts what has been open for too long, brings to its end what is prepared and nobody works at, and forgets what nobody
    /// uses.
    async fn sweep_transactions(&self) {
        let now = self.steady.now();
        self.measure_transactions(now);
        let due: Vec<TransactionalId> = {
            let book = self.transactions.kept.settled();
            let due = book.all().filter(|(id, state)| is_due(id, state, now));
            due.map(|(id, _)| id.clone()).filter(|id| !self.transactions.turns.is_busy(id)).collect()
        };
        let work =
            stream::iter(due).for_each_concurrent(AT_ONCE, async |id| match self.sweep_one(&id).await {
                Ok(()) | Err(EngineError::NotTransactionCoordinator { .. } | EngineError::ShuttingDown) => {}
                Err(error) => {
                    tracing::warn!(%id, %error, "a transaction could not be brought to its end yet");
                }
            });
        work.await;
    }

    fn measure_transactions(&self, now: Timestamp) {
        let book = self.transactions.kept.settled();
        let is_open = |state: &&Arc<Transaction>| matches!(state.phase, Phase::Ongoing | Phase::Prepare(_));
        let open = book.all().map(|(_, state)| state).filter(is_open);
        let (count, oldest) =
            open.fold((0_u32, now), |(count, oldest), state| (count + 1, oldest.min(state.started)));
        let age_ms = now.as_millis().saturating_sub(oldest.as_millis());
        self.transactions.metrics.open.set(f64::from(count));
        self.transactions.metrics.oldest.set(age_ms as f64 / 1_000.0);
    }

    async fn sweep_one(&self, id: &TransactionalId) -> Result<(), EngineError> {
        let forget = self.change_transaction(id, {
            let id = id.clone();
            move |state, now| {
                let Some(state) = state else { return Ok(Step::Answer(false)) };
                if let Some(aborted) = state.expire(now) {
                    metrics::counter!("flymq_transactions_timed_out_total").increment(1);
                    tracing::info!(%id, timeout_ms = state.timeout_ms, "a transaction is aborted: it was open for too long");
                    return Ok(Step::End(aborted));
                }
                match state.phase {
                    Phase::Prepare(_) => Ok(Step::Finish),
                    Phase::Empty | Phase::Ongoing | Phase::Complete(_) => {
                        Ok(Step::Answer(is_unused(&id, state, now)))
                    }
                }
            }
        });
        if forget.await? { self.forget_transaction(id).await } else { Ok(()) }
    }

    async fn forget_transaction(&self, id: &TransactionalId) -> Result<(), EngineError> {
        let _turn = self.transactions.turns.take(id).await;
        let log = self.transactions_log(id).await?;
        let term = self.coordinator_term(&log, id)?;
        let now = self.steady.now();
        let unused = {
            let book = self.transactions.kept.settled();
            book.get(id).is_some_and(|state| is_unused(id, state, now))
        };
        if unused { self.keep_transaction(At { log: &log, id, term }, None).await } else { Ok(()) }
    }
}

async fn sweep(engine: Weak<Engine>) {
    loop {
        tokio::time::sleep(EVERY).await;
        let Some(engine) = engine.upgrade() else { return };
        if engine.check_running().is_err() {
            return;
        }
        engine.sweep_transactions().await;
    }
}

fn is_due(id: &TransactionalId, state: &Transaction, now: Timestamp) -> bool {
    matches!(state.phase, Phase::Prepare(_)) || state.expire(now).is_some() || is_unused(id, state, now)
}

fn is_unused(id: &TransactionalId, state: &Transaction, now: Timestamp) -> bool {
    let keep_ms = if id.is_internal() { FORGET_RANDOM_MS } else { FORGET_MS };
    let idle_ms = now.as_millis().saturating_sub(state.changed.as_millis());
    matches!(state.phase, Phase::Empty | Phase::Complete(_)) && idle_ms > keep_ms
}
