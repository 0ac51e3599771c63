//! What the clients of a life do, each by its own chance.

use std::time::Duration;

use bytes::Bytes;
use flymq_engine::{
    Engine, EngineError, NewSchedule, OffsetCommit, Outcome, Target, TransactionHandle, TransactionTimeout,
    When,
};
use flymq_types::{Acks, BatchFlags, Clock as _, Offset, PartitionId, Rng as _, SeededRng, TransactionalId};
use flymq_wire::batch::{BatchBuilder, NewRecord, ProducerFields};
use parking_lot::Mutex;

use super::{
    below,
    book::{Book, End, NUMBERED, Planned, SCHEDULED, Sent, TRANSACTIONS, Unit},
    counts::Event,
    expiry, members, queue, transform,
};
use crate::support::*;

/// Requests of a client in one life, at most.
pub(super) const REQUESTS: u64 = 60;
const TRANSACTIONAL: u64 = 3;
/// After which the broker aborts a transaction.
const TIMEOUT_MS: u32 = 5_000;
/// Time passes in steps below this, every few answers.
const STEP_MS: u64 = 150;
/// So often others are let go on before time passes without an answer.
const PATIENCE: u32 = 200;

pub(super) struct Client<'a> {
    pub node: &'a Node,
    pub engine: &'a Engine,
    pub book: &'a Mutex<&'a mut Book>,
    pub rng: SeededRng,
}

/// All clients at once, until the disk stops or they have done enough.
pub(super) async fn live(node: &Node, engine: &Engine, book: &mut Book, rng: &SeededRng) {
    let book = Mutex::new(book);
    let client = || Client { node, engine, book: &book, rng: SeededRng::new(rng.next_u64()) };
    let transactional = futures::future::join_all((0..TRANSACTIONAL).map(|number| {
        let client = client();
        async move { client.transact(number).await }
    }));
    let (numbered, schedules, clock) = (client(), client(), client());
    let all = async {
        tokio::join!(
            transactional,
            numbered.number(),
            schedules.schedule(),
            queue::live(client),
            transform::live(client),
            expiry::live(client),
            members::live(client)
        )
    };
    tokio::select! {
        _ = all => {}
        () = clock.pass_time() => {}
    }
}

pub(super) fn batch_of(producer: Option<ProducerFields>, flags: Option<BatchFlags>, value: &str) -> Bytes {
    let mut builder = BatchBuilder::new();
    if let Some(fields) = producer {
        builder.set_producer(fields);
    }
    if let Some(flags) = flags {
        builder.add_flags(flags);
    }
    builder.push(&NewRecord { value: Some(value.as_bytes()), ..NewRecord::default() }).unwrap();
    builder.build().unwrap()
}

pub(super) fn timeout() -> TransactionTimeout {
    TransactionTimeout { field: "timeout_ms", ms: Some(TIMEOUT_MS) }
}

