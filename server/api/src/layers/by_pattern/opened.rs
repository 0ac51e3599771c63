//! What is read of one topic of a pattern.

use std::{sync::Arc, time::Duration};

use flymq_engine::Engine;
use flymq_proto::pb;
use flymq_types::{Patterns, TopicName};
use futures::{StreamExt as _, TryStreamExt as _, stream};

use crate::{BatchStream, Broker, BrokerError, CallContext, Door, ErrorCode, Node, Request, Response};

/// Most bytes read at a time.
const FETCH_BYTES: u32 = 1 << 20;
/// How long a fetch waits at the leader for the first record.
const FETCH_WAIT_MS: u32 = 5_000;
/// Between two tries while nobody leads a partition.
const PAUSE: Duration = Duration::from_millis(200);
/// Start offsets that are asked for at once.
const ASKED_AT_ONCE: usize = 16;

/// What a subscription by pattern asks for, and of whom.
#[derive(Debug)]
pub(super) struct Source<B> {
    pub inner: Arc<B>,
    pub engine: Arc<Engine>,
    pub node: Arc<Node>,
    pub in_cluster: bool,
    /// Partitions at most.
    pub most: usize,
    pub patterns: Arc<Patterns<()>>,
    pub ctx: CallContext,
    pub request: pb::SubscribeRequest,
}

impl<B> Clone for Source<B> {
    fn clone(&self) -> Self {
        Self {
            inner: self.inner.clone(),
            engine: self.engine.clone(),
            node: self.node.clone(),
            in_cluster: self.in_cluster,
            most: self.most,
            patterns: self.patterns.clone(),
            ctx: self.ctx.clone(),
            request: self.request.clone(),
        }
    }
}

impl<B: Broker> Source<B> {
    /// How many partitions a topic has; none where it is gone.
    pub fn partitions(&self, topic: &TopicName) -> usize {
        self.engine.topic(topic).map_or(0, |topic| topic.partitions.len())
    }

    /// The stream of one topic, from where the request says, or as one that came later.
    ///
    /// # Errors
    /// Those of a subscription to this topic.
    pub async fn open(&self, topic: &TopicName, later: bool) -> Result<BatchStream, BrokerError> {
        let mut request = pb::SubscribeRequest { topic: topic.to_string(), ..self.request.clone() };
        if later && !self.by_group() {
            // There was no record of it when the stream began.
            request.set_from(pb::StartFrom::Earliest);
        }
        if !self.in_cluster {
            return self.inner.subscribe(self.ctx.clone(), request).await;
        }
        let request = Arc::new(request);
        let count = i32::try_from(self.partitions(topic)).unwrap_or(i32::MAX);
        let starts = stream::iter((0..count).map(|partition| {
            let (source, request) = (self.clone(), request.clone());
            async move { source.start(&request, partition).await.map(|offset| (partition, offset)) }
        }));
        let starts: Vec<_> = starts.buffered(ASKED_AT_ONCE).try_collect().await?;
        let fetches = starts
            .into_iter()
            .map(|(partition, offset)| self.clone().fetches(request.clone(), partition, offset));
        Ok(stream::select_all(fetches).boxed())
    }

    fn by_group(&self) -> bool {
        match self.request.from() {
            pb::StartFrom::Committed => true,
            pb::StartFrom::Unspecified => !self.request.group.is_empty(),
            pb::StartFrom::Earliest
            | pb::StartFrom::Latest
            | pb::StartFrom::Offset
            | pb::StartFrom::Timestamp => false,
        }
    }

    async fn start(&self, request: &pb::SubscribeRequest, partition: i32) -> Result<u64, BrokerError> {
        let mut asked = pb::GetStartOffsetRequest {
            topic: request.topic.clone(),
            group: request.group.clone(),
            partition,
            from: request.from,
            timestamp_ms: request.timestamp_ms,
            isolation: request.isolation,
            ..pb::GetStartOffsetRequest::default()
        };
        if request.from() == pb::StartFrom::Unspecified {
            let from = if self.by_group() { pb::StartFrom::Committed } else { pb::StartFrom::Latest };
            asked.set_from(from);
        }
        match self.inner.call(self.ctx.clone(), asked.into()).await? {
            Response::GetStartOffset(found) => Ok(found.offset),
            _ => Err(BrokerError::new(ErrorCode::Internal, "another request was answered")),
        }
    }

    /// A partition by one fetch after the other, wherever its leader is.
    fn fetches(self, request: Arc<pb::SubscribeRequest>, partition: i32, offset: u64) -> BatchStream {
        stream::unfold(Some((self, offset)), move |state| {
            let request = request.clone();
            async move {
                let (source, offset) = state?;
                match source.fetched(&request, partition, offset).await {
                    Ok(push) => {
                        let next = push.next_offset;
                        Some((Ok(push), Some((source, next))))
                    }
                    Err(error) => Some((Err(error), None)),
                }
            }
        })
        .boxed()
    }

    /// The next run of a partition, also one without records where a filter passed some over.
    async fn fetched(
        &self,
        request: &pb::SubscribeRequest,
        partition: i32,
        mut offset: u64,
    ) -> Result<pb::SubscribeResponse, BrokerError> {
        // Batches of another node come whole, and are sent on from here whatever the door.
        let ctx = CallContext { door: Door::InProcess, ..self.ctx.clone() };
        loop {
            let fetch = pb::FetchRequest {
                topic: request.topic.clone(),
                partition,
                offset,
                max_records: i32::MAX,
                max_bytes: FETCH_BYTES,
                min_bytes: 1,
                max_wait_ms: FETCH_WAIT_MS,
                isolation: request.isolation,
                batches: request.batches,
                text: request.text,
                filter: request.filter.clone(),
                filter_kind: request.filter_kind,
            };
            match self.inner.call(ctx.clone(), Request::Fetch(fetch)).await {
                Ok(Response::Fetch(found)) => {
                    let told = found.filtered > 0;
                    if told || !found.records.is_empty() || !found.batches.is_empty() {
                        return Ok(pb::SubscribeResponse {
                            topic: request.topic.clone(),
                            partition,
                            next_offset: found.next_offset,
                            high_watermark: found.high_watermark,
                            records: found.records,
                            batches: found.batches,
                            filtered: found.filtered,
                            filter_failed: found.filter_failed,
                        });
                    }
                    offset = found.next_offset;
                }
                Ok(_) => return Err(BrokerError::new(ErrorCode::Internal, "another request was answered")),
                Err(error) if passes(&error) => tokio::time::sleep(PAUSE).await,
                Err(error) => return Err(error),
            }
        }
    }
}

/// Whether it is a matter of time: leaders move, nodes come back.
fn passes(error: &BrokerError) -> bool {
    matches!(
        error.code,
        ErrorCode::NotLeader | ErrorCode::Unavailable | ErrorCode::Timeout | ErrorCode::Overloaded
    )
}
