//! SUBSCRIBE, COMMIT, GET_OFFSET, RESET_OFFSET, GET_LAG.

use flymq_api::{BrokerError, ErrorCode};
use flymq_proto::pb;
use flymq_wire::{
    frame::FrameParts,
    v1::{
        Commit, Done, GroupPartition, LagReply, OffsetReply, ResetOffset, ResetPosition, StartPosition,
        Subscribe, op, reply_frame,
    },
};

use super::{
    error::{About, Failure},
    session::Session,
};

/// A look-up; with a group, the connection counts as its member from now on.
pub(super) async fn subscribe(session: &mut Session<'_>, body: Subscribe) -> Result<FrameParts, Failure> {
    let from = match body.start() {
        Some(StartPosition::Earliest) => pb::StartFrom::Earliest,
        Some(StartPosition::Latest) => pb::StartFrom::Latest,
        Some(StartPosition::Committed) => pb::StartFrom::Committed,
        None => return Err(Failure::text(format!("unknown subscribe mode: {}", body.mode.0))),
    };
    let Subscribe { topic, group, partition, mode: _ } = body;
    let request = pb::GetStartOffsetRequest {
        topic: topic.clone(),
        group: group.clone(),
        partition,
        from: from.into(),
        ..Default::default()
    };
    let start: pb::GetStartOffsetResponse = session
        .call(request)
        .await
        .map_err(|error| About::group(&topic, &group, partition).failure(&error))?;
    if !group.is_empty() {
        session.membership = Some(session.door.members.join(&topic, &group));
    }
    Ok(reply_frame(op::SUBSCRIBE, &OffsetReply { offset: start.offset })?)
}

pub(super) async fn commit(session: &Session<'_>, body: Commit) -> Result<FrameParts, Failure> {
    let Commit { topic, group, partition, offset } = body;
    let offsets = vec![pb::PartitionOffset { topic: topic.clone(), partition, offset, ..Default::default() }];
    let request = pb::CommitOffsetsRequest { group: group.clone(), offsets, ..Default::default() };
    let _: pb::CommitOffsetsResponse = session
        .call(request)
        .await
        .map_err(|error| About::group(&topic, &group, partition).failure(&error))?;
    Ok(reply_frame(op::COMMIT, &Done)?)
}

/// The commit, 0 where the group has none on this partition.
pub(super) async fn get(session: &Session<'_>, body: GroupPartition) -> Result<FrameParts, Failure> {
    let offset = committed(session, &body).await?;
    Ok(reply_frame(op::GET_OFFSET, &OffsetReply { offset })?)
}

async fn committed(session: &Session<'_>, body: &GroupPartition) -> Result<u64, Failure> {
    let GroupPartition { topic, group, partition } = body;
    let request = pb::GetOffsetsRequest { group: group.clone(), topic: topic.clone(), ..Default::default() };
    let about = About::group(topic, group, *partition);
    let offsets = match session.call::<pb::GetOffsetsResponse>(request).await {
        Ok(found) => found.offsets,
        Err(error) if error.code == ErrorCode::GroupNotFound => Vec::new(),
        Err(error) => return Err(about.failure(&error)),
    };
    if offsets.is_empty() && session.door.members.count(topic, group).is_none() {
        return Err(about.group_not_found());
    }
    Ok(offsets.iter().find(|committed| committed.partition == *partition).map_or(0, |c| c.offset))
}

pub(super) async fn reset(session: &Session<'_>, body: ResetOffset) -> Result<FrameParts, Failure> {
    let (to, offset) = match body.target() {
        Some(ResetPosition::Earliest) => (pb::StartFrom::Earliest, 0),
        Some(ResetPosition::Latest) => (pb::StartFrom::Latest, 0),
        Some(ResetPosition::Offset(offset)) => (pb::StartFrom::Offset, offset),
        None => return Err(Failure::text(format!("unknown reset mode: {}", body.mode.0))),
    };
    let request = pb::ResetOffsetsRequest {
        group: body.group.clone(),
        topic: body.topic.clone(),
        partitions: vec![body.partition],
        to: to.into(),
        offset,
        ..Default::default()
    };
    let _: pb::ResetOffsetsResponse = session
        .call(request)
        .await
        .map_err(|error| About::group(&body.topic, &body.group, body.partition).failure(&error))?;
    Ok(reply_frame(op::RESET_OFFSET, &Done)?)
}

/// How far the group is behind; a group that only subscribed is behind by all there is.
pub(super) async fn lag(session: &Session<'_>, body: GroupPartition) -> Result<FrameParts, Failure> {
    let committed = committed(session, &body).await?;
    let latest = latest(session, &body)
        .await
        .map_err(|error| About::group(&body.topic, &body.group, body.partition).failure(&error))?;
    Ok(reply_frame(op::GET_LAG, &LagReply::new(committed, latest))?)
}

async fn latest(session: &Session<'_>, body: &GroupPartition) -> Result<u64, BrokerError> {
    let GroupPartition { topic, partition, .. } = body;
    let at = pb::StartFrom::Latest.into();
    let request =
        pb::FindOffsetRequest { topic: topic.clone(), partition: *partition, at, ..Default::default() };
    session.call::<pb::FindOffsetResponse>(request).await.map(|found| found.offset)
}
