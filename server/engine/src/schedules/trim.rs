//! Keeping `__schedules` short: what nothing needs any more at its beginning is deleted, and where little is needed in between, that
//! is written again at its end first.

use std::sync::Arc;

use flymq_types::{LeaderEpoch, Offset};

use super::SchedulesLog;
use super::book::{At, Book, Goal};
use super::coordinate::{Writing, schedules_topic};
use super::id::Key;
use super::read::read_stored;
use super::record::{Change, Stored};
use crate::durable_map::DurableMap as _;
use crate::engine::Engine;
use crate::error::EngineError;
use crate::task::{beside, blocking};

/// A log is looked at whenever it has grown by this much, bytes.
const GROWN: u64 = 4 << 20;
/// It is moved where no more than one record in so many is needed.
const SPARSE: u64 = 4;
/// Messages that are moved at once, and bytes of them, about.
const MOVED: usize = 1_000;
const MOVED_BYTES: usize = 4 << 20;

impl Engine {
    /// Begins to shorten the logs that have grown enough.
    pub(super) fn trim_schedules(self: &Arc<Self>, logs: &[Arc<SchedulesLog>]) {
        for log in logs.iter().filter(|log| log.is_read() && log.cleaning_due(GROWN)) {
            let (engine, log) = (self.clone(), log.clone());
            beside(async move {
                // A failure harms nothing: the log stays longer.
                if let Err(error) = engine.trim(&log).await {
                    tracing::debug!(%error, "could not shorten the log of scheduled messages");
                }
            });
        }
    }

    async fn trim(&self, log: &Arc<SchedulesLog>) -> Result<(), EngineError> {
        let term = log.term();
        // Behind what is in the book there may be messages that are on their way into it.
        let (start, end) = (log.partition().log()?.start_offset().get(), log.applied().get());
        let (_, count) = self.schedules.kept.map.read().needed(log.place().0, log.place().1);
        if (count as u64).saturating_mul(SPARSE) < end.saturating_sub(start) {
            let half = start + (end - start) / 2;
            while self.move_up(log, term, half).await? {}
        }
        let (needed, _) = self.schedules.kept.map.read().needed(log.place().0, log.place().1);
        // What was appended since is needed, and behind it.
        let to = Offset(needed.unwrap_or(end).min(end));
        let partition = log.partition();
        if let Some(replica) = partition.replica() {
            replica.delete_records(to).await.map_err(|failure| partition.failure(failure))?;
            return Ok(());
        }
        let (open, high) = (partition.log()?.clone(), log.high());
        let retired = blocking(move || open.advance_start(to, high)).await?;
        self.counters.count_retired(retired.map_err(|error| partition.error(error))?);
        Ok(())
    }

    /// Writes some messages below an offset again at the log's end; false: there are none.
    async fn move_up(
        &self,
        log: &Arc<SchedulesLog>,
        term: Option<LeaderEpoch>,
        below: u64,
    ) -> Result<bool, EngineError> {
        let claimed = self.schedules.kept.map.write().claim_below(log.place(), below, MOVED);
        if claimed.is_empty() {
            return Ok(false);
        }
        let changes = self.moved(log, &claimed).await;
        let mut kept: Vec<Change> = Vec::new();
        let mut bytes = 0;
        for change in changes.unwrap_or_default() {
            if bytes < MOVED_BYTES {
                bytes += Book::extra_bytes(&change);
                kept.push(change);
            }
        }
        let number = |change: &Change| match change {
            Change::Message { key, .. } => Some(key.1),
            _ => None,
        };
        let numbers: Vec<u64> = kept.iter().filter_map(number).collect();
        {
            let mut book = self.schedules.kept.map.write();
            let left = claimed.iter().filter(|(key, _)| !numbers.contains(&key.1));
            left.for_each(|(key, _)| book.release(key.1));
        }
        if kept.is_empty() {
            return Ok(false);
        }
        let topic = schedules_topic();
        let writing = Writing { log, topic: &topic, term, changes: kept, claimed: numbers, place: None };
        self.keep_schedules(writing).await?;
        Ok(true)
    }

    async fn moved(
        &self,
        log: &Arc<SchedulesLog>,
        claimed: &[(Key, At)],
    ) -> Result<Vec<Change>, EngineError> {
        let goals: Vec<_> = {
            let book = self.schedules.kept.map.read();
            claimed.iter().map(|(_, at)| book.goal(*at).clone()).collect()
        };
        let stored = read_stored(log, claimed.iter().map(|(_, at)| at.offset).collect()).await?;
        let all = claimed.iter().zip(goals).zip(stored);
        let one = |(((key, _), goal), stored): ((&(Key, At), Goal), Option<Stored>)| {
            let mut stored = stored?;
            // A recurring one is due at another time by now.
            stored.key = *key;
            let recurring = !stored.cron.is_empty();
            let body = stored.encode();
            Some(Change::Message { topic: goal.id, name: goal.name, key: *key, recurring, body })
        };
        Ok(all.filter_map(one).collect())
    }
}
