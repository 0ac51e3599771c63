//! Subscriptions: one pull stream over the partitions of a topic.

use std::{collections::BTreeSet, sync::Arc};

use flymq_engine::{
    Engine, EngineError, MemberGuard, MemberInfo, Pulled, StartFrom, SubscribeSpec, Subscription,
};
use flymq_proto::pb;
use flymq_types::{GroupId, Isolation, NodeId, Offset, PartitionId, TopicName};
use futures::{StreamExt as _, stream};

use super::{EngineBroker, placement::located};
use crate::{
    BatchStream, BrokerError, CallContext, Door, ErrorCode, Node, Response,
    convert::{self, Shape},
    dispatch::{cut::Cutter, sieve::Sieve},
};

/// Most bytes read at a time (one batch may be larger), and so of what a slow reader holds in memory.
const PUSH_BYTES: usize = 1 << 20;

impl EngineBroker {
    /// Opens the stream. It reads a run of records only when it is polled, and keeps what a run has beyond one push.
    pub(super) async fn open_subscription(
        &self,
        ctx: CallContext,
        request: pb::SubscribeRequest,
    ) -> Result<BatchStream, BrokerError> {
        let filter = self.filters.of(&request.filter, request.filter_kind)?;
        let topic = convert::topic("topic", &request.topic)?;
        let sieve = filter.map(|filter| self.sieve(filter, &topic));
        let group = (!request.group.is_empty()).then(|| convert::group(&request.group)).transpose()?;
        let isolation = convert::isolation(request.isolation)?;
        let positions = self.positions(&ctx, &topic, group.as_ref(), &request).await?;
        let member = match &group {
            Some(group) => Some(self.engine.join_member(group, member(&ctx, &topic))?),
            None => None,
        };
        let subscription =
            self.engine.subscribe(SubscribeSpec { topic, positions: positions.clone(), isolation }).await?;
        let shape = Shape {
            batches: request.batches,
            pieces: ctx.door.takes_pieces(),
            text: request.text,
            max_records: i32::MAX as usize,
            max_bytes: self.limits.batch_bytes,
        };
        let state = Reader {
            engine: self.engine.clone(),
            door: ctx.door,
            node: self.node.clone(),
            topic: request.topic,
            subscription,
            positions,
            sieve,
            unsifted: None,
            rest: None,
            shape,
            cutter: self.cutter.clone(),
            _member: member,
        };
        Ok(stream::unfold(Some(state), |state| async move {
            let mut reader = state?;
            match reader.next().await {
                Ok(push) => Some((Ok(push), Some(reader))),
                Err(error) => Some((Err(located(&reader.engine, reader.door, error)), None)),
            }
        })
        .boxed())
    }

    async fn positions(
        &self,
        ctx: &CallContext,
        topic: &TopicName,
        group: Option<&GroupId>,
        request: &pb::SubscribeRequest,
    ) -> Result<Vec<(PartitionId, Offset)>, BrokerError> {
        let isolation = convert::isolation(request.isolation)?;
        let otherwise = if group.is_some() { StartFrom::Committed } else { StartFrom::Latest };
        let from =
            convert::start_from("from", request.from, request.offset, request.timestamp_ms, otherwise)?;
        let partitions: BTreeSet<PartitionId> = if request.partitions.is_empty() {
            self.engine.topic(topic)?.partitions.iter().map(|p| p.partition).collect()
        } else {
            request.partitions.iter().map(|&number| convert::partition(number)).collect::<Result<_, _>>()?
        };
        let mut positions = Vec::with_capacity(partitions.len());
        for partition in partitions {
            let offset = match self.engine.start_offset(group, topic, partition, from, isolation).await {
                Err(EngineError::NotCoordinator { group, node: Some(node) }) => {
                    self.committed_at(ctx, &node, &group, topic, partition).await?
                }
                found => found?,
            };
            positions.push((partition, offset));
        }
        Ok(positions)
    }

