//! What the clients do, each by its own chance, through whichever node answers.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use flymq_engine::{
    Engine, EngineError, NewSchedule, OffsetCommit, Outcome, Target, TransactionHandle, TransactionTimeout,
    When,
};
use flymq_types::{
    Acks, BatchFlags, Clock as _, GroupId, Offset, PartitionId, SeededRng, SystemClock, TransactionalId,
};
use flymq_wire::batch::{BatchBuilder, NewRecord, ProducerFields};
use parking_lot::Mutex;
use tokio::time::{sleep, timeout};

use super::below;
use super::book::{Book, End, NUMBERED, Planned, SCHEDULED, Sent, TRANSACTIONS, Unit};
use crate::cluster::DEADLINE;
use crate::engines::topic;
use crate::peers::Peers;

pub(super) const TRANSACTIONAL: u64 = 3;
/// After which a transaction is aborted.
pub(super) const TIMEOUT_MS: u32 = 3_000;
/// A client waits so long for an answer.
const ANSWER: Duration = Duration::from_secs(2);
pub(super) const PAUSE: Duration = Duration::from_millis(5);
/// A batch is sent so often, until it is stored.
const TRIES: u32 = 5_000;

pub(super) struct Client {
    pub peers: Peers,
    pub book: Arc<Mutex<Book>>,
    pub rng: SeededRng,
    pub stop: Arc<AtomicBool>,
}

/// Another node is to be asked: this one did nothing.
fn elsewhere(error: &EngineError) -> bool {
    matches!(
        error,
        EngineError::NotLeader { .. }
            | EngineError::NotCoordinator { .. }
            | EngineError::NotTransactionCoordinator { .. }
            | EngineError::NotScheduleCoordinator { .. }
    )
}

/// Asks one node after the other, until one does not say that it is another one's.
pub(super) async fn anywhere<T>(
    peers: &Peers,
    call: impl AsyncFn(&Engine) -> Result<T, EngineError>,
) -> Result<T, EngineError> {
    let found = async {
        for rounds in 1_u64.. {
            for engine in peers.engines() {
                match timeout(ANSWER, call(&engine)).await {
                    Ok(Err(error)) if elsewhere(&error) => {
                        if rounds.is_multiple_of(1_000) {
                            tracing::info!(rounds, %error, "it is nobody's");
                        }
                    }
                    Ok(answer) => return answer,
                    Err(_) => return Err(EngineError::Timeout { waited: ANSWER }),
                }
            }
            sleep(PAUSE).await;
        }
        unreachable!("it is somebody's at last")
    };
    timeout(DEADLINE, found).await.unwrap_or(Err(EngineError::Timeout { waited: DEADLINE }))
}

pub(super) fn batch_of(
    producer: Option<ProducerFields>,
    flags: Option<BatchFlags>,
    values: &[impl AsRef<str>],
) -> Bytes {
    let mut builder = BatchBuilder::new();
    if let Some(fields) = producer {
        builder.set_producer(fields);
    }
    if let Some(flags) = flags {
        builder.add_flags(flags);
    }
    for value in values {
        let value = Some(value.as_ref().as_bytes());
        builder.push(&NewRecord { value, ..NewRecord::default() }).unwrap();
    }
    builder.build().unwrap()
}

pub(super) fn timeout_of_a_transaction() -> TransactionTimeout {
    TransactionTimeout { field: "timeout_ms", ms: Some(TIMEOUT_MS) }
}

pub(super) fn group(client: u64) -> GroupId {
    GroupId::new(&format!("g-{client}")).unwrap()
}

impl Client {
    pub(super) fn below(&self, most: u64) -> u64 {
        below(&self.rng, most)
    }

    pub(super) fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    pub(super) async fn ask<T>(
        &self,
        call: impl AsyncFn(&Engine) -> Result<T, EngineError>,
    ) -> Result<T, EngineError> {
        anywhere(&self.peers, call).await
    }

    /// Transactions one after the other, under one transactional id.
    pub async fn transact(self, number: u64) {
        let id = TransactionalId::new(&format!("tx-{number}")).unwrap();
        let mut old: Vec<TransactionHandle> = Vec::new();
        let mut producer = None;
        while !self.stopped() {
            let known = match producer.take() {
                Some(known) => Ok(known),
                None => {
                    let init = async |engine: &Engine| {
                        engine.init_transactional_producer(&id, timeout_of_a_transaction()).await
                    };
                    self.ask(init).await
                }
            };
            let Ok(known) = known else { continue };
            let begin = async |engine: &Engine| {
                engine.begin_transaction(&id, known, timeout_of_a_transaction()).await
            };
            let Ok(handle) = self.ask(begin).await else { continue };
            let mut unit = Unit { client: number, ..Unit::default() };
            self.late(&old).await;
            producer = match self.write(&handle, &mut unit).await {
                Ok(()) => self.end(&handle, &mut unit).await.map(|epoch| (handle.producer_id, epoch)),
                Err(_) => None,
            };
            self.book.lock().units.push(unit);
            old.push(handle);
        }
    }

    /// Up to three messages, each of which may be sent twice, and offsets of a group.
    async fn write(&self, handle: &TransactionHandle, unit: &mut Unit) -> Result<(), EngineError> {
        let mut next = [0; 2];
        for _ in 0..self.below(4) {
            let partition = u32::try_from(self.below(2)).unwrap();
            let value = self.book.lock().fresh();
            let base_sequence = next[partition as usize];
            next[partition as usize] += 1;
            unit.writes.push((partition, value.clone()));
            for _ in 0..1 + self.below(4) / 3 {
                self.append(handle, (TRANSACTIONS, partition), base_sequence, &[&value]).await?;
            }
        }
        if self.below(2) == 0 {
            let offset = self.book.lock().next_offset(unit.client);
            unit.offset = Some(offset);
            let (topic, partition, group) = (topic(NUMBERED), PartitionId(0), group(unit.client));
            let commit =
                vec![OffsetCommit { topic, partition, offset: Offset(offset), metadata: String::new() }];
            let commit = async |engine: &Engine| {
                engine.commit_offsets_in_transaction(handle, &group, None, commit.clone()).await
            };
            self.ask(commit).await?;
        }
        Ok(())
    }

