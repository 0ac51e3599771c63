//! Queue mode, and records that their readers cannot process.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use flymq_engine::{Act, Ask, Nack, Offered, RecordAt};
use flymq_proto::pb;
use flymq_types::{GroupId, Offset, PartitionId, TopicName, fnv1a_32};
use futures::{
    StreamExt as _,
    future::{FutureExt as _, select_all},
    stream,
};

use super::{EngineBroker, members};
use crate::{BrokerError, CallContext, ErrorCode, convert};

/// Most records that one request answers for, or asks for.
const MAX_RECORDS: usize = 1_000;
const DEFAULT_RECORDS: usize = 100;
/// Locks, ms: the shortest, the one of those who say nothing, the longest.
const LOCKS: [u32; 3] = [1_000, 30_000, 900_000];
/// The longest first wait for a redelivery, ms.
const MAX_RETRY_DELAY_MS: u32 = 600_000;
/// Bytes of new records of one answer, about.
const NEW_BYTES: u32 = 4 << 20;
/// Bytes of all records of one answer: beyond, records are given back.
const MOST_BYTES: usize = 16 << 20;
/// Records that are read for their redelivery at the same time.
const READS: usize = 16;

/// A partition in a group.
struct Queue<'a> {
    group: &'a GroupId,
    topic: &'a TopicName,
    partition: PartitionId,
}

/// What an Acquire asks for.
struct Asked {
    member: Arc<str>,
    max: usize,
    lock: Duration,
    ordered: bool,
    retries_only: bool,
    from: i32,
    text: bool,
    deadline: Option<Instant>,
}

impl EngineBroker {
    pub(super) async fn nack(
        &self,
        ctx: &CallContext,
        request: pb::NackRequest,
    ) -> Result<pb::NackResponse, BrokerError> {
        let group = convert::group(&request.group)?;
        let topic = convert::topic("topic", &request.topic)?;
        let partition = convert::partition(request.partition)?;
        if request.retry_delay_ms.is_some_and(|ms| ms > MAX_RETRY_DELAY_MS) {
            return Err(convert::invalid("retry_delay_ms", format!("at most {MAX_RETRY_DELAY_MS}")));
        }
        let membership = match request.generation {
            0 => None,
            generation => members::commits_as(request.member_id.clone(), generation)?,
        };
        self.engine.check_group(&group)?;
        let offset = Offset(request.offset);
        let record = match self.record_at((&topic, partition, offset), ctx.deadline).await {
            Ok(record) => record,
            Err(error) if matches!(error.code, ErrorCode::EndOfPartition | ErrorCode::OffsetOutOfRange) => {
                None
            }
            Err(error) => return Err(error),
        };
        let record = record.ok_or_else(|| no_record(&topic, partition, offset))?;
        let nack = Nack {
            error: request.reason,
            member: request.member_id,
            membership,
            commit: request.commit,
            max_retries: request.max_retries,
            delay_ms: request.retry_delay_ms,
        };
        let at = RecordAt { group, topic, partition, offset };
        let nacked = self.engine.nack(&at, key_hash(&record), nack).await?;
        if nacked.wait.is_none() {
            self.bury(&at.group).await;
        }
        Ok(pb::NackResponse {
            attempts: nacked.attempts,
            dead_lettered: nacked.wait.is_none(),
            retry_after_ms: nacked.wait.map_or(0, millis),
        })
    }