impl Client<'_> {
    pub fn below(&self, most: u64) -> u64 {
        below(&self.rng, most)
    }

    pub fn count(&self, event: Event, times: u64) {
        self.book.lock().counts.happened(event, times);
    }

    /// Unix ms.
    pub fn now(&self) -> i64 {
        self.node.clock.wall().as_millis()
    }

    pub fn stopped(&self) -> bool {
        self.node.sim.stopped()
    }

    /// After each answer: lets the others go on now and then.
    pub async fn pause(&self) {
        self.book.lock().answered += 1;
        for _ in 0..self.below(4) {
            tokio::task::yield_now().await;
        }
    }

    /// Transactions one after the other, under one transactional id.
    async fn transact(&self, number: u64) {
        let id = TransactionalId::new(&format!("tx-{number}")).unwrap();
        let mut old: Vec<TransactionHandle> = Vec::new();
        let mut producer = None;
        for _ in 0..REQUESTS / 6 {
            let known = match producer.take() {
                Some(known) => known,
                None => match self.engine.init_transactional_producer(&id, timeout()).await {
                    Ok(known) => known,
                    Err(_) => return,
                },
            };
            let Ok(handle) = self.engine.begin_transaction(&id, known, timeout()).await else {
                if self.stopped() {
                    return;
                }
                continue;
            };
            let mut unit = Unit { client: number, ..Unit::default() };
            self.late(&old).await;
            let written = self.write(&handle, &mut unit).await;
            producer = match written {
                Ok(()) => self.end(&handle, &mut unit).await.map(|epoch| (handle.producer_id, epoch)),
                Err(_) => None,
            };
            self.book.lock().units.push(unit);
            if self.stopped() {
                return;
            }
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
            let fields = ProducerFields { id: handle.producer_id, epoch: handle.epoch, base_sequence };
            let batch = batch_of(Some(fields), Some(BatchFlags::TRANSACTIONAL), &value);
            for _ in 0..1 + self.below(4) / 3 {
                self.append(handle, partition, batch.clone()).await?;
            }
            self.pause().await;
        }
        if self.below(2) == 0 {
            let offset = self.book.lock().next_offset(unit.client);
            unit.offset = Some(offset);
            let commit = OffsetCommit {
                topic: topic(NUMBERED),
                partition: PartitionId(0),
                offset: Offset(offset),
                metadata: String::new(),
            };
            let group = group(&format!("g-{}", unit.client));
            self.engine.commit_offsets_in_transaction(handle, &group, None, vec![commit]).await?;
        }
        Ok(())
    }

    async fn append(
        &self,
        handle: &TransactionHandle,
        partition: u32,
        batch: Bytes,
    ) -> Result<(), EngineError> {
        let target = Target::Partition(PartitionId(partition));
        self.engine.append_in_transaction(handle, &topic(TRANSACTIONS), target, batch).await.map(drop)
    }

    /// Ends it, or leaves it open; the epoch of the next one, where the producer goes on.
    async fn end(&self, handle: &TransactionHandle, unit: &mut Unit) -> Option<u16> {
        let outcome = match self.below(8) {
            // Its producer dies: whoever comes next aborts it, or its timeout.
            0 => return None,
            1 | 2 => Outcome::Abort,
            _ => Outcome::Commit,
        };
        let told = self.engine.end_transaction(handle, outcome).await;
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
            drop(self.engine.end_transaction(handle, outcome).await);
            self.book.lock().late_ends += 1;
            return;
        }
        let value = self.book.lock().fresh();
        let fields = ProducerFields { id: handle.producer_id, epoch: handle.epoch, base_sequence: 0 };
        let batch = batch_of(Some(fields), Some(BatchFlags::TRANSACTIONAL), &value);
        let partition = u32::try_from(self.below(2)).unwrap();
        // A late copy of the first batch is answered as that was; stored it must not be.
        drop(self.append(handle, partition, batch).await);
        self.book.lock().late_writes.push(value);
    }

    /// Batches of an idempotent producer, some of them twice.
    async fn number(&self) {
        let Ok(id) = self.engine.new_producer().await else { return };
        let mut next = [0; 2];
        for _ in 0..REQUESTS {
            let partition = u32::try_from(self.below(2)).unwrap();
            let value = self.book.lock().fresh();
            let base_sequence = next[partition as usize];
            let batch = batch_of(Some(ProducerFields { id, epoch: 0, base_sequence }), None, &value);
            let mut stored = false;
            for _ in 0..1 + self.below(4) / 3 {
                let target = Target::Partition(PartitionId(partition));
                let told = self.engine.append(&topic(NUMBERED), target, batch.clone(), Acks::All).await;
                stored |= told.is_ok();
            }
            self.book.lock().numbered.push(Sent { partition, value, stored });
            if !stored {
                return;
            }
            next[partition as usize] += 1;
            self.pause().await;
        }
    }

    /// Messages for later, some of which are cancelled.
    async fn schedule(&self) {
        for _ in 0..REQUESTS / 2 {
            let value = self.book.lock().fresh();
            let wait = i64::try_from(self.below(2_000)).unwrap();
            let due = self.now() + wait;
            let new = NewSchedule {
                topic: topic(SCHEDULED),
                partition: None,
                when: When::After(wait),
                batch: batch_of(None, None, &value),
            };
            let told = self.engine.schedule(new).await;
            let mut planned = Planned { value, due, taken: told.is_ok(), cancelled: Some(false) };
            if let Ok(taken) = told
                && self.below(4) == 0
            {
                self.pause().await;
                planned.cancelled = match self.engine.cancel_schedule(&topic(SCHEDULED), taken.id).await {
                    Ok(()) => Some(true),
                    Err(EngineError::ScheduleNotFound { .. }) => Some(false),
                    Err(_) => None,
                };
            }
            self.book.lock().planned.push(planned);
            if self.stopped() {
                return;
            }
            self.pause().await;
        }
    }

    /// Time passes as answers come, and also where all wait.
    async fn pass_time(&self) {
        loop {
            let until = self.book.lock().answered + self.below(6);
            for _ in 0..PATIENCE {
                if self.book.lock().answered > until {
                    break;
                }
                tokio::task::yield_now().await;
            }
            self.node.clock.advance(Duration::from_millis(self.below(STEP_MS)));
        }
    }
}
