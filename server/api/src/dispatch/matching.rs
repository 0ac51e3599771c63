//! Fetches with a filter: on until something matches, the wait is over, or enough was looked through.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use flymq_engine::FetchSpec;
use flymq_filter::Filter;
use flymq_types::TopicName;

use super::{
    EngineBroker,
    sieve::{Sieve, Sifted, WORK},
};
use crate::{BrokerError, Phase};

impl EngineBroker {
    pub(super) fn sieve(&self, filter: Arc<Filter>, topic: &TopicName) -> Sieve {
        Sieve { filter, topic: topic.clone(), opener: self.cutter.opener().clone() }
    }

    /// What matches, and how long was waited for records. An answer without a match tells where to go on; there is one at the
    /// latest after the wait that was asked for and [`WORK`].
    ///
    /// # Errors
    /// Those of a fetch and of [`Sieve::sift`]; once something was looked through the answer comes first.
    pub(super) async fn fetch_matching(
        &self,
        filter: Arc<Filter>,
        mut spec: FetchSpec,
    ) -> Result<(Sifted, Duration), BrokerError> {
        let sieve = self.sieve(filter, &spec.topic);
        let (begun, patience) = (Instant::now(), spec.max_wait);
        let mut waited = Duration::ZERO;
        let mut before: Option<Sifted> = None;
        loop {
            // What is there is looked through before anything is waited for.
            spec.max_wait = match &before {
                Some(found) if found.at_the_end() => patience.saturating_sub(begun.elapsed()),
                _ => Duration::ZERO,
            };
            let asked = Instant::now();
            let fetched = self.fetch_synced(spec.clone()).await;
            if !spec.max_wait.is_zero() {
                waited += asked.elapsed();
            }
            let sifted = match fetched {
                Ok(fetched) => sieve.sift(spec.offset, spec.partition, fetched).await,
                Err(error) => Err(error),
            };
            let found = match (sifted, before) {
                (Ok(found), None) => found,
                (Ok(found), Some(earlier)) => found.after(&earlier),
                (Err(_), Some(earlier)) => return Ok((earlier, waited)),
                (Err(error), None) => return Err(error),
            };
            let waits =
                found.at_the_end() && begun.elapsed() < patience && self.node.phase() < Phase::Stopping;
            let worked = begun.elapsed().saturating_sub(waited) >= WORK;
            let goes_on = if found.at_the_end() { waits } else { !worked };
            if !found.fetched.batches.is_empty() || found.stopped || !goes_on {
                return Ok((found, waited));
            }
            spec.offset = found.fetched.next_offset;
            before = Some(found);
        }
    }
}
