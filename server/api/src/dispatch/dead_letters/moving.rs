//! The move of records to the dead letters and back: what is written there and what is over here are one transaction.
//!
//! Each group has one mover, which is the node that keeps the group, and one transactional id. Whoever becomes it begins with
//! InitProducer: what the one before left is then committed or aborted, here as well as there, before anything is looked at again.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Weak},
    time::Duration,
};

use flymq_engine::{Cause, Direction, EngineError, Moving};
use flymq_proto::pb;
use flymq_types::{GroupId, TopicName, TransactionalId, fnv1a_32};
use parking_lot::Mutex;
use tracing::debug;

use super::{super::EngineBroker, held_back::HeldBack, letter};
use crate::{BrokerError, ErrorCode, convert};

/// Records that one transaction moves.
const AT_ONCE: usize = 64;
/// A move that takes longer is given up, and begun anew, ms.
const TIMEOUT_MS: u32 = 30_000;
/// Between two looks for records that nobody moves.
const EVERY: Duration = Duration::from_secs(1);
/// Who says that a record is dead waits so long at most for its move.
const CALLER_WAITS: Duration = Duration::from_secs(5);

/// The producer of a group's moves: its id and epoch, where it is known to have nothing open.
type Producer = Option<(u64, u16)>;

/// Who moves records of a group: one at a time.
#[derive(Debug, Default)]
pub(super) struct Mover {
    pub(super) producer: Producer,
    held_back: HeldBack,
}

/// The groups that this node moves records of.
#[derive(Debug, Default)]
pub(in crate::dispatch) struct Movers(Mutex<HashMap<GroupId, Arc<tokio::sync::Mutex<Mover>>>>);

/// More than this are looked through for those that nobody wants any more.
const MANY: usize = 1_024;

impl Movers {
    pub(super) fn of(&self, group: &GroupId) -> Arc<tokio::sync::Mutex<Mover>> {
        let mut all = self.0.lock();
        if all.len() >= MANY {
            all.retain(|_, mover| Arc::strong_count(mover) > 1);
        }
        all.entry(group.clone()).or_default().clone()
    }
}

impl EngineBroker {
    /// Looks for records that nobody moves, for as long as there is the broker.
    pub(crate) fn watch_dead_letters(self: &Arc<Self>) {
        let _known = self.me.set(Arc::downgrade(self));
        if tokio::runtime::Handle::try_current().is_ok() {
            tokio::spawn(watch(Arc::downgrade(self)));
        }
    }

    /// Moves what is to be moved of the group, in the best case before the caller hears of it. What cannot be moved now is tried
    /// again by [`EngineBroker::watch_dead_letters`]; that it is dead is durable already.
    pub(in crate::dispatch) async fn bury(&self, group: &GroupId) {
        let Ok(me) = self.owned() else { return };
        let group = group.clone();
        // Goes on to its end also if the caller goes away.
        let moved = tokio::spawn(async move { me.bury_all(&group).await });
        let _told = tokio::time::timeout(CALLER_WAITS, moved).await;
    }

    /// Moves all that is to be moved of the group, beside the caller.
    pub(in crate::dispatch) fn bury_soon(&self, group: &GroupId) {
        if let Ok(me) = self.owned() {
            let group = group.clone();
            tokio::spawn(async move { me.bury_all(&group).await });
        }
    }

    pub(super) fn owned(&self) -> Result<Arc<Self>, BrokerError> {
        let me = self.me.get().and_then(Weak::upgrade);
        me.ok_or_else(|| EngineError::ShuttingDown.into())
    }

    /// One that cannot be moved holds up no other: it is left for later, and its log line says why.
    async fn bury_all(&self, group: &GroupId) {
        let mover = self.movers.of(group);
        let mut mover = mover.lock().await;
        let moved = async {
            loop {
                mover.held_back.forget_old();
                let batch = {
                    let held = &mover.held_back;
                    self.engine.doomed_among(group, AT_ONCE, |topic, partition, offset| {
                        !held.has(topic, partition, offset)
                    })?
                };
                if batch.is_empty() {
                    if mover.producer.is_some() || !self.engine.has_moving(group)? {
                        return Ok(());
                    }
                    // A mover before has left them in the middle: they are moved or free once that has ended.
                    mover.producer = Some(self.begin_moving(&mover_id(group)).await?);
                    continue;
                }
                self.bury_batch(group, &mut mover, batch).await;
            }
        };
        let moved: Result<(), BrokerError> = moved.await;
        if let Err(error) = moved {
            debug!(%group, %error, "nothing can be moved to the dead letters now");
        }
    }

