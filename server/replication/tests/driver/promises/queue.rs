//! A queue (`docs/reliability.md`, B31): workers take its records one by one through whichever node keeps the group, and each record ends
//! once, accepted or as a dead letter; what is dead is moved in a transaction, as `server/api/src/dispatch/dead_letters` does.

use std::time::Duration;

use flymq_engine::{
    Act, Ask, DeadLetterConfig, DeadLetterPolicy, Engine, EngineError, FetchSpec, Fetched, Moving, Nack,
    Offered, Outcome, RecordAt, Target, TopicConfig,
};
use flymq_types::{Acks, Clock as _, GroupId, Isolation, Offset, PartitionId, SystemClock, TransactionalId};
use tokio::time::sleep;

use super::clients::{Client, PAUSE, batch_of, timeout_of_a_transaction};
use super::fates::{Call, Told};
use crate::engines::{spec, topic};

pub(super) const QUEUE: &str = "queue";
pub(super) const LETTERS: &str = "queue.dlq";
pub(super) const WORKERS: u64 = 2;
/// Redeliveries before a record is dead.
pub(super) const MAX_RETRIES: u32 = 2;
const PARTITIONS: u64 = 2;
/// Records that one transaction moves.
const AT_ONCE: usize = 3;
/// The longest lock.
const LOCK_MS: u64 = 800;

/// A record, and what it says.
pub(super) type Held = (u32, Offset, String);

/// Of the queue.
pub(super) fn config() -> TopicConfig {
    let policy = DeadLetterPolicy {
        max_retries: Some(MAX_RETRIES),
        retry_delay_ms: Some(50),
        ..DeadLetterPolicy::default()
    };
    let letters = DeadLetterConfig { policy, ..DeadLetterConfig::default() };
    TopicConfig { dead_letters: Some(letters.into()), ..TopicConfig::default() }
}

fn group() -> GroupId {
    GroupId::new("workers").unwrap()
}

pub(super) fn now() -> i64 {
    SystemClock::new().wall().as_millis()
}

fn values(fetched: &Fetched, from: Offset) -> Vec<(Offset, String)> {
    let records = fetched.batches.iter().flat_map(|batch| batch.records().unwrap());
    let records = records.map(|record| {
        let record = record.unwrap();
        (Offset(record.offset), String::from_utf8(record.value.unwrap().to_vec()).unwrap())
    });
    records.filter(|(offset, _)| *offset >= from).collect()
}

impl Client {
    /// Records for the workers.
    pub async fn fill(self) {
        while !self.stopped() {
            let partition = u32::try_from(self.below(PARTITIONS)).unwrap();
            let value = self.book.lock().fresh();
            let batch = batch_of(None, None, &[&value]);
            let (name, target) = (topic(QUEUE), Target::Partition(PartitionId(partition)));
            let append =
                async |engine: &Engine| engine.append(&name, target.clone(), batch.clone(), Acks::All).await;
            let at = self.ask(append).await.ok().map(|appended| (partition, appended.base_offset));
            self.book.lock().queue.sent(&value, at);
            sleep(2 * PAUSE).await;
        }
    }

    /// Takes records and answers for them, too late now and then, or never.
    pub async fn work(self, number: u64) {
        let by = format!("w{number}");
        let mut held: Vec<Held> = Vec::new();
        while !self.stopped() {
            if held.is_empty() {
                let partition = u32::try_from(self.below(PARTITIONS)).unwrap();
                held = self.take(&by, partition, 3).await.unwrap_or_default();
            }
            match (self.below(8), held.pop()) {
                (0, Some(_forgotten)) => {}
                (1, Some(late)) => {
                    sleep(Duration::from_millis(self.below(LOCK_MS))).await;
                    self.answer(&by, &late).await;
                }
                (2, Some(twice)) => {
                    self.answer(&by, &twice).await;
                    self.answer(&by, &twice).await;
                }
                (3, one) => {
                    held.extend(one);
                    if let Some(any) = self.any_of_the_newest() {
                        self.answer(&by, &any).await;
                        // And perhaps something else, as one that did not hear that it was heard.
                        self.answer(&by, &any).await;
                    }
                }
                (_, Some(one)) => self.answer(&by, &one).await,
                (_, None) => sleep(PAUSE).await,
            }
        }
    }