    /// Where the group goes on, as the node that keeps its offsets says: mostly another one than the partition's leader.
    async fn committed_at(
        &self,
        ctx: &CallContext,
        node: &NodeId,
        group: &GroupId,
        topic: &TopicName,
        partition: PartitionId,
    ) -> Result<Offset, BrokerError> {
        let unknown = || EngineError::NotCoordinator { group: group.clone(), node: Some(node.clone()) };
        let forwarder = self.forwarder.as_deref().ok_or_else(unknown)?;
        let request = pb::GetStartOffsetRequest {
            topic: topic.to_string(),
            group: group.to_string(),
            partition: convert::count(partition.get() as usize),
            from: pb::StartFrom::Committed.into(),
            ..pb::GetStartOffsetRequest::default()
        };
        let served = forwarder.send(node, ctx, request.into()).await?;
        let Response::GetStartOffset(found) = served.response else {
            return Err(BrokerError::new(ErrorCode::Internal, "another node answered another request"));
        };
        // It may not know yet what has been deleted here.
        let start =
            self.engine.find_offset(topic, partition, StartFrom::Earliest, Isolation::ReadCommitted).await?;
        Ok(Offset(found.offset).max(start))
    }
}

fn member(ctx: &CallContext, topic: &TopicName) -> MemberInfo {
    let host = ctx.peer.map_or_else(|| ctx.door.name().to_owned(), |peer| peer.to_string());
    MemberInfo {
        member_id: format!("{host}/{}", ctx.request_id),
        client_id: ctx.door.name().to_owned(),
        host,
        topic: topic.clone(),
    }
}

/// What a filter passed over in a run.
#[derive(Debug, Default)]
struct Passed {
    /// Whether the reader is to know how far the search is, also where nothing was found.
    told: bool,
    filtered: u64,
    failed: u64,
}

struct Reader {
    engine: Arc<Engine>,
    door: Door,
    node: Arc<Node>,
    topic: String,
    subscription: Subscription,
    positions: Vec<(PartitionId, Offset)>,
    sieve: Option<Sieve>,
    /// A run that the filter has looked through in part.
    unsifted: Option<Pulled>,
    /// A run of which a part did not fit the last push.
    rest: Option<Pulled>,
    shape: Shape,
    cutter: Cutter,
    /// Leaves the group when the stream is dropped.
    _member: Option<MemberGuard>,
}

impl Reader {
    async fn next(&mut self) -> Result<pb::SubscribeResponse, BrokerError> {
        loop {
            let (pulled, passed) = match self.rest.take() {
                Some(rest) => (rest, Passed::default()),
                None => self.sifted().await?,
            };
            if let Some(push) = self.push(pulled, passed).await? {
                return Ok(push);
            }
        }
    }

    /// The next run, without what the filter passes over.
    async fn sifted(&mut self) -> Result<(Pulled, Passed), BrokerError> {
        let Pulled { partition, fetched } = match self.unsifted.take() {
            Some(rest) => rest,
            None => self.pull().await?,
        };
        let Some(sieve) = &self.sieve else { return Ok((Pulled { partition, fetched }, Passed::default())) };
        let whole = fetched.clone();
        let found = sieve.sift(self.position(partition), partition, fetched).await?;
        if found.stopped {
            self.unsifted = Some(Pulled { partition, fetched: whole });
        }
        let passed = Passed { told: true, filtered: found.filtered, failed: found.failed };
        Ok((Pulled { partition, fetched: found.fetched }, passed))
    }

    fn position(&self, partition: PartitionId) -> Offset {
        let found = self.positions.iter().find(|(number, _)| *number == partition);
        found.expect("a subscription only pulls the partitions it was opened with").1
    }

    async fn pull(&mut self) -> Result<Pulled, BrokerError> {
        tokio::select! {
            pulled = self.subscription.next(PUSH_BYTES) => Ok(pulled?),
            () = self.node.stopping() => Err(EngineError::ShuttingDown.into()),
        }
    }

    /// As much of a run as fits one push; `None` where it holds nothing for a reader.
    async fn push(
        &mut self,
        pulled: Pulled,
        passed: Passed,
    ) -> Result<Option<pb::SubscribeResponse>, BrokerError> {
        let position = self
            .positions
            .iter_mut()
            .find(|(partition, _)| *partition == pulled.partition)
            .expect("a subscription only pulls the partitions it was opened with");
        let Pulled { partition, fetched } = pulled;
        let (page, fetched) = self.cutter.cut(position.1, fetched, self.shape).await?;
        position.1 = Offset(page.next_offset);
        let push = pb::SubscribeResponse {
            topic: self.topic.clone(),
            partition: convert::count(partition.get() as usize),
            next_offset: page.next_offset,
            high_watermark: fetched.high_watermark.get(),
            records: page.records,
            batches: page.batches,
            filtered: passed.filtered,
            filter_failed: passed.failed,
        };
        if position.1 < fetched.next_offset {
            self.rest = Some(Pulled { partition, fetched });
        }
        Ok((passed.told || !push.records.is_empty() || !push.batches.is_empty()).then_some(push))
    }
}
