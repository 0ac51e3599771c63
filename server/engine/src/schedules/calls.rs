//! What clients ask of scheduled messages.

use std::time::Duration;

use bytes::Bytes;
use flymq_types::{PartitionId, RecordBatch, Timestamp, TopicId, TopicName};
use tokio::sync::oneshot;

use super::book::{At, Claim};
use super::coordinate::Writing;
use super::cron::Cron;
use super::fire::PATIENCE;
use super::id::{Key, ScheduleId};
use super::read::read_stored;
use super::record::{Change, Stored};
use crate::engine::Engine;
use crate::error::EngineError;
use crate::produce::{Appended, check_batch, check_keys};
use crate::task::to_the_end;
use crate::topic::CleanupPolicy;

/// When a message is to be delivered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum When {
    /// So many milliseconds from now; at once where that is not above 0.
    After(i64),
    /// Unix ms; at once where that is over.
    At(i64),
    /// Again and again: five or six fields, in UTC.
    Cron(String),
}

/// A message to be delivered later.
#[derive(Debug, Clone)]
pub struct NewSchedule {
    pub topic: TopicName,
    /// None: by key when it is due, else round robin.
    pub partition: Option<PartitionId>,
    pub when: When,
    /// A producer's batch of one record.
    pub batch: Bytes,
}

/// A message that waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scheduled {
    pub id: ScheduleId,
    pub topic: TopicName,
    /// Unix ms of the next delivery.
    pub due: Timestamp,
    /// Empty: it is delivered once.
    pub cron: String,
    /// Bytes.
    pub value_size: usize,
}

/// Where a message went that somebody demanded, and the bytes of its key, if it has one, and of its value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Delivered {
    pub appended: Appended,
    pub key_size: Option<usize>,
    pub value_size: usize,
}

/// The feature version of the cluster from which on its nodes keep scheduled messages.
const SCHEDULES_FEATURE: u32 = 3;

impl Engine {
    /// Keeps a message until it is due: on the disk of all in-sync replicas when this returns. An unknown topic is created where that
    /// is on.
    ///
    /// # Errors
    /// As [`Engine::append`] for the record; `DelayTooLong`, `InvalidArgument` (`cron`), `SchedulesOff`, `FeatureOff`,
    /// `NotScheduleCoordinator`: nothing was kept. A storage failure, `LeadershipLost`: unknown.
    pub async fn schedule(&self, new: NewSchedule) -> Result<Scheduled, EngineError> {
        self.check_schedules()?;
        let NewSchedule { topic: name, partition, when, batch } = new;
        let (batch, value_size) = self.check_scheduled(&name, batch)?;
        let topic = self.topic_or_create(&name).await?;
        topic.check_whole()?;
        match topic.view().settings.cleanup_policy {
            CleanupPolicy::Delete => {}
            CleanupPolicy::Compact | CleanupPolicy::CompactDelete => check_keys(&batch, &name)?,
        }
        if let Some(binding) = &topic.view().meta.config.schema {
            self.check_against(binding, &name, &batch).await?;
        }
        if let Some(partition) = partition {
            topic.partition(partition)?;
        }
        let (due, cron) = self.due_of(when)?;
        let goal = topic.view().meta.id;
        let log = self.schedules_log(&name).await?;
        let term = self.schedules_term(&log, &name)?;
        let (index, _) = log.place();
        let recurring = !cron.is_empty();
        let key: Key = {
            let mut book = self.schedules.kept.map.write();
            let number = book.numbers.next(self.clock.wall().as_millis(), index);
            book.claim([number], Claim::Staying);
            (due, number)
        };
        let stored =
            Stored { key, name: name.clone(), partition, cron: cron.clone(), batch: batch.to_bytes() };
        let change =
            Change::Message { topic: goal, name: name.clone(), key, recurring, body: stored.encode() };
        let engine = self.shared()?;
        to_the_end(async move {
            let claimed = vec![key.1];
            let changes = vec![change];
            let writing = Writing { log: &log, topic: &name, term, changes, claimed, place: None };
            engine.keep_schedules(writing).await?;
            engine.schedules.wake.notify_one();
            metrics::counter!("flymq_schedules_created_total").increment(1);
            let id = ScheduleId { due: (!recurring).then_some(due), number: key.1 };
            Ok(Scheduled { id, topic: name, due: Timestamp(due), cron, value_size })
        })
        .await
    }

