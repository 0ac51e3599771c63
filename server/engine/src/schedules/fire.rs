//! Messages that are due go to their topics: which batch a message is in is written before that batch is, so that whoever goes on
//! after a crash writes the same batch again, and the target's leader knows it.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Weak};
use std::time::Duration;

use flymq_types::{LeaderEpoch, PartitionId, TopicName};
use tokio::sync::oneshot;

use super::SchedulesLog;
use super::book::{At, Claim, Goal, Place, Ticket, index_of};
use super::calls::value_of;
use super::coordinate::{Writing, claim_all};
use super::id::Key;
use super::read::read_stored;
use super::record::{Change, Shot, Stored};
use crate::engine::Engine;
use crate::error::EngineError;
use crate::produce::Appended;
use crate::task::beside;
use crate::topic::OpenTopic;

/// Longest time between two looks at the clock while anything is pending: it may jump.
const LOOK: Duration = Duration::from_millis(20);
/// While nothing is.
const IDLE: Duration = Duration::from_secs(1);
/// Due messages of one topic, and of all, that are taken at once.
const OF_TOPIC: usize = 1_000;
const AT_ONCE: usize = 4_000;
/// A batch takes no further message from so many bytes on.
const FULL: usize = 1 << 20;
/// Of a producer id so many batches are written.
const EPOCHS: u16 = 60_000;
/// So long a call waits for batches that are on their way.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);

/// Messages that go into one batch.
#[derive(Debug, Default)]
struct Group {
    items: Vec<(Key, At)>,
    bytes: usize,
    /// It takes no more.
    full: bool,
}

/// What becomes of a message that is due.
enum Route {
    To(PartitionId),
    /// Its topic is no more.
    Gone,
    /// Not known now.
    Later,
}

impl Engine {
    /// Begins to deliver what is due, for as long as there is the engine.
    pub(crate) fn watch_schedules(self: &Arc<Self>) {
        beside(watch(Arc::downgrade(self)));
    }

    /// Announces batches of what is due, and begins to deliver what was announced. How long there is nothing else to do.
    async fn fire_due(self: &Arc<Self>) -> Duration {
        drop(self.schedules.kept.settled());
        let mut now = self.steady.now().as_millis();
        if cfg!(mutant = "schedules_by_the_wall_clock") {
            now = self.clock.wall().as_millis();
        }
        let logs = self.adopt_schedules_logs();
        let due = {
            let book = self.schedules.kept.map.read();
            let due = book.due(now, OF_TOPIC, AT_ONCE);
            due.into_iter().map(|(key, at)| (key, at, book.goal(at).clone())).collect::<Vec<_>>()
        };
        let mut by_log: HashMap<usize, Vec<(Key, At, Goal)>> = HashMap::new();
        for (key, at, goal) in due {
            by_log.entry(index_of(&goal.name, logs.len())).or_default().push((key, at, goal));
        }
        for (index, due) in by_log {
            let Some(log) = logs.get(index) else { continue };
            if let Err(error) = self.announce(log, due).await {
                tracing::debug!(%error, "what is due is announced later");
            }
        }
        self.go_on(&logs);
        self.trim_schedules(&logs);
        let book = self.schedules.kept.map.read();
        metrics::gauge!("flymq_schedules_pending").set(book.len() as f64);
        let Some(next) = book.next_due() else { return IDLE };
        let ms = next.saturating_sub(self.steady.now().as_millis()).max(1);
        Duration::from_millis(u64::try_from(ms).unwrap_or(1)).min(LOOK)
    }

    /// Sees to batches that are announced.
    fn go_on(self: &Arc<Self>, logs: &[Arc<SchedulesLog>]) {
        let announced = {
            let book = self.schedules.kept.map.read();
            if !book.has_unattended() {
                return;
            }
            drop(book);
            self.schedules.kept.map.write().attend()
        };
        for firing in announced {
            let index = index_of(&firing.goal.name, logs.len());
            if let Some(log) = logs.get(index) {
                beside(super::deliver::deliver(Arc::downgrade(self), log.clone(), log.term(), firing));
            }
        }
    }

