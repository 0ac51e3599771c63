//! Consume, transform, produce (`docs/reliability.md`, B29): what is made of each record, and how far the records are read, is one
//! transaction. Whoever does that thinks better of it, dies in the middle, and is replaced; then the one that was taken for dead goes on.

use std::collections::BTreeMap;

use flymq_engine::{Engine, EngineError, OffsetCommit, Outcome, Target, TransactionHandle};
use flymq_types::{Acks, BatchFlags, Offset, PartitionId, SeededRng, TransactionalId};
use flymq_wire::batch::ProducerFields;
use parking_lot::Mutex;

use super::book::{Book, Sent};
use super::clients::{Client, REQUESTS, batch_of, timeout};
use super::counts::{Broken, Counts, Event};
use crate::support::*;

const SOURCE: &str = "source";
const MADE: &str = "made";
const GROUP: &str = "transformers";
const PARTITIONS: u32 = 2;
/// Records of one transaction, at most.
const AT_ONCE: u64 = 4;
/// What is left is done in so many rounds, or never.
const ROUNDS: u64 = 1_000;

/// One transaction: what is made of these records, and the offset behind the last of them.
#[derive(Debug, Clone)]
struct Work {
    handle: TransactionHandle,
    partition: u32,
    values: Vec<String>,
    next: Offset,
}

/// Who reads one partition.
#[derive(Debug)]
struct Transformer {
    partition: u32,
    /// Id and epoch of a producer that has nothing open.
    producer: Option<(u64, u16)>,
    /// What it and those before it have begun.
    begun: Vec<Work>,
}

#[derive(Debug)]
pub(super) struct Transforms {
    sent: Vec<Sent>,
    /// No more is sent in this life.
    filled: bool,
    transformers: Vec<Transformer>,
}

impl Default for Transforms {
    fn default() -> Self {
        let new = |partition| Transformer { partition, producer: None, begun: Vec::new() };
        Self { sent: Vec::new(), filled: false, transformers: (0..PARTITIONS).map(new).collect() }
    }
}

pub(super) async fn create(engine: &Engine) {
    for name in [SOURCE, MADE] {
        engine.create_topic(new_topic(name, PARTITIONS)).await.unwrap();
    }
}

pub(super) async fn live<'a>(client: impl Fn() -> Client<'a>) {
    let producer = client();
    producer.book.lock().transforms.filled = false;
    let transformers = std::mem::take(&mut producer.book.lock().transforms.transformers);
    let all = futures::future::join_all(transformers.into_iter().map(|mut transformer| {
        let client = client();
        async move {
            client.transform(&mut transformer).await;
            transformer
        }
    }));
    let ((), transformers) = tokio::join!(producer.fill_source(), all);
    producer.book.lock().transforms.transformers = transformers;
}

/// Does what is left; in the end those that were taken for dead go on once more.
pub(super) async fn work_off(node: &Node, engine: &Engine, book: &mut Book, rng: SeededRng) {
    let mut transformers = std::mem::take(&mut book.transforms.transformers);
    let book = Mutex::new(book);
    soon(Client { node, engine, book: &book, rng }.transform_all(&mut transformers)).await;
}

fn made_of(value: &str) -> String {
    format!("made-{value}")
}

/// Where the group stands in a partition.
fn committed(engine: &Engine, partition: u32) -> Result<u64, EngineError> {
    match engine.committed(&group(GROUP), Some(&topic(SOURCE)), Some(PartitionId(partition))) {
        Ok(all) => Ok(all.first().map_or(0, |at| at.offset.get())),
        Err(EngineError::GroupNotFound { .. }) => Ok(0),
        Err(error) => Err(error),
    }
}

/// Whether the broker says that the transaction is over; any other error leaves that open.
fn is_refusal(error: &EngineError) -> bool {
    matches!(
        error,
        EngineError::TransactionFenced { .. }
            | EngineError::TransactionState { .. }
            | EngineError::TransactionNotFound { .. }
    )
}