    /// A record that another may have, or nobody yet, or that is over.
    fn any_of_the_newest(&self) -> Option<Held> {
        let book = self.book.lock();
        let stored = book.queue.stored();
        let newest = &stored[stored.len().saturating_sub(6)..];
        let at = usize::try_from(self.below(newest.len().max(1) as u64)).unwrap();
        newest.get(at).cloned()
    }

    async fn look(&self, partition: u32, from: Offset) -> Result<Fetched, EngineError> {
        let (partition, isolation) = (PartitionId(partition), Isolation::ReadCommitted);
        let spec = FetchSpec { partition, isolation, ..spec(QUEUE, from.get()) };
        self.ask(async |engine| engine.fetch(spec.clone()).await).await
    }

    async fn take(&self, by: &str, partition: u32, most: usize) -> Result<Vec<Held>, EngineError> {
        let (group, name, number) = (group(), topic(QUEUE), PartitionId(partition));
        let next = async |engine: &Engine| engine.next_to_acquire(&group, &name, number);
        let from = self.ask(next).await?.unwrap_or(Offset::ZERO);
        let fetched = self.look(partition, from).await?;
        let found = values(&fetched, from);
        let records: Vec<_> = found.iter().map(|(offset, _)| (offset.get(), None)).collect();
        let lock = 100 + self.below(LOCK_MS);
        let call = self.book.lock().queue.call(now());
        let acquire = async |engine: &Engine| {
            let (from, upto) = (from.get(), fetched.next_offset.get());
            let offered = Offered { from, upto, records: records.clone() };
            let (member, lock) = (by.into(), Duration::from_millis(lock));
            let policy = engine.retry_policy(&group, &name);
            let ask = Ask { member, max: most, lock, ordered: false, policy };
            engine.acquire((&group, &name, number), offered, ask).await
        };
        let mut given = Vec::new();
        for (offset, failed) in self.ask(acquire).await?.records {
            let value = match found.iter().find(|(known, _)| *known == offset) {
                Some((_, value)) => value.clone(),
                None => self.value_of(partition, offset).await,
            };
            let lock = i64::try_from(lock).unwrap();
            self.book.lock().queue.given(&value, (by, lock), failed, call);
            given.push((partition, offset, value));
        }
        Ok(given)
    }

    /// Until somebody says it.
    async fn value_of(&self, partition: u32, offset: Offset) -> String {
        for tries in 1_u64.. {
            let fetched = self.look(partition, offset).await;
            if tries.is_multiple_of(200) {
                tracing::info!(partition, %offset, ?fetched, "no record there");
            }
            let found = fetched.ok().and_then(|fetched| values(&fetched, offset).into_iter().next());
            if let Some((_, value)) = found {
                return value;
            }
            sleep(PAUSE).await;
        }
        unreachable!("it is there at last")
    }

    async fn answer(&self, by: &str, held: &Held) {
        match self.below(10) {
            0 => self.act(by, held, Act::Release).await,
            1 => self.act(by, held, Act::Reject { error: "boom".into() }).await,
            2..5 => self.nack(by, held).await,
            _ => self.act(by, held, Act::Accept).await,
        }
    }