    pub(super) async fn acknowledge(
        &self,
        request: pb::AcknowledgeRequest,
    ) -> Result<pb::AcknowledgeResponse, BrokerError> {
        let group = convert::group(&request.group)?;
        let topic = convert::topic("topic", &request.topic)?;
        let partition = convert::partition(request.partition)?;
        if request.offsets.is_empty() || request.offsets.len() > MAX_RECORDS {
            return Err(convert::invalid("offsets", format!("names 1 to {MAX_RECORDS} records")));
        }
        // Without a name nothing is held, and the offsets could be any.
        self.check_holder(&request.member_id)?;
        let act = match pb::AckKind::try_from(request.kind) {
            Ok(pb::AckKind::Accept) => Act::Accept,
            Ok(pb::AckKind::Reject) => Act::Reject { error: request.reason.into() },
            Ok(pb::AckKind::Release) => Act::Release,
            Ok(pb::AckKind::Extend) => Act::Extend(lock("extend_ms", request.extend_ms)?),
            Ok(pb::AckKind::Unspecified) | Err(_) => {
                return Err(convert::invalid("kind", "say accept, reject, release or extend"));
            }
        };
        let offsets = request.offsets.into_iter().map(Offset).collect();
        let at = (&group, &topic, partition);
        if self.engine.answer(at, offsets, act, request.member_id).await? {
            self.bury(&group).await;
        }
        Ok(pb::AcknowledgeResponse {})
    }

    pub(super) async fn acquire(
        &self,
        ctx: &CallContext,
        request: pb::AcquireRequest,
    ) -> Result<pb::AcquireResponse, BrokerError> {
        let group = convert::group(&request.group)?;
        let topic = convert::topic("topic", &request.topic)?;
        self.check_holder(&request.member_id)?;
        let max = match request.max_records as usize {
            0 => DEFAULT_RECORDS,
            max if max <= MAX_RECORDS => max,
            _ => return Err(convert::invalid("max_records", format!("at most {MAX_RECORDS}"))),
        };
        let asked = Asked {
            member: request.member_id.into(),
            max,
            lock: lock("lock_ms", request.lock_ms)?,
            ordered: request.ordered,
            retries_only: request.retries_only,
            from: beginning(request.from)?,
            text: request.text,
            deadline: ctx.deadline,
        };
        self.engine.check_group(&group)?;
        let partitions: Vec<PartitionId> = match convert::optional_partition(request.partition)? {
            Some(partition) => vec![partition],
            None => self.engine.topic(&topic)?.partitions.iter().map(|info| info.partition).collect(),
        };
        let until = Instant::now() + Duration::from_millis(request.max_wait_ms.into());
        loop {
            let found = self.acquire_once((&group, &topic), &partitions, &asked).await?;
            if !found.records.is_empty() || Instant::now() >= until {
                return Ok(found);
            }
            let wake = Duration::from_millis(match found.next_due_ms {
                0 => u64::MAX,
                ms => ms.into(),
            });
            let left = until.saturating_duration_since(Instant::now());
            tokio::select! {
                () = self.node.stopping() => return Ok(found),
                () = tokio::time::sleep(left.min(wake)) => {}
                () = self.new_record((&group, &topic), &partitions, &asked, left) => {}
            }
        }
    }

    fn check_holder(&self, member_id: &str) -> Result<(), BrokerError> {
        if member_id.is_empty() || member_id.len() > self.limits.text_bytes {
            let why = format!("names who holds the records, in 1 to {} bytes", self.limits.text_bytes);
            return Err(convert::invalid("member_id", why));
        }
        Ok(())
    }

    /// One look at each partition, until there are enough.
    async fn acquire_once(
        &self,
        (group, topic): (&GroupId, &TopicName),
        partitions: &[PartitionId],
        asked: &Asked,
    ) -> Result<pb::AcquireResponse, BrokerError> {
        let (mut found, mut failed) = (pb::AcquireResponse::default(), None);
        // Not always the same one first.
        let first = fnv1a_32(&self.clock.wall().as_millis().to_le_bytes()) as usize % partitions.len().max(1);
        for partition in partitions.iter().cycle().skip(first).take(partitions.len()) {
            let queue = Queue { group, topic, partition: *partition };
            let left = asked.max - found.records.len();
            let (records, wake) = match self.acquire_of(&queue, asked, left).await {
                Ok(got) => got,
                Err(error) => {
                    failed = failed.or(Some(error));
                    continue;
                }
            };
            found.records.extend(records);
            if let Some(wake) = wake {
                let due = millis(wake).max(1);
                found.next_due_ms = if found.next_due_ms == 0 { due } else { due.min(found.next_due_ms) };
            }
            if found.records.len() >= asked.max {
                break;
            }
        }
        // A partition that cannot be read now is no reason to wait for the others.
        match failed.filter(|_| found.records.is_empty()) {
            Some(error) => Err(error),
            None => Ok(found),
        }
    }