    /// Has a message never delivered (again).
    ///
    /// # Errors
    /// `TopicNotFound`; `ScheduleNotFound`: also where it was delivered, or is just about to be. `NotScheduleCoordinator`.
    pub async fn cancel_schedule(&self, name: &TopicName, id: ScheduleId) -> Result<(), EngineError> {
        self.check_schedules()?;
        let not_found = || EngineError::ScheduleNotFound { topic: name.clone(), id };
        let topic = self.topics.get(name)?.view().meta.id;
        let log = self.schedules_log_if_any(name)?.ok_or_else(not_found)?;
        let term = self.schedules_term(&log, name)?;
        let (key, _) = self.claim_one(name, topic, id).await?;
        let (engine, name) = (self.shared()?, name.clone());
        to_the_end(async move {
            let changes = vec![Change::Cancelled { topic, key }];
            let writing =
                Writing { log: &log, topic: &name, term, changes, claimed: vec![key.1], place: None };
            engine.keep_schedules(writing).await
        })
        .await
    }

    /// Delivers a message now, whenever it is due; a recurring one stays as it is. Where it went.
    ///
    /// # Errors
    /// As [`Engine::cancel_schedule`], and why it could not be appended.
    pub async fn deliver_schedule(&self, name: &TopicName, id: ScheduleId) -> Result<Delivered, EngineError> {
        self.check_schedules()?;
        let not_found = || EngineError::ScheduleNotFound { topic: name.clone(), id };
        let topic = self.topics.get(name)?.view().meta.id;
        let log = self.schedules_log_if_any(name)?.ok_or_else(not_found)?;
        let term = self.schedules_term(&log, name)?;
        let claimed = self.claim_one(name, topic, id).await?;
        let (engine, name) = (self.shared()?, name.clone());
        let (answer, delivered) = oneshot::channel();
        let fired = to_the_end(async move { engine.fire_one((&log, term), &name, claimed, answer).await });
        let (key_size, value_size) = fired.await?;
        let appended = delivered.await.unwrap_or(Err(EngineError::ShuttingDown))?;
        Ok(Delivered { appended, key_size, value_size })
    }

    /// Messages for a topic by due time, and the id behind which the next ones come, if any.
    ///
    /// # Errors
    /// `TopicNotFound`, `NotScheduleCoordinator`.
    pub async fn list_schedules(
        &self,
        name: &TopicName,
        after: Option<(i64, u64)>,
        count: usize,
    ) -> Result<(Vec<Scheduled>, Option<(i64, u64)>), EngineError> {
        self.check_schedules()?;
        let topic = self.topics.get(name)?.view().meta.id;
        let Some(log) = self.schedules_log_if_any(name)? else { return Ok((Vec::new(), None)) };
        self.schedules_term(&log, name)?;
        let (found, ids): (Vec<(Key, At)>, Vec<ScheduleId>) = {
            let book = self.schedules.kept.settled();
            let found = book.list(topic, after, count);
            let ids = found.iter().map(|(key, _)| book.id_of(*key)).collect();
            (found, ids)
        };
        let next = found.last().filter(|_| found.len() == count).map(|(key, _)| *key);
        let stored = read_stored(&log, found.iter().map(|(_, at)| at.offset).collect()).await?;
        let one = |(((key, _), id), stored): (((Key, At), ScheduleId), Option<Stored>)| {
            let stored = stored?;
            let (_, value_size) = value_of(&stored.batch)?;
            let (topic, due) = (name.clone(), Timestamp(key.0));
            Some(Scheduled { id, topic, due, cron: stored.cron, value_size })
        };
        Ok((found.into_iter().zip(ids).zip(stored).filter_map(one).collect(), next))
    }

