//! Produce, consume, fetch.

use std::{collections::BTreeMap, time::Duration};

use bytes::Bytes;
use flymq_engine::{Appended, EngineError, FetchSpec, Fetched, Target, TransactionHandle};
use flymq_proto::pb;
use flymq_types::{Acks, BatchHeader, NodeId, Offset, PartitionId, Timestamp, TopicName};
use futures::future::join_all;

use super::{EngineBroker, sieve::Sifted};
use crate::{
    BrokerError, CallContext, Door, ErrorCode, Response,
    convert::{self, BuiltBatch, Fetch, Produce, ProducePlan, ReadyBatch, Shape},
    layers::{Forwarder, Patience, Served},
};

/// How long a read of an appended but not yet synced record waits for its sync where the caller asked for no wait.
const SYNC_WAIT: Duration = Duration::from_secs(5);

/// Where the records of a request go.
struct Destination<'a> {
    topic: TopicName,
    /// None: the broker picks one.
    partition: Option<PartitionId>,
    acks: Acks,
    elsewhere: Option<(&'a Forwarder, &'a CallContext)>,
    /// The one that the records are part of.
    transaction: Option<TransactionHandle>,
}

/// Has a batch appended by the node that leads the partition.
async fn append_at(
    forwarder: &Forwarder,
    (leader, ctx): (&NodeId, &CallContext),
    to: &Destination<'_>,
    partition: PartitionId,
    batch: Bytes,
) -> Result<Appended, BrokerError> {
    if let Some(transaction) = &to.transaction {
        return append_in_transaction_at(forwarder, (leader, ctx), (to, transaction), partition, batch).await;
    }
    let request = pb::ProduceRequest {
        topic: to.topic.to_string(),
        partition: Some(convert::count(partition.get() as usize)),
        acks: convert::acks_message(to.acks).into(),
        batch,
        ..pb::ProduceRequest::default()
    };
    let served = forwarder.send(leader, ctx, request.into()).await?;
    let Response::Produce(reply) = served.response else {
        return Err(BrokerError::new(ErrorCode::Internal, "another node answered another request"));
    };
    let base_offset = Offset(reply.base_offset);
    Ok(Appended {
        partition: convert::partition(reply.partition)?,
        base_offset,
        last_offset: base_offset.plus(u64::from(reply.record_count.saturating_sub(1))),
        append_time: Timestamp::from_millis(reply.timestamp_ms),
        duplicate: false,
    })
}

