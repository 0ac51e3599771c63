//! Consumer groups and their offsets.

use std::collections::BTreeMap;

use flymq_engine::{CommittedOffset, GroupState, OffsetCommit, PartitionLag, StartFrom};
use flymq_proto::pb;
use flymq_types::{Offset, TopicName};

use super::{EngineBroker, members};
use crate::{BrokerError, CallContext, Response, convert};

impl EngineBroker {
    pub(super) async fn get_start_offset(
        &self,
        request: &pb::GetStartOffsetRequest,
    ) -> Result<pb::GetStartOffsetResponse, BrokerError> {
        let topic = convert::topic("topic", &request.topic)?;
        let partition = convert::partition(request.partition)?;
        let group = (!request.group.is_empty()).then(|| convert::group(&request.group)).transpose()?;
        let isolation = convert::isolation(request.isolation)?;
        let otherwise = if group.is_some() { StartFrom::Committed } else { StartFrom::Latest };
        let from =
            convert::start_from("from", request.from, request.offset, request.timestamp_ms, otherwise)?;
        if group.is_none() && from == StartFrom::Committed {
            return Err(convert::invalid("group", "to begin at a committed offset, name the group"));
        }
        let offset = self.engine.start_offset(group.as_ref(), &topic, partition, from, isolation).await?;
        Ok(pb::GetStartOffsetResponse { offset: offset.get() })
    }

    pub(super) async fn commit_offsets(
        &self,
        request: pb::CommitOffsetsRequest,
    ) -> Result<pb::CommitOffsetsResponse, BrokerError> {
        let group = convert::group(&request.group)?;
        let offsets = self.offsets_to_commit(request.offsets)?;
        match members::commits_as(request.member_id, request.generation)? {
            Some(member) => self.engine.commit_as_member(&group, &member, offsets).await?,
            None => self.engine.commit_offsets(&group, offsets).await?,
        }
        Ok(pb::CommitOffsetsResponse {})
    }

    pub(super) fn offsets_to_commit(
        &self,
        offsets: Vec<pb::PartitionOffset>,
    ) -> Result<Vec<OffsetCommit>, BrokerError> {
        if offsets.is_empty() {
            return Err(convert::invalid("offsets", "a commit names at least one partition"));
        }
        offsets.into_iter().map(|offset| commit(offset, self.limits.text_bytes)).collect()
    }

    /// Where a reader goes on: an offset that an open transaction is about to move is waited for.
    pub(super) async fn get_offsets(
        &self,
        request: &pb::GetOffsetsRequest,
    ) -> Result<pb::GetOffsetsResponse, BrokerError> {
        let group = convert::group(&request.group)?;
        let topic = optional_topic(&request.topic)?;
        let partition = convert::optional_partition(request.partition)?;
        let offsets = self.engine.stable_committed(&group, topic.as_ref(), partition).await?;
        Ok(pb::GetOffsetsResponse { offsets: offsets.into_iter().map(committed).collect() })
    }

    pub(super) async fn reset_offsets(
        &self,
        request: &pb::ResetOffsetsRequest,
    ) -> Result<pb::ResetOffsetsResponse, BrokerError> {
        let group = convert::group(&request.group)?;
        let topic = convert::topic("topic", &request.topic)?;
        let partitions: Vec<_> =
            request.partitions.iter().map(|&number| convert::partition(number)).collect::<Result<_, _>>()?;
        let unspecified = i32::from(pb::StartFrom::Unspecified);
        if request.to == unspecified {
            return Err(convert::invalid("to", "say where to: earliest, latest, an offset or a time"));
        }
        let to = convert::start_from(
            "to",
            request.to,
            request.offset,
            request.timestamp_ms,
            StartFrom::Committed,
        )?;
        let offsets = self.engine.reset_offsets(&group, &topic, &partitions, to).await?;
        Ok(pb::ResetOffsetsResponse { offsets: offsets.into_iter().map(committed).collect() })
    }