impl Client<'_> {
    async fn fill_source(&self) {
        for _ in 0..REQUESTS {
            let partition = u32::try_from(self.below(PARTITIONS.into())).unwrap();
            let value = self.book.lock().fresh();
            let (target, batch) = (Target::Partition(PartitionId(partition)), batch_of(None, None, &value));
            let stored = self.engine.append(&topic(SOURCE), target, batch, Acks::All).await.is_ok();
            self.book.lock().transforms.sent.push(Sent { partition, value, stored });
            if self.stopped() {
                break;
            }
            self.pause().await;
        }
        self.book.lock().transforms.filled = true;
    }

    async fn transform(&self, transformer: &mut Transformer) {
        for _ in 0..REQUESTS / 2 {
            // Whoever was taken for dead goes on while its successor begins: one of the two is too late.
            let zombie = self.one_of(&transformer.begun);
            let (told, ()) = tokio::join!(self.transform_some(transformer, true), self.go_on(zombie));
            // Whatever else happened: the next one begins anew where the group stands.
            if let Ok(true) = told {
                self.wait_for_more().await;
            }
            if self.stopped() {
                return;
            }
            self.pause().await;
        }
    }

    async fn wait_for_more(&self) {
        let sent = || self.book.lock().transforms.sent.len();
        let before = sent();
        while sent() == before && !self.book.lock().transforms.filled && !self.stopped() {
            tokio::task::yield_now().await;
        }
    }

    async fn transform_all(&self, transformers: &mut [Transformer]) {
        for transformer in transformers.iter_mut() {
            for _ in 0..ROUNDS {
                self.node.clock.advance(std::time::Duration::from_millis(500));
                if let Ok(true) = self.transform_some(transformer, false).await {
                    break;
                }
                self.pause().await;
            }
            for work in transformer.begun.iter().rev().take(4) {
                self.go_on(Some(work.clone())).await;
            }
        }
    }

    /// Now and then one that was begun before, most often the last one.
    fn one_of(&self, begun: &[Work]) -> Option<Work> {
        let back = if self.below(2) == 0 { 0 } else { self.below(1 + begun.len() as u64) };
        let work = begun.iter().rev().nth(usize::try_from(back).unwrap());
        work.filter(|_| self.below(2) == 0).cloned()
    }

    /// One transaction; whether there was nothing to do. The producer goes on where its transaction has ended.
    async fn transform_some(&self, by: &mut Transformer, fails: bool) -> Result<bool, EngineError> {
        let id = TransactionalId::new(&format!("transform-{}", by.partition)).unwrap();
        let producer = match by.producer.take() {
            Some(known) => known,
            None => self.engine.init_transactional_producer(&id, timeout()).await?,
        };
        // Nothing of this id is open now: the group stands where the next transaction begins.
        let from = committed(self.engine, by.partition)?;
        let fetched = self.engine.fetch(spec(SOURCE, by.partition, from)).await?;
        let most = usize::try_from(1 + self.below(AT_ONCE)).unwrap();
        let records: Vec<_> = values(&fetched, from).into_iter().take(most).collect();
        let Some((last, _)) = records.last() else {
            by.producer = Some(producer);
            return Ok(true);
        };
        let next = Offset(last + 1);
        let handle = self.engine.begin_transaction(&id, producer, timeout()).await?;
        let values: Vec<_> = records.into_iter().map(|(_, value)| made_of(&value)).collect();
        let work = Work { handle, partition: by.partition, values, next };
        by.begun.push(work.clone());
        let steps = work.values.len() + 1;
        let fate = if fails { self.below(6) } else { 2 };
        let until = if fate == 0 { usize::try_from(self.below(1 + steps as u64)).unwrap() } else { steps };
        for step in 0..until {
            self.step(&work, step).await?;
            self.pause().await;
        }
        let outcome = match fate {
            0 => {
                self.count(Event::TransformsLeft, 1);
                return Ok(false);
            }
            1 => Outcome::Abort,
            _ => Outcome::Commit,
        };
        let epoch = self.engine.end_transaction(&work.handle, outcome).await?;
        let aborted = outcome == Outcome::Abort;
        self.count(Event::TransformsAborted, aborted.into());
        self.count(Event::TransformsCommitted, u64::from(fails && !aborted));
        by.producer = Some((work.handle.producer_id, epoch));
        Ok(false)
    }

    /// Appends what is made of a record, twice now and then; behind the last one commits the offset.
    async fn step(&self, work: &Work, step: usize) -> Result<(), EngineError> {
        let Some(value) = work.values.get(step) else {
            let (partition, metadata) = (PartitionId(work.partition), String::new());
            let commit = OffsetCommit { topic: topic(SOURCE), partition, offset: work.next, metadata };
            let (engine, group) = (self.engine, group(GROUP));
            return engine.commit_offsets_in_transaction(&work.handle, &group, None, vec![commit]).await;
        };
        let TransactionHandle { producer_id: id, epoch, .. } = work.handle;
        let fields = ProducerFields { id, epoch, base_sequence: i32::try_from(step).unwrap() };
        let batch = batch_of(Some(fields), Some(BatchFlags::TRANSACTIONAL), value);
        for _ in 0..1 + self.below(4) / 3 {
            let target = Target::Partition(PartitionId(work.partition));
            self.engine.append_in_transaction(&work.handle, &topic(MADE), target, batch.clone()).await?;
        }
        Ok(())
    }

    /// A process that was taken for dead does all of its transaction, and commits it, whatever it is told.
    async fn go_on(&self, zombie: Option<Work>) {
        let Some(work) = zombie else { return };
        for step in 0..=work.values.len() + 1 {
            let told = match step <= work.values.len() {
                true => self.step(&work, step).await,
                false => self.engine.end_transaction(&work.handle, Outcome::Commit).await.map(drop),
            };
            self.count(Event::ZombieCalls, 1);
            match told {
                Err(error) if is_refusal(&error) => self.count(Event::ZombiesRefused, 1),
                // It may still be open: to commit it without this would be its own fault.
                Err(_) => return,
                Ok(()) => {}
            }
            self.pause().await;
        }
    }
}