/// As [`append_at`], inside a transaction.
async fn append_in_transaction_at(
    forwarder: &Forwarder,
    (leader, ctx): (&NodeId, &CallContext),
    (to, transaction): (&Destination<'_>, &TransactionHandle),
    partition: PartitionId,
    batch: Bytes,
) -> Result<Appended, BrokerError> {
    let count = BatchHeader::parse(&batch)?.record_count;
    let request = pb::ProduceInTransactionRequest {
        transaction_id: transaction.to_string(),
        topic: to.topic.to_string(),
        partition: Some(convert::count(partition.get() as usize)),
        records: Vec::new(),
        batch,
    };
    let served = forwarder.send(leader, ctx, request.into()).await?;
    let first = match served.response {
        Response::ProduceInTransaction(reply) => reply.records.into_iter().next(),
        _ => None,
    };
    let Some(first) = first else {
        return Err(BrokerError::new(ErrorCode::Internal, "another node answered another request"));
    };
    let base_offset = Offset(first.offset);
    Ok(Appended {
        partition: convert::partition(first.partition)?,
        base_offset,
        last_offset: base_offset.plus(u64::from(count.saturating_sub(1))),
        append_time: Timestamp::from_millis(first.timestamp_ms),
        duplicate: false,
    })
}

impl EngineBroker {
    /// Appends records or a batch inside a transaction, always with `acks=all`. For a batch the answer has one entry: its first
    /// record.
    pub(super) async fn produce_in_transaction(
        &self,
        ctx: &CallContext,
        request: pb::ProduceInTransactionRequest,
    ) -> Result<pb::ProduceInTransactionResponse, BrokerError> {
        let transaction = convert::transaction(&request.transaction_id)?;
        let pb::ProduceInTransactionRequest { topic, partition, records, batch, .. } = request;
        let request =
            pb::ProduceRequest { topic, partition, records, batch, ..pb::ProduceRequest::default() };
        let produce = Produce::parse(request, true, &self.limits)?;
        let elsewhere = self.forwarder.as_deref().filter(|_| Forwarder::takes(ctx, false));
        let to = Destination {
            topic: produce.topic,
            partition: produce.partition,
            acks: Acks::All,
            elsewhere: elsewhere.map(|forwarder| (forwarder, ctx)),
            transaction: Some(transaction),
        };
        let records = match produce.plan {
            ProducePlan::Ready(batch) => {
                let appended = self.append_ready(to, batch).await?;
                vec![pb::RecordMetadata {
                    topic: appended.topic,
                    partition: appended.partition,
                    offset: appended.base_offset,
                    timestamp_ms: appended.timestamp_ms,
                    ..pb::RecordMetadata::default()
                }]
            }
            ProducePlan::Records(records) => self.append_records(to, &records, 0).await?.records,
        };
        Ok(pb::ProduceInTransactionResponse { records })
    }

    async fn append_here(
        &self,
        to: &Destination<'_>,
        target: Target,
        batch: Bytes,
    ) -> Result<Appended, EngineError> {
        match &to.transaction {
            None => self.engine.append(&to.topic, target, batch, to.acks).await,
            Some(transaction) => {
                self.engine.append_in_transaction(transaction, &to.topic, target, batch).await
            }
        }
    }

    pub(super) async fn produce(
        &self,
        ctx: &CallContext,
        request: pb::ProduceRequest,
    ) -> Result<pb::ProduceResponse, BrokerError> {
        let elsewhere = self.elsewhere(ctx, &request);
        let schema = request.schema.clone();
        let produce = Produce::parse(request, false, &self.limits)?;
        if !schema.is_empty() {
            self.check_plan(&schema, &produce).await?;
        }
        let acks = produce.acks.unwrap_or(self.default_acks);
        let (topic, partition) = (produce.topic, produce.partition);
        let to = Destination { topic, partition, acks, elsewhere, transaction: None };
        match produce.plan {
            ProducePlan::Ready(batch) => self.append_ready(to, batch).await,
            ProducePlan::Records(records) => self.append_records(to, &records, produce.ttl_ms).await,
        }
    }

    /// Holds what is to be appended against the schema that its producer names.
    async fn check_plan(&self, schema: &str, produce: &Produce) -> Result<(), BrokerError> {
        let batches = match &produce.plan {
            ProducePlan::Ready(batch) => vec![batch.bytes.clone()],
            ProducePlan::Records(records) => {
                let all: Vec<_> = (0..records.len()).collect();
                let built = convert::build(records, &all, (self.clock.wall(), 0), None, &self.limits)?;
                built.into_iter().map(|batch| batch.bytes).collect()
            }
        };
        for batch in batches {
            self.engine.check_records(schema, &produce.topic, batch).await?;
        }
        Ok(())
    }

    /// How batches for partitions that other nodes lead get there; none where the client sends them there itself.
    fn elsewhere<'a>(
        &'a self,
        ctx: &'a CallContext,
        request: &pb::ProduceRequest,
    ) -> Option<(&'a Forwarder, &'a CallContext)> {
        let forwarder = self.forwarder.as_deref()?;
        Forwarder::takes(ctx, !request.batch.is_empty()).then_some((forwarder, ctx))
    }

    /// Appends a batch here, or has it appended by the node that leads its partition, once somebody does.
    async fn append(
        &self,
        to: &Destination<'_>,
        mut target: Target,
        batch: Bytes,
    ) -> Result<Appended, BrokerError> {
        // A batch is kept only where it may be needed: one that nobody else holds is stamped in its place.
        let Some((forwarder, ctx)) = to.elsewhere else {
            return Ok(self.append_here(to, target, batch).await?);
        };
        let patience = Patience::of(ctx);
        loop {
            let error = match self.append_here(to, target.clone(), batch.clone()).await {
                Ok(appended) => return Ok(appended),
                Err(error) => error,
            };
            let EngineError::NotLeader { partition, leader, .. } = &error else { return Err(error.into()) };
            target = Target::Partition(*partition);
            let error = match leader {
                Some(leader) => {
                    match append_at(forwarder, (leader, ctx), to, *partition, batch.clone()).await {
                        Ok(appended) => return Ok(appended),
                        Err(error) => error,
                    }
                }
                None => error.into(),
            };
            if !patience.again(&error).await {
                return Err(error);
            }
        }
    }

    async fn append_ready(
        &self,
        to: Destination<'_>,
        batch: ReadyBatch,
    ) -> Result<pb::ProduceResponse, BrokerError> {
        let target = match (to.partition, batch.key) {
            (Some(partition), _) => Target::Partition(partition),
            (None, Some(key)) => Target::Key(key),
            (None, None) => Target::RoundRobin,
        };
        let appended = self.append(&to, target, batch.bytes).await?;
        Ok(pb::ProduceResponse {
            topic: to.topic.to_string(),
            partition: convert::count(appended.partition.get() as usize),
            base_offset: appended.base_offset.get(),
            record_count: batch.records,
            timestamp_ms: appended.append_time.as_millis(),
            records: Vec::new(),
        })
    }

    /// One batch per partition, all at once, so that they share a round of the group commit.
    async fn append_records(
        &self,
        to: Destination<'_>,
        records: &[pb::Record],
        ttl_ms: i64,
    ) -> Result<pb::ProduceResponse, BrokerError> {
        let now = self.clock.wall();
        let mut batches = Vec::new();
        for (partition, indexes) in self.route(&to.topic, to.partition, records).await? {
            let transaction = to.transaction.as_ref().map(|of| (of.producer_id, of.epoch));
            for batch in convert::build(records, &indexes, (now, ttl_ms), transaction, &self.limits)? {
                batches.push((partition, batch));
            }
        }
        let appends = batches
            .iter()
            .map(|(partition, batch)| self.append(&to, Target::Partition(*partition), batch.bytes.clone()));
        let results = join_all(appends).await;
        let mut stored = Vec::with_capacity(results.len());
        let mut failed = None;
        for (result, (_, batch)) in results.into_iter().zip(&batches) {
            match result {
                Ok(appended) => stored.push((appended, batch)),
                Err(error) => failed = failed.or(Some(error)),
            }
        }
        if let Some(error) = failed {
            let records: usize = stored.iter().map(|(_, batch)| batch.indexes.len()).sum();
            return Err(if records > 0 { error.with("records_stored", records) } else { error });
        }
        Ok(produced(&to.topic, records, now.as_millis(), &stored))
    }

    /// Which records go to which partition, by index and in order. Records without key stay together: round robin
    /// is per batch.
    async fn route(
        &self,
        topic: &TopicName,
        partition: Option<PartitionId>,
        records: &[pb::Record],
    ) -> Result<BTreeMap<PartitionId, Vec<usize>>, BrokerError> {
        let mut routes: BTreeMap<PartitionId, Vec<usize>> = BTreeMap::new();
        if let Some(partition) = partition {
            routes.insert(partition, (0..records.len()).collect());
            return Ok(routes);
        }
        let mut keyless = None;
        for (index, record) in records.iter().enumerate() {
            let partition = match (convert::key_of(record), keyless) {
                (None, Some(partition)) => partition,
                (key, _) => self.engine.partition_for(topic, key).await?,
            };
            if convert::key_of(record).is_none() {
                keyless = Some(partition);
            }
            routes.entry(partition).or_default().push(index);
        }
        Ok(routes)
    }

    pub(super) async fn consume(
        &self,
        request: pb::ConsumeRequest,
    ) -> Result<pb::ConsumeResponse, BrokerError> {
        let offset = Offset(request.offset);
        let spec = FetchSpec {
            topic: convert::topic("topic", &request.topic)?,
            partition: convert::partition(request.partition)?,
            offset,
            max_bytes: 1,
            min_bytes: 1,
            max_wait: Duration::ZERO,
            isolation: convert::isolation(request.isolation)?,
        };
        let fetched = self.fetch_synced(spec).await?;
        let shape = Shape::one(request.text, &self.limits);
        let (page, fetched) = self.cutter.cut(offset, fetched, shape).await?;
        let Some(record) = page.records.into_iter().next().filter(|r| r.offset == offset.get()) else {
            return Err(no_record(&request, &fetched));
        };
        Ok(pb::ConsumeResponse { topic: request.topic, partition: request.partition, record: Some(record) })
    }

    pub(super) async fn fetch(&self, door: Door, request: pb::FetchRequest) -> Result<Served, BrokerError> {
        let filter = self.filters.of(&request.filter, request.filter_kind)?;
        let Fetch { spec, shape } = Fetch::parse(&request, door, &self.limits)?;
        let (asked_at, from) = (self.clock.wall().as_millis(), spec.offset);
        let (found, waited) = match filter {
            Some(filter) => self.fetch_matching(filter, spec).await?,
            None => {
                let fetched = self.fetch_synced(spec).await?;
                // A long poll waited until its first batch was appended; the rest of the time is the broker's.
                let appended_at =
                    fetched.batches.first().map_or(asked_at, |batch| batch.header().server.append_time);
                let waited = u64::try_from(appended_at.saturating_sub(asked_at)).unwrap_or(0);
                (Sifted::whole(fetched), Duration::from_millis(waited))
            }
        };
        let (page, fetched) = self.cutter.cut(from, found.fetched, shape).await?;
        let response = pb::FetchResponse {
            topic: request.topic,
            partition: request.partition,
            next_offset: page.next_offset,
            records: page.records,
            batches: page.batches,
            high_watermark: fetched.high_watermark.get(),
            low_watermark: fetched.low_watermark.get(),
            log_end_offset: fetched.log_end_offset.get(),
            filtered: found.filtered,
            filter_failed: found.failed,
        };
        Ok(Served { response: response.into(), waited })
    }

    /// Fetches; a read between high watermark and log end waits for the sync even where no wait was asked for.
    pub(super) async fn fetch_synced(&self, spec: FetchSpec) -> Result<Fetched, BrokerError> {
        let fetched = self.fetch_until_stop(spec.clone()).await?;
        // What is left out, or held back by a transaction, does not come by waiting for the disk.
        let unsynced =
            fetched.batches.is_empty() && !fetched.held && fetched.next_offset < fetched.log_end_offset;
        if unsynced && spec.max_wait.is_zero() {
            return self.fetch_until_stop(FetchSpec { max_wait: SYNC_WAIT, ..spec }).await;
        }
        Ok(fetched)
    }

    /// A long poll that a shutdown ends early: it answers with what there is.
    async fn fetch_until_stop(&self, spec: FetchSpec) -> Result<Fetched, BrokerError> {
        if spec.max_wait.is_zero() {
            return Ok(self.engine.fetch(spec).await?);
        }
        tokio::select! {
            fetched = self.engine.fetch(spec.clone()) => Ok(fetched?),
            () = self.node.stopping() => Ok(self.engine.fetch(FetchSpec { max_wait: Duration::ZERO, ..spec }).await?),
        }
    }
}