    pub(super) async fn append(
        &self,
        handle: &TransactionHandle,
        (name, partition): (&str, u32),
        base_sequence: i32,
        values: &[impl AsRef<str>],
    ) -> Result<(), EngineError> {
        let fields = ProducerFields { id: handle.producer_id, epoch: handle.epoch, base_sequence };
        let batch = batch_of(Some(fields), Some(BatchFlags::TRANSACTIONAL), values);
        let (name, target) = (topic(name), Target::Partition(PartitionId(partition)));
        let append = async |engine: &Engine| {
            engine.append_in_transaction(handle, &name, target.clone(), batch.clone()).await
        };
        self.ask(append).await.map(drop)
    }

    /// Ends it, or leaves it open; the epoch of the next one, where the producer goes on.
    async fn end(&self, handle: &TransactionHandle, unit: &mut Unit) -> Option<u16> {
        let outcome = match self.below(8) {
            // Its producer dies: whoever comes next aborts it, or its timeout.
            0 => return None,
            1 => Outcome::Abort,
            _ => Outcome::Commit,
        };
        let told = self.ask(async |engine| engine.end_transaction(handle, outcome).await).await;
        unit.end = match (&told, outcome) {
            (Ok(_), Outcome::Commit) => End::Committed,
            // Its time was over: it was aborted before.
            (Err(EngineError::TransactionFenced { .. } | EngineError::TransactionState { .. }), _) => {
                End::Never
            }
            (Err(_), Outcome::Commit) => End::Unknown,
            (_, Outcome::Abort) => End::Never,
        };
        told.ok()
    }

    /// Requests of transactions that are over come once more, in the middle of a later one.
    async fn late(&self, old: &[TransactionHandle]) {
        if old.is_empty() || self.below(3) != 0 {
            return;
        }
        let handle = &old[usize::try_from(self.below(old.len() as u64)).unwrap()];
        if self.below(2) == 0 {
            let outcome = if self.below(2) == 0 { Outcome::Commit } else { Outcome::Abort };
            drop(self.ask(async |engine| engine.end_transaction(handle, outcome).await).await);
            self.book.lock().late_ends += 1;
            return;
        }
        let value = self.book.lock().fresh();
        let partition = u32::try_from(self.below(2)).unwrap();
        // A late copy of the first batch is answered as that was; stored it must not be.
        drop(self.append(handle, (TRANSACTIONS, partition), 0, &[&value]).await);
        self.book.lock().late_writes.push(value);
    }

    /// Batches of an idempotent producer, each until it is there, and some of them once more.
    pub async fn number(self) {
        let Ok(id) = self.ask(async |engine| engine.new_producer().await).await else { return };
        let mut next = [0; 2];
        while !self.stopped() {
            let partition = u32::try_from(self.below(2)).unwrap();
            let value = self.book.lock().fresh();
            let base_sequence = next[partition as usize];
            let batch = batch_of(Some(ProducerFields { id, epoch: 0, base_sequence }), None, &[&value]);
            let (name, target) = (topic(NUMBERED), Target::Partition(PartitionId(partition)));
            let append =
                async |engine: &Engine| engine.append(&name, target.clone(), batch.clone(), Acks::All).await;
            let mut sent = Sent { partition, value, stored: false, refused: None };
            let mut again = self.below(4) / 3;
            for _ in 0..TRIES {
                match self.ask(&append).await {
                    Ok(_) if again > 0 => again -= 1,
                    Ok(_) => {
                        sent.stored = true;
                        break;
                    }
                    Err(
                        error @ (EngineError::OutOfOrderSequence { .. }
                        | EngineError::UnknownProducer { .. }
                        | EngineError::ProducerFenced { .. }),
                    ) => {
                        sent.refused = Some(error.to_string());
                        break;
                    }
                    Err(_) => sleep(PAUSE).await,
                }
            }
            let stored = sent.stored;
            self.book.lock().numbered.push(sent);
            if !stored {
                return;
            }
            next[partition as usize] += 1;
        }
    }

    /// Messages for later, some of which are cancelled.
    pub async fn schedule(self) {
        let clock = SystemClock::new();
        while !self.stopped() {
            let value = self.book.lock().fresh();
            let wait = i64::try_from(self.below(1_500)).unwrap();
            let due = clock.wall().as_millis() + wait;
            let new = NewSchedule {
                topic: topic(SCHEDULED),
                partition: None,
                when: When::After(wait),
                batch: batch_of(None, None, &[&value]),
            };
            let told = self.ask(async |engine| engine.schedule(new.clone()).await).await;
            let mut planned = Planned { value, due, taken: told.is_ok(), cancelled: Some(false) };
            if let Ok(taken) = told
                && self.below(4) == 0
            {
                let name = topic(SCHEDULED);
                let cancel = async |engine: &Engine| engine.cancel_schedule(&name, taken.id).await;
                planned.cancelled = match self.ask(cancel).await {
                    Ok(()) => Some(true),
                    Err(EngineError::ScheduleNotFound { .. }) => Some(false),
                    Err(_) => None,
                };
            }
            self.book.lock().planned.push(planned);
            sleep(PAUSE).await;
        }
    }
}
