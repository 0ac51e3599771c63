//! A batch that was announced is appended to its partition, here or on another node, until it is known that it was; then that is
//! written, too.

use std::fmt::Debug;
use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::Bytes;
use flymq_types::{Acks, LeaderEpoch, NodeId, PartitionId, RecordBatch, TopicName};
use flymq_wire::batch::{BatchBuilder, NewRecord, ProducerFields};
use futures::future::BoxFuture;

use super::SchedulesLog;
use super::book::Firing;
use super::coordinate::Writing;
use super::cron::Cron;
use super::id::Key;
use super::read::read_by_offset;
use super::record::{Change, Stored};
use crate::engine::Engine;
use crate::error::EngineError;
use crate::produce::{Appended, Target};

/// Appends batches on other nodes.
pub trait SchedulePeers: Send + Sync + Debug {
    /// Has node `to` append the batch of an idempotent producer with `acks=all`.
    ///
    /// # Errors
    /// `PeerUnavailable`: it may be appended or not, and may be sent again. Any other: it was not, and never will be.
    fn append(
        &self,
        to: NodeId,
        topic: TopicName,
        partition: PartitionId,
        batch: Bytes,
    ) -> BoxFuture<'static, Result<Appended, EngineError>>;
}

/// Between two tries, at first and at most.
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// When each message is due again, if ever.
type Next = Vec<(Key, Option<i64>)>;

/// How a batch ended.
enum End {
    Appended(Appended),
    /// It cannot be appended, ever.
    Refused(EngineError),
}