    /// Moves a batch, or what of it can be moved: where it fails, its halves are tried, until it is known which record it is.
    async fn bury_batch(&self, group: &GroupId, mover: &mut Mover, batch: Vec<Moving>) {
        let mut left = vec![batch];
        while let Some(mut batch) = left.pop() {
            let Err(error) = self.move_batch((group, &mut mover.producer), batch.clone()).await else {
                continue;
            };
            let one_topic = batch.iter().all(|moving| moving.topic == batch[0].topic);
            // What passes by itself is not looked into record by record: it may take its time each time.
            if batch.len() == 1 || one_topic && error.traits().retryable {
                for moving in batch {
                    mover.held_back.add(group, moving, &error);
                }
                continue;
            }
            if one_topic {
                let half = batch.split_off(batch.len() / 2);
                left.extend([half, batch]);
                continue;
            }
            let mut by_topic: BTreeMap<TopicName, Vec<Moving>> = BTreeMap::new();
            batch
                .into_iter()
                .for_each(|moving| by_topic.entry(moving.topic.clone()).or_default().push(moving));
            left.extend(by_topic.into_values());
        }
    }

    /// Moves records in one transaction; returns how many: what another transaction has moved meanwhile is left out.
    pub(super) async fn move_batch(
        &self,
        (group, producer): (&GroupId, &mut Producer),
        batch: Vec<Moving>,
    ) -> Result<usize, BrokerError> {
        let mut present = Vec::new();
        for moving in batch {
            match self.record_at((&moving.topic, moving.partition, moving.offset), None).await? {
                Some(record) => present.push((moving, record)),
                None if moving.direction == Direction::Bury => {
                    self.engine.forget_record(group, &moving).await?;
                }
                None => {}
            }
        }
        if present.is_empty() {
            return Ok(0);
        }
        let id = mover_id(group);
        let (producer_id, epoch) = match producer.take() {
            Some(known) => known,
            None => self.begin_moving(&id).await?,
        };
        let request = pb::BeginTransactionRequest {
            transactional_id: id.to_string(),
            producer_id,
            producer_epoch: epoch.into(),
            timeout_ms: TIMEOUT_MS,
        };
        let begun: pb::BeginTransactionResponse = self.routed(request, None).await?;
        let moved = self.write_moves(group, &begun.transaction_id, present).await;
        let (moved, ended) = match moved {
            Ok(moved) => {
                let transaction_id = begun.transaction_id;
                let end = pb::CommitTransactionRequest { transaction_id, producer_epoch: 0 };
                let ended: pb::CommitTransactionResponse = self.routed(end, None).await?;
                moved.iter().for_each(count);
                (Ok(moved.len()), ended.producer_epoch)
            }
            Err(error) => {
                let transaction_id = begun.transaction_id;
                let end = pb::AbortTransactionRequest { transaction_id, producer_epoch: 0 };
                let ended: pb::AbortTransactionResponse = self.routed(end, None).await?;
                (Err(error), ended.producer_epoch)
            }
        };
        *producer = u16::try_from(ended).ok().map(|epoch| (producer_id, epoch));
        moved
    }

    /// Whoever moved records of the group before is fenced, and what it had begun has ended.
    pub(super) async fn begin_replays(&self, group: &GroupId) -> Result<(u64, u16), BrokerError> {
        self.begin_moving(&mover_id(group)).await
    }

    async fn begin_moving(&self, id: &TransactionalId) -> Result<(u64, u16), BrokerError> {
        let request =
            pb::InitProducerRequest { transactional_id: id.to_string(), transaction_timeout_ms: TIMEOUT_MS };
        let begun: pb::InitProducerResponse = self.routed(request, None).await?;
        Ok((begun.producer_id, convert::epoch("producer_epoch", begun.producer_epoch)?))
    }

