//! Topics.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use flymq_engine::{HeaderMatch, StartFrom};
use flymq_proto::pb;
use flymq_types::{NodeId, Offset, PartitionId, TopicName};
use flymq_wire::batch::BatchSlices;

use super::EngineBroker;
use crate::{BrokerError, CallContext, Door, Response, convert};

/// How long the other leaders of a topic have to tell of their partitions.
const TELL_WAIT: Duration = Duration::from_secs(1);

fn soon(deadline: Option<Instant>) -> Option<Instant> {
    let soon = Instant::now() + TELL_WAIT;
    Some(deadline.map_or(soon, |deadline| deadline.min(soon)))
}

impl EngineBroker {
    pub(super) async fn create_topic(
        &self,
        door: Door,
        request: &pb::CreateTopicRequest,
    ) -> Result<pb::CreateTopicResponse, BrokerError> {
        let topic = self.engine.create_topic(convert::new_topic(request)?).await?;
        Ok(pb::CreateTopicResponse { topic: Some(convert::topic_message(&topic, &self.map(door))) })
    }

    /// In a cluster, what is said of a partition comes from its leader where that answers, else from this node.
    pub(super) async fn get_topic(
        &self,
        ctx: &CallContext,
        request: pb::GetTopicRequest,
    ) -> Result<pb::GetTopicResponse, BrokerError> {
        let topic = self.engine.topic(&convert::topic("name", &request.name)?)?;
        let mut topic = convert::topic_message(&topic, &self.map(ctx.door));
        let leaders = topic.partitions.iter().filter_map(|partition| NodeId::new(&partition.leader).ok());
        let leaders: BTreeSet<NodeId> = leaders.collect();
        let bounded = CallContext { deadline: soon(ctx.deadline), ..ctx.clone() };
        for (node, served) in self.ask_others(&bounded, leaders, &request.into()).await {
            let Response::GetTopic(pb::GetTopicResponse { topic: Some(seen) }) = served.response else {
                continue;
            };
            for there in seen.partitions.into_iter().filter(|there| there.leader == node.as_str()) {
                if let Some(here) = topic.partitions.iter_mut().find(|here| here.partition == there.partition)
                {
                    *here = there;
                }
            }
        }
        Ok(pb::GetTopicResponse { topic: Some(topic) })
    }

    /// In pages by name: the token is the last name of the page before.
    pub(super) fn list_topics(
        &self,
        request: &pb::ListTopicsRequest,
    ) -> Result<pb::ListTopicsResponse, BrokerError> {
        let page_size = match usize::try_from(request.page_size) {
            Ok(0) => usize::MAX,
            Ok(size) => size,
            Err(_) => return Err(convert::invalid("page_size", "must not be negative")),
        };
        let mut topics = self.engine.list_topics(request.internal);
        topics.retain(|topic| {
            let name = topic.name.as_str();
            name.starts_with(&request.prefix)
                && (request.page_token.is_empty() || *name > *request.page_token)
        });
        let more = topics.len() > page_size;
        topics.truncate(page_size);
        let next = topics.last().filter(|_| more).map(|topic| topic.name.to_string());
        Ok(pb::ListTopicsResponse {
            topics: topics.iter().map(convert::topic_summary).collect(),
            next_page_token: next.unwrap_or_default(),
        })
    }

    pub(super) async fn delete_topic(
        &self,
        request: &pb::DeleteTopicRequest,
    ) -> Result<pb::DeleteTopicResponse, BrokerError> {
        self.engine.delete_topic(&convert::topic("name", &request.name)?).await?;
        Ok(pb::DeleteTopicResponse {})
    }

    pub(super) async fn alter_topic(
        &self,
        door: Door,
        request: &pb::AlterTopicRequest,
    ) -> Result<pb::AlterTopicResponse, BrokerError> {
        let name = convert::topic("name", &request.name)?;
        let change = convert::topic_changes(&request.options.clone().unwrap_or_default())?;
        let topic = self.engine.alter_topic(&name, change).await?;
        Ok(pb::AlterTopicResponse { topic: Some(convert::topic_message(&topic, &self.map(door))) })
    }