    async fn acquire_of(
        &self,
        queue: &Queue<'_>,
        asked: &Asked,
        max: usize,
    ) -> Result<(Vec<pb::AcquiredRecord>, Option<Duration>), BrokerError> {
        let at = (queue.group, queue.topic, queue.partition);
        let page = if asked.retries_only { None } else { Some(self.page(queue, asked, max).await?) };
        let mut at_hand: HashMap<u64, pb::Record> = HashMap::new();
        let mut offered = Offered::default();
        if let Some((from, page)) = page {
            let hashes = page.records.iter().map(|record| (record.offset, key_hash(record)));
            offered = Offered { from, upto: page.next_offset, records: hashes.collect() };
            at_hand.extend(page.records.into_iter().map(|record| (record.offset, record)));
        }
        let policy = self.engine.retry_policy(queue.group, queue.topic);
        let (member, ordered) = (asked.member.clone(), asked.ordered);
        let acquired =
            self.engine.acquire(at, offered, Ask { member, max, lock: asked.lock, ordered, policy }).await?;
        if acquired.doomed {
            self.bury_soon(queue.group);
        }
        let read = stream::iter(acquired.records).map(|(offset, failed)| {
            let known = at_hand.remove(&offset.get());
            async move {
                let record = match known {
                    Some(record) => Ok(Some(record)),
                    None => {
                        let at = (queue.topic, queue.partition, offset);
                        self.record_at(at, asked.deadline).await
                    }
                };
                (offset, failed, record)
            }
        });
        let read: Vec<_> = read.buffered(READS).collect().await;
        let (mut records, mut gone, mut back, mut bytes) = (Vec::new(), Vec::new(), Vec::new(), 0);
        let mut unread = None;
        for (offset, failed, record) in read {
            let record = match record {
                Ok(record) => record,
                Err(error) => {
                    unread = unread.or(Some(error));
                    back.push(offset);
                    continue;
                }
            };
            let Some(mut record) = record else {
                gone.push(offset);
                continue;
            };
            bytes += record.key.as_ref().map_or(0, bytes::Bytes::len) + record.value.len();
            if bytes > MOST_BYTES && !records.is_empty() {
                back.push(offset);
                continue;
            }
            if asked.text {
                convert::show_text(&mut record);
            }
            records.push(pb::AcquiredRecord {
                partition: convert::count(queue.partition.get() as usize),
                record: Some(record),
                delivery_count: failed.saturating_add(1),
                locked_until_ms: acquired.locked_until.as_millis(),
            });
        }
        let member = asked.member.to_string();
        for (offsets, act) in [(gone, Act::Accept), (back, Act::Release)] {
            if !offsets.is_empty() {
                self.engine.answer(at, offsets, act, member.clone()).await?;
            }
        }
        match unread.filter(|_| records.is_empty()) {
            Some(error) => Err(error),
            None => Ok((records, acquired.wake)),
        }
    }

    /// The next records that nobody has had yet, and where they begin.
    async fn page(
        &self,
        queue: &Queue<'_>,
        asked: &Asked,
        max: usize,
    ) -> Result<(u64, pb::FetchResponse), BrokerError> {
        let Queue { group, topic, partition } = queue;
        let known = self.engine.next_to_acquire(group, topic, *partition)?;
        let mut from = match known {
            Some(next) => next.get(),
            None => self.beginning(queue, asked.from, asked.deadline).await?,
        };
        loop {
            // Of those of one key only one is taken: more are looked at, so that others come, too.
            let looked = if asked.ordered { max.saturating_mul(4) } else { max };
            let request = self.fetch_from(queue, from, (convert::count(looked), 0));
            match self.routed::<pb::FetchResponse>(request, asked.deadline).await {
                Ok(page) => return Ok((from, page)),
                // Retention has been faster.
                Err(error) if error.code == ErrorCode::OffsetOutOfRange => {
                    let start = self.beginning(queue, pb::StartFrom::Earliest.into(), asked.deadline).await?;
                    if start <= from {
                        return Err(error);
                    }
                    self.engine.pass_records(group, topic, *partition, Offset(start)).await?;
                    from = start;
                }
                Err(error) => return Err(error),
            }
        }
    }