    /// Everything of the move but its end.
    async fn write_moves(
        &self,
        group: &GroupId,
        transaction_id: &str,
        present: Vec<(Moving, pb::Record)>,
    ) -> Result<Vec<Moving>, BrokerError> {
        let transaction = convert::transaction(transaction_id)?;
        let all = present.iter().map(|(moving, _)| moving.clone()).collect();
        let marked = self.engine.mark_moving(&transaction, group, all).await?;
        let mut there: BTreeMap<(TopicName, Option<i32>), Vec<pb::Record>> = BTreeMap::new();
        for (moving, record) in present.into_iter().filter(|(moving, _)| marked.contains(moving)) {
            let (to, record) = self.destination(group, &moving, record).await?;
            there.entry(to).or_default().push(record);
        }
        for ((topic, partition), records) in there {
            let partition = match partition {
                Some(partition) => partition,
                None => convert::count(self.engine.partition_for(&topic, None).await?.get() as usize),
            };
            let request = pb::ProduceInTransactionRequest {
                transaction_id: transaction_id.to_owned(),
                topic: topic.to_string(),
                partition: Some(partition),
                records,
                batch: bytes::Bytes::new(),
            };
            let _stored: pb::ProduceInTransactionResponse = self.routed(request, None).await?;
        }
        Ok(marked)
    }

    /// Where the record goes, and how it looks there. Dead letters stay in the partition that they had, if there is one.
    async fn destination(
        &self,
        group: &GroupId,
        moving: &Moving,
        record: pb::Record,
    ) -> Result<((TopicName, Option<i32>), pb::Record), BrokerError> {
        if moving.direction == Direction::Bury {
            let topic = self.dead_letter_topic(&moving.topic)?;
            let partitions = self.engine.topic(&moving.topic)?.partitions.len();
            let open = self.engine.ensure_topic(&topic, partitions).await?;
            let at = moving.partition.get() as usize % open.partitions.len().max(1);
            return Ok(((topic, Some(convert::count(at))), letter::buried(record, moving, group)));
        }
        let no_letter = || {
            let Moving { topic, partition, offset, .. } = moving;
            let message = format!("the record {offset} of {topic}/{partition} is no dead letter");
            BrokerError::new(ErrorCode::MessageNotFound, message).with("topic", topic)
        };
        let letter = letter::read(0, record).ok_or_else(no_letter)?;
        let topic = TopicName::new(&letter.origin_topic).map_err(|why| convert::invalid("topic", why))?;
        let partitions = self.engine.topic(&topic)?.partitions.len();
        let there = |partition: &i32| usize::try_from(*partition).is_ok_and(|at| at < partitions);
        let partition = Some(letter.origin_partition).filter(there);
        let record = letter::replayed(letter);
        let partition = match (partition, convert::key_of(&record)) {
            (None, Some(key)) => {
                let by_key = self.engine.partition_for(&topic, Some(key)).await?;
                Some(convert::count(by_key.get() as usize))
            }
            (partition, _) => partition,
        };
        Ok(((topic, partition), record))
    }
}

/// One that is where it goes, durably.
fn count(moved: &Moving) {
    match moved.cause {
        Cause::Replay => metrics::counter!("flymq_dead_letters_replayed_total").increment(1),
        Cause::Retries => {
            metrics::counter!("flymq_dead_letters_total", "reason" => "max_retries_exceeded").increment(1);
        }
        Cause::Rejected => metrics::counter!("flymq_dead_letters_total", "reason" => "rejected").increment(1),
    }
}

/// The transactional id under which the group's records are moved. Two groups with one id disturb each other, and nothing else.
fn mover_id(group: &GroupId) -> TransactionalId {
    let forth = group.as_str().as_bytes();
    let back: Vec<u8> = forth.iter().rev().copied().collect();
    let name = format!("__dead-letters.{:08x}{:08x}", fnv1a_32(forth), fnv1a_32(&back));
    TransactionalId::internal(&name).expect("hexadecimal digits behind the prefix are a name")
}

async fn watch(broker: Weak<EngineBroker>) {
    loop {
        tokio::time::sleep(EVERY).await;
        let Some(broker) = broker.upgrade() else { return };
        for (group, topic, partition) in broker.engine.ended_locks() {
            if let Err(error) = broker.engine.end_locks((&group, &topic, partition)).await {
                debug!(%group, %topic, %partition, %error, "locks that have ended are not seen to yet");
            }
        }
        for group in broker.engine.groups_with_doomed() {
            broker.bury_all(&group).await;
        }
    }
}