    async fn act(&self, by: &str, (partition, offset, value): &Held, act: Act) {
        let call = self.answering(value, by);
        let (group, name) = (group(), topic(QUEUE));
        let answer = async |engine: &Engine| {
            let place = (&group, &name, PartitionId(*partition));
            engine.answer(place, vec![*offset], act.clone(), by.to_owned()).await
        };
        let told = match (self.ask(answer).await, &act) {
            (Ok(_), Act::Accept) => Told::Accepted,
            (Ok(_), Act::Release | Act::Extend(_)) => Told::Released,
            (Ok(_), Act::Fail { .. } | Act::Reject { .. }) => Told::Dead,
            (Err(EngineError::RecordNotHeld { .. }), _) => Told::Refused,
            (Err(_), act) => Told::Unknown { accepted: *act == Act::Accept },
        };
        self.book.lock().queue.told(value, by, told, call);
    }

    async fn nack(&self, by: &str, (partition, offset, value): &Held) {
        let call = self.answering(value, by);
        let partition = PartitionId(*partition);
        let at = RecordAt { group: group(), topic: topic(QUEUE), partition, offset: *offset };
        let nack = Nack {
            error: "boom".to_owned(),
            member: by.to_owned(),
            membership: None,
            commit: false,
            max_retries: None,
            delay_ms: None,
        };
        let told = match self.ask(async |engine| engine.nack(&at, None, nack.clone()).await).await {
            Ok(nacked) if nacked.wait.is_some() => Told::Failed(nacked.attempts),
            Ok(_) => Told::Dead,
            Err(EngineError::RecordNotHeld { .. }) => Told::Refused,
            Err(_) => Told::Unknown { accepted: false },
        };
        self.book.lock().queue.told(value, by, told, call);
    }

    fn answering(&self, value: &str, by: &str) -> Call {
        let mut book = self.book.lock();
        book.queue.answering(value, by);
        book.queue.call(now())
    }

    /// Moves what is dead.
    pub async fn bury(self) {
        while !self.stopped() {
            drop(self.bury_some(true).await);
            sleep(4 * PAUSE).await;
        }
    }

    /// In a transaction that it leaves open now and then, where it may. Whether nothing is left.
    async fn bury_some(&self, fails: bool) -> Result<bool, EngineError> {
        let (group, id) = (group(), TransactionalId::new("mover").unwrap());
        if !self.ask(async |engine| engine.has_doomed(&group)).await? {
            return Ok(true);
        }
        let limit = timeout_of_a_transaction;
        let init = async |engine: &Engine| engine.init_transactional_producer(&id, limit()).await;
        let known = self.ask(init).await?;
        let doomed = self.ask(async |engine| engine.doomed(&group, AT_ONCE)).await?;
        let begin = async |engine: &Engine| engine.begin_transaction(&id, known, limit()).await;
        let handle = self.ask(begin).await?;
        let mark = async |engine: &Engine| engine.mark_moving(&handle, &group, doomed.clone()).await;
        let mut sequences = [0; 2];
        for Moving { partition, offset, .. } in self.ask(mark).await? {
            let next = &mut sequences[partition.get() as usize];
            let value = self.value_of(partition.get(), offset).await;
            self.append(&handle, (LETTERS, partition.get()), *next, &[&value]).await?;
            *next += 1;
        }
        let outcome = match self.below(8) {
            0 if fails => return Ok(false),
            1 if fails => Outcome::Abort,
            _ => Outcome::Commit,
        };
        self.ask(async |engine| engine.end_transaction(&handle, outcome).await).await?;
        self.book.lock().queue.moved += 1;
        Ok(false)
    }

    /// Accepts all that is left, and moves what is dead.
    pub async fn clear(&self) {
        let mut idle = 0;
        // A lock that is forgotten ends within that.
        while idle < LOCK_MS + 100 {
            let mut taken = Vec::new();
            for partition in 0..2 {
                taken.extend(self.take("last", partition, 50).await.unwrap_or_default());
            }
            for one in &taken {
                self.act("last", one, Act::Accept).await;
            }
            let buried = matches!(self.bury_some(false).await, Ok(true));
            tracing::debug!(taken = taken.len(), buried, "what is left of the queue");
            idle = if taken.is_empty() && buried { idle + 50 } else { 0 };
            sleep(Duration::from_millis(50)).await;
        }
    }
}