    /// Writes which batches the messages are in; of what no batch can be found for now, nothing.
    async fn announce(
        self: &Arc<Self>,
        log: &Arc<SchedulesLog>,
        due: Vec<(Key, At, Goal)>,
    ) -> Result<(), EngineError> {
        let Some((_, _, first)) = due.first() else { return Ok(()) };
        let topic = first.name.clone();
        let term = self.schedules_term(log, &topic)?;
        let stored = read_stored(log, due.iter().map(|(_, at, _)| at.offset).collect()).await?;
        let (mut groups, mut gone): (HashMap<Place, Group>, Vec<(Goal, Key)>) = Default::default();
        let mut later = HashSet::new();
        let singly: HashSet<_> = {
            let book = self.schedules.kept.map.read();
            due.iter().map(|(_, _, goal)| goal.id).filter(|id| book.is_singly(*id)).collect()
        };
        for ((key, at, goal), stored) in due.into_iter().zip(stored) {
            let Some(stored) = stored else { continue };
            // Nothing overtakes what waits.
            if later.contains(&goal.id) {
                continue;
            }
            match self.route(&goal, &stored) {
                Route::Gone => gone.push((goal, key)),
                Route::Later => drop(later.insert(goal.id)),
                Route::To(partition) => {
                    let group = groups.entry((goal.id, partition.get())).or_default();
                    if !group.full {
                        group.items.push((key, at));
                        group.bytes += stored.batch.len();
                        group.full = group.bytes >= FULL || singly.contains(&goal.id);
                    }
                }
            }
        }
        for (goal, key) in gone {
            self.drop_schedule((log, term), goal, key).await?;
        }
        let mut writes = Vec::new();
        for (place, group) in groups {
            let keys: Vec<Key> = group.items.iter().map(|(key, _)| *key).collect();
            writes.push(self.write_firing((log, term), &topic, place, keys));
        }
        for written in futures::future::join_all(writes).await {
            written?;
        }
        Ok(())
    }

    /// Announces a batch, if none is on its way to the partition and the messages are still there.
    async fn write_firing(
        &self,
        (log, term): (&Arc<SchedulesLog>, Option<LeaderEpoch>),
        topic: &TopicName,
        place: Place,
        keys: Vec<Key>,
    ) -> Result<(), EngineError> {
        let claimed: Vec<u64> = keys.iter().map(|key| key.1).collect();
        let ticket = {
            let mut book = self.schedules.kept.map.write();
            let there = keys.iter().all(|key| book.is_pending(place.0, *key));
            let Some(ticket) = there.then(|| book.claim_place(place)).flatten() else { return Ok(()) };
            if !claim_all(&mut book, &claimed, Claim::Leaving) {
                book.release_place(place, ticket);
                return Ok(());
            }
            ticket
        };
        let shot = self.next_shot(place, ticket, &claimed).await?;
        let changes = vec![Change::Firing { topic: place.0, partition: place.1, shot, keys }];
        let place = Some((place, ticket));
        self.keep_schedules(Writing { log, topic, term, changes, claimed, place }).await
    }