    pub(super) async fn delete_records(
        &self,
        request: &pb::DeleteRecordsRequest,
    ) -> Result<pb::DeleteRecordsResponse, BrokerError> {
        let topic = convert::topic("topic", &request.topic)?;
        let partition = convert::partition(request.partition)?;
        let low = self.engine.delete_records(&topic, partition, Offset(request.before_offset)).await?;
        Ok(pb::DeleteRecordsResponse { low_watermark: low.get() })
    }

    pub(super) async fn restore_records(
        &self,
        request: pb::RestoreRecordsRequest,
    ) -> Result<pb::RestoreRecordsResponse, BrokerError> {
        let topic = convert::topic("topic", &request.topic)?;
        let partition = convert::partition(request.partition)?;
        let batches = BatchSlices::new(request.batches).map(|batch| batch.map(|(_, bytes)| bytes));
        let batches = batches.collect::<Result<Vec<_>, _>>()?;
        let end = self.engine.restore_records(&topic, partition, &request.backup_id, batches).await?;
        Ok(pb::RestoreRecordsResponse { log_end_offset: end.get() })
    }

    pub(super) async fn finish_restore(
        &self,
        door: Door,
        request: &pb::FinishRestoreRequest,
    ) -> Result<pb::FinishRestoreResponse, BrokerError> {
        let topic = convert::topic("topic", &request.topic)?;
        let topic = self.engine.finish_restore(&topic, &request.backup_id).await?;
        Ok(pb::FinishRestoreResponse { topic: Some(convert::topic_message(&topic, &self.map(door))) })
    }

    async fn find_by_header(
        &self,
        topic: &TopicName,
        partition: PartitionId,
        request: &pb::FindOffsetRequest,
    ) -> Result<pb::FindOffsetResponse, BrokerError> {
        const MOST: u32 = 10_000;
        let limit = if request.limit == 0 { 100 } else { request.limit };
        if limit > MOST {
            return Err(convert::invalid("limit", "is at most 10000"));
        }
        let header = HeaderMatch {
            name: request.header.clone(),
            value: request.header_value.clone().into_bytes(),
            from: Offset(request.from_offset),
            limit: limit as usize,
        };
        let isolation = convert::isolation(request.isolation)?;
        let found = self.engine.find_by_header(topic, partition, header, isolation).await?;
        let next_offset = found.next.get();
        let offsets: Vec<_> = found.offsets.iter().map(|offset| offset.get()).collect();
        let offset = offsets.first().copied().unwrap_or(next_offset);
        Ok(pb::FindOffsetResponse { offset, offsets, next_offset })
    }

    pub(super) async fn find_offset(
        &self,
        request: &pb::FindOffsetRequest,
    ) -> Result<pb::FindOffsetResponse, BrokerError> {
        let topic = convert::topic("topic", &request.topic)?;
        let partition = convert::partition(request.partition)?;
        if !request.header.is_empty() {
            return self.find_by_header(&topic, partition, request).await;
        }
        let isolation = convert::isolation(request.isolation)?;
        if request.back > 0 {
            let at = pb::StartFrom::try_from(request.at);
            if !matches!(at, Ok(pb::StartFrom::Unspecified | pb::StartFrom::Latest)) {
                return Err(convert::invalid("back", "counts from the latest offset: leave `at` out"));
            }
            let offset =
                self.engine.find_offset_back(&topic, partition, request.back, isolation).await?.get();
            return Ok(pb::FindOffsetResponse { offset, ..Default::default() });
        }
        let at = convert::start_from("at", request.at, 0, request.timestamp_ms, StartFrom::Latest)?;
        if matches!(at, StartFrom::Committed | StartFrom::Offset(_)) {
            return Err(convert::invalid("at", "is one of earliest, latest and timestamp"));
        }
        let offset = self.engine.find_offset(&topic, partition, at, isolation).await?;
        Ok(pb::FindOffsetResponse { offset: offset.get(), ..Default::default() })
    }
}
