//! Which node keeps the messages for a topic, and the one way in which its log changes.

use std::sync::Arc;

use flymq_types::{LeaderEpoch, TopicName};

use super::book::{Book, Claim, Place, Ticket, index_of};
use super::record::Change;
use super::{SCHEDULES_TOPIC, SchedulesLog};
use crate::durable_map::read_alone;
use crate::engine::Engine;
use crate::error::EngineError;
use crate::partition::Partition;
use crate::topic::TopicConfig;

/// Roll size of its segments, bytes: what is over leaves the disk by whole segments.
const SEGMENT_BYTES: u64 = 16 << 20;

impl Engine {
    /// The logs of `__schedules` as they are open now; none before the topic exists.
    pub(super) fn adopt_schedules_logs(&self) -> Arc<Vec<Arc<SchedulesLog>>> {
        self.schedules.kept.adopt(self, &schedules_topic(), |_| {})
    }

    /// Has this node keep scheduled messages where it leads, also in partitions that have just been opened.
    pub(crate) fn follow_schedules_topic(&self) {
        drop(self.adopt_schedules_logs());
    }

    /// Replays `__schedules`, at start. What cannot be read is refused until it can; the others go on.
    pub(crate) async fn load_schedules(&self) -> Result<(), EngineError> {
        if self.topics.find(&schedules_topic()).is_none() {
            return Ok(());
        }
        let logs = self.adopt_schedules_logs();
        if self.is_member() {
            // Each is loaded once this node leads it.
            return Ok(());
        }
        let (book, unread) = read_alone::<Book>(logs).await?;
        for (log, error) in unread {
            let partition = log.partition().number();
            tracing::error!(%partition, %error, "scheduled messages cannot be read: they are not delivered");
            log.set_unread();
        }
        *self.schedules.kept.map.write() = book;
        Ok(())
    }

    /// The log that keeps the messages for a topic; the first one that is wanted creates it.
    pub(super) async fn schedules_log(&self, topic: &TopicName) -> Result<Arc<SchedulesLog>, EngineError> {
        let mut logs = self.adopt_schedules_logs();
        if logs.is_empty() {
            let config = TopicConfig {
                retention_ms: Some(0),
                retention_bytes: Some(0),
                ttl_ms: Some(0),
                segment_bytes: Some(SEGMENT_BYTES),
                ..TopicConfig::default()
            };
            self.schedules.kept.create_with(self, schedules_topic(), config).await?;
            logs = self.adopt_schedules_logs();
        }
        self.known_log(&logs, topic)
    }

    /// As [`Engine::schedules_log`]; none before the first message was scheduled.
    pub(super) fn schedules_log_if_any(
        &self,
        topic: &TopicName,
    ) -> Result<Option<Arc<SchedulesLog>>, EngineError> {
        let logs = self.adopt_schedules_logs();
        if logs.is_empty() { Ok(None) } else { self.known_log(&logs, topic).map(Some) }
    }

    fn known_log(
        &self,
        logs: &[Arc<SchedulesLog>],
        topic: &TopicName,
    ) -> Result<Arc<SchedulesLog>, EngineError> {
        let log = logs.get(index_of(topic, logs.len()));
        log.cloned().ok_or_else(|| EngineError::NotScheduleCoordinator { topic: topic.clone(), node: None })
    }

    /// The term in which this node keeps the messages of the log; none where there are no terms, on a broker without cluster.
    ///
    /// # Errors
    /// `NotScheduleCoordinator`.
    pub(super) fn schedules_term(
        &self,
        log: &SchedulesLog,
        topic: &TopicName,
    ) -> Result<Option<LeaderEpoch>, EngineError> {
        let partition = log.partition();
        if !log.is_read() || partition.log().is_err() {
            return Err(not_coordinator(partition, topic));
        }
        if !partition.is_replicated() {
            return Ok(None);
        }
        // With a session that is over, another node may have changed them since.
        partition.check_sure().map_err(|_| not_coordinator(partition, topic))?;
        log.term().map(Some).ok_or_else(|| not_coordinator(partition, topic))
    }

    /// Writes the changes of messages that are claimed, in the term in which they were; when this returns they are in the book, and
    /// the claims are gone.
    pub(super) async fn keep_schedules(&self, writing: Writing<'_>) -> Result<(), EngineError> {
        let Writing { log, topic, term, changes, claimed, place } = writing;
        let map = &self.schedules.kept.map;
        let written = async {
            let appending = log.begin(map, changes, term, self.clock.wall())?;
            let appending = appending.ok_or_else(|| not_coordinator(log.partition(), topic))?;
            log.appended(appending).await
        };
        if let Err(error) = written.await {
            let mut book = map.write();
            claimed.iter().for_each(|number| book.release(*number));
            if let Some((place, ticket)) = place {
                book.release_place(place, ticket);
            }
            return Err(match error {
                EngineError::NotLeader { .. } => not_coordinator(log.partition(), topic),
                other => other,
            });
        }
        // On a cluster it is in the book already.
        log.settle(map);
        Ok(())
    }
}

/// Changes to be written.
pub(super) struct Writing<'a> {
    pub(super) log: &'a Arc<SchedulesLog>,
    /// For which, for messages.
    pub(super) topic: &'a TopicName,
    pub(super) term: Option<LeaderEpoch>,
    pub(super) changes: Vec<Change>,
    /// Numbers of messages; see [`Claim`].
    pub(super) claimed: Vec<u64>,
    /// The partition that is claimed for a batch.
    pub(super) place: Option<(Place, Ticket)>,
}

/// Claims what nobody else has, all of it or nothing.
pub(super) fn claim_all(book: &mut Book, numbers: &[u64], claim: Claim) -> bool {
    let free = numbers.iter().all(|number| !book.is_claimed(*number));
    if free {
        book.claim(numbers.iter().copied(), claim);
    }
    free
}

pub(super) fn not_coordinator(partition: &Partition, topic: &TopicName) -> EngineError {
    let node = partition.leadership().and_then(|known| known.other.clone());
    EngineError::NotScheduleCoordinator { topic: topic.clone(), node }
}

pub(super) fn schedules_topic() -> TopicName {
    TopicName::internal(SCHEDULES_TOPIC).expect("is a valid internal name")
}