fn produced(
    topic: &TopicName,
    records: &[pb::Record],
    now_ms: i64,
    stored: &[(Appended, &BuiltBatch)],
) -> pb::ProduceResponse {
    let mut metadata = vec![pb::RecordMetadata::default(); records.len()];
    for (appended, batch) in stored {
        for (at, &index) in batch.indexes.iter().enumerate() {
            let record = &records[index];
            metadata[index] = pb::RecordMetadata {
                topic: topic.to_string(),
                partition: convert::count(appended.partition.get() as usize),
                offset: appended.base_offset.get() + at as u64,
                timestamp_ms: if record.timestamp_ms == 0 { now_ms } else { record.timestamp_ms },
                key_size: convert::key_of(record).map_or(-1, |key| convert::count(key.len())),
                value_size: convert::value_of(record).map_or(0, |value| convert::count(value.len())),
            };
        }
    }
    let first = stored.first().map(|(appended, _)| *appended);
    let one_partition =
        stored.iter().all(|(appended, _)| Some(appended.partition) == first.map(|f| f.partition));
    let first = first.filter(|_| one_partition);
    pb::ProduceResponse {
        topic: topic.to_string(),
        partition: first.map_or(-1, |f| convert::count(f.partition.get() as usize)),
        base_offset: first.map_or(0, |f| f.base_offset.get()),
        record_count: u32::try_from(records.len()).unwrap_or(u32::MAX),
        timestamp_ms: stored.first().map_or(now_ms, |(appended, _)| appended.append_time.as_millis()),
        records: metadata,
    }
}

/// Why there is none at the offset: not yet, or never.
fn no_record(request: &pb::ConsumeRequest, fetched: &Fetched) -> BrokerError {
    let (topic, partition, offset) = (&request.topic, request.partition, request.offset);
    let next = fetched
        .batches
        .first()
        .map_or(fetched.next_offset.get(), |batch| batch.header().server.base_offset.max(offset + 1));
    if next > offset {
        let message = format!(
            "offset {offset} of {topic}/{partition} holds no record that can be read; go on at {next}"
        );
        return BrokerError::new(ErrorCode::RecordNotFound, message)
            .with("topic", topic)
            .with("partition", partition)
            .with("offset", offset)
            .with("next", next);
    }
    let message = format!("no record at offset {offset} of {topic}/{partition} yet");
    BrokerError::new(ErrorCode::EndOfPartition, message)
        .with("topic", topic)
        .with("partition", partition)
        .with("offset", offset)
        .with("high_watermark", fetched.high_watermark)
}
