//! Consume, transform, produce (`docs/reliability.md`, B29): what is made of each message, and how far the messages are read, is one
//! transaction. Those who do it die in the middle, are replaced, and try to commit what was aborted for that.

use std::collections::BTreeMap;

use flymq_engine::{Engine, EngineError, FetchSpec, OffsetCommit, Outcome, TransactionHandle};
use flymq_types::{GroupId, Isolation, Offset, PartitionId, TransactionalId};
use tokio::time::sleep;

use super::book::{Counts, NUMBERED, read};
use super::clients::{Client, PAUSE, timeout_of_a_transaction};
use crate::engines::{spec, topic};
use crate::peers::Peers;

pub(super) const MADE: &str = "made";
/// Messages of one transaction, at most.
const AT_ONCE: u64 = 4;
/// And of those that do what is left.
const AT_LAST: u64 = 100;

/// Who reads one partition.
struct Stream {
    id: TransactionalId,
    partition: u32,
    /// Id and epoch of a producer that has nothing open.
    producer: Option<(u64, u16)>,
    /// What those before it have left in the middle.
    left: Vec<TransactionHandle>,
    /// It dies now and then, or thinks better of it.
    fails: bool,
}

impl Stream {
    fn new(partition: u32, fails: bool) -> Self {
        let id = TransactionalId::new(&format!("stream-{partition}")).unwrap();
        Self { id, partition, producer: None, left: Vec::new(), fails }
    }
}

fn readers() -> GroupId {
    GroupId::new("streams").unwrap()
}

fn made_of(value: &str) -> String {
    format!("made of {value}")
}

impl Client {
    pub async fn stream(self, partition: u32) {
        let mut stream = Stream::new(partition, true);
        while !self.stopped() {
            // Whatever happened: begins anew where the group stands.
            drop(self.transform(&mut stream).await);
            sleep(PAUSE).await;
        }
    }

    /// Does what is left.
    pub async fn work_off(&self, partition: u32) {
        let mut stream = Stream::new(partition, false);
        loop {
            match self.transform(&mut stream).await {
                Ok(true) => return,
                Ok(false) => {}
                Err(error) => tracing::info!(partition, %error, "what is left is not done yet"),
            }
            sleep(PAUSE).await;
        }
    }

    /// Some messages; whether there is no more to do.
    async fn transform(&self, stream: &mut Stream) -> Result<bool, EngineError> {
        let known = match stream.producer.take() {
            Some(known) => known,
            None => {
                let init = async |engine: &Engine| {
                    engine.init_transactional_producer(&stream.id, timeout_of_a_transaction()).await
                };
                self.ask(init).await?
            }
        };
        let most = if stream.fails { 1 + self.below(AT_ONCE) } else { AT_LAST };
        let (values, next) = self.next(stream.partition, most).await?;
        if values.is_empty() {
            stream.producer = Some(known);
            return Ok(true);
        }
        let begin = async |engine: &Engine| {
            engine.begin_transaction(&stream.id, known, timeout_of_a_transaction()).await
        };
        let handle = self.ask(begin).await?;
        self.come_too_late(&stream.left).await;
        stream.left.push(handle.clone());
        let made: Vec<String> = values.iter().map(|value| made_of(value)).collect();
        // Sent twice, now and then.
        for _ in 0..1 + self.below(4) / 3 {
            self.append(&handle, (MADE, stream.partition), 0, &made).await?;
        }
        self.commit_read(&handle, stream.partition, next).await?;
        let outcome = match self.below(8) {
            0 if stream.fails => return Ok(false),
            1 if stream.fails => Outcome::Abort,
            _ => Outcome::Commit,
        };
        let epoch = self.ask(async |engine| engine.end_transaction(&handle, outcome).await).await?;
        stream.producer = Some((handle.producer_id, epoch));
        stream.left.pop();
        Ok(false)
    }

    /// Messages from where the group stands, and the offset behind them.
    async fn next(&self, partition: u32, most: u64) -> Result<(Vec<String>, Offset), EngineError> {
        let (group, name, number) = (readers(), topic(NUMBERED), PartitionId(partition));
        let committed = async |engine: &Engine| match engine.committed(&group, Some(&name), Some(number)) {
            Err(EngineError::GroupNotFound { .. }) => Ok(Vec::new()),
            committed => committed,
        };
        let from = self.ask(committed).await?.first().map_or(Offset::ZERO, |at| at.offset);
        let isolation = Isolation::ReadCommitted;
        let spec = FetchSpec { partition: number, isolation, ..spec(NUMBERED, from.get()) };
        let fetched = self.ask(async |engine| engine.fetch(spec.clone()).await).await?;
        let records = fetched.batches.iter().flat_map(|batch| batch.records().unwrap());
        let records = records.map(|record| {
            let record = record.unwrap();
            (record.offset, String::from_utf8(record.value.unwrap().to_vec()).unwrap())
        });
        let most = usize::try_from(most).unwrap();
        let records: Vec<_> = records.filter(|(offset, _)| *offset >= from.get()).take(most).collect();
        let next = records.last().map_or(from, |(offset, _)| Offset(offset + 1));
        Ok((records.into_iter().map(|(_, value)| value).collect(), next))
    }

    async fn commit_read(
        &self,
        handle: &TransactionHandle,
        partition: u32,
        offset: Offset,
    ) -> Result<(), EngineError> {
        let (topic, partition, metadata) = (topic(NUMBERED), PartitionId(partition), String::new());
        let commit = vec![OffsetCommit { topic, partition, offset, metadata }];
        let commit = async |engine: &Engine| {
            engine.commit_offsets_in_transaction(handle, &readers(), None, commit.clone()).await
        };
        self.ask(commit).await
    }

    /// One that was taken for dead commits what it has made.
    async fn come_too_late(&self, left: &[TransactionHandle]) {
        if left.is_empty() || self.below(3) != 0 {
            return;
        }
        let handle = &left[usize::try_from(self.below(left.len() as u64)).unwrap()];
        drop(self.ask(async |engine| engine.end_transaction(handle, Outcome::Commit).await).await);
        self.book.lock().late_ends += 1;
    }
}

/// There is one of each message, in their order, and nothing else.
pub(super) async fn check(peers: &Peers, counts: &mut Counts) {
    for partition in 0..2 {
        let source: Vec<_> = read(peers, NUMBERED, partition, counts).await;
        let there: Vec<_> = read(peers, MADE, partition, counts).await;
        counts.made += there.len() as u64;
        let mut times: BTreeMap<&str, u64> = BTreeMap::new();
        for (value, _) in &there {
            *times.entry(value).or_default() += 1;
        }
        let due: Vec<String> = source.iter().map(|(value, _)| made_of(value)).collect();
        for value in &due {
            match times.remove(value.as_str()) {
                Some(1) => {}
                Some(more) => {
                    counts.broke("made twice", &format!("{MADE}/{partition}: {more} times {value}"));
                }
                None => counts.broke("not made", &format!("{MADE}/{partition}: {value}")),
            }
        }
        for value in times.keys() {
            counts.broke("made of nothing", &format!("{MADE}/{partition}: {value}"));
        }
        let in_order = there.iter().map(|(value, _)| value).eq(&due);
        if !in_order && there.len() == due.len() && times.is_empty() {
            counts.broke("made out of order", &format!("{MADE}/{partition}: {there:?}"));
        }
    }
}