    /// Announces a batch of one message, which is claimed, and sends on what becomes of it. The bytes of its key and of its value.
    pub(super) async fn fire_one(
        self: &Arc<Self>,
        (log, term): (&Arc<SchedulesLog>, Option<LeaderEpoch>),
        topic: &TopicName,
        (key, at): (Key, At),
        answer: oneshot::Sender<Result<Appended, EngineError>>,
    ) -> Result<(Option<usize>, usize), EngineError> {
        let found = self.route_one(log, topic, (key, at)).await;
        let release = || self.schedules.kept.map.write().release(key.1);
        let (place, sizes) = found.inspect_err(|_| release())?;
        let until = self.clock.monotonic() + PATIENCE;
        let ticket = loop {
            if let Some(ticket) = self.schedules.kept.map.write().claim_place(place) {
                break ticket;
            }
            if self.clock.monotonic() > until {
                release();
                return Err(EngineError::Timeout { waited: PATIENCE });
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        };
        let shot = self.next_shot(place, ticket, &[key.1]).await?;
        self.schedules.waiting.lock().insert(shot, answer);
        let changes = vec![Change::Firing { topic: place.0, partition: place.1, shot, keys: vec![key] }];
        let writing =
            Writing { log, topic, term, changes, claimed: vec![key.1], place: Some((place, ticket)) };
        let written = self.keep_schedules(writing).await;
        if written.is_err() {
            self.schedules.waiting.lock().remove(&shot);
        }
        self.schedules.wake.notify_one();
        written.map(|()| sizes)
    }

    async fn route_one(
        &self,
        log: &Arc<SchedulesLog>,
        topic: &TopicName,
        (_, at): (Key, At),
    ) -> Result<(Place, (Option<usize>, usize)), EngineError> {
        let goal = self.schedules.kept.map.read().goal(at).clone();
        let stored = read_stored(log, vec![at.offset]).await?.pop().flatten();
        let unread =
            || EngineError::StorageFailed { reason: "the scheduled message cannot be read".to_owned() };
        let stored = stored.ok_or_else(unread)?;
        let (key, value) = value_of(&stored.batch).ok_or_else(unread)?;
        match self.route(&goal, &stored) {
            Route::To(partition) => Ok(((goal.id, partition.get()), (key.map(|key| key.len()), value))),
            Route::Gone | Route::Later => Err(EngineError::TopicNotFound { topic: topic.clone() }),
        }
    }

    fn route(&self, goal: &Goal, stored: &Stored) -> Route {
        let Some(open) = self.topics.find(&goal.name).filter(|open| open.view().meta.id == goal.id) else {
            let known = self.metadata().topics.get(&goal.name).is_some_and(|known| known.id == goal.id);
            return if known { Route::Later } else { Route::Gone };
        };
        if open.check_whole().is_err() {
            return Route::Later;
        }
        Route::To(partition_of(&open, stored))
    }

    /// Its topic is no more: neither is the message.
    async fn drop_schedule(
        &self,
        (log, term): (&Arc<SchedulesLog>, Option<LeaderEpoch>),
        goal: Goal,
        key: Key,
    ) -> Result<(), EngineError> {
        {
            let mut book = self.schedules.kept.map.write();
            if !book.is_pending(goal.id, key) || !claim_all(&mut book, &[key.1], Claim::Leaving) {
                return Ok(());
            }
        }
        let (changes, claimed) = (vec![Change::Cancelled { topic: goal.id, key }], vec![key.1]);
        let writing = Writing { log, topic: &goal.name, term, changes, claimed, place: None };
        self.keep_schedules(writing).await?;
        metrics::counter!("flymq_schedules_dropped_total", "reason" => "topic_deleted").increment(1);
        tracing::info!(topic = %goal.name, "a scheduled message goes with its topic, which was deleted");
        Ok(())
    }

    /// What names the batch of a partition that is claimed, and nobody else's; where there is none to be had, all claims are released.
    async fn next_shot(&self, place: Place, ticket: Ticket, claimed: &[u64]) -> Result<Shot, EngineError> {
        let mut producer = self.schedules.producer.lock().await;
        let known = producer.take().filter(|shot| shot.epoch < EPOCHS);
        let shot = match known {
            Some(shot) => Ok(shot),
            None => self.new_producer().await.map(|producer| Shot { producer, epoch: 0 }),
        };
        let mut book = self.schedules.kept.map.write();
        let shot = shot.inspect_err(|_| {
            claimed.iter().for_each(|number| book.release(*number));
            book.release_place(place, ticket);
        })?;
        book.name_shot(place, ticket, shot);
        *producer = Some(Shot { epoch: shot.epoch + 1, ..shot });
        Ok(shot)
    }
}

/// The partition that the message names, or that of its key; without key the next in turn.
fn partition_of(topic: &OpenTopic, stored: &Stored) -> PartitionId {
    stored.partition.unwrap_or_else(|| {
        let key = value_of(&stored.batch).and_then(|(key, _)| key).filter(|key| !key.is_empty());
        topic.number_for(key.as_deref())
    })
}

async fn watch(engine: Weak<Engine>) {
    loop {
        let Some(strong) = engine.upgrade() else { return };
        if strong.check_running().is_err() {
            return;
        }
        let wait = strong.fire_due().await;
        // Not kept while nothing happens: the engine ends with its last owner.
        let wake = strong.schedules.wake.clone();
        drop(strong);
        let _late = tokio::time::timeout(wait, wake.notified()).await;
    }
}