    fn fetch_from(
        &self,
        queue: &Queue<'_>,
        offset: u64,
        (max_records, max_wait_ms): (i32, u32),
    ) -> pb::FetchRequest {
        pb::FetchRequest {
            topic: queue.topic.to_string(),
            partition: convert::count(queue.partition.get() as usize),
            offset,
            max_records,
            max_bytes: NEW_BYTES,
            max_wait_ms,
            ..pb::FetchRequest::default()
        }
    }

    async fn beginning(
        &self,
        queue: &Queue<'_>,
        from: i32,
        deadline: Option<Instant>,
    ) -> Result<u64, BrokerError> {
        let request = pb::GetStartOffsetRequest {
            topic: queue.topic.to_string(),
            partition: convert::count(queue.partition.get() as usize),
            from,
            ..pb::GetStartOffsetRequest::default()
        };
        Ok(self.routed::<pb::GetStartOffsetResponse>(request, deadline).await?.offset)
    }

    /// Waits for a record that nobody has had yet, or for ever where only others are asked for.
    async fn new_record(
        &self,
        (group, topic): (&GroupId, &TopicName),
        partitions: &[PartitionId],
        asked: &Asked,
        left: Duration,
    ) {
        if asked.retries_only || partitions.is_empty() {
            return std::future::pending().await;
        }
        let waits = partitions.iter().map(|partition| {
            let queue = Queue { group, topic, partition: *partition };
            async move {
                let next = self.engine.next_to_acquire(queue.group, queue.topic, queue.partition);
                let from = match next {
                    Ok(Some(next)) => Ok(next.get()),
                    Ok(None) => self.beginning(&queue, asked.from, asked.deadline).await,
                    Err(error) => Err(error.into()),
                };
                let Ok(from) = from else { return std::future::pending().await };
                let request = self.fetch_from(&queue, from, (1, millis(left)));
                match self.routed::<pb::FetchResponse>(request, asked.deadline).await {
                    Ok(page) if !page.records.is_empty() => {}
                    // The time is over, or the next look says what is wrong.
                    Ok(_) | Err(_) => std::future::pending().await,
                }
            }
            .boxed()
        });
        select_all(waits).await;
    }
}

/// As the engine keeps it.
fn key_hash(record: &pb::Record) -> Option<u32> {
    convert::key_of(record).map(fnv1a_32)
}

fn millis(time: Duration) -> u32 {
    u32::try_from(time.as_millis()).unwrap_or(u32::MAX)
}

fn lock(field: &str, ms: u32) -> Result<Duration, BrokerError> {
    let [shortest, usual, longest] = LOCKS;
    match ms {
        0 => Ok(Duration::from_millis(usual.into())),
        ms if (shortest..=longest).contains(&ms) => Ok(Duration::from_millis(ms.into())),
        ms => Err(convert::invalid(field, format!("{ms} ms is not within {shortest} to {longest} ms"))),
    }
}

fn beginning(from: i32) -> Result<i32, BrokerError> {
    match pb::StartFrom::try_from(from) {
        Ok(pb::StartFrom::Unspecified | pb::StartFrom::Earliest) => Ok(pb::StartFrom::Earliest.into()),
        Ok(pb::StartFrom::Latest) => Ok(from),
        _ => Err(convert::invalid("from", "a queue begins at earliest or latest")),
    }
}

fn no_record(topic: &TopicName, partition: PartitionId, offset: Offset) -> BrokerError {
    let message = format!("there is no record at offset {offset} of {topic}/{partition}, or no more");
    BrokerError::new(ErrorCode::OffsetOutOfRange, message)
        .with("topic", topic)
        .with("partition", partition)
        .with("offset", offset)
}