    /// Messages that this node keeps until they are due.
    pub fn pending_schedules(&self) -> usize {
        self.schedules.kept.map.read().len()
    }

    /// Takes the right to change a pending message.
    async fn claim_one(
        &self,
        name: &TopicName,
        topic: TopicId,
        id: ScheduleId,
    ) -> Result<(Key, At), EngineError> {
        let until = self.clock.monotonic() + PATIENCE;
        drop(self.schedules.kept.settled());
        loop {
            {
                let mut book = self.schedules.kept.map.write();
                if let Some((key, at)) = book.find(topic, id) {
                    book.claim([key.1], Claim::Leaving);
                    return Ok((key, at));
                }
                // It is only being moved, or will be pending again once it is delivered.
                if !book.is_staying(id.number) && !book.comes_again(id.number) {
                    return Err(EngineError::ScheduleNotFound { topic: name.clone(), id });
                }
            }
            if self.clock.monotonic() > until {
                return Err(EngineError::Timeout { waited: PATIENCE });
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    fn due_of(&self, when: When) -> Result<(i64, String), EngineError> {
        let now = self.steady.now().as_millis();
        let due = match when {
            When::Cron(text) => {
                let next = Cron::parse(&text)?.next(now);
                let next = next.ok_or_else(|| EngineError::InvalidArgument {
                    field: "cron",
                    reason: format!("{text:?} never comes"),
                })?;
                return Ok((next, text));
            }
            // Behind the millisecond that has begun: never early.
            When::After(delay) if delay > 0 => now.saturating_add(delay).saturating_add(1),
            When::After(_) => now,
            When::At(at) => at.max(now),
        };
        let limit_ms = self.options.max_delay_ms;
        let delay_ms = due.saturating_sub(now).saturating_sub(1);
        if delay_ms > i64::try_from(limit_ms).unwrap_or(i64::MAX) {
            return Err(EngineError::DelayTooLong { delay_ms, limit_ms });
        }
        Ok((due, String::new()))
    }

    /// What can be said of the record without its topic. Its batch, and how large its value is.
    fn check_scheduled(&self, topic: &TopicName, batch: Bytes) -> Result<(RecordBatch, usize), EngineError> {
        if topic.is_internal() {
            return Err(EngineError::InternalTopic { topic: topic.clone() });
        }
        let invalid =
            |reason: &str| EngineError::InvalidArgument { field: "record", reason: reason.to_owned() };
        let batch = check_batch(batch, false, &self.options.limits)?;
        if batch.record_count() != 1 || batch.header().has_producer_id() {
            return Err(invalid("one record without producer is what can be scheduled"));
        }
        let (_, size) = value_of(&batch.to_bytes()).ok_or_else(|| invalid("it may not be compressed"))?;
        Ok((batch, size))
    }

    fn check_schedules(&self) -> Result<(), EngineError> {
        self.check_running()?;
        if !self.options.schedules {
            return Err(EngineError::SchedulesOff);
        }
        if self.is_member() && self.metadata().cluster.features < SCHEDULES_FEATURE {
            return Err(EngineError::FeatureOff { feature: "scheduled messages", needed: SCHEDULES_FEATURE });
        }
        Ok(())
    }
}

/// Key and size of the value of a batch's one record.
pub(super) fn value_of(batch: &Bytes) -> Option<(Option<Bytes>, usize)> {
    let batch = RecordBatch::from_producer(batch.clone()).ok()?;
    let record = batch.records().ok()?.next()?.ok()?;
    Some((record.key.map(Bytes::copy_from_slice), record.value.map_or(0, <[u8]>::len)))
}