impl Transforms {
    /// Once everything is done: there is one of each record, in their order, and nothing else; and the group stands at the end.
    pub async fn check(&self, engine: &Engine, counts: &mut Counts) {
        for partition in 0..PARTITIONS {
            let source = soon(read_all(engine, SOURCE, partition)).await;
            for one in self.sent.iter().filter(|one| one.stored && one.partition == partition) {
                if !source.iter().any(|(_, value)| *value == one.value) {
                    counts.broke(Broken::Lost, &format!("{SOURCE}: {one:?}"));
                }
            }
            // Where each value is, and how often.
            let mut there: BTreeMap<String, (u64, u64)> = BTreeMap::new();
            for (offset, value) in soon(read_all(engine, MADE, partition)).await {
                there.entry(value).or_insert((offset, 0)).1 += 1;
            }
            let mut before = 0;
            for (from, value) in &source {
                let what = format!("{MADE}/{partition}: of {value} at {from}");
                match there.remove(&made_of(value)) {
                    None => counts.broke(Broken::NotMade, &what),
                    Some((at, times)) => {
                        if times > 1 {
                            counts.broke(Broken::MadeTwice, &format!("{what}: {times} times from {at} on"));
                        }
                        if at < before {
                            counts.broke(Broken::MadeOutOfOrder, &format!("{what}: {at} before {before}"));
                        }
                        before = before.max(at);
                        counts.happened(Event::Made, 1);
                    }
                }
            }
            for (value, (at, _)) in there {
                counts.broke(Broken::MadeOfNothing, &format!("{MADE}/{partition}: {value} at {at}"));
            }
            let (end, stands) = (source.last().map_or(0, |(at, _)| at + 1), committed(engine, partition));
            if !stands.as_ref().is_ok_and(|offset| *offset == end) {
                let what = format!("{SOURCE}/{partition} ends at {end}, and the group stands at {stands:?}");
                counts.broke(Broken::OffsetWrong, &what);
            }
        }
    }
}