/// Delivers the batch, however long it takes, in the term in which it was begun.
pub(super) async fn deliver(
    engine: Weak<Engine>,
    log: Arc<SchedulesLog>,
    term: Option<LeaderEpoch>,
    firing: Firing,
) {
    let mut pause = FIRST_PAUSE;
    let mut ended: Option<(End, Next)> = None;
    loop {
        let Some(engine) = engine.upgrade() else { return };
        let place = (firing.goal.id, firing.partition);
        // Whoever leads now, or this node in its next term, goes on with it.
        if engine.check_running().is_err() || log.term() != term {
            return;
        }
        if !engine.schedules.kept.map.read().is_firing(place, firing.shot) {
            return;
        }
        let done = match ended.take() {
            Some(ended) => Ok(ended),
            None => engine.append_firing(&log, &firing).await,
        };
        let error = match done {
            Err(error) => error,
            Ok((end, next)) => match engine.finish(&log, term, &firing, &next).await {
                Ok(()) => return engine.tell(&firing, end),
                Err(error) => {
                    ended = Some((end, next));
                    error
                }
            },
        };
        let (topic, partition) = (&firing.goal.name, firing.partition);
        if pause < LONGEST_PAUSE {
            tracing::debug!(%topic, partition, %error, "a delivery is tried again");
        } else {
            tracing::warn!(%topic, partition, %error, "messages that are due cannot be delivered for some seconds now; it is tried again");
        }
        drop(engine);
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

impl Engine {
    /// Has scheduled messages of this member of a cluster reach the others.
    pub fn connect_schedules(&self, peers: Arc<dyn SchedulePeers>) {
        // A second one would be the same.
        let _known = self.schedules.peers.set(peers);
    }

    /// Appends the batch, or finds that it can never be. With each message: when it is due again.
    async fn append_firing(
        &self,
        log: &Arc<SchedulesLog>,
        firing: &Firing,
    ) -> Result<(End, Next), EngineError> {
        let goal = &firing.goal;
        let stored = read_by_offset(log, firing.items.iter().map(|(_, at)| at.offset).collect()).await?;
        let messages: Vec<(Key, &Stored)> =
            firing.items.iter().filter_map(|(key, at)| Some((*key, stored.get(&at.offset)?))).collect();
        if messages.len() < firing.items.len() {
            return Err(EngineError::StorageFailed {
                reason: "a scheduled message cannot be read".to_owned(),
            });
        }
        let partition = PartitionId(firing.partition);
        let now = self.steady.now().as_millis();
        let again = |(key, stored): &(Key, &Stored)| (*key, next_due(stored, key.0, now));
        let next = messages.iter().map(again).collect();
        if self.metadata().topics.get(&goal.name).is_none_or(|known| known.id != goal.id) {
            let error = EngineError::TopicNotFound { topic: goal.name.clone() };
            return Ok((End::Refused(error), messages.iter().map(|(key, _)| (*key, None)).collect()));
        }
        let batch = self.batch_of(firing, messages.iter().map(|(_, stored)| *stored))?;
        match self.append_anywhere(&goal.name, partition, batch).await {
            Ok(appended) => Ok((End::Appended(appended), next)),
            Err(error) if is_final(&error) => {
                // The others are not to suffer for one of them: each is tried alone.
                let alone = messages.len() == 1;
                let put_back = |(key, stored): &(Key, &Stored)| {
                    (*key, if alone { next_due(stored, key.0, now) } else { Some(key.0) })
                };
                let next = messages.iter().map(put_back).collect();
                self.schedules.kept.map.write().singly(goal.id, !alone);
                Ok((End::Refused(error), next))
            }
            Err(error) => Err(error),
        }
    }

    fn batch_of<'a>(
        &self,
        firing: &Firing,
        messages: impl Iterator<Item = &'a Stored>,
    ) -> Result<Bytes, EngineError> {
        let mut builder = BatchBuilder::new();
        let (id, mut epoch) = (firing.shot.producer, firing.shot.epoch);
        if cfg!(mutant = "schedule_retried_under_another_number") {
            epoch += u16::try_from(self.clock.wall().as_millis() % 10_000).unwrap_or(1);
        }
        builder.set_producer(ProducerFields { id, epoch, base_sequence: 0 });
        let now = self.clock.wall().as_millis();
        for stored in messages {
            let batch =
                RecordBatch::from_producer(stored.batch.clone()).map_err(EngineError::InvalidBatch)?;
            for record in batch.records().map_err(EngineError::InvalidBatch)? {
                let record = record.map_err(EngineError::InvalidBatch)?;
                // A record without a time of its own happens when it is delivered.
                let timestamp = if record.timestamp == 0 { now } else { record.timestamp };
                let (key, value, expires_at) = (record.key, record.value, record.expires_at);
                let new = NewRecord { key, value, timestamp, expires_at };
                builder.push_with_headers(&new, record.headers()).map_err(EngineError::InvalidBatch)?;
            }
        }
        builder.build().map_err(EngineError::InvalidBatch)
    }

    async fn append_anywhere(
        &self,
        topic: &TopicName,
        partition: PartitionId,
        batch: Bytes,
    ) -> Result<Appended, EngineError> {
        let error = match self.append(topic, Target::Partition(partition), batch.clone(), Acks::All).await {
            Ok(appended) => return Ok(appended),
            Err(error) => error,
        };
        match (&error, self.schedules.peers.get()) {
            (EngineError::NotLeader { leader: Some(node), .. }, Some(peers)) => {
                peers.append(node.clone(), topic.clone(), partition, batch).await
            }
            _ => Err(error),
        }
    }

    /// Writes that the batch is over.
    async fn finish(
        &self,
        log: &Arc<SchedulesLog>,
        term: Option<LeaderEpoch>,
        firing: &Firing,
        next: &[(Key, Option<i64>)],
    ) -> Result<(), EngineError> {
        let Firing { goal, partition, shot, .. } = firing;
        let (topic, partition, next) = (goal.id, *partition, next.to_vec());
        let changes = vec![Change::Fired { topic, partition, shot: *shot, next }];
        let writing = Writing { log, topic: &goal.name, term, changes, claimed: Vec::new(), place: None };
        self.keep_schedules(writing).await?;
        while log.term() == term && self.schedules.kept.map.read().is_firing((topic, partition), *shot) {
            log.settle(&self.schedules.kept.map);
            tokio::task::yield_now().await;
        }
        self.schedules.wake.notify_one();
        Ok(())
    }

    /// Counts it, and tells whoever waits for it.
    fn tell(&self, firing: &Firing, end: End) {
        let count = firing.items.len() as u64;
        let result = match end {
            End::Appended(appended) => {
                metrics::counter!("flymq_schedules_delivered_total").increment(count);
                let late = firing.items.iter().map(|(key, _)| appended.append_time.as_millis() - key.0);
                let histogram = metrics::histogram!("flymq_schedules_lateness_seconds");
                late.for_each(|ms| histogram.record(ms.max(0) as f64 / 1_000.0));
                Ok(appended)
            }
            End::Refused(error) => {
                if count == 1 {
                    metrics::counter!("flymq_schedules_dropped_total", "reason" => "refused").increment(1);
                    tracing::error!(topic = %firing.goal.name, %error, "a scheduled message cannot be delivered: it is dropped");
                }
                Err(error)
            }
        };
        if let Some(waits) = self.schedules.waiting.lock().remove(&firing.shot) {
            let _gone = waits.send(result);
        }
    }
}

/// A recurring message that is delivered before its time keeps that; times that have gone by meanwhile are left out.
fn next_due(stored: &Stored, due: i64, now: i64) -> Option<i64> {
    if stored.cron.is_empty() {
        return None;
    }
    if due > now { Some(due) } else { Cron::parse(&stored.cron).ok()?.next(now) }
}

/// Whether no other try may do better; nothing was appended.
fn is_final(error: &EngineError) -> bool {
    matches!(
        error,
        EngineError::KeyRequired { .. }
            | EngineError::TooLarge { .. }
            | EngineError::InvalidBatch(_)
            | EngineError::InvalidArgument { .. }
            | EngineError::TopicNotFound { .. }
            | EngineError::PartitionNotFound { .. }
            | EngineError::InternalTopic { .. }
            // It was scheduled before its topic was bound. A schema that is not there may come back.
            | EngineError::SchemaViolation { .. }
            | EngineError::SchemaEncrypted { .. }
    )
}