    /// In a cluster each node knows the groups that it coordinates: all that answer are asked.
    pub(super) async fn list_groups(
        &self,
        ctx: &CallContext,
        request: pb::ListGroupsRequest,
    ) -> Result<pb::ListGroupsResponse, BrokerError> {
        let topic = optional_topic(&request.topic)?;
        let groups = self.engine.groups(topic.as_ref()).into_iter().map(|group| pb::GroupSummary {
            group: group.group.to_string(),
            state: state(group.state).into(),
            members: convert::count(group.members),
            topics: group.topics.iter().map(TopicName::to_string).collect(),
        });
        let mut groups: BTreeMap<String, pb::GroupSummary> =
            groups.map(|group| (group.group.clone(), group)).collect();
        let (answers, missing_nodes) = self.ask_all_others(ctx, &request.into()).await;
        for answer in answers {
            let Response::ListGroups(there) = answer else { continue };
            for group in there.groups {
                merge(groups.entry(group.group.clone()).or_default(), group);
            }
        }
        Ok(pb::ListGroupsResponse { groups: groups.into_values().collect(), missing_nodes })
    }

    pub(super) async fn describe_group(
        &self,
        request: &pb::DescribeGroupRequest,
    ) -> Result<pb::DescribeGroupResponse, BrokerError> {
        let group = convert::group(&request.group)?;
        self.engine.groups_known(&group).await?;
        let group = self.engine.describe_group(&group)?;
        Ok(pb::DescribeGroupResponse {
            group: group.group.to_string(),
            state: state(group.state).into(),
            generation: members::number(group.generation),
            coordinator: self.node.node_id.clone(),
            members: group.members.into_iter().map(members::shown).collect(),
            offsets: group.offsets.into_iter().map(committed).collect(),
        })
    }

    pub(super) async fn get_lag(
        &self,
        request: &pb::GetLagRequest,
    ) -> Result<pb::GetLagResponse, BrokerError> {
        let group = convert::group(&request.group)?;
        let topic = optional_topic(&request.topic)?;
        let partition = convert::optional_partition(request.partition)?;
        self.engine.groups_known(&group).await?;
        let partitions = self.engine.lag(&group, topic.as_ref(), partition)?;
        let total = partitions.iter().map(|p| p.lag).sum();
        Ok(pb::GetLagResponse { partitions: partitions.iter().map(lag).collect(), total })
    }

    pub(super) async fn delete_group(
        &self,
        request: &pb::DeleteGroupRequest,
    ) -> Result<pb::DeleteGroupResponse, BrokerError> {
        let group = convert::group(&request.group)?;
        let topic = optional_topic(&request.topic)?;
        self.engine.delete_group(&group, topic.as_ref()).await?;
        Ok(pb::DeleteGroupResponse {})
    }
}

/// Adds what another node knows of the same group: its members are counted where they are connected.
fn merge(here: &mut pb::GroupSummary, there: pb::GroupSummary) {
    here.state = here.state.max(there.state);
    here.members = here.members.saturating_add(there.members);
    here.topics.extend(there.topics);
    here.topics.sort_unstable();
    here.topics.dedup();
    here.group = there.group;
}

fn optional_topic(name: &str) -> Result<Option<TopicName>, BrokerError> {
    (!name.is_empty()).then(|| convert::topic("topic", name)).transpose()
}

fn commit(offset: pb::PartitionOffset, text_bytes: usize) -> Result<OffsetCommit, BrokerError> {
    if offset.metadata.len() > text_bytes {
        let why = format!("{} bytes, at most {text_bytes} are kept", offset.metadata.len());
        return Err(convert::invalid("offsets.metadata", why));
    }
    Ok(OffsetCommit {
        topic: convert::topic("offsets.topic", &offset.topic)?,
        partition: convert::partition(offset.partition)?,
        offset: Offset(offset.offset),
        metadata: offset.metadata,
    })
}

fn committed(offset: CommittedOffset) -> pb::PartitionOffset {
    pb::PartitionOffset {
        topic: offset.topic.to_string(),
        partition: convert::count(offset.partition.get() as usize),
        offset: offset.offset.get(),
        metadata: offset.metadata,
    }
}

fn lag(lag: &PartitionLag) -> pb::PartitionLag {
    pb::PartitionLag {
        topic: lag.topic.to_string(),
        partition: convert::count(lag.partition.get() as usize),
        committed: lag.committed.get(),
        latest: lag.latest.get(),
        lag: lag.lag,
        lag_ms: i64::try_from(lag.lag_ms).unwrap_or(i64::MAX),
    }
}

fn state(state: GroupState) -> pb::GroupState {
    match state {
        GroupState::Empty => pb::GroupState::Empty,
        GroupState::Stable => pb::GroupState::Stable,
        GroupState::Rebalancing => pb::GroupState::Rebalancing,
    }
}
